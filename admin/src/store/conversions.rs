//! Conversions: one row each, with the key of their repeats, and their history.
//!
//! A row is never removed. Each change is written together with a history entry; entries are never
//! changed or removed. Facts about the click are copied when the conversion is made, so they
//! outlive the click.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use coupon_rules::agent::{Agent, ClientHints};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{OptionalExtension, Row};

use super::audit::FieldChange;
use super::{ReadTx, StoreError, WriteTx, bot_list, caps};
use crate::catalog::Money;
use crate::catalog::words::words;
use crate::classification::VisitPlace;

mod leaks;
mod list;
pub mod recorded;
pub mod refunds;
pub mod visitors;

use crate::attribution::further_texts::FurtherTexts;
pub use crate::attribution::rank::Rank;
pub use crate::attribution::status::Status;
pub use leaks::{Leak, LeakedSales, leaks};
pub use list::{
    Filters, Page, TextColumn, after, converted_visits, each, is_converted, last_number, list,
    was_converted,
};

words! {
    /// Channel of a postback.
    Channel {
        /// From the advertiser's server.
        Server = "server",
        /// From a page, through the script.
        Sdk = "sdk",
    }
}

words! {
    /// Event in the history of a conversion.
    Action {
        /// Made.
        Created = "created",
        /// Status changed.
        Status = "status",
        /// Amounts or notes changed by hand, or a later postback completed the amount.
        Adjusted = "adjusted",
        /// Reduced by a refund.
        Refund = "refund",
        /// Reported again with another amount or currency.
        Conflict = "conflict",
    }
}

/// Id of a conversion, equal to the id of the postback that made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversionId(pub [u8; 16]);

/// Reason why a text is no conversion id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a conversion id has 32 lower-case hex digits")]
pub struct NotAConversionId;

impl fmt::Display for ConversionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ConversionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ConversionId {
    type Err = NotAConversionId;

    fn from_str(text: &str) -> Result<ConversionId, NotAConversionId> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NotAConversionId),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 16 || !rest.is_empty() {
            return Err(NotAConversionId);
        }
        let mut id = [0; 16];
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(ConversionId(id))
    }
}

impl ToSql for ConversionId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for ConversionId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<ConversionId> {
        FromSql::column_result(value).map(ConversionId)
    }
}

impl ToSql for Money {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for Money {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Money> {
        value.as_str()?.parse().map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

impl ToSql for FurtherTexts {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        if self.is_empty() {
            return Ok("".into());
        }
        let json = serde_json::to_string(self)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(json.into())
    }
}

impl FromSql for FurtherTexts {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<FurtherTexts> {
        match value.as_str()? {
            "" => Ok(FurtherTexts::default()),
            json => {
                serde_json::from_str(json).map_err(|error| FromSqlError::Other(Box::new(error)))
            }
        }
    }
}

macro_rules! word_columns {
    ($($name:ty),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$name> {
                value.as_str()?.parse().map_err(|error| FromSqlError::Other(Box::new(error)))
            }
        }
    )+};
}
pub(super) use word_columns;

word_columns!(Status, Channel, Action, Rank);

/// A struct with fields named like columns, read and written in one order.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl $name {
            /// Columns in the order of reading and writing.
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),+];

            fn values(&self) -> [&dyn rusqlite::ToSql; Self::COLUMNS.len()] {
                [$(&self.$field),+]
            }

            /// Reads the columns from `at` on.
            fn read(row: &rusqlite::Row<'_>, mut at: usize) -> rusqlite::Result<$name> {
                let mut next = || {
                    at += 1;
                    at - 1
                };
                Ok($name { $($field: row.get(next())?,)+ })
            }

            fn insert_sql(table: &str) -> String {
                let places = vec!["?"; Self::COLUMNS.len()].join(",");
                format!("INSERT INTO {table} ({}) VALUES ({places})", Self::COLUMNS.join(","))
            }
        }
    };
}
pub(super) use columns;

columns! {
    /// Present state of a conversion.
    Conversion {
        /// Id of the postback that made it.
        id: ConversionId,
        /// Time of the postback.
        unix_ms: u64,
        /// Time of the last change, in Unix seconds.
        time_saved: i64,
        /// Present status.
        status: Status,
        /// Reason against counting; 0 for none.
        error_code: u32,
        /// The offer; 0 for none.
        offer_id: u32,
        /// The partner; 0 for none.
        affiliate_id: u32,
        /// The advertiser; 0 for none.
        advertiser_id: u32,
        /// Row of the code; 0 for none.
        code_id: u32,
        /// The code in its stored spelling; for an unknown code, as sent.
        coupon_code: String,
        /// The code, folded.
        folded_code: String,
        /// Identifier that attributed it; empty for none.
        method: String,
        /// Channel of the postback.
        channel: Channel,
        /// The event's entry; 0 for the base conversion.
        event_id: u32,
        /// The event's name.
        event_name: String,
        /// The attributed click; empty for none.
        transaction_id: String,
        /// Time of the click; 0 for none.
        click_ms: u64,
        /// Personal: the visitor's address.
        click_address: String,
        /// Personal: the visitor's browser.
        click_user_agent: String,
        /// Personal: the visitor's referer.
        click_referer: String,
        /// Personal: the visitor's languages.
        click_language: String,
        /// Personal: the number of the visitor, as coupond recorded it; 0 for none.
        visitor_key: i64,
        /// Of the click, otherwise of the postback.
        sub1: String,
        /// Of the click, otherwise of the postback.
        sub2: String,
        /// Of the click, otherwise of the postback.
        sub3: String,
        /// Of the click, otherwise of the postback.
        sub4: String,
        /// Of the click, otherwise of the postback.
        sub5: String,
        /// Of the click.
        source_id: String,
        /// Of the click.
        uid: String,
        /// The offer's URL that the click was sent to; 0 for the offer's destination.
        offer_url_id: u32,
        /// Of the click: two upper-case letters; empty if unknown.
        country: String,
        /// Of the click: ISO 3166-2 without the country, else the name; empty if unknown.
        region: String,
        /// Of the click: in English; empty if unknown.
        city: String,
        /// Of the click: a word of [`coupon_rules::agent::Device`].
        device_type: String,
        /// Of the click: a name of [`coupon_rules::agent::Platform`]; empty if unknown.
        platform: String,
        /// Of the click: a name of [`coupon_rules::agent::Browser`]; empty if unknown.
        browser: String,
        /// Personal: the buyer's address, as a trusted server reports it; empty for none.
        buyer_address: String,
        /// Personal: the buyer's browser, as a trusted server reports it; empty for none.
        buyer_user_agent: String,
        /// Personal: the shop's number of the buyer; empty for none.
        buyer_id: String,
        /// Personal: address of the postback's sender.
        address: String,
        /// Personal: user agent of the sender.
        user_agent: String,
        /// Personal: page of the sender.
        referer: String,
        /// The advertiser's number of the sale.
        order_id: String,
        /// Personal: email of the buyer.
        email: String,
        /// `sub6` to `sub10` as `sub1`, `adv6` to `adv10` as `adv1`.
        further: FurtherTexts,
        /// Personal: the ids that ad networks gave the click.
        ad_click_ids: FurtherTexts,
        /// Of the postback, otherwise of the click: the advertiser's own field.
        adv1: String,
        /// Of the postback, otherwise of the click: the advertiser's own field.
        adv2: String,
        /// Of the postback, otherwise of the click: the advertiser's own field.
        adv3: String,
        /// Of the postback, otherwise of the click: the advertiser's own field.
        adv4: String,
        /// Of the postback, otherwise of the click: the advertiser's own field.
        adv5: String,
        /// As first reported; `None` without an amount. Negative for a refund.
        amount: Option<Money>,
        /// After refunds and adjustments; zero for a refund.
        sale_amount: Money,
        /// Currency of the reported amount and of `sale_amount`.
        sale_currency: String,
        /// Currency of payout and revenue.
        currency: String,
        /// Payout to the partner.
        payout: Money,
        /// Payout type; empty without terms.
        payout_type: String,
        /// Revenue of the network.
        revenue: Money,
        /// Revenue type; empty without terms.
        revenue_type: String,
        /// The terms in JSON; empty for none.
        terms: String,
        /// Whether a repeat had another amount or currency.
        has_conflict: bool,
        /// Reason for a suspected code leak; empty for none.
        suspicion: String,
        /// Notes of the network.
        notes: String,
        /// Strength of the evidence for the attribution.
        evidence_rank: Rank,
        /// Key of its repeats, whether or not it holds the key; `None` for a refund.
        key: Option<[u8; 32]>,
        /// For a refund that waits or is decided by hand: key of its order.
        refund_of: Option<[u8; 32]>,
        /// Equal for messages with equal content.
        likeness: [u8; 32],
        /// Steps of the decision: a JSON array of `{step, detail}`.
        steps: String,
    }
}

impl Conversion {
    /// Whether it is a refund: it reduces an order and counts nothing itself.
    #[must_use]
    pub fn is_refund(&self) -> bool {
        self.refund_of.is_some()
    }
}

/// A conversion with its row number.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversionRow {
    /// Ascending in the order of insertion; never public.
    pub number: u32,
    /// Present state.
    pub conversion: Conversion,
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// Time, in Unix seconds.
    pub time_created: i64,
    /// The event.
    pub action: Action,
    /// `api_key`, `user`, `command_line` or `program`.
    pub actor: String,
    /// Id of the API key; 0 for other actors.
    pub api_key_id: u32,
    /// Name of the API key at that time.
    pub api_key_name: String,
    /// Id of the user; 0 for other actors.
    pub user_id: u32,
    /// Name of the user at that time.
    pub user_name: String,
    /// The postback that caused it.
    pub postback_id: Option<ConversionId>,
    /// Changes by field.
    pub changes: Vec<FieldChange>,
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<ConversionRow> {
    Ok(ConversionRow { number: row.get(0)?, conversion: Conversion::read(row, 1)? })
}

fn select() -> String {
    format!("SELECT number, {} FROM conversion", Conversion::COLUMNS.join(","))
}

/// Finds a conversion by id.
pub fn get(connection: &ReadTx<'_>, id: ConversionId) -> Result<Option<ConversionRow>, StoreError> {
    let sql = format!("{} WHERE id = ?1", select());
    Ok(connection.prepare_cached(&sql)?.query_row([id], read_row).optional()?)
}

/// History of a conversion, oldest first.
pub fn history(connection: &ReadTx<'_>, number: u32) -> Result<Vec<HistoryEntry>, StoreError> {
    let sql = "SELECT time_created, action, actor, ifnull(api_key_id, 0), api_key_name, \
               ifnull(user_id, 0), user_name, postback_id, changes FROM conversion_history WHERE number = ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let entries = statement.query_map([number], |row| {
        let changes = serde_json::from_str(row.get_ref(8)?.as_str()?).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(8, Type::Text, Box::new(error))
        })?;
        Ok(HistoryEntry {
            time_created: row.get(0)?,
            action: row.get(1)?,
            actor: row.get(2)?,
            api_key_id: row.get(3)?,
            api_key_name: row.get(4)?,
            user_id: row.get(5)?,
            user_name: row.get(6)?,
            postback_id: row.get(7)?,
            changes,
        })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}

/// Adds a conversion. If it counts at once, the caller also turns its visit into a click.
pub fn insert(tx: &WriteTx<'_>, conversion: &Conversion) -> Result<ConversionRow, StoreError> {
    let sql = Conversion::insert_sql("conversion");
    let number = tx.prepare_cached(&sql)?.insert(conversion.values().as_slice())?;
    let number = u32::try_from(number).map_err(|_| StoreError::Full)?;
    caps::add_conversion(tx, conversion)?;
    if conversion.status == Status::Approved {
        list::remember_converted(tx, &conversion.transaction_id)?;
    }
    Ok(ConversionRow { number, conversion: conversion.clone() })
}

/// Writes all changeable fields: status, amounts, notes, flags and key. The visit of a conversion
/// that counts from now on becomes a click at the latest with the next click ingest.
pub fn update(tx: &WriteTx<'_>, row: &ConversionRow) -> Result<(), StoreError> {
    let sql = "UPDATE conversion SET time_saved = ?2, status = ?3, error_code = ?4, \
               sale_amount = ?5, payout = ?6, revenue = ?7, terms = ?8, has_conflict = ?9, \
               notes = ?10, amount = ?11, key = ?12 WHERE number = ?1";
    let now = &row.conversion;
    caps::change_conversion(tx, row.number, now)?;
    tx.prepare_cached(sql)?.execute((
        row.number,
        tx.now(),
        now.status,
        now.error_code,
        now.sale_amount,
        now.payout,
        now.revenue,
        &now.terms,
        now.has_conflict,
        &now.notes,
        now.amount,
        now.key,
    ))?;
    if now.status == Status::Approved
        && !now.is_refund()
        && let Some(place) = list::remember_converted(tx, &now.transaction_id)?
    {
        bot_list::mark_converted_from(tx, place)?;
    }
    Ok(())
}

/// Reads platform and browser out of the user agents of all conversions without them.
pub fn fill_agents(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let sql = "SELECT number, click_user_agent FROM conversion \
               WHERE number > ?1 AND platform = '' AND click_user_agent <> '' \
               ORDER BY number LIMIT 10000";
    let mut update =
        tx.prepare_cached("UPDATE conversion SET platform = ?2, browser = ?3 WHERE number = ?1")?;
    let mut after = 0;
    loop {
        let mut statement = tx.prepare_cached(sql)?;
        let rows = statement.query_map([after], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(u32, String)> = rows.collect::<Result<_, _>>()?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = *last;
        for (number, user_agent) in rows {
            let agent = Agent::identify(user_agent.as_bytes(), &ClientHints::default());
            update.execute((number, agent.platform.as_str(), agent.browser.as_str()))?;
        }
    }
}

/// Looks up the places of all visitors whose city is not known.
pub fn fill_places(
    tx: &WriteTx<'_>,
    look_up: impl Fn(IpAddr) -> VisitPlace,
) -> Result<(), StoreError> {
    let sql = "SELECT number, click_address FROM conversion \
               WHERE number > ?1 AND city = '' AND click_address <> '' \
               ORDER BY number LIMIT 10000";
    let mut update = tx.prepare_cached(
        "UPDATE conversion SET country = ?2, region = ?3, city = ?4 WHERE number = ?1",
    )?;
    let mut after = 0;
    loop {
        let mut statement = tx.prepare_cached(sql)?;
        let rows = statement.query_map([after], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(u32, String)> = rows.collect::<Result<_, _>>()?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = *last;
        for (number, address) in rows {
            let place = address.parse().map(&look_up).unwrap_or_default();
            if place != VisitPlace::default() {
                update.execute((number, place.country, place.region, place.city))?;
            }
        }
    }
}

/// Adds a history entry; the actor is the transaction's.
pub fn record_history(
    tx: &WriteTx<'_>,
    number: u32,
    action: Action,
    postback: Option<ConversionId>,
    changes: &[FieldChange],
) -> Result<(), StoreError> {
    let actor = tx.origin().actor;
    let changes = serde_json::to_string(changes)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let sql = "INSERT INTO conversion_history (number, time_created, action, actor, api_key_id, \
               api_key_name, user_id, user_name, postback_id, changes) VALUES (?1, ?2, ?3, ?4, ?5, \
               ifnull((SELECT name FROM api_key WHERE id = ?5), ''), ?6, \
               ifnull((SELECT name FROM user WHERE id = ?6), ''), ?7, ?8)";
    tx.prepare_cached(sql)?.execute((
        number,
        tx.now(),
        action,
        actor.as_str(),
        actor.api_key_id(),
        actor.user_id(),
        postback,
        changes,
    ))?;
    Ok(())
}

/// Number of the last change to a conversion; 0 for none.
pub fn last_change(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT ifnull(max(id), 0) FROM conversion_history";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Conversions with a key, in order of insertion.
pub fn with_key(connection: &ReadTx<'_>, key: &[u8; 32]) -> Result<Vec<ConversionRow>, StoreError> {
    let sql = format!(
        "{} INDEXED BY conversion_with_key WHERE key = ?1 AND key IS NOT NULL \
         AND error_code NOT IN (3, 11, 21, 1011, 1013, 1014, 1020) ORDER BY number LIMIT {MOST}",
        select()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([key], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Most rows of one key: at most one per rank stands, and refused ones are kept once per reason and
/// rank.
const MOST: usize = 100;

/// The latest possibly counting conversion since `from_ms` with equal content.
pub fn find_possible_duplicate(
    connection: &ReadTx<'_>,
    content_hash: &[u8; 32],
    from_ms: u64,
) -> Result<Option<ConversionRow>, StoreError> {
    let sql = format!(
        "{} WHERE likeness = ?1 AND unix_ms >= ?2 AND status IN ('approved', 'pending') \
         ORDER BY unix_ms DESC LIMIT 1",
        select()
    );
    Ok(connection.prepare_cached(&sql)?.query_row((content_hash, from_ms), read_row).optional()?)
}

#[cfg(test)]
pub(crate) mod tests;
