//! Requests to servers of others: partners' servers, receivers of webhooks, ACME servers.
//!
//! Partner postbacks and webhooks have outboxes in the store. A [`sender`] delivers an outbox
//! through a [`client`], which contacts only permitted addresses ([`address`], [`resolve`]);
//! [`delivery_outcome`] decides about retries. This file has the parts that all HTTP clients share:
//! trusted roots, `Retry-After`, and error texts.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

pub mod address;
mod client;
mod delivery_outcome;
mod resolve;
mod sender;

pub use client::{
    ClientError, OutgoingClient, OutgoingRequest, Refused, RequestOutcome, TestResult,
};
pub use delivery_outcome::RetryPolicy;
pub use sender::Concurrency;
pub(crate) use sender::{OutgoingQueue, Sender};

use ipnet::IpNet;

/// Settings for requests to servers of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Networks that may be contacted in addition to the public internet.
    pub allowed_networks: Vec<IpNet>,
    /// Deadline for a connection.
    pub connect_timeout: Duration,
    /// Deadline for a request with its response.
    pub timeout: Duration,
    pub concurrency: Concurrency,
    pub retry_policy: RetryPolicy,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allowed_networks: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
            concurrency: Concurrency { in_flight: 64, per_host: 8 },
            retry_policy: RetryPolicy {
                first_retry: Duration::from_secs(10),
                longest_retry: Duration::from_secs(6 * 60 * 60),
                max_attempts: 14,
            },
        }
    }
}

/// Most characters of an error text.
const MAX_ERROR_CHARS: usize = 1024;

/// Trusts the built-in root certificates, for machines without any, the system's, which may be
/// newer or the operator's own, and further ones.
pub(crate) fn tls_config(
    further_roots: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = usual_roots();
    for root in further_roots {
        roots.add(root)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The built-in root certificates, and the system's.
pub(crate) fn usual_roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Parses a `Retry-After` header: seconds or an HTTP date.
pub(crate) fn parse_retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    at.duration_since(jiff::Timestamp::now()).try_into().ok()
}

/// An error with its causes, without the URL: URLs can hold secrets.
pub(crate) fn error_text(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text.chars().take(MAX_ERROR_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_to_come_again_in_seconds_or_as_a_date() {
        assert_eq!(parse_retry_after("120"), Some(Duration::from_secs(120)));
        let in_a_minute = jiff::Timestamp::now() + Duration::from_secs(60);
        let date =
            jiff::fmt::rfc2822::to_string(&in_a_minute.to_zoned_datetime(jiff::tz::TimeZone::UTC))
                .unwrap();
        let wait = parse_retry_after(&date).unwrap();
        assert!((58..=60).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(parse_retry_after("Fri, 01 Jan 2021 00:00:00 GMT"), None);
        assert_eq!(parse_retry_after("soon"), None);
    }
}
