//! One order of a certificate (RFC 8555): account, order, HTTP-01, certificate.
//!
//! The server is not trusted: its certificate is checked against the host and the new key before
//! anything else sees it.

use std::time::{Duration, Instant};

use coupon_serve::tls::{CertifiedPair, Dates, PairError, check_pair};
use coupon_shared::snapshot::catalog::acme::{is_challenge_token, is_thumbprint};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName};

use super::http::{AcmeHttp, ServerError, shortened};
use super::key_files::{AccountKey, KeyPair};
use super::settings::Settings;
use crate::publish::WaitLiveError;
use crate::store::StoreError;

/// How long the server may take to confirm a host, and then to make a certificate.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);
/// Deadline of an order.
pub(super) const ORDER_TIMEOUT: Duration = Duration::from_secs(300);

/// Why an attempt failed. Each text says how to mend it, where an operator can.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error(
        "the terms of service of the ACME server are not agreed to: read them, and set \
         acme.terms_of_service_agreed = true in coupon-admin's configuration"
    )]
    Terms,
    #[error("the key files cannot be used: {0}")]
    KeyFile(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("coupond does not answer challenges yet: {0}")]
    NotLive(#[from] WaitLiveError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the ACME server refused: {0}")]
    Problem(String),
    #[error(
        "the ACME server could not confirm http://{host}/.well-known/acme-challenge/…: {detail}; \
         point the name's DNS at coupond, and let port 80 through to it"
    )]
    Challenge { host: String, detail: String },
    #[error(
        "the ACME server offers no HTTP-01 challenge for {0}; choose another acme.directory_url"
    )]
    NoChallenge(String),
    #[error("the ACME server's answer is not understood: {0}; check acme.directory_url")]
    NotUnderstood(String),
    #[error("the ACME server has not finished the order in time; it is repeated")]
    Timeout { retry_after: Option<Duration> },
    #[error("no key or certificate request can be made: {0}")]
    Request(#[from] rcgen::Error),
    #[error("the ACME server's certificate is refused: {0}")]
    Certificate(#[from] CertificateError),
}

/// Why a certificate is not installed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error("it is for {names} and not for {host}")]
    OtherHost { host: String, names: String },
    #[error("it has expired; check the clocks of this machine and of the server")]
    Expired,
    #[error("it is not valid yet; check the clocks of this machine and of the server")]
    NotYetValid,
}

impl OrderError {
    /// The server's own delay before the next attempt.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            OrderError::Server(ServerError::Refused { retry_after, .. })
            | OrderError::Timeout { retry_after } => *retry_after,
            // Each further order would use up the server's limit on equal certificates.
            OrderError::Certificate(_) => Some(Duration::from_secs(24 * 60 * 60)),
            _ => None,
        }
    }
}

impl From<Error> for OrderError {
    fn from(error: Error) -> OrderError {
        match error {
            Error::Api(problem) => OrderError::Problem(problem_text(&problem)),
            Error::Timeout(until) => OrderError::Timeout {
                retry_after: until.map(|at| at.saturating_duration_since(Instant::now())),
            },
            Error::Other(error) => match error.downcast::<ServerError>() {
                Ok(error) => OrderError::Server(*error),
                Err(error) => OrderError::NotUnderstood(shortened(&error.to_string())),
            },
            other => OrderError::NotUnderstood(shortened(&other.to_string())),
        }
    }
}

fn problem_text(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    let subproblems = problem.subproblems.iter().filter_map(|sub| sub.detail.as_deref());
    let detail: Vec<&str> = problem.detail.as_deref().into_iter().chain(subproblems).collect();
    shortened(&format!("{} ({kind})", detail.join("; ")))
}

/// Orders certificates with the configured account.
#[derive(Clone)]
pub(super) struct AcmeClient {
    pub(super) http: AcmeHttp,
    pub(super) settings: Settings,
}

impl AcmeClient {
    /// Finds the key's account at the server, or makes it.
    pub(super) async fn account(&self, key: AccountKey) -> Result<Account, OrderError> {
        let url = || self.settings.directory_url.as_str().to_owned();
        let builder = || Account::builder_with_http(Box::new(self.http.clone()));
        let (parsed, der) = key;
        let again = instant_acme::Key::from_pkcs8_der(der.secret_der().into())?;
        let account = match builder().from_key((parsed, der.clone_key()), url()).await {
            Ok((account, _)) => account,
            Err(Error::Api(problem)) if is_unknown_account(&problem) => {
                let (account, _) = builder().create_from_key((again, der), url()).await?;
                if let Some(contact) = self.settings.contact.url() {
                    account.update_contacts(&[&contact]).await?;
                }
                tracing::info!(directory_url = %self.settings.directory_url, "ACME account made");
                account
            }
            Err(error) => return Err(error.into()),
        };
        debug_assert!(is_thumbprint(account.key_thumbprint()), "SHA-256 in base64url");
        Ok(account)
    }
}

fn is_unknown_account(problem: &Problem) -> bool {
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}

/// Orders a certificate for a host and checks it. coupond must answer challenges by now.
pub(super) async fn order_certificate(
    account: &Account,
    host: &str,
) -> Result<(KeyPair, CertifiedPair), OrderError> {
    let identifiers = [Identifier::Dns(host.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    begin_challenges(&mut order, host).await?;
    await_confirmation(&mut order, host).await?;
    let key = rcgen::KeyPair::generate()?;
    let mut request = CertificateParams::new([host.to_owned()])?;
    request.distinguished_name = DistinguishedName::new();
    order.finalize_csr(request.serialize_request(&key)?.der()).await?;
    let chain_pem = order.poll_certificate(&polling()).await?;
    let pair = KeyPair { chain_pem, key_pem: key.serialize_pem() };
    let now = jiff::Timestamp::now().as_second();
    let certified = check_certificate(&pair, host, now)?;
    Ok((pair, certified))
}

fn polling() -> RetryPolicy {
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(POLL_TIMEOUT)
}

/// Tells the server to confirm the host, unless it has done so before.
async fn begin_challenges(order: &mut Order, host: &str) -> Result<(), OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.ok_or_else(|| OrderError::NoChallenge(host.to_owned()))?;
        if !is_challenge_token(&challenge.token) {
            let wrong = "the challenge's token is not base64url of at most 128 characters";
            return Err(OrderError::NotUnderstood(wrong.into()));
        }
        challenge.set_ready().await?;
    }
    Ok(())
}

async fn await_confirmation(order: &mut Order, host: &str) -> Result<(), OrderError> {
    match order.poll_ready(&polling()).await {
        Ok(OrderStatus::Invalid) | Err(Error::Api(_)) => Err(failed_challenge(order, host).await),
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The order tells only that a challenge failed; the authorization tells why.
async fn failed_challenge(order: &mut Order, host: &str) -> OrderError {
    let mut detail = String::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Err(error) = authorization.refresh().await {
            return error.into();
        }
        let failed = authorization.challenges.iter().find_map(|one| one.error.as_ref());
        detail = failed.map(problem_text).unwrap_or(detail);
    }
    if detail.is_empty() {
        detail = "it gives no reason".into();
    }
    OrderError::Challenge { host: host.to_owned(), detail }
}

/// Checks that a pair can serve the host now.
pub(super) fn check_certificate(
    pair: &KeyPair,
    host: &str,
    now: i64,
) -> Result<CertifiedPair, CertificateError> {
    let certified = check_pair(pair.chain_pem.as_bytes(), pair.key_pem.as_bytes())?;
    if !certified.covers(host) {
        let names = shortened(&certified.names().join(", "));
        return Err(CertificateError::OtherHost { host: host.to_owned(), names });
    }
    match certified.dates_at(now) {
        Dates::Expired => Err(CertificateError::Expired),
        Dates::NotYetValid => Err(CertificateError::NotYetValid),
        Dates::Valid | Dates::NearEnd => Ok(certified),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(change: impl FnOnce(&mut CertificateParams)) -> KeyPair {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["go.example.com".to_owned()]).unwrap();
        change(&mut params);
        let chain_pem = params.self_signed(&key).unwrap().pem();
        KeyPair { chain_pem, key_pem: key.serialize_pem() }
    }

    #[test]
    fn only_a_certificate_for_the_host_and_the_key_at_this_time_is_accepted() {
        let now = 1_800_000_000;
        let check = |pair: &KeyPair, host| check_certificate(pair, host, now).map(drop);
        let good = pair(|_| ());
        assert!(check(&good, "go.example.com").is_ok());
        let error = check(&good, "bank.example").unwrap_err().to_string();
        assert_eq!(error, "it is for go.example.com and not for bank.example");
        let expired = pair(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
        assert!(matches!(check(&expired, "go.example.com"), Err(CertificateError::Expired)));
        let early = pair(|params| params.not_before = rcgen::date_time_ymd(2090, 1, 1));
        assert!(matches!(check(&early, "go.example.com"), Err(CertificateError::NotYetValid)));
        let mixed = KeyPair { key_pem: pair(|_| ()).key_pem, ..good };
        let error = check(&mixed, "go.example.com").unwrap_err();
        assert!(matches!(error, CertificateError::Pair(PairError::KeyOfAnother)), "{error}");
    }

    #[test]
    fn a_problem_is_told_with_its_kind_and_without_control_characters() {
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "type": "urn:ietf:params:acme:error:dns", "detail": "no\u{1b}[2J address",
            "subproblems": [{ "detail": "for go.example.com" }],
        }))
        .unwrap();
        assert_eq!(problem_text(&problem), "no[2J address; for go.example.com (dns)");
        let long: Problem =
            serde_json::from_value(serde_json::json!({ "detail": "x".repeat(100_000) })).unwrap();
        assert_eq!(problem_text(&long).len(), 500);
    }

    #[test]
    fn a_server_and_a_useless_certificate_set_the_wait() {
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(OrderError::from(CertificateError::Expired).retry_after(), Some(day));
        let later = Error::Timeout(Some(Instant::now() + day));
        let wait = OrderError::from(later).retry_after().unwrap();
        assert!(wait <= day && wait > day - Duration::from_secs(60));
        assert_eq!(OrderError::Terms.retry_after(), None);
    }
}
