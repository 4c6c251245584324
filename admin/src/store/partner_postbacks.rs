//! Partner postbacks, and the outbox of their deliveries.

use coupon_shared::destination::MacroSink;
use rusqlite::Row;
use rusqlite::types::Value;

use super::outbox::{self, Outbox, ReplayedRange};
use super::rows::{Compared, DELETED, Entity, FIRST, Filterable, Vocabulary, optional_id, word};
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

/// The outbox of partner postbacks.
#[derive(Debug)]
pub struct PostbackOutbox;

/// The request of a delivery.
#[derive(Debug)]
pub struct PostbackRequest {
    /// With expanded macros.
    pub url: String,
    /// The postback's current key.
    pub signing_key: String,
}

impl Outbox for PostbackOutbox {
    type Request = PostbackRequest;
    const TABLE: &'static str = "pixel_delivery";
    const REQUEST: &'static str = "d.url, p.signing_key";
    const JOIN: &'static str = "JOIN pixel p ON p.id = d.pixel_id";

    fn read_request(row: &Row<'_>, first: usize) -> rusqlite::Result<PostbackRequest> {
        Ok(PostbackRequest { url: row.get(first)?, signing_key: row.get(first + 1)? })
    }

    type Delivery = Delivery;

    const DELIVERY: &'static str = "SELECT id, pixel_id, affiliate_id, offer_id, conversion_id, state, url, attempts, last_status, \
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

/// Blanks the URLs of a conversion's deliveries that contain a personal text, which a macro brought
/// in. Pending deliveries among these become dead.
pub fn erase_text(tx: &WriteTx<'_>, conversion: i64, text: &str) -> Result<(), StoreError> {
    let mut encoded = Vec::new();
    MacroSink::new(&mut encoded).push(text.as_bytes());
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

/// Makes deliveries due, without earlier attempts.
pub fn replay(tx: &WriteTx<'_>, which: Replayed) -> Result<ReplayedRange, StoreError> {
    // A delivery without a URL cannot be sent.
    let (condition, id) = match which {
        Replayed::One(id) => ("id = ?1 AND url <> ''", id),
        Replayed::DeadOf(id) => ("pixel_id = ?1 AND state = 'dead' AND url <> ''", id),
    };
    outbox::replay::<PostbackOutbox>(tx, condition, vec![id.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::origin::{Actor, Origin};
    use crate::store::outbox::tests::outbox;

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
            erase_text(&writer, number, "anna+X@mail.example").unwrap();
        }
        tx.commit().unwrap();
        let left = |id| {
            let reader = ReadTx::within(&connection);
            let found =
                crate::store::outbox::delivery::<PostbackOutbox>(&reader, id).unwrap().unwrap();
            (found.url, found.state)
        };
        assert_eq!(left(1), (String::new(), DeliveryState::Delivered));
        assert_eq!(left(2), (String::new(), DeliveryState::Dead));
        assert_eq!(left(3), ("https://p.example/".to_owned(), DeliveryState::Pending));
    }
}
