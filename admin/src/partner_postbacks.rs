//! Partner postbacks: report each approved conversion to the partner's server.
//!
//! - A delivery is queued in the transaction that approves the conversion ([`queue`]), so a crash
//!   neither loses nor duplicates a delivery.
//! - A delivery is sent until the partner's server accepts it, for about a day ([`sender`],
//!   [`delivery_outcome`]). After that it is dead, and can be replayed.
//! - Only the public internet is contacted ([`address`]), however an address is written and
//!   wherever a name resolves to. This machine and tracking domains are never contacted, because a
//!   postback there would come back as a conversion. The check runs when a postback is saved and
//!   again before each request, because domains and addresses change.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::catalog::{FieldError, OwnHosts, Pixel, PostbackUrl};
use crate::store::Store;

pub mod queue;

pub mod address;
mod client;
mod delivery_outcome;
mod resolve;
mod sender;
pub mod signature;

pub use client::{ClientError, Refused, RequestOutcome};
pub use delivery_outcome::RetryPolicy;
pub use sender::Concurrency;

use address::Addresses;
use client::{OutgoingRequest, PostbackClient};
use queue::Approved;
use sender::Sender;

/// Maximum number of concurrent test requests.
const TESTS: usize = 4;

/// Settings for requests to partners' servers.
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

/// The API's handle to the sender. Clones share one sender.
#[derive(Clone)]
pub struct PartnerPostbacks {
    client: PostbackClient,
    wake: Arc<Notify>,
    tests: Arc<Semaphore>,
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

/// Too many concurrent tests.
#[derive(Debug, thiserror::Error)]
#[error("{TESTS} postbacks are being tested already; try again when one is done")]
pub struct TooManyTests;

/// Starts the sender. After `stop`, the task ends when the requests in flight are finished.
///
/// # Errors
/// When the HTTP client cannot be set up.
pub fn start(
    store: Store,
    settings: &Settings,
    stop: CancellationToken,
) -> Result<(PartnerPostbacks, JoinHandle<()>), ClientError> {
    let addresses = Addresses::new(&settings.allowed_networks);
    let client = PostbackClient::new(
        addresses,
        resolve::system,
        settings.connect_timeout,
        settings.timeout,
    )?;
    let wake = Arc::<Notify>::default();
    let (retry_policy, concurrency) = (settings.retry_policy.clone(), settings.concurrency.clone());
    let sender =
        Sender::new(store, client.clone(), retry_policy, concurrency, Arc::clone(&wake), stop);
    let pixels = PartnerPostbacks { client, wake, tests: Arc::new(Semaphore::new(TESTS)) };
    Ok((pixels, tokio::spawn(sender.run())))
}

impl PartnerPostbacks {
    /// Wakes the sender after a delivery was queued.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Checks the address in a postback's URL, if the host is an address.
    ///
    /// # Errors
    /// When the address must not be contacted.
    pub fn check(&self, pixel: &Pixel) -> Result<(), FieldError> {
        let Some(url) = pixel.target() else { return Ok(()) };
        self.client.addresses().check_literal(&url).map_err(|refused| FieldError {
            field: "postback_url".into(),
            error: refused.to_string(),
        })
    }

    /// Requests a postback's URL once, with sample values.
    ///
    /// # Errors
    /// When too many tests are running.
    pub async fn test(&self, pixel: &Pixel, own: &OwnHosts) -> Result<TestResult, TooManyTests> {
        let _permit = self.tests.try_acquire().map_err(|_| TooManyTests)?;
        let url = sample_url(pixel).unwrap_or_default();
        let since = std::time::Instant::now();
        let request =
            OutgoingRequest { url: &url, signing_key: &pixel.signing_key, delivery_id: None };
        let outcome = self.client.run(request, own).await;
        Ok(TestResult { url, outcome, took: since.elapsed() })
    }
}

fn sample_url(pixel: &Pixel) -> Option<String> {
    let url = PostbackUrl::parse(&pixel.postback_url).ok()?;
    let sample = Approved::sample(pixel);
    Some(url.filled(|name| sample.value(name).into_owned()))
}
