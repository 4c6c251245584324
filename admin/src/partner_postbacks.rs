//! Partner postbacks: report each approved conversion to the partner's server.
//!
//! - A delivery is queued in the transaction that approves the conversion ([`queue`]), so a crash
//!   neither loses nor duplicates a delivery.
//! - A delivery is sent until the partner's server accepts it, for about a day. After that it is dead, and can be replayed.
//! - Only the public internet is contacted ([`crate::outgoing`]), however an address is written and
//!   wherever a name resolves to. This machine and tracking domains are never contacted, because a
//!   postback there would come back as a conversion. The check runs when a postback is saved and
//!   again before each request, because domains and addresses change.

use std::sync::Arc;

use coupon_shared::partner_postback_headers::{DELIVERY_HEADER, SIGNATURE_HEADER};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::catalog::{FieldError, OwnHosts, Pixel, PostbackUrl};
use crate::outgoing::{
    OutgoingClient, OutgoingQueue, OutgoingRequest, Sender, Settings, TestResult,
};
use crate::store::Store;
use crate::store::outbox::Due;
use crate::store::partner_postbacks::{PostbackOutbox, PostbackRequest};

pub mod queue;
pub mod signature;

use queue::Approved;

/// The API's handle to the sender. Clones share one sender.
#[derive(Clone)]
pub struct PartnerPostbacks {
    client: OutgoingClient,
    wake: Arc<Notify>,
}

/// Starts the sender. After `stop`, the task ends when the requests in flight are finished.
pub fn start(
    store: Store,
    client: OutgoingClient,
    settings: &Settings,
    stop: CancellationToken,
) -> (PartnerPostbacks, JoinHandle<()>) {
    let wake = Arc::<Notify>::default();
    let sender =
        Sender::new(PostbackQueue, store, client.clone(), settings, Arc::clone(&wake), stop);
    (PartnerPostbacks { client, wake }, tokio::spawn(sender.run()))
}

/// The outbox of partner postbacks.
struct PostbackQueue;

impl OutgoingQueue for PostbackQueue {
    type Outbox = PostbackOutbox;
    const NAME: &'static str = "partner postback sender";

    fn request(&self, due: &Due<PostbackOutbox>) -> OutgoingRequest {
        let PostbackRequest { url, signing_key } = &due.request;
        let mut request = request(url, signing_key);
        request.headers.push((DELIVERY_HEADER, due.id.to_string()));
        request
    }
}

/// A request, signed if there is a key.
fn request(url: &str, signing_key: &str) -> OutgoingRequest {
    let mut request = OutgoingRequest::get(url);
    // A URL that cannot be parsed is not sent, so needs no signature.
    if !signing_key.is_empty()
        && let Ok(url) = Url::parse(url)
    {
        let now = jiff::Timestamp::now().as_second();
        let value = signature::signature(signing_key, now, url.as_str());
        request.headers.push((SIGNATURE_HEADER, value));
    }
    request
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

    /// Requests a postback's URL once, with sample values; `None` while too many tests are running.
    pub async fn test(&self, pixel: &Pixel, own: &OwnHosts) -> Option<TestResult> {
        let url = sample_url(pixel).unwrap_or_default();
        self.client.test(request(&url, &pixel.signing_key), own).await
    }
}

fn sample_url(pixel: &Pixel) -> Option<String> {
    let url = PostbackUrl::parse(&pixel.postback_url).ok()?;
    let sample = Approved::sample(pixel);
    Some(url.filled(|name| sample.value(name).into_owned()))
}
