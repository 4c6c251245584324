//! Webhooks, their secrets, and the outbox of their deliveries.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row};

use super::events::Event;
use super::outbox::{self, Outbox, ReplayedRange};
use super::rows::{
    Compared, DELETED, Entity, FIRST, Filterable, NAME, Vocabulary, from_json, word,
};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{DeliveryState, EventType, Webhook, WebhookStatus};

impl Entity for Webhook {
    const TABLE: &'static str = "webhook";
    const SELECT: &'static str = "name, url, webhook_status, events";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        Filterable { field: "network_webhook_id", column: "id", kind: Compared::Number },
        NAME,
        Filterable {
            field: "webhook_status",
            column: "webhook_status",
            kind: Compared::Word(Vocabulary::from_word_set::<WebhookStatus>()),
        },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<Webhook> {
        Ok(Webhook {
            name: row.get(FIRST)?,
            url: row.get(FIRST + 1)?,
            webhook_status: word(row, FIRST + 2)?,
            events: from_json(row, FIRST + 3)?,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        // Words always have a text.
        let events = serde_json::to_string(&self.events).unwrap_or_default();
        vec![
            ("name", self.name.clone().into()),
            ("url", self.url.clone().into()),
            ("host", self.host().into()),
            ("webhook_status", self.webhook_status.as_str().to_owned().into()),
            ("events", events.into()),
        ]
    }
}

/// Number of webhooks other than `id`.
pub fn count_others(connection: &ReadTx<'_>, id: Option<u32>) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM webhook WHERE time_deleted = 0 AND id IS NOT ?1";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

/// Replaces the secret. The former one signs, too, until a time in Unix seconds.
pub fn replace_secret(
    tx: &WriteTx<'_>,
    id: u32,
    secret: &str,
    former_until: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE webhook SET former_secret = secret, former_secret_until = ?3, secret = ?2, \
               time_saved = ?4 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, secret, former_until, tx.now()))?;
    Ok(())
}

/// The secrets that sign now: the present one, and the former one for a while.
pub fn secrets(connection: &ReadTx<'_>, id: u32) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT secret, iif(former_secret_until > unixepoch(), former_secret, '') \
               FROM webhook WHERE id = ?1";
    let found = connection.prepare_cached(sql)?.query_row([id], |row| read_secrets(row, 0));
    Ok(found.optional()?.unwrap_or_default())
}

fn read_secrets(row: &Row<'_>, first: usize) -> rusqlite::Result<Vec<String>> {
    let both: [String; 2] = [row.get(first)?, row.get(first + 1)?];
    Ok(both.into_iter().filter(|secret| !secret.is_empty()).collect())
}

/// The outbox of webhooks.
#[derive(Debug)]
pub struct WebhookOutbox;

/// The request of a delivery.
#[derive(Debug)]
pub struct WebhookRequest {
    /// As the webhook says now.
    pub url: String,
    /// Those of the webhook now.
    pub secrets: Vec<String>,
    pub event: Event,
}

impl Outbox for WebhookOutbox {
    type Request = WebhookRequest;
    const TABLE: &'static str = "webhook_delivery";
    const REQUEST: &'static str = "w.url, w.secret, \
        iif(w.former_secret_until > unixepoch(), w.former_secret, ''), \
        e.event_id, e.type, e.data, e.time_created";
    const JOIN: &'static str =
        "JOIN webhook w ON w.id = d.webhook_id JOIN event e ON e.id = d.event_number";

    fn read_request(row: &Row<'_>, first: usize) -> rusqlite::Result<WebhookRequest> {
        let event = Event {
            event_id: row.get(first + 3)?,
            event_type: row.get(first + 4)?,
            data: row.get(first + 5)?,
            time_created: row.get(first + 6)?,
        };
        Ok(WebhookRequest { url: row.get(first)?, secrets: read_secrets(row, first + 1)?, event })
    }

    type Delivery = WebhookDelivery;

    const DELIVERY: &'static str = "SELECT id, webhook_id, (SELECT event_id FROM event WHERE event.id = event_number), \
        (SELECT type FROM event WHERE event.id = event_number), state, attempts, last_status, last_error, \
        time_created, time_attempted, iif(state = 'pending', due_ms / 1000, 0) FROM webhook_delivery";

    fn read_delivery(row: &Row<'_>) -> rusqlite::Result<WebhookDelivery> {
        Ok(WebhookDelivery {
            network_webhook_delivery_id: row.get(0)?,
            network_webhook_id: row.get(1)?,
            event_id: row.get(2)?,
            event_type: row.get(3)?,
            state: word(row, 4)?,
            attempts: row.get(5)?,
            last_status: row.get(6)?,
            last_error: row.get(7)?,
            time_created: row.get(8)?,
            time_attempted: row.get(9)?,
            time_due: row.get(10)?,
        })
    }
}

/// A delivery in lists.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct WebhookDelivery {
    /// Ascending in the order of the events.
    pub network_webhook_delivery_id: u32,
    /// The webhook.
    pub network_webhook_id: u32,
    /// Sent as `webhook-id`.
    pub event_id: String,
    /// The type of the event.
    pub event_type: String,
    /// State of the delivery.
    pub state: DeliveryState,
    /// Attempts since the delivery was queued or last replayed.
    pub attempts: u32,
    /// Status of the last response; 0 without a response.
    pub last_status: u16,
    /// Failure of the last attempt, or empty.
    pub last_error: String,
    /// Time of queueing, in Unix seconds.
    pub time_created: i64,
    /// Time of the last attempt, or 0.
    pub time_attempted: i64,
    /// Time of a pending delivery's next attempt, else 0.
    pub time_due: i64,
}

/// The webhook of a delivery.
pub const DELIVERY_WEBHOOK: Filterable =
    Filterable { field: "network_webhook_id", column: "webhook_id", kind: Compared::Number };

/// Filters of the list of deliveries.
pub const DELIVERY_FILTERS: &[Filterable] = &[
    Filterable { field: "network_webhook_delivery_id", column: "id", kind: Compared::Number },
    DELIVERY_WEBHOOK,
    Filterable {
        field: "event_type",
        column: "(SELECT type FROM event WHERE event.id = event_number)",
        kind: Compared::Word(Vocabulary::from_word_set::<EventType>()),
    },
    Filterable {
        field: "state",
        column: "state",
        kind: Compared::Word(Vocabulary::from_word_set::<DeliveryState>()),
    },
    Filterable { field: "attempts", column: "attempts", kind: Compared::Number },
    Filterable { field: "last_status", column: "last_status", kind: Compared::Number },
    Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
    Filterable { field: "time_attempted", column: "time_attempted", kind: Compared::Time },
];

/// Selects deliveries for a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayedDeliveries {
    /// One delivery in any state.
    One(u32),
    /// All dead deliveries of a webhook that were queued at a time or later, in Unix seconds.
    DeadSince { webhook_id: u32, since: i64 },
}

/// Makes deliveries due, without earlier attempts.
pub fn replay(tx: &WriteTx<'_>, which: ReplayedDeliveries) -> Result<ReplayedRange, StoreError> {
    let (condition, values) = match which {
        ReplayedDeliveries::One(id) => ("id = ?1", vec![id.into()]),
        ReplayedDeliveries::DeadSince { webhook_id, since } => (
            "webhook_id = ?1 AND state = 'dead' AND time_created >= ?2",
            vec![webhook_id.into(), since.into()],
        ),
    };
    outbox::replay::<WebhookOutbox>(tx, condition, values)
}
