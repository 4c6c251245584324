//! Partner postbacks: a partner is told of each of its conversions, once it is approved.
//!
//! - A delivery is queued in the transaction that approves the conversion ([`queue`]), so that a
//!   crash neither loses it nor queues it twice.
//! - It is sent until the partner's server took it, for about a day ([`sender`], [`delivery_outcome`]); then
//!   it is dead, and can be replayed.
//! - Only the public internet is spoken to ([`address`]), however an address is written and whatever
//!   a name leads to; and neither this machine nor a tracking domain, from where a postback would come
//!   back as a conversion. That is judged when a postback is saved and again whenever one is sent,
//!   because domains and addresses come later, too.

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

/// Tests that are made at once.
const TESTS: usize = 4;

type Wake = Arc<Notify>;

/// How partners' servers are spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Beside the public internet.
    pub allowed_networks: Vec<IpNet>,
    /// For a connection.
    pub connect_timeout: Duration,
    /// For a whole exchange.
    pub timeout: Duration,
    /// How much at once.
    pub concurrency: Concurrency,
    /// How often and how long.
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

/// What the API needs of them; clones share it.
#[derive(Clone)]
pub struct PartnerPostbacks {
    client: PostbackClient,
    wake: Wake,
    tests: Arc<Semaphore>,
}

/// A postback as tried.
#[derive(Debug)]
pub struct TestResult {
    /// As it was requested.
    pub url: String,
    /// What came of it.
    pub outcome: RequestOutcome,
    /// How long that took.
    pub took: Duration,
}

/// Too many tests at once.
#[derive(Debug, thiserror::Error)]
#[error("{TESTS} postbacks are being tested already; try again when one is done")]
pub struct TooManyTests;

/// Starts sending; it ends with `stop`, after what is in flight then.
///
/// # Errors
/// When requests cannot be made at all.
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
    let wake = Wake::default();
    let (retry_policy, concurrency) = (settings.retry_policy.clone(), settings.concurrency.clone());
    let sender =
        Sender::new(store, client.clone(), retry_policy, concurrency, Arc::clone(&wake), stop);
    let pixels = PartnerPostbacks { client, wake, tests: Arc::new(Semaphore::new(TESTS)) };
    Ok((pixels, tokio::spawn(sender.run())))
}

impl PartnerPostbacks {
    /// Says that there is something to be sent now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// That the URL of a postback does not name an address which nothing is sent to.
    ///
    /// # Errors
    /// When it does.
    pub fn check(&self, pixel: &Pixel) -> Result<(), FieldError> {
        let Some(url) = pixel.target() else { return Ok(()) };
        self.client.addresses().check_literal(&url).map_err(|refused| FieldError {
            field: "postback_url".into(),
            error: refused.to_string(),
        })
    }

    /// Requests a postback's URL with made-up values, once.
    ///
    /// # Errors
    /// When too many are being tested.
    pub async fn test(&self, pixel: &Pixel, own: &OwnHosts) -> Result<TestResult, TooManyTests> {
        let _permit = self.tests.try_acquire().map_err(|_| TooManyTests)?;
        let url = sample(pixel).unwrap_or_default();
        let since = std::time::Instant::now();
        let request =
            OutgoingRequest { url: &url, signing_key: &pixel.signing_key, delivery_id: None };
        let outcome = self.client.run(request, own).await;
        Ok(TestResult { url, outcome, took: since.elapsed() })
    }
}

/// A postback's URL with made-up values.
fn sample(pixel: &Pixel) -> Option<String> {
    let url = PostbackUrl::parse(&pixel.postback_url).ok()?;
    let sample = Approved::sample(pixel);
    Some(url.filled(|name| sample.value(name).into_owned()))
}
