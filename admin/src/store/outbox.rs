//! Outboxes: tables of deliveries to servers of others, with due times and attempts.
//!
//! Partner postbacks and webhooks each have a table with the columns `id`, `host`, `state`,
//! `attempts`, `since_ms`, `due_ms`, `last_status`, `last_error`, `time_created` and
//! `time_attempted`, an index `…_due` on (`host`, `due_ms`) and an index `…_since` on (`since_ms`),
//! both of pending rows only.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params_from_iter};

use super::rows::{Listed, Page, Query, conditions};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::DeliveryState;

/// A table of deliveries.
pub trait Outbox: Send + Sync + 'static {
    /// The content of a request.
    type Request: Debug + Send + Sync + 'static;

    /// The table.
    const TABLE: &'static str;
    /// The columns of the request; the delivery is `d`.
    const REQUEST: &'static str;
    /// Joined tables of these columns.
    const JOIN: &'static str;

    /// Reads the columns of the request from the column `first` on.
    ///
    /// # Errors
    /// When a column does not hold what this program wrote.
    fn read_request(row: &Row<'_>, first: usize) -> rusqlite::Result<Self::Request>;

    /// A delivery in lists.
    type Delivery;

    /// The query of deliveries in lists, without a condition.
    const DELIVERY: &'static str;

    /// Reads a delivery in a list.
    ///
    /// # Errors
    /// When a column does not hold what this program wrote.
    fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Self::Delivery>;
}

/// Lists one page of deliveries, newest first by default.
pub fn deliveries<O: Outbox>(
    connection: &ReadTx<'_>,
    query: &Query,
) -> Result<Listed<O::Delivery>, StoreError> {
    let (condition, values) = conditions("true", &query.filters);
    let count = format!("SELECT count(*) FROM {} WHERE {condition}", O::TABLE);
    let total_count = connection
        .prepare_cached(&count)?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let Page { number, size } = query.page.unwrap_or(Page { number: 1, size: u32::MAX });
    let offset = u64::from(number.saturating_sub(1)) * u64::from(size);
    let order = query.sort.map_or_else(|| "id DESC".into(), |sort| sort.by(sort.is_descending));
    let list = O::DELIVERY;
    let sql = format!("{list} WHERE {condition} ORDER BY {order} LIMIT {size} OFFSET {offset}");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&values), O::read_delivery)?;
    Ok(Listed::new(rows.collect::<Result<_, _>>()?, total_count))
}

/// Finds a delivery.
pub fn delivery<O: Outbox>(
    connection: &ReadTx<'_>,
    id: u32,
) -> Result<Option<O::Delivery>, StoreError> {
    let sql = format!("{} WHERE id = ?1", O::DELIVERY);
    Ok(connection.prepare_cached(&sql)?.query_row([id], O::read_delivery).optional()?)
}

#[derive(Debug, Clone)]
pub struct InFlight {
    /// Delivery id.
    pub id: u32,
    /// The URL's host, with the port.
    pub host: String,
}

#[derive(Debug)]
pub struct Due<O: Outbox> {
    /// Delivery id.
    pub id: u32,
    /// The URL's host, with the port.
    pub host: String,
    /// Number of earlier attempts.
    pub attempts: u32,
    pub request: O::Request,
}

/// Due deliveries.
#[derive(Debug)]
pub struct DueDeliveries<O: Outbox> {
    pub due: Vec<Due<O>>,
    /// When the next delivery becomes due, in Unix milliseconds.
    pub next_ms: Option<i64>,
}

/// Deliveries in flight, and their limits.
#[derive(Debug)]
pub struct Traffic {
    pub in_flight: Vec<InFlight>,
    /// Hosts that did not answer the last request.
    pub unresponsive: HashSet<String>,
    /// In total.
    pub max_in_flight: usize,
    /// To one host.
    pub max_per_host: usize,
    /// To all unresponsive hosts together.
    pub max_unresponsive: usize,
}

/// Finds due deliveries within the limits. Responsive hosts come first, then hosts with the fewest
/// requests in flight, then the longest waiting.
pub fn due<O: Outbox>(
    connection: &ReadTx<'_>,
    now_ms: i64,
    traffic: &Traffic,
) -> Result<DueDeliveries<O>, StoreError> {
    let mut flying: HashMap<&str, Vec<u32>> = HashMap::new();
    for InFlight { id, host } in &traffic.in_flight {
        flying.entry(host).or_default().push(*id);
    }
    let to = |host: &str| flying.get(host).map_or(&[][..], Vec::as_slice);
    let is_unresponsive = |host: &str| traffic.unresponsive.contains(host);
    let (mut hosts, waiting): (Vec<_>, Vec<_>) =
        pending_hosts::<O>(connection)?.into_iter().partition(|(_, due_ms)| *due_ms <= now_ms);
    hosts.sort_by_key(|(host, due_ms)| (is_unresponsive(host), to(host).len(), *due_ms));
    let mut room = traffic.max_in_flight.saturating_sub(traffic.in_flight.len());
    let unresponsive_now =
        traffic.in_flight.iter().filter(|flight| is_unresponsive(&flight.host)).count();
    let mut unresponsive_room = traffic.max_unresponsive.saturating_sub(unresponsive_now);
    let mut due = Vec::new();
    for (host, _) in hosts {
        let bound = if is_unresponsive(&host) { room.min(unresponsive_room) } else { room };
        let free = traffic.max_per_host.saturating_sub(to(&host).len()).min(bound);
        let found = due_at::<O>(connection, &host, now_ms, to(&host), free)?;
        room -= found.len();
        unresponsive_room -= if is_unresponsive(&host) { found.len() } else { 0 };
        due.extend(found);
    }
    Ok(DueDeliveries { due, next_ms: waiting.into_iter().map(|(_, due_ms)| due_ms).min() })
}

/// Returns every host with pending deliveries, and when the first of these is due. Costs one
/// look-up for each host, whatever the number of deliveries.
fn pending_hosts<O: Outbox>(connection: &ReadTx<'_>) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = format!(
        "SELECT host, due_ms FROM {0} INDEXED BY {0}_due \
         WHERE state = 'pending' AND host > ?1 ORDER BY host, due_ms LIMIT 1",
        O::TABLE
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut hosts: Vec<(String, i64)> = Vec::new();
    loop {
        let last = hosts.last().map_or("", |(host, _)| host.as_str());
        let next = statement.query_row([last], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match next {
            Some(next) => hosts.push(next),
            None => return Ok(hosts),
        }
    }
}

/// Finds up to `free` deliveries to one host that are not in flight.
fn due_at<O: Outbox>(
    connection: &ReadTx<'_>,
    host: &str,
    now_ms: i64,
    flying: &[u32],
    free: usize,
) -> Result<Vec<Due<O>>, StoreError> {
    if free == 0 {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT d.id, d.host, d.attempts, {1} FROM {0} d INDEXED BY {0}_due {2} \
         WHERE d.state = 'pending' AND d.host = ?1 AND d.due_ms <= ?2 ORDER BY d.due_ms, d.id LIMIT ?3",
        O::TABLE,
        O::REQUEST,
        O::JOIN
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((host, now_ms, free + flying.len()), |row| {
        Ok(Due {
            id: row.get(0)?,
            host: row.get(1)?,
            attempts: row.get(2)?,
            request: O::read_request(row, 3)?,
        })
    })?;
    let rows: Vec<Due<O>> = rows.collect::<Result<_, _>>()?;
    Ok(rows.into_iter().filter(|due| !flying.contains(&due.id)).take(free).collect())
}

/// Whether deliveries began to wait more than a minute in the future. Smaller differences come from
/// ordinary clock corrections.
pub fn is_clock_set_back<O: Outbox>(
    connection: &ReadTx<'_>,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT 1 FROM {0} INDEXED BY {0}_since WHERE state = 'pending' AND since_ms > ?1 LIMIT 1",
        O::TABLE
    );
    Ok(connection.prepare_cached(&sql)?.exists([now_ms.saturating_add(CLOCK_SLACK_MS)])?)
}

const CLOCK_SLACK_MS: i64 = 60_000;

/// Makes deliveries due that began to wait in the future: the clock was set back, and their waits
/// would be too long by an unknown time.
pub fn forget_waits<O: Outbox>(tx: &WriteTx<'_>, now_ms: i64) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE {} SET since_ms = ?1, due_ms = ?1 WHERE state = 'pending' AND since_ms > ?2",
        O::TABLE
    );
    tx.execute(&sql, (now_ms, now_ms.saturating_add(CLOCK_SLACK_MS)))?;
    Ok(())
}

/// State of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextState {
    Delivered,
    /// Another attempt follows.
    Pending {
        /// Time of the attempt, in Unix milliseconds.
        due_ms: i64,
    },
    /// Given up, until replayed.
    Dead,
}

/// One attempt to send a delivery.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Delivery id.
    pub id: u32,
    /// End of the attempt, in Unix milliseconds.
    pub now_ms: i64,
    pub next_state: NextState,
    /// Status of the response, or 0.
    pub status: u16,
    /// The failure, or empty.
    pub error: String,
}

/// Records an attempt. A delivery that died meanwhile stays dead, unless this attempt delivered it.
pub fn record<O: Outbox>(tx: &WriteTx<'_>, attempt: &Attempt) -> Result<(), StoreError> {
    let (state, due_ms) = match attempt.next_state {
        NextState::Delivered => (DeliveryState::Delivered, attempt.now_ms),
        NextState::Pending { due_ms } => (DeliveryState::Pending, due_ms),
        NextState::Dead => (DeliveryState::Dead, attempt.now_ms),
    };
    let sql = format!(
        "UPDATE {} SET state = ?2, attempts = attempts + 1, since_ms = ?3, due_ms = ?4, \
         last_status = ?5, last_error = ?6, time_attempted = ?3 / 1000 \
         WHERE id = ?1 AND (state = 'pending' OR ?2 = 'delivered')",
        O::TABLE
    );
    let Attempt { id, now_ms, status, ref error, .. } = *attempt;
    tx.prepare_cached(&sql)?.execute((id, state.as_str(), now_ms, due_ms, status, error))?;
    Ok(())
}

/// Number of deliveries, lowest id, highest id.
pub type ReplayedRange = (u64, u32, u32);

/// Makes the deliveries of a condition due, without earlier attempts.
pub(super) fn replay<O: Outbox>(
    tx: &WriteTx<'_>,
    condition: &str,
    mut values: Vec<Value>,
) -> Result<ReplayedRange, StoreError> {
    let range = format!(
        "SELECT count(*), ifnull(min(id), 0), ifnull(max(id), 0) FROM {} WHERE {condition}",
        O::TABLE
    );
    let range = tx
        .prepare_cached(&range)?
        .query_row(params_from_iter(&values), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    values.push(jiff::Timestamp::now().as_millisecond().into());
    let now = values.len();
    let sql = format!(
        "UPDATE {} SET state = 'pending', attempts = 0, since_ms = ?{now}, due_ms = ?{now} WHERE {condition}",
        O::TABLE
    );
    tx.prepare_cached(&sql)?.execute(params_from_iter(&values))?;
    Ok(range)
}

/// State of an outbox.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = PixelStatusCounts)]
pub struct Backlog {
    /// Deliveries waiting for the next attempt.
    pub pending: u64,
    /// Dead deliveries.
    pub dead: u64,
    /// When the oldest pending delivery was queued, in Unix seconds.
    pub oldest_pending: Option<i64>,
}

pub fn backlog<O: Outbox>(connection: &ReadTx<'_>) -> Result<Backlog, StoreError> {
    let sql = format!(
        "SELECT (SELECT count(*) FROM {0} WHERE state = 'pending'), \
         (SELECT count(*) FROM {0} WHERE state = 'dead'), \
         (SELECT time_created FROM {0} WHERE state = 'pending' ORDER BY id LIMIT 1)",
        O::TABLE
    );
    Ok(connection.prepare_cached(&sql)?.query_row([], |row| {
        Ok(Backlog { pending: row.get(0)?, dead: row.get(1)?, oldest_pending: row.get(2)? })
    })?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::partner_postbacks::PostbackOutbox;

    /// An outbox with so many deliveries to each host, due one after the other from 1 on.
    pub(crate) fn outbox(hosts: &[(&str, u32)]) -> (tempfile::TempDir, rusqlite::Connection) {
        let dir = tempfile::tempdir().unwrap();
        let connection = crate::store::open_writer(dir.path(), 0).unwrap();
        connection
            .execute_batch(
                "INSERT INTO affiliate (name, account_status, time_created, time_saved) VALUES ('A', 'active', 1, 1);
                 INSERT INTO pixel (affiliate_id, pixel_status, pixel_type, postback_url, signing_key, time_created, time_saved)
                 VALUES (1, 'active', 'conversion', 'https://p.example/', 'key', 1, 1);",
            )
            .unwrap();
        let sql = "INSERT INTO pixel_delivery (pixel_id, conversion_id, affiliate_id, offer_id, url, host, state, \
                   since_ms, due_ms, time_created) VALUES (1, ?1, 1, 1, 'https://p.example/', ?2, 'pending', 0, ?3, 1)";
        let mut due_ms = 0;
        for (host, count) in hosts {
            for _ in 0..*count {
                due_ms += 1;
                connection.execute(sql, (format!("{due_ms:032x}"), host, due_ms)).unwrap();
            }
        }
        (dir, connection)
    }

    fn traffic(in_flight: &[(u32, &str)], unresponsive: &[&str]) -> Traffic {
        let flight = |(id, host): &(u32, &str)| InFlight { id: *id, host: (*host).to_owned() };
        Traffic {
            in_flight: in_flight.iter().map(flight).collect(),
            unresponsive: unresponsive.iter().map(|host| (*host).to_owned()).collect(),
            max_in_flight: 6,
            max_per_host: 3,
            max_unresponsive: 2,
        }
    }

    fn ids(connection: &rusqlite::Connection, now_ms: i64, traffic: &Traffic) -> Vec<u32> {
        due::<PostbackOutbox>(&ReadTx::within(connection), now_ms, traffic)
            .unwrap()
            .due
            .iter()
            .map(|due| due.id)
            .collect()
    }

    #[test]
    fn each_host_gets_its_share_and_the_one_with_the_fewest_comes_first() {
        let (_dir, connection) = outbox(&[("a", 5), ("b", 5), ("c", 5)]);
        assert_eq!(ids(&connection, 100, &traffic(&[], &[])), [1, 2, 3, 6, 7, 8]);
        let busy = traffic(&[(1, "a"), (2, "a"), (6, "b")], &[]);
        assert_eq!(ids(&connection, 100, &busy), [11, 12, 13]);
        let full = traffic(&[(1, "a"), (2, "a"), (3, "a"), (6, "b"), (7, "b"), (8, "b")], &[]);
        assert_eq!(ids(&connection, 100, &full), [0_u32; 0]);
    }

    #[test]
    fn silent_hosts_come_last_and_share_a_part() {
        let (_dir, connection) = outbox(&[("a", 5), ("b", 5), ("c", 5)]);
        assert_eq!(ids(&connection, 100, &traffic(&[], &["a", "b"])), [11, 12, 13, 1, 2]);
        let one_flies = traffic(&[(1, "a")], &["a", "b"]);
        assert_eq!(ids(&connection, 100, &one_flies), [11, 12, 13, 6]);
    }

    #[test]
    fn what_is_not_due_waits_and_says_until_when() {
        let (_dir, connection) = outbox(&[("a", 2), ("b", 2)]);
        let outbox =
            due::<PostbackOutbox>(&ReadTx::within(&connection), 2, &traffic(&[], &[])).unwrap();
        assert_eq!(outbox.due.iter().map(|due| due.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(outbox.next_ms, Some(3));
        assert_eq!(outbox.due[0].request.signing_key, "key");
    }
}
