//! Sends requests to servers of others.
//!
//! Bounds: connection and exchange have deadlines, redirects are not followed, no proxy is used,
//! and at most 64 KiB of a response body are read, which usually lets the connection be re-used.
//! Errors never contain the URL, because receivers put secrets into URLs.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use coupon_shared::partner_postback_headers::USER_AGENT_PREFIX;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use tokio::sync::Semaphore;
use url::Url;

use super::address::{Addresses, NotPublic};
use super::resolve::{self, Lookup, Resolver};
use super::{Settings, error_text, parse_retry_after, tls_config};
use crate::catalog::{OwnHosts, OwnTrackingDomain};

/// The most bytes read of a response body.
const MAX_BODY: usize = 64 << 10;
/// The most bytes shown of a response body.
const MAX_SHOWN: usize = 1024;
/// Idle connections kept for each server.
const MAX_IDLE: usize = 2;
const IDLE: Duration = Duration::from_secs(30);
/// Maximum number of concurrent test requests.
const TESTS: usize = 4;

/// The outcome of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The server answered.
    Answered {
        /// HTTP status.
        status: u16,
        /// The `Retry-After` header.
        retry_after: Option<Duration>,
        /// The first bytes of the body.
        body: String,
    },
    /// The server must not be contacted.
    Refused(Refused),
    /// There was no response.
    Failed(String),
}

/// Why a server must not be contacted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The host has no permitted address.
    #[error(transparent)]
    NotPublic(#[from] NotPublic),
    /// The host is a tracking domain.
    #[error(transparent)]
    OwnTrackingDomain(#[from] OwnTrackingDomain),
}

/// A request to be sent: a GET, or a POST of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRequest {
    /// All macros are expanded.
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    /// JSON; `None` for a GET.
    pub body: Option<String>,
}

impl OutgoingRequest {
    /// A GET request without headers of its own.
    #[must_use]
    pub fn get(url: &str) -> OutgoingRequest {
        OutgoingRequest { url: url.to_owned(), headers: Vec::new(), body: None }
    }
}

/// The result of a test request.
#[derive(Debug)]
pub struct TestResult {
    /// The requested URL.
    pub url: String,
    /// The response or failure.
    pub outcome: RequestOutcome,
    /// Duration of the request.
    pub took: Duration,
}

/// Why the HTTP client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS is not available.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client rejects the settings.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// Clones share connections.
#[derive(Clone)]
pub struct OutgoingClient {
    client: Client,
    addresses: Addresses,
    timeout: Duration,
    tests: Arc<Semaphore>,
}

impl OutgoingClient {
    /// A client that resolves names by the system's resolver.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn system(settings: &Settings) -> Result<OutgoingClient, ClientError> {
        let addresses = Addresses::new(&settings.allowed_networks);
        let (connect_timeout, timeout) = (settings.connect_timeout, settings.timeout);
        OutgoingClient::new(addresses, resolve::system, connect_timeout, timeout)
    }

    pub(super) fn new(
        addresses: Addresses,
        lookup: Lookup,
        connect_timeout: Duration,
        timeout: Duration,
    ) -> Result<OutgoingClient, ClientError> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls_config([])?)
            .dns_resolver(Arc::new(Resolver::new(addresses.clone(), lookup)))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(format!("{USER_AGENT_PREFIX}{}", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect_timeout)
            .timeout(timeout)
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(IDLE)
            .build()?;
        let tests = Arc::new(Semaphore::new(TESTS));
        Ok(OutgoingClient { client, addresses, timeout, tests })
    }

    /// The permitted addresses.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Sends a request once, outside of any outbox; `None` while too many tests are running.
    pub async fn test(&self, request: OutgoingRequest, own: &OwnHosts) -> Option<TestResult> {
        let _permit = self.tests.try_acquire().ok()?;
        let url = request.url.clone();
        let since = std::time::Instant::now();
        let outcome = self.run(request, own).await;
        Some(TestResult { url, outcome, took: since.elapsed() })
    }

    /// Sends a request, unless the host is a tracking domain or a forbidden address.
    pub(super) async fn run(&self, request: OutgoingRequest, own: &OwnHosts) -> RequestOutcome {
        let url = match Url::parse(&request.url) {
            Ok(url) => url,
            Err(error) => {
                return RequestOutcome::Failed(format!("the URL cannot be requested: {error}"));
            }
        };
        if let Err(refused) = self.check(&url, own) {
            return RequestOutcome::Refused(refused);
        }
        let mut builder = match request.body {
            None => self.client.get(url),
            Some(body) => self.client.post(url).header(CONTENT_TYPE, "application/json").body(body),
        };
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        match builder.send().await {
            Ok(response) => read_response(response).await,
            Err(error) => self.failed_outcome(error),
        }
    }

    fn check(&self, url: &Url, own: &OwnHosts) -> Result<(), Refused> {
        own.check(url)?;
        Ok(self.addresses.check_literal(url)?)
    }

    fn failed_outcome(&self, error: reqwest::Error) -> RequestOutcome {
        if let Some(refused) = address_refusal(&error) {
            return RequestOutcome::Refused(refused.clone().into());
        }
        if error.is_timeout() && !error.is_connect() {
            return RequestOutcome::Failed(format!(
                "no answer within {} ms",
                self.timeout.as_millis()
            ));
        }
        RequestOutcome::Failed(error_text(error))
    }
}

/// A status counts as an answer even if the body ends early.
async fn read_response(mut response: Response) -> RequestOutcome {
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| parse_retry_after(value.to_str().ok()?));
    let mut body = Vec::new();
    while body.len() < MAX_BODY
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(MAX_SHOWN);
    let body = String::from_utf8_lossy(&body).into_owned();
    RequestOutcome::Answered { status: response.status().as_u16(), retry_after, body }
}

fn address_refusal(error: &reqwest::Error) -> Option<&NotPublic> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::{IpAddr, Ipv4Addr, TcpListener};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::JoinHandle;

    use super::*;

    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);

    /// Resolves to a permitted address the first time, and then to another address of this machine.
    fn rebinding(name: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(name, "partner.example");
        let last = if LOOKUPS.fetch_add(1, Ordering::SeqCst) == 0 { 1 } else { 2 };
        Ok(vec![Ipv4Addr::new(127, 0, 0, last).into()])
    }

    /// Answers one request; the thread returns the request's text.
    fn serve_once() -> (u16, JoinHandle<String>) {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let len = connection.read(&mut request).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            connection.write_all(answer).unwrap();
            String::from_utf8_lossy(&request[..len]).into_owned()
        });
        (port, served)
    }

    #[tokio::test]
    async fn the_address_that_was_judged_is_the_one_that_is_connected_to() {
        let addresses = Addresses::new(&["127.0.0.1/32".parse().unwrap()]);
        let second = Duration::from_secs(1);
        let client = OutgoingClient::new(addresses, rebinding, second, second).unwrap();
        let (port, served) = serve_once();
        let url = format!("http://partner.example:{port}/pb");
        let request = || OutgoingRequest::get(&url);
        let outcome = client.run(request(), &OwnHosts::default()).await;
        assert!(matches!(outcome, RequestOutcome::Answered { status: 200, .. }), "{outcome:?}");
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1, "it looked the name up again");
        assert!(served.join().unwrap().contains(&format!("host: partner.example:{port}\r\n")));
        let refused = NotPublic {
            host: "partner.example".into(),
            refused: Ipv4Addr::new(127, 0, 0, 2).into(),
        };
        let again = client.run(request(), &OwnHosts::default()).await;
        assert_eq!(again, RequestOutcome::Refused(refused.into()));
    }

    #[tokio::test]
    async fn nothing_is_sent_to_a_tracking_domain_even_where_its_address_is_allowed() {
        let addresses = Addresses::new(&["127.0.0.0/8".parse().unwrap()]);
        let second = Duration::from_secs(1);
        let lookup = resolve::system;
        let client = OutgoingClient::new(addresses, lookup, second, second).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost.:{}/pb", listener.local_addr().unwrap().port());
        let request = OutgoingRequest::get(&url);
        let outcome = client.run(request, &OwnHosts::from_base_urls(["https://localhost"])).await;
        let refused = OwnTrackingDomain { host: "localhost.".into() };
        assert_eq!(outcome, RequestOutcome::Refused(refused.into()));
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "it was connected to");
    }

    #[tokio::test]
    async fn an_error_never_tells_the_url() {
        let addresses = Addresses::new(&["127.0.0.0/8".parse().unwrap()]);
        let client = OutgoingClient::new(
            addresses,
            resolve::system,
            Duration::from_secs(1),
            Duration::from_secs(1),
        );
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://127.0.0.1:{port}/?token=hush");
            let request = OutgoingRequest::get(&url);
            let own = OwnHosts::default();
            let RequestOutcome::Failed(error) = client.as_ref().unwrap().run(request, &own).await
            else {
                panic!()
            };
            assert!(!error.contains("hush") && error.contains("refused"), "{error}");
        }
    }
}
