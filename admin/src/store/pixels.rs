//! Partner postbacks, and the outbox of what they tell.

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::rows::{Compared, FIRST, Filterable, Kept, word};
use super::{StoreError, WriteTx};
use crate::catalog::{DeliveryMethod, Pixel};

impl Kept for Pixel {
    const TABLE: &'static str = "pixel";
    const SELECT: &'static str = "affiliate_id, ifnull(offer_id, 0), ifnull(entry_id, 0), pixel_status, pixel_type, \
                                  postback_url, delay_ms, description, signing_key";
    const FILTERS: &'static [Filterable] = &[
        Filterable { field: "network_pixel_id", column: "id", kind: Compared::Number },
        Filterable {
            field: "network_affiliate_id",
            column: "affiliate_id",
            kind: Compared::Number,
        },
        Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::OptionalId },
        Filterable { field: "pixel_status", column: "pixel_status", kind: Compared::Text },
        Filterable { field: "pixel_type", column: "pixel_type", kind: Compared::Text },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Number },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Number },
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
        let optional = |id: u32| if id == 0 { Value::Null } else { Value::Integer(id.into()) };
        vec![
            ("affiliate_id", i64::from(self.network_affiliate_id).into()),
            ("offer_id", optional(self.network_offer_id)),
            ("entry_id", optional(self.network_offer_payout_revenue_id)),
            ("pixel_status", self.pixel_status.as_str().to_owned().into()),
            ("pixel_type", self.pixel_type.as_str().to_owned().into()),
            ("postback_url", self.postback_url.clone().into()),
            ("delay_ms", i64::from(self.delay_ms).into()),
            ("description", self.description.clone().into()),
            ("signing_key", self.signing_key.clone().into()),
        ]
    }
}

/// How many postbacks a partner has, beside this one.
///
/// # Errors
/// When SQLite fails.
pub fn count_others(
    connection: &Connection,
    affiliate_id: u32,
    id: Option<u32>,
) -> Result<u64, StoreError> {
    let sql =
        "SELECT count(*) FROM pixel WHERE affiliate_id = ?1 AND time_deleted = 0 AND id IS NOT ?2";
    Ok(connection.prepare_cached(sql)?.query_row((affiliate_id, id), |row| row.get(0))?)
}

/// A postback that a conversion is told to.
#[derive(Debug)]
pub struct Listening {
    /// The postback.
    pub id: u32,
    /// With macros.
    pub postback_url: String,
    /// How long after the conversion.
    pub delay_ms: u32,
}

/// The active postbacks that a partner's conversion is told to; event 0 is the base conversion.
///
/// # Errors
/// When SQLite fails.
pub fn listening(
    connection: &Connection,
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

/// A delivery to be queued.
#[derive(Debug)]
pub struct NewDelivery<'a> {
    /// The postback.
    pub pixel_id: u32,
    /// What it tells of.
    pub conversion_id: &'a str,
    /// Whose it is.
    pub affiliate_id: u32,
    /// On which offer.
    pub offer_id: u32,
    /// With its values.
    pub url: String,
    /// Of the URL, with the port.
    pub host: String,
    /// Why it cannot be sent, or empty.
    pub error: String,
    /// In Unix milliseconds.
    pub now_ms: i64,
    /// When it is to be sent.
    pub due_ms: i64,
}

/// Queues a delivery, unless this postback was told of the conversion before.
///
/// # Errors
/// When SQLite fails.
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
