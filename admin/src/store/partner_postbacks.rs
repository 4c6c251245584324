//! Partner postbacks, and the outbox of their deliveries.

use std::collections::{HashMap, HashSet};

use coupon_shared::destination::MacroSink;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params_from_iter};

use super::rows::{
    Compared, DELETED, Entity, FIRST, Filterable, Listed, Page, Query, Vocabulary, conditions,
    optional_id, word,
};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{DeliveryMethod, DeliveryState, Pixel, PixelStatus, PixelType};

const PIXEL_ID: Filterable =
    Filterable { field: "network_pixel_id", column: "id", kind: Compared::Number };
const PIXEL_OFFER: Filterable =
    Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::OptionalId };
const PIXEL_STATUS: Filterable = Filterable {
    field: "pixel_status",
    column: "pixel_status",
    kind: Compared::Word(Vocabulary::from_word_set::<PixelStatus>()),
};
const PIXEL_TYPE: Filterable = Filterable {
    field: "pixel_type",
    column: "pixel_type",
    kind: Compared::Word(Vocabulary::from_word_set::<PixelType>()),
};

/// The partner of a postback.
pub const PARTNER: Filterable =
    Filterable { field: "network_affiliate_id", column: "affiliate_id", kind: Compared::Number };

/// Filters of a partner's own list.
pub const PARTNER_FILTERS: &[Filterable] = &[PIXEL_ID, PIXEL_OFFER, PIXEL_STATUS, PIXEL_TYPE];

/// The text that `search` looks into.
pub const SEARCH: Filterable =
    Filterable { field: "postback_url", column: "casefold(postback_url)", kind: Compared::Text };

impl Entity for Pixel {
    const TABLE: &'static str = "pixel";
    const SELECT: &'static str = "affiliate_id, ifnull(offer_id, 0), ifnull(entry_id, 0), pixel_status, pixel_type, \
                                  postback_url, delay_ms, description, signing_key";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        PIXEL_ID,
        PARTNER,
        PIXEL_OFFER,
        PIXEL_STATUS,
        PIXEL_TYPE,
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<Pixel> {
        Ok(Pixel {
            network_affiliate_id: row.get(FIRST)?,
            network_offer_id: row.get(FIRST + 1)?,
            network_offer_payout_revenue_id: row.get(FIRST + 2)?,
            delivery_method: DeliveryMethod::Postback,
            pixel_level: None,
            pixel_status: word(row, FIRST + 3)?,
            pixel_type: word(row, FIRST + 4)?,
            postback_url: row.get(FIRST + 5)?,
            delay_ms: row.get(FIRST + 6)?,
            description: row.get(FIRST + 7)?,
            signing_key: row.get(FIRST + 8)?,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("affiliate_id", i64::from(self.network_affiliate_id).into()),
            ("offer_id", optional_id(self.network_offer_id)),
            ("entry_id", optional_id(self.network_offer_payout_revenue_id)),
            ("pixel_status", self.pixel_status.as_str().to_owned().into()),
            ("pixel_type", self.pixel_type.as_str().to_owned().into()),
            ("postback_url", self.postback_url.clone().into()),
            ("delay_ms", i64::from(self.delay_ms).into()),
            ("description", self.description.clone().into()),
            ("signing_key", self.signing_key.clone().into()),
        ]
    }
}

/// Counts the partner's postbacks other than `id`.
pub fn count_others(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
    id: Option<u32>,
) -> Result<u64, StoreError> {
    let sql =
        "SELECT count(*) FROM pixel WHERE affiliate_id = ?1 AND time_deleted = 0 AND id IS NOT ?2";
    Ok(connection.prepare_cached(sql)?.query_row((affiliate_id, id), |row| row.get(0))?)
}

/// A postback that reports a conversion.
#[derive(Debug)]
pub struct Listening {
    pub id: u32,
    /// With unexpanded macros.
    pub postback_url: String,
    /// Delay after the conversion.
    pub delay_ms: u32,
}

/// Finds the active postbacks for a partner's conversion; event 0 is the base conversion.
pub fn listening(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
    offer_id: u32,
    event_id: u32,
) -> Result<Vec<Listening>, StoreError> {
    let sql = "SELECT id, postback_url, delay_ms FROM pixel WHERE affiliate_id = ?1 AND time_deleted = 0 \
               AND pixel_status = 'active' AND pixel_type = iif(?3 = 0, 'conversion', 'post_conversion') \
               AND (offer_id IS NULL OR offer_id = ?2) AND (entry_id IS NULL OR entry_id = ?3) ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((affiliate_id, offer_id, event_id), |row| {
        Ok(Listening { id: row.get(0)?, postback_url: row.get(1)?, delay_ms: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[derive(Debug)]
pub struct NewDelivery<'a> {
    pub pixel_id: u32,
    pub conversion_id: &'a str,
    /// The partner.
    pub affiliate_id: u32,
    /// The offer.
    pub offer_id: u32,
    /// With expanded macros.
    pub url: String,
    /// The URL's host, with the port.
    pub host: String,
    /// Why the delivery cannot be sent, or empty.
    pub error: String,
    /// Unix milliseconds.
    pub now_ms: i64,
    /// Time of the first attempt, in Unix milliseconds.
    pub due_ms: i64,
}

/// Queues a delivery, unless this postback already has one for the conversion.
pub fn queue(tx: &WriteTx<'_>, new: &NewDelivery<'_>) -> Result<(), StoreError> {
    let sql = "INSERT INTO pixel_delivery (pixel_id, conversion_id, affiliate_id, offer_id, url, host, state, \
               since_ms, due_ms, last_error, time_created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, iif(?9 = '', 'pending', 'dead'), ?7, ?8, ?9, ?10) \
               ON CONFLICT (pixel_id, conversion_id) DO NOTHING";
    tx.prepare_cached(sql)?.execute((
        new.pixel_id,
        new.conversion_id,
        new.affiliate_id,
        new.offer_id,
        &new.url,
        &new.host,
        new.now_ms,
        new.due_ms,
        &new.error,
        tx.now(),
    ))?;
    Ok(())
}

#[derive(Debug, Clone)]
pub struct InFlight {
    /// Delivery id.
    pub id: u32,
    /// The URL's host, with the port.
    pub host: String,
}

#[derive(Debug)]
pub struct Due {
    /// Delivery id.
    pub id: u32,
    /// With expanded macros.
    pub url: String,
    /// The URL's host, with the port.
    pub host: String,
    /// The postback's current key.
    pub signing_key: String,
    /// Number of earlier attempts.
    pub attempts: u32,
}

/// Due deliveries.
#[derive(Debug, Default)]
pub struct Outbox {
    pub due: Vec<Due>,
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
pub fn due(connection: &ReadTx<'_>, now_ms: i64, traffic: &Traffic) -> Result<Outbox, StoreError> {
    let mut flying: HashMap<&str, Vec<u32>> = HashMap::new();
    for InFlight { id, host } in &traffic.in_flight {
        flying.entry(host).or_default().push(*id);
    }
    let to = |host: &str| flying.get(host).map_or(&[][..], Vec::as_slice);
    let is_unresponsive = |host: &str| traffic.unresponsive.contains(host);
    let (mut hosts, waiting): (Vec<_>, Vec<_>) =
        pending_hosts(connection)?.into_iter().partition(|(_, due_ms)| *due_ms <= now_ms);
    hosts.sort_by_key(|(host, due_ms)| (is_unresponsive(host), to(host).len(), *due_ms));
    let mut room = traffic.max_in_flight.saturating_sub(traffic.in_flight.len());
    let unresponsive_now =
        traffic.in_flight.iter().filter(|flight| is_unresponsive(&flight.host)).count();
    let mut unresponsive_room = traffic.max_unresponsive.saturating_sub(unresponsive_now);
    let mut due = Vec::new();
    for (host, _) in hosts {
        let bound = if is_unresponsive(&host) { room.min(unresponsive_room) } else { room };
        let free = traffic.max_per_host.saturating_sub(to(&host).len()).min(bound);
        let found = due_at(connection, &host, now_ms, to(&host), free)?;
        room -= found.len();
        unresponsive_room -= if is_unresponsive(&host) { found.len() } else { 0 };
        due.extend(found);
    }
    Ok(Outbox { due, next_ms: waiting.into_iter().map(|(_, due_ms)| due_ms).min() })
}

/// Returns every host with pending deliveries, and when the first of these is due. Costs one
/// look-up for each host, whatever the number of deliveries.
fn pending_hosts(connection: &ReadTx<'_>) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = "SELECT host, due_ms FROM pixel_delivery INDEXED BY pixel_delivery_due \
               WHERE state = 'pending' AND host > ?1 ORDER BY host, due_ms LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
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
fn due_at(
    connection: &ReadTx<'_>,
    host: &str,
    now_ms: i64,
    flying: &[u32],
    free: usize,
) -> Result<Vec<Due>, StoreError> {
    if free == 0 {
        return Ok(Vec::new());
    }
    let sql = "SELECT d.id, d.url, d.host, p.signing_key, d.attempts FROM pixel_delivery d \
               INDEXED BY pixel_delivery_due JOIN pixel p ON p.id = d.pixel_id \
               WHERE d.state = 'pending' AND d.host = ?1 AND d.due_ms <= ?2 ORDER BY d.due_ms, d.id LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((host, now_ms, free + flying.len()), |row| {
        Ok(Due {
            id: row.get(0)?,
            url: row.get(1)?,
            host: row.get(2)?,
            signing_key: row.get(3)?,
            attempts: row.get(4)?,
        })
    })?;
    let rows: Vec<Due> = rows.collect::<Result<_, _>>()?;
    Ok(rows.into_iter().filter(|due| !flying.contains(&due.id)).take(free).collect())
}

/// Whether deliveries began to wait more than a minute in the future. Smaller differences come from
/// ordinary clock corrections.
pub fn is_clock_set_back(connection: &ReadTx<'_>, now_ms: i64) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM pixel_delivery INDEXED BY pixel_delivery_since \
               WHERE state = 'pending' AND since_ms > ?1 LIMIT 1";
    Ok(connection.prepare_cached(sql)?.exists([now_ms.saturating_add(CLOCK_SLACK_MS)])?)
}

const CLOCK_SLACK_MS: i64 = 60_000;

/// Makes deliveries due that began to wait in the future: the clock was set back, and their waits
/// would be too long by an unknown time.
pub fn forget_waits(tx: &WriteTx<'_>, now_ms: i64) -> Result<(), StoreError> {
    let sql = "UPDATE pixel_delivery SET since_ms = ?1, due_ms = ?1 WHERE state = 'pending' AND since_ms > ?2";
    tx.execute(sql, (now_ms, now_ms.saturating_add(CLOCK_SLACK_MS)))?;
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
pub fn record(tx: &WriteTx<'_>, attempt: &Attempt) -> Result<(), StoreError> {
    let (state, due_ms) = match attempt.next_state {
        NextState::Delivered => (DeliveryState::Delivered, attempt.now_ms),
        NextState::Pending { due_ms } => (DeliveryState::Pending, due_ms),
        NextState::Dead => (DeliveryState::Dead, attempt.now_ms),
    };
    let sql = "UPDATE pixel_delivery SET state = ?2, attempts = attempts + 1, since_ms = ?3, due_ms = ?4, \
               last_status = ?5, last_error = ?6, time_attempted = ?3 / 1000 \
               WHERE id = ?1 AND (state = 'pending' OR ?2 = 'delivered')";
    let Attempt { id, now_ms, status, ref error, .. } = *attempt;
    tx.prepare_cached(sql)?.execute((id, state.as_str(), now_ms, due_ms, status, error))?;
    Ok(())
}

/// A delivery in lists.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = PixelDelivery)]
pub struct Delivery {
    /// Sent to the partner as `X-Coupon-Delivery`.
    pub network_pixel_delivery_id: u32,
    /// The postback.
    pub network_pixel_id: u32,
    /// The postback's partner.
    pub network_affiliate_id: u32,
    /// The conversion's offer.
    pub network_offer_id: u32,
    /// The reported conversion.
    pub conversion_id: String,
    /// State of the delivery.
    pub state: DeliveryState,
    /// With expanded macros.
    pub url: String,
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

/// The partner postback of a delivery.
pub const DELIVERY_PIXEL: Filterable =
    Filterable { field: "network_pixel_id", column: "pixel_id", kind: Compared::Number };

/// The text of a delivery that `search` looks into.
pub const DELIVERY_SEARCH: Filterable =
    Filterable { field: "url", column: "casefold(url)", kind: Compared::Text };

/// Filters of the list of deliveries.
pub const DELIVERY_FILTERS: &[Filterable] = &[
    Filterable { field: "network_pixel_delivery_id", column: "id", kind: Compared::Number },
    DELIVERY_PIXEL,
    Filterable { field: "network_affiliate_id", column: "affiliate_id", kind: Compared::Number },
    Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::Number },
    Filterable { field: "conversion_id", column: "conversion_id", kind: Compared::HexId },
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

const DELIVERY: &str = "SELECT id, pixel_id, affiliate_id, offer_id, conversion_id, state, url, attempts, last_status, \
    last_error, time_created, time_attempted, iif(state = 'pending', due_ms / 1000, 0) FROM pixel_delivery";

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        network_pixel_delivery_id: row.get(0)?,
        network_pixel_id: row.get(1)?,
        network_affiliate_id: row.get(2)?,
        network_offer_id: row.get(3)?,
        conversion_id: row.get(4)?,
        state: word(row, 5)?,
        url: row.get(6)?,
        attempts: row.get(7)?,
        last_status: row.get(8)?,
        last_error: row.get(9)?,
        time_created: row.get(10)?,
        time_attempted: row.get(11)?,
        time_due: row.get(12)?,
    })
}

/// Lists one page of deliveries, newest first by default.
pub fn deliveries(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<Delivery>, StoreError> {
    let (condition, values) = conditions("true", &query.filters);
    let count = format!("SELECT count(*) FROM pixel_delivery WHERE {condition}");
    let total_count = connection
        .prepare_cached(&count)?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let Page { number, size } = query.page.unwrap_or(Page { number: 1, size: u32::MAX });
    let offset = u64::from(number.saturating_sub(1)) * u64::from(size);
    let order = query.sort.map_or_else(|| "id DESC".into(), |sort| sort.by(sort.is_descending));
    let sql = format!("{DELIVERY} WHERE {condition} ORDER BY {order} LIMIT {size} OFFSET {offset}");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&values), read_delivery)?;
    Ok(Listed::new(rows.collect::<Result<_, _>>()?, total_count))
}

/// Finds a delivery.
pub fn delivery(connection: &ReadTx<'_>, id: u32) -> Result<Option<Delivery>, StoreError> {
    let sql = format!("{DELIVERY} WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read_delivery).optional()?)
}

/// Blanks the URLs of a conversion's deliveries that contain an e-mail address, which advertiser
/// macros may have brought in. Pending deliveries among these become dead.
pub fn erase_email(tx: &WriteTx<'_>, conversion: i64, email: &str) -> Result<(), StoreError> {
    let mut encoded = Vec::new();
    MacroSink::new(&mut encoded).push(email.as_bytes());
    let encoded = String::from_utf8_lossy(&encoded).to_ascii_lowercase();
    let sql = "UPDATE pixel_delivery SET url = '', state = iif(state = 'pending', 'dead', state), \
               last_error = iif(state = 'pending', 'erased before it was sent', last_error) \
               WHERE conversion_id = (SELECT lower(hex(id)) FROM conversion WHERE number = ?1) \
               AND instr(lower(url), ?2)";
    tx.prepare_cached(sql)?.execute((conversion, encoded))?;
    Ok(())
}

/// Selects deliveries for a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// One delivery in any state.
    One(u32),
    /// All dead deliveries of a postback.
    DeadOf(u32),
}

/// Number of deliveries, lowest id, highest id.
pub type ReplayedRange = (u64, u32, u32);

/// Makes deliveries due, without earlier attempts.
pub fn replay(tx: &WriteTx<'_>, which: Replayed) -> Result<ReplayedRange, StoreError> {
    let (condition, id) = match which {
        Replayed::One(id) => ("id = ?1", id),
        Replayed::DeadOf(id) => ("pixel_id = ?1 AND state = 'dead'", id),
    };
    // A delivery without a URL cannot be sent.
    let condition = format!("{condition} AND url <> ''");
    let range = format!(
        "SELECT count(*), ifnull(min(id), 0), ifnull(max(id), 0) FROM pixel_delivery WHERE {condition}"
    );
    let range = tx
        .prepare_cached(&range)?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let sql = format!(
        "UPDATE pixel_delivery SET state = 'pending', attempts = 0, since_ms = ?2, due_ms = ?2 WHERE {condition}"
    );
    tx.prepare_cached(&sql)?.execute((id, jiff::Timestamp::now().as_millisecond()))?;
    Ok(range)
}

/// State of the outbox.
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

pub fn backlog(connection: &ReadTx<'_>) -> Result<Backlog, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM pixel_delivery WHERE state = 'pending'), \
               (SELECT count(*) FROM pixel_delivery WHERE state = 'dead'), \
               (SELECT time_created FROM pixel_delivery WHERE state = 'pending' ORDER BY id LIMIT 1)";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| {
        Ok(Backlog { pending: row.get(0)?, dead: row.get(1)?, oldest_pending: row.get(2)? })
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::origin::{Actor, Origin};

    /// An outbox with so many deliveries to each host, due one after the other from 1 on.
    fn outbox(hosts: &[(&str, u32)]) -> (tempfile::TempDir, rusqlite::Connection) {
        let dir = tempfile::tempdir().unwrap();
        let connection = crate::store::open_writer(dir.path()).unwrap();
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
        due(&ReadTx::within(connection), now_ms, traffic)
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
        let outbox = due(&ReadTx::within(&connection), 2, &traffic(&[], &[])).unwrap();
        assert_eq!(outbox.due.iter().map(|due| due.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(outbox.next_ms, Some(3));
        assert_eq!(outbox.due[0].signing_key, "key");
    }

    /// A conversion of which nothing but the id is known.
    fn insert_conversion(connection: &rusqlite::Connection, id: &str) {
        let sql = "SELECT group_concat(name), group_concat(CASE WHEN name = 'id' THEN 'x''' || ?1 || '''' \
                   WHEN name = 'status' THEN '''approved''' WHEN name = 'channel' THEN '''server''' \
                   WHEN type = 'TEXT' THEN '''''' WHEN type = 'BLOB' THEN 'x''00''' ELSE 0 END) \
                   FROM pragma_table_info('conversion') WHERE \"notnull\" AND dflt_value IS NULL AND name <> 'number'";
        let (names, values): (String, String) =
            connection.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let insert = format!("INSERT INTO conversion ({names}) VALUES ({values})");
        connection.execute(&insert, []).unwrap();
    }

    #[test]
    fn an_erased_address_stands_in_no_url_and_is_not_sent() {
        let (_dir, mut connection) = outbox(&[("a", 3)]);
        let told = "https://p.example/?a=Anna%2Bx%40mail.example";
        let sql = "UPDATE pixel_delivery SET url = ?1, state = ?2 WHERE id = ?3";
        connection.execute(sql, (told, "delivered", 1)).unwrap();
        connection.execute(sql, (told, "pending", 2)).unwrap();
        for id in 1..=3 {
            insert_conversion(&connection, &format!("{id:032x}"));
        }
        let tx = connection.transaction().unwrap();
        for number in 1..=3 {
            let writer = WriteTx::within(&tx, 1, Origin::new(Actor::Program));
            erase_email(&writer, number, "anna+X@mail.example").unwrap();
        }
        tx.commit().unwrap();
        let left = |id| {
            let found = delivery(&ReadTx::within(&connection), id).unwrap().unwrap();
            (found.url, found.state)
        };
        assert_eq!(left(1), (String::new(), DeliveryState::Delivered));
        assert_eq!(left(2), (String::new(), DeliveryState::Dead));
        assert_eq!(left(3), ("https://p.example/".to_owned(), DeliveryState::Pending));
    }
}
