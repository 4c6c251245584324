//! Webhooks: send each event of the network to the servers that ask for it.
//!
//! - An event and its deliveries are written in the transaction of the change that the event tells
//!   of ([`crate::store::events`]), so a crash loses none.
//! - Deliveries are sent like partner postbacks, by a sender of their own ([`crate::outgoing`]): at
//!   least once, for about a day, with growing delays; then a delivery is dead, and can be replayed.
//! - A message has an id that stays the same in each delivery, and a signature ([`signature`]).

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::catalog::{FieldError, OwnHosts, Webhook};
use crate::outgoing::{
    OutgoingClient, OutgoingQueue, OutgoingRequest, Sender, Settings, TestResult,
};
use crate::store::events::{self, Event};
use crate::store::outbox::Due;
use crate::store::webhooks::{WebhookOutbox, WebhookRequest};
use crate::store::{Store, StoreError};
use crate::worker::{self, RetryDelays, Worker};

pub mod signature;

/// Version of the form of messages.
const MESSAGE_VERSION: u32 = 1;
/// Interval between removals of old events and deliveries.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(60);

/// The API's handle to the sender. Clones share one sender.
#[derive(Clone)]
pub struct Webhooks {
    client: OutgoingClient,
    network_id: u32,
    wake: Arc<Notify>,
}

/// Starts the sender and the removal of old events. After `stop`, the sender's task ends when the
/// requests in flight are finished.
pub fn start(
    store: Store,
    client: OutgoingClient,
    settings: &Settings,
    network_id: u32,
    stop: CancellationToken,
) -> (Webhooks, JoinHandle<()>) {
    worker::spawn(EventRemoval { store: store.clone(), is_partial: false }, stop.clone());
    let wake = Arc::<Notify>::default();
    let queue = WebhookQueue { network_id };
    let sender = Sender::new(queue, store, client.clone(), settings, Arc::clone(&wake), stop);
    (Webhooks { client, network_id, wake }, tokio::spawn(sender.run()))
}

/// The outbox of webhooks.
struct WebhookQueue {
    network_id: u32,
}

impl OutgoingQueue for WebhookQueue {
    type Outbox = WebhookOutbox;
    const NAME: &'static str = "webhook sender";

    fn request(&self, due: &Due<WebhookOutbox>) -> OutgoingRequest {
        let WebhookRequest { url, secrets, event } = &due.request;
        request(url, secrets, event, self.network_id)
    }
}

fn request(url: &str, secrets: &[String], event: &Event, network_id: u32) -> OutgoingRequest {
    let body = message(event, network_id);
    let now = jiff::Timestamp::now().as_second();
    let signatures = signature::signatures(secrets, &event.event_id, now, &body);
    let headers = vec![
        ("webhook-id", event.event_id.clone()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", signatures),
    ];
    OutgoingRequest { url: url.to_owned(), headers, body: Some(body) }
}

/// The message about an event. The text is the same in each delivery.
#[must_use]
pub fn message(event: &Event, network_id: u32) -> String {
    let Event { event_id, event_type, data, time_created } = event;
    let created_at = jiff::Timestamp::from_second(*time_created).unwrap_or_default();
    let (id, kind) = (json!(event_id), json!(event_type));
    format!(
        r#"{{"version":{MESSAGE_VERSION},"id":{id},"type":{kind},"created_at":"{created_at}","network_id":{network_id},"data":{data}}}"#
    )
}

impl Webhooks {
    /// Wakes the sender after a delivery was made due.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Checks the address in a webhook's URL, if the host is an address.
    ///
    /// # Errors
    /// When the address must not be contacted.
    pub fn check(&self, webhook: &Webhook) -> Result<(), FieldError> {
        let Some(url) = webhook.target() else { return Ok(()) };
        self.client.addresses().check_literal(&url).map_err(|refused| FieldError {
            field: "url".into(),
            error: format!(
                "{refused}, unless the configuration's pixels.allowed_networks names its network"
            ),
        })
    }

    /// Sends an event of the type `webhook.test` once; `None` while too many tests are running.
    pub async fn test(
        &self,
        id: u32,
        webhook: &Webhook,
        secrets: &[String],
        own: &OwnHosts,
    ) -> Option<TestResult> {
        let now = jiff::Timestamp::now();
        let event = Event {
            event_id: format!("evt_test_{id}_{}", now.as_millisecond()),
            event_type: "webhook.test".into(),
            data: json!({"network_webhook_id": id, "name": webhook.name}).to_string(),
            time_created: now.as_second(),
        };
        self.client.test(request(&webhook.url, secrets, &event, self.network_id), own).await
    }
}

/// Keeps the number of events and deliveries within their bounds.
struct EventRemoval {
    store: Store,
    is_partial: bool,
}

impl Worker for EventRemoval {
    const NAME: &'static str = "removal of events";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(REMOVAL_INTERVAL);
    type Error = StoreError;

    async fn step(&mut self) -> Result<(), StoreError> {
        let removed = self.store.write(events::remove_old).await?;
        self.is_partial = removed.is_partial;
        if removed.undelivered > 0 {
            let deliveries = removed.undelivered;
            tracing::warn!(deliveries, "webhook deliveries removed unsent: too many waited");
        }
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        if !self.is_partial {
            tokio::time::sleep(REMOVAL_INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_json_with_the_facts_of_the_event() {
        let event = Event {
            event_id: "evt_00".into(),
            event_type: "cap.reached".into(),
            data: r#"{"metric":"click"}"#.into(),
            time_created: 1_763_600_000,
        };
        let text = message(&event, 7);
        let expected = json!({
            "version": 1, "id": "evt_00", "type": "cap.reached",
            "created_at": "2025-11-20T00:53:20Z", "network_id": 7, "data": {"metric": "click"},
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
    }
}
