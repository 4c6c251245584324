//! Events of the network: each is written in the transaction of the change that it tells of, with a
//! delivery for every webhook that asks for it.
//!
//! Events are written whether a webhook asks for them or not, because a reader of the list of events
//! may come later. An event is one row at the end of a table without an index, which costs less than
//! the question whether anybody listens. The table is bounded: see [`remove_old`].

use std::fmt::Write as _;

use serde_json::Value;

use super::{ReadTx, StoreError, WriteTx, removal_clock};
use crate::catalog::EventType;

/// Events that are kept, unless a delivery needs more.
pub const KEPT_EVENTS: u64 = 10_000;
/// Deliveries that are kept, in any state.
pub const KEPT_DELIVERIES: u64 = 100_000;
/// Days until an event or a finished delivery is removed.
pub const KEPT_DAYS: i64 = 7;
/// Rows that one transaction removes.
const SLICE: u64 = 5_000;
const RANDOM_BYTES: usize = 16;

/// Records an event, and queues its deliveries. `data` is bounded by the caller, and has no
/// personal data.
pub fn record(tx: &WriteTx<'_>, event_type: EventType, data: &Value) -> Result<(), StoreError> {
    let sql = "INSERT INTO event (event_id, type, data, time_created) VALUES (?1, ?2, ?3, ?4)";
    let event = (random_id()?, event_type.as_str(), data.to_string(), tx.now());
    tx.prepare_cached(sql)?.execute(event)?;
    let number = tx.last_insert_rowid();
    let sql = "INSERT INTO webhook_delivery \
               (webhook_id, event_number, host, state, since_ms, due_ms, time_created) \
               SELECT id, ?1, host, 'pending', ?2, ?2, ?3 FROM webhook \
               WHERE webhook_status = 'active' AND time_deleted = 0 \
               AND (events = '[]' OR EXISTS (SELECT 1 FROM json_each(events) WHERE value = ?4))";
    let now_ms = jiff::Timestamp::now().as_millisecond();
    tx.prepare_cached(sql)?.execute((number, now_ms, tx.now(), event_type.as_str()))?;
    Ok(())
}

/// Records an event unless an equal one is kept. Reads all kept events, so only for rare ones.
pub fn record_once(
    tx: &WriteTx<'_>,
    event_type: EventType,
    data: &Value,
) -> Result<(), StoreError> {
    if is_recorded(tx, event_type, data)? { Ok(()) } else { record(tx, event_type, data) }
}

/// Whether an equal event is kept.
pub fn is_recorded(
    connection: &ReadTx<'_>,
    event_type: EventType,
    data: &Value,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM event WHERE type = ?1 AND data = ?2";
    Ok(connection.prepare_cached(sql)?.exists((event_type.as_str(), data.to_string()))?)
}

fn random_id() -> Result<String, StoreError> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random)?;
    let mut id = String::from("evt_");
    for byte in random {
        let _ = write!(id, "{byte:02x}");
    }
    Ok(id)
}

/// An event as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same in each delivery.
    pub event_id: String,
    /// A word of [`EventType`], or of a newer release.
    pub event_type: String,
    /// JSON.
    pub data: String,
    /// Unix seconds.
    pub time_created: i64,
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    pub events: Vec<NumberedEvent>,
    /// The next page begins behind this number.
    pub last: u64,
    /// Whether events behind `after` were removed before they were read.
    pub has_gap: bool,
}

/// An event with its place in the order of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedEvent {
    pub number: u64,
    pub event: Event,
}

/// The number of the newest event, kept or removed.
pub fn newest(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// The next events of some types behind a number, oldest first; without types, of all types.
pub fn page(
    connection: &ReadTx<'_>,
    after: u64,
    types: &[EventType],
    limit: usize,
) -> Result<EventPage, StoreError> {
    let sql = "SELECT id, event_id, type, data, time_created FROM event WHERE id > ?1 \
               AND (?2 = '[]' OR type IN (SELECT value FROM json_each(?2))) ORDER BY id LIMIT ?3";
    let types = Value::from_iter(types.iter().map(|kind| kind.as_str())).to_string();
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((after, types, limit), |row| {
        let (event_id, event_type) = (row.get(1)?, row.get(2)?);
        let event = Event { event_id, event_type, data: row.get(3)?, time_created: row.get(4)? };
        Ok(NumberedEvent { number: row.get(0)?, event })
    })?;
    let events: Vec<NumberedEvent> = rows.collect::<Result<_, _>>()?;
    let newest = newest(connection)?.max(after);
    let last = match events.last() {
        Some(last) if events.len() == limit => last.number,
        _ => newest,
    };
    let oldest: Option<u64> =
        connection.prepare_cached("SELECT min(id) FROM event")?.query_row([], |row| row.get(0))?;
    Ok(EventPage { events, last, has_gap: after + 1 < oldest.unwrap_or(newest + 1) })
}

/// Removed rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Whether there may be more to remove.
    pub is_partial: bool,
    /// Deliveries that were removed before they arrived, because too many waited.
    pub undelivered: u64,
}

/// Removes deliveries and events that are old, or too many. Events that a delivery needs stay.
pub fn remove_old(tx: &WriteTx<'_>) -> Result<Removed, StoreError> {
    let oldest = oldest_kept(tx)?;
    let sql = "DELETE FROM webhook_delivery WHERE id IN (SELECT id FROM webhook_delivery \
               WHERE state <> 'pending' AND time_created < ?1 ORDER BY id LIMIT ?2)";
    let mut removed = tx.prepare_cached(sql)?.execute((oldest, SLICE))?;
    let excess = "SELECT id FROM webhook_delivery WHERE id <= ifnull((SELECT id FROM webhook_delivery \
                  ORDER BY id DESC LIMIT 1 OFFSET ?1), 0) ORDER BY id LIMIT ?2";
    let sql = format!(
        "SELECT count(*) FROM webhook_delivery WHERE state = 'pending' AND id IN ({excess})"
    );
    let kept = (KEPT_DELIVERIES, SLICE);
    let undelivered = tx.prepare_cached(&sql)?.query_row(kept, |row| row.get(0))?;
    let sql = format!("DELETE FROM webhook_delivery WHERE id IN ({excess})");
    removed += tx.prepare_cached(&sql)?.execute(kept)?;
    // Ids have gaps after a restore, so events are counted.
    let sql = "DELETE FROM event WHERE id IN (SELECT id FROM event e WHERE (time_created < ?1 \
               OR id <= ifnull((SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?2), 0)) \
               AND NOT EXISTS (SELECT 1 FROM webhook_delivery WHERE event_number = e.id) \
               ORDER BY id LIMIT ?3)";
    removed += tx.prepare_cached(sql)?.execute((oldest, KEPT_EVENTS, SLICE))?;
    Ok(Removed { is_partial: removed as u64 >= SLICE, undelivered })
}

/// Rows from before this time are removed, in Unix seconds. Nothing is removed by age while the
/// clock is not trusted.
fn oldest_kept(connection: &ReadTx<'_>) -> Result<i64, StoreError> {
    let now = removal_clock::removal_time(connection)?;
    let seconds = now.map_or(0, |now| i64::try_from(now.unix_ms() / 1_000).unwrap_or(0));
    Ok(seconds - KEPT_DAYS * 24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::origin::{Actor, Origin};

    fn in_store(work: impl FnOnce(&WriteTx<'_>)) {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = crate::store::open_writer(dir.path(), 0).unwrap();
        let tx = connection.transaction().unwrap();
        work(&WriteTx::within(&tx, 1_000, Origin::new(Actor::Program)));
    }

    fn count(tx: &WriteTx<'_>, table: &str) -> u64 {
        tx.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn add_webhook(tx: &WriteTx<'_>, status: &str, events: &str) {
        let sql = "INSERT INTO webhook (name, url, host, webhook_status, events, time_created, time_saved)
                   VALUES ('W', 'https://h.example/', 'h.example', ?1, ?2, 1, 1)";
        tx.execute(sql, (status, events)).unwrap();
    }

    #[test]
    fn each_active_webhook_gets_the_types_that_it_asks_for() {
        in_store(|tx| {
            add_webhook(tx, "active", "[]");
            add_webhook(tx, "active", r#"["cap.near","cap.reached"]"#);
            add_webhook(tx, "inactive", "[]");
            record(tx, EventType::CapReached, &json!({})).unwrap();
            record(tx, EventType::ConversionCreated, &json!({})).unwrap();
            let sql =
                "SELECT group_concat(webhook_id || ':' || event_number) FROM webhook_delivery";
            let queued: String = tx.query_row(sql, [], |row| row.get(0)).unwrap();
            assert_eq!(queued, "1:1,2:1,1:2");
            assert_eq!(count(tx, "event WHERE length(event_id) = 36"), 2);
        });
    }

    #[test]
    fn a_rare_event_is_recorded_once_while_it_is_kept() {
        in_store(|tx| {
            for host in ["a.example", "b.example", "a.example"] {
                let event_type = EventType::CertificateExpiresSoon;
                record_once(tx, event_type, &json!({"host": host})).unwrap();
            }
            assert_eq!(count(tx, "event"), 2);
        });
    }

    #[test]
    fn what_is_beyond_the_bounds_is_removed_unless_a_delivery_needs_it() {
        in_store(|tx| {
            add_webhook(tx, "active", r#"["cap.near"]"#);
            record(tx, EventType::CapNear, &json!({})).unwrap();
            for _ in 0..KEPT_EVENTS + 2 {
                record(tx, EventType::CapReached, &json!({})).unwrap();
            }
            assert_eq!(remove_old(tx).unwrap(), Removed::default());
            assert_eq!(count(tx, "event"), KEPT_EVENTS + 1, "the first has a delivery");
            tx.execute("UPDATE webhook_delivery SET state = 'delivered'", []).unwrap();
            remove_old(tx).unwrap();
            assert_eq!(count(tx, "webhook_delivery"), 1, "the clock was never checked");
            let sql = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT ?1)
                       INSERT INTO webhook_delivery (webhook_id, event_number, host, state, since_ms, due_ms, time_created)
                       SELECT 1, 1, 'h.example', 'pending', 1, 1, 1 FROM n";
            tx.execute(sql, [KEPT_DELIVERIES + 2]).unwrap();
            let removed = remove_old(tx).unwrap();
            assert_eq!((removed.undelivered, removed.is_partial), (2, false));
            assert_eq!(count(tx, "webhook_delivery"), KEPT_DELIVERIES);
        });
    }
}
