//! HTTP for the ACME client: deadlines, bounded answers, https only, no redirects.
//!
//! The ACME server names the URLs of its resources, so each URL is checked here. An answer that the
//! server gives under load or in distress (429, 5xx) becomes an error here, because its
//! `Retry-After` must be obeyed and its body need not be JSON.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::settings::Settings;
use crate::foreign_text::printable;
use crate::outgoing::{error_text, parse_retry_after, tls_config};

/// Most bytes of an answer; a certificate chain has about 10 KiB.
const MAX_ANSWER_BYTES: usize = 256 << 10;
/// Most characters shown of a problem's text.
const MAX_DETAIL_CHARS: usize = 500;

/// Why the client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file with root certificates cannot be used.
    #[error("acme.ca_file: cannot read certificates from {path}: {reason}; name a PEM file")]
    CaFile {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// TLS is not available, or a root certificate is invalid.
    #[error("TLS to the ACME server cannot be set up: {0}; check acme.ca_file")]
    Tls(#[from] rustls::Error),
    /// The client rejects the settings.
    #[error("the client of the ACME server cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// Why the ACME server gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ServerError {
    #[error("the ACME server named the URL {0}, which is not https; check acme.directory_url")]
    NotHttps(String),
    #[error(
        "the ACME server cannot be reached: {0}; check acme.directory_url, and acme.ca_file if the \
         server has a certificate authority of its own"
    )]
    Unreachable(String),
    #[error("the ACME server did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("the ACME server's answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    #[error("the ACME server refused with {status}{}", with_colon(detail))]
    Refused { status: StatusCode, detail: String, retry_after: Option<Duration> },
}

fn with_colon(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

/// Clones share connections.
#[derive(Clone)]
pub(super) struct AcmeHttp {
    client: Client,
    timeout: Duration,
}

impl AcmeHttp {
    pub(super) fn new(settings: &Settings) -> Result<AcmeHttp, ClientError> {
        let roots = match settings.ca_file.path() {
            Some(path) => read_roots(path)?,
            None => Vec::new(),
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls_config(roots)?)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .user_agent(concat!("coupon-admin/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.timeout)
            .timeout(settings.timeout)
            .build()?;
        Ok(AcmeHttp { client, timeout: settings.timeout })
    }

    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, ServerError> {
        if request.uri().scheme_str() != Some("https") {
            return Err(ServerError::NotHttps(shortened(&request.uri().to_string())));
        }
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let request = reqwest::Request::try_from(Request::from_parts(parts, body));
        let request = request.map_err(|error| ServerError::Unreachable(error_text(error)))?;
        let mut answer = self.client.execute(request).await.map_err(|error| self.failure(error))?;
        let mut received = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failure(error))? {
            if received.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(ServerError::TooLarge);
            }
            received.extend_from_slice(&chunk);
        }
        check_status(&answer, &received)?;
        let mut response = hyper::Response::new(Full::new(Bytes::from(received)));
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(BytesResponse::from(response))
    }

    fn failure(&self, error: reqwest::Error) -> ServerError {
        if error.is_timeout() {
            return ServerError::Timeout(self.timeout);
        }
        ServerError::Unreachable(error_text(error))
    }
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let http = self.clone();
        Box::pin(async move {
            let answer = http.exchange(request).await;
            answer.map_err(|error| Error::Other(Box::new(error)))
        })
    }
}

/// Passes problems of the protocol on, such as a used nonce (400), which the ACME client handles.
fn check_status(answer: &reqwest::Response, body: &[u8]) -> Result<(), ServerError> {
    let status = answer.status();
    let is_problem = answer
        .headers()
        .get(reqwest::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
    let is_overloaded = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    if status.is_success() || status.is_client_error() && is_problem && !is_overloaded {
        return Ok(());
    }
    let retry_after = answer.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| parse_retry_after(value.to_str().ok()?));
    Err(ServerError::Refused { status, detail: problem_detail(body), retry_after })
}

/// The text of a problem document (RFC 7807); empty for another body.
fn problem_detail(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    let problem = serde_json::from_slice::<Problem>(body);
    problem.map(|problem| shortened(&problem.detail)).unwrap_or_default()
}

/// A text of a server, without control characters and of bounded length.
pub(super) fn shortened(text: &str) -> String {
    printable(text, MAX_DETAIL_CHARS)
}

fn read_roots(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let error = |reason: String| ClientError::CaFile { path: path.display().to_string(), reason };
    let text = std::fs::read(path).map_err(|source| error(source.to_string()))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match roots {
        Ok(roots) if roots.is_empty() => Err(error("there is no certificate in it".into())),
        Ok(roots) => Ok(roots),
        Err(wrong) => Err(error(wrong.to_string())),
    }
}
