//! Reads another network's API: paced by its rate limit, with retries, deadlines and bounded
//! answers. The key is in no error and no log.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, redirect};
use serde_json::Value;
use url::Url;

use crate::foreign_text::printable;
use crate::outgoing::{error_text, parse_retry_after, tls_config};

const KEY_HEADER: &str = "X-Eflow-API-Key";
const REMAINING_HEADER: &str = "X-RateLimit-Remaining";
/// Most bytes of an answer; 2,000 codes with long descriptions have 20 MiB.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Most characters shown of a server's error text.
const MAX_SHOWN_CHARS: usize = 300;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(120);
/// Attempts of a request in all. Their waits add up to about a minute.
const MAX_ATTEMPTS: u32 = 8;
/// Attempts before the first answer: then the URL is probably wrong.
const MAX_FIRST_ATTEMPTS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for `Retry-After`.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// Pause when the server counts no request as left.
const PAUSE_AT_LIMIT: Duration = Duration::from_secs(1);

/// Why the other network cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// `--url` is wrong.
    #[error("{0:?} is not the address of an API: {1}; write it like https://api.eflow.team")]
    Url(String, String),
    /// The key has characters of no header.
    #[error(
        "the key file must hold one key and nothing else; it has no text, or other characters than letters, \
         digits and punctuation"
    )]
    KeyText,
    /// The TLS client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
    /// 401.
    #[error(
        "{url} does not accept the key (401{}); check the key file, and whether the key was revoked or \
         belongs to another host, such as https://api-eu.eflow.team",
        with_colon(text)
    )]
    Key { url: String, text: String },
    /// 403.
    #[error(
        "{url} refuses this key (403{}); the import needs a key of the network portal that may read advertisers, \
         offers, partners, coupon codes and postbacks, not one of a partner or advertiser",
        with_colon(text)
    )]
    Portal { url: String, text: String },
    /// No connection, or it broke in each attempt.
    #[error(
        "{url} cannot be reached after {attempts} attempts: {text}; check --url, DNS and firewall"
    )]
    Unreachable { url: String, attempts: u32, text: String },
    /// 429 or 5xx in every attempt.
    #[error("{url} answered {status} {attempts} times{}; try again later", with_colon(text))]
    Overloaded { url: String, status: u16, attempts: u32, text: String },
    /// A redirect.
    #[error("{url} redirects to {to}; name that address in --url if it is the API's")]
    Redirect { url: String, to: String },
    /// The answer is not the JSON of the API.
    #[error(
        "{url} answered {what} instead of an answer of Everflow's API; check --url, which is \
         https://api.eflow.team for Everflow and the address of coupon-admin for another installation"
    )]
    NotTheApi { url: String, what: String },
    /// The answer is too large.
    #[error(
        "{url} answered more than {MAX_ANSWER_BYTES} bytes; ask its operator for a smaller page size"
    )]
    TooLarge { url: String },
    /// Any other status.
    #[error("{url} answered {status}{}", with_colon(text))]
    Status { url: String, status: u16, text: String },
}

fn with_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl SourceError {
    /// Whether the server lacks the route or object.
    pub(super) fn is_missing_route(&self) -> bool {
        matches!(self, SourceError::Status { status: 404 | 405, .. })
    }

    /// Whether the server calls the request invalid.
    pub(super) fn is_bad_request(&self) -> bool {
        matches!(self, SourceError::Status { status: 400, .. })
    }
}

/// A client of one network's API.
pub(super) struct SourceClient {
    http: Client,
    /// Ends in `/v1/networks`.
    base: String,
    key: HeaderValue,
    has_answered: bool,
    /// Before the next request.
    pause: Duration,
    requests: u64,
    retries: u64,
}

/// Why an attempt failed, and whether another one may succeed.
enum Failure {
    Final(SourceError),
    Connection(String),
    Busy { status: u16, text: String, retry_after: Option<Duration> },
}

impl SourceClient {
    /// # Errors
    /// When URL or key cannot be used.
    pub(super) fn new(url: &str, key: &str) -> Result<SourceClient, SourceError> {
        let base = parse_base(url)?;
        let key = key.trim();
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        let mut header = HeaderValue::from_str(key).map_err(|_| SourceError::KeyText)?;
        header.set_sensitive(true);
        if !is_key {
            return Err(SourceError::KeyText);
        }
        let tls = tls_config([]).map_err(|error| SourceError::Client(error.to_string()))?;
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .user_agent(concat!("coupon-admin/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| SourceError::Client(error_text(error)))?;
        Ok(SourceClient {
            http,
            base,
            key: header,
            has_answered: false,
            pause: Duration::ZERO,
            requests: 0,
            retries: 0,
        })
    }

    /// Requests sent, repeated ones included.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Repeated requests.
    pub(super) fn retries(&self) -> u64 {
        self.retries
    }

    /// Requests a path below `/v1/networks`; `path` has its query.
    ///
    /// # Errors
    /// When the server gives no usable answer.
    pub(super) async fn get(&mut self, path: &str) -> Result<Value, SourceError> {
        self.call(Method::GET, path, None).await
    }

    /// # Errors
    /// When the server gives no usable answer.
    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Result<Value, SourceError> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, SourceError> {
        let url = format!("{}{path}", self.base);
        let mut wait = FIRST_WAIT;
        let mut attempts = 0;
        loop {
            attempts += 1;
            tokio::time::sleep(std::mem::take(&mut self.pause)).await;
            let failure = match self.attempt(method.clone(), &url, body).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(failure) => failure,
            };
            let most = if self.has_answered { MAX_ATTEMPTS } else { MAX_FIRST_ATTEMPTS };
            if attempts >= most {
                return Err(given_up(failure, url, attempts));
            }
            self.retries += 1;
            let asked = match failure {
                Failure::Busy { retry_after, .. } => retry_after,
                _ => None,
            };
            tokio::time::sleep(asked.unwrap_or(wait).min(LONGEST_RETRY_AFTER)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn attempt(
        &mut self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.requests += 1;
        let mut request = self.http.request(method, url).header(KEY_HEADER, self.key.clone());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let connection = |error: reqwest::Error| Failure::Connection(error_text(error));
        let mut answer = request.send().await.map_err(connection)?;
        let mut received = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(connection)? {
            if received.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Failure::Final(SourceError::TooLarge { url: url.into() }));
            }
            received.extend_from_slice(&chunk);
        }
        if number_in(answer.headers(), REMAINING_HEADER) == Some(0) {
            self.pause = PAUSE_AT_LIMIT;
        }
        self.has_answered = true;
        self.read_answer(url, &answer, &received)
    }

    fn read_answer(&self, url: &str, answer: &Response, body: &[u8]) -> Result<Value, Failure> {
        let (status, url) = (answer.status(), url.to_owned());
        let text = self.refusal_text(answer, body);
        if status.is_success() {
            return serde_json::from_slice(body).map_err(|_| {
                Failure::Final(SourceError::NotTheApi { url, what: media_type(answer) })
            });
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let retry_after = answer.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| parse_retry_after(value.to_str().ok()?));
            return Err(Failure::Busy { status: status.as_u16(), text, retry_after });
        }
        Err(Failure::Final(match status {
            StatusCode::UNAUTHORIZED => SourceError::Key { url, text },
            StatusCode::FORBIDDEN => SourceError::Portal { url, text },
            _ if status.is_redirection() => {
                let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                SourceError::Redirect { url, to: self.redacted(to.unwrap_or("nowhere")) }
            }
            _ => SourceError::Status { url, status: status.as_u16(), text },
        }))
    }

    /// The error text of a refusal: Everflow answers `error`, `Error` or plain text.
    fn refusal_text(&self, answer: &Response, body: &[u8]) -> String {
        let read = serde_json::from_slice::<Value>(body);
        let named = |name: &str| Some(read.as_ref().ok()?.get(name)?.as_str()?.to_owned());
        let text = named("error").or_else(|| named("Error"));
        match text {
            Some(text) => self.redacted(&text),
            None if media_type(answer).contains("html") => "a page of HTML".into(),
            None => self.redacted(&String::from_utf8_lossy(body)),
        }
    }

    /// A server's text, bounded and without the key, which a server may repeat.
    fn redacted(&self, text: &str) -> String {
        let key = self.key.to_str().unwrap_or_default();
        printable(&text.replace(key, "(key)"), MAX_SHOWN_CHARS)
    }
}

fn given_up(failure: Failure, url: String, attempts: u32) -> SourceError {
    match failure {
        Failure::Final(error) => error,
        Failure::Connection(text) => SourceError::Unreachable { url, attempts, text },
        Failure::Busy { status, text, .. } => {
            SourceError::Overloaded { url, status, attempts, text }
        }
    }
}

fn number_in(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn media_type(answer: &Response) -> String {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if kind.is_empty() { "something without a media type".into() } else { kind.to_owned() }
}

/// The URL of the network's API, from its host with or without `/v1` or `/v1/networks`.
fn parse_base(text: &str) -> Result<String, SourceError> {
    let wrong = |why: &str| SourceError::Url(text.to_owned(), why.to_owned());
    let url = Url::parse(text.trim()).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("only http and https are possible"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The text is not repeated: it holds a password.
        return Err(SourceError::Url(String::new(), "leave user name and password out".into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("leave the query out"));
    }
    let text = url.as_str().trim_end_matches('/');
    let root = text.trim_end_matches("/networks").trim_end_matches("/v1");
    Ok(format!("{root}/v1/networks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_taken_with_and_without_the_path_of_the_api() {
        for text in ["https://x.example", "https://x.example/", "https://x.example/v1/networks/"] {
            assert_eq!(parse_base(text).unwrap(), "https://x.example/v1/networks");
        }
        let behind_proxy = parse_base("http://127.0.0.1:8090/coupons/v1").unwrap();
        assert_eq!(behind_proxy, "http://127.0.0.1:8090/coupons/v1/networks");
        for text in ["api.eflow.team", "ftp://x.example", "https://x.example/?a=b"] {
            assert!(parse_base(text).unwrap_err().to_string().contains("write it like"), "{text}");
        }
        let secret = parse_base("https://me:hush@x.example").unwrap_err().to_string();
        assert!(!secret.contains("hush"), "{secret}");
    }

    #[test]
    fn a_key_is_one_word_and_is_never_shown() {
        for key in ["", " \n", "two words", "k\u{e9}y"] {
            assert!(matches!(
                SourceClient::new("https://x.example", key),
                Err(SourceError::KeyText)
            ));
        }
        let client = SourceClient::new("https://x.example", " k-1\n").ok().unwrap();
        assert_eq!(client.redacted("no such key: k-1\u{7}"), "no such key: (key)");
    }
}
