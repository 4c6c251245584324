//! Conversions: one row each, with the key by which repeats of it are known, and what happened to them.
//!
//! A row is never removed. Every change of one is written together with an entry of its history;
//! nothing changes or removes an entry. What a conversion says of its click was copied when it was
//! made, so it stays when the click itself is forgotten.

use std::fmt;
use std::str::FromStr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{OptionalExtension, Row};

use super::audit::FieldChange;
use super::origin::Actor;
use super::{ReadTx, StoreError, WriteTx, bot_list};
use crate::catalog::Money;
use crate::catalog::words::words;

mod leaks;
mod list;
pub mod recorded;
pub mod refunds;

pub use crate::attribution::rank::Rank;
pub use crate::attribution::status::Status;
pub use leaks::{Leak, leaks};
pub use list::{Filters, Page, converted_visits, each, is_converted, list, was_converted};

words! {
    /// By which way a postback came.
    Channel {
        /// From the advertiser's server.
        Server = "server",
        /// From a page, by the script.
        Sdk = "sdk",
    }
}

words! {
    /// What happened to a conversion.
    Action {
        /// It was made.
        Created = "created",
        /// Its status was changed.
        Status = "status",
        /// Its amounts or notes were changed by hand, or a later postback told its amount.
        Adjusted = "adjusted",
        /// A negative amount took back from it.
        Refund = "refund",
        /// It was reported again with another amount or currency.
        Conflict = "conflict",
    }
}

/// The id of a conversion, and of the postback that made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversionId(pub [u8; 16]);

/// Why a text is no conversion's id.
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

/// A struct whose fields are columns of the same names, read and written in one order.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl $name {
            /// The columns, in the order in which they are read and written.
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
    /// A conversion as it stands.
    Conversion {
        /// Of the postback that made it.
        id: ConversionId,
        /// When it came.
        unix_ms: u64,
        /// When it was last changed, in Unix seconds.
        time_saved: i64,
        /// What became of it.
        status: Status,
        /// Why it does not count, or not as yet; 0 for nothing.
        error_code: u32,
        /// The offer; 0 where there is none.
        offer_id: u32,
        /// The partner; 0 where there is none.
        affiliate_id: u32,
        /// The advertiser; 0 where there is none.
        advertiser_id: u32,
        /// The row of the code; 0 where there is none.
        code_id: u32,
        /// The code, as its author typed it, or as it was sent where nobody has it.
        coupon_code: String,
        /// The code, as it is looked up.
        folded_code: String,
        /// What identified it; empty where nothing did.
        method: String,
        /// By which way it came.
        channel: Channel,
        /// The event's entry; 0 for the base conversion.
        event_id: u32,
        /// The event's name.
        event_name: String,
        /// The click that counts; empty for none.
        transaction_id: String,
        /// When the click was; 0 for none.
        click_ms: u64,
        /// Personal: the visitor's address.
        click_address: String,
        /// Personal: the visitor's browser.
        click_user_agent: String,
        /// Personal: where the visitor came from.
        click_referer: String,
        /// Personal: the visitor's languages.
        click_language: String,
        /// Of the click, else of the postback.
        sub1: String,
        /// Of the click, else of the postback.
        sub2: String,
        /// Of the click, else of the postback.
        sub3: String,
        /// Of the click, else of the postback.
        sub4: String,
        /// Of the click, else of the postback.
        sub5: String,
        /// Of the click.
        source_id: String,
        /// Of the click.
        uid: String,
        /// Of the click: two upper-case letters, where it is known.
        country: String,
        /// Of the click: `desktop`, `mobile`, `tablet` or `other`.
        device_type: String,
        /// Personal: where the postback came from.
        address: String,
        /// Personal: its sender's program.
        user_agent: String,
        /// Personal: its page.
        referer: String,
        /// The advertiser's number of the sale.
        order_id: String,
        /// Personal: the buyer's.
        email: String,
        /// The advertiser's own words.
        adv1: String,
        /// The advertiser's own words.
        adv2: String,
        /// The advertiser's own words.
        adv3: String,
        /// The advertiser's own words.
        adv4: String,
        /// The advertiser's own words.
        adv5: String,
        /// As first reported; none where no amount was said. Below zero for a refund.
        amount: Option<Money>,
        /// After refunds and adjustments; nothing for a refund.
        sale_amount: Money,
        /// In which it was reported: of the amount and of what was sold.
        sale_currency: String,
        /// Of payout and revenue.
        currency: String,
        /// To the partner.
        payout: Money,
        /// What the partner is paid for; empty where there were no terms.
        payout_type: String,
        /// To the network.
        revenue: Money,
        /// What the advertiser pays for; empty where there were no terms.
        revenue_type: String,
        /// The terms in JSON; empty where there were none.
        terms: String,
        /// It was reported again with another amount or currency.
        has_conflict: bool,
        /// Why its code may have leaked; empty for no suspicion.
        suspicion: String,
        /// The network's own.
        notes: String,
        /// How well it is proved whose it is.
        evidence_rank: Rank,
        /// By which repeats of it are known, whether it holds that key or not; none for a refund.
        key: Option<[u8; 32]>,
        /// Of a refund that waits or that somebody decides: the key of its order.
        refund_of: Option<[u8; 32]>,
        /// Alike for messages that say the same.
        likeness: [u8; 32],
        /// How it was decided: a JSON array of `{step, detail}`.
        steps: String,
    }
}

impl Conversion {
    /// It takes back from an order, and counts as nothing itself.
    #[must_use]
    pub fn is_refund(&self) -> bool {
        self.refund_of.is_some()
    }
}

/// A conversion and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversionRow {
    /// Grows with every conversion; never shown outside.
    pub number: u32,
    /// As it stands.
    pub conversion: Conversion,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// When, in Unix seconds.
    pub time_created: i64,
    /// What.
    pub action: Action,
    /// `api_key`, `command_line` or `program`.
    pub actor: String,
    /// Of an API key: which; 0 otherwise.
    pub api_key_id: u32,
    /// As it was called then.
    pub api_key_name: String,
    /// The postback that did it.
    pub postback_id: Option<ConversionId>,
    /// Field by field.
    pub changes: Vec<FieldChange>,
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<ConversionRow> {
    Ok(ConversionRow { number: row.get(0)?, conversion: Conversion::read(row, 1)? })
}

fn select() -> String {
    format!("SELECT number, {} FROM conversion", Conversion::COLUMNS.join(","))
}

/// The conversion with this id.
///
/// # Errors
/// When SQLite fails.
pub fn get(connection: &ReadTx<'_>, id: ConversionId) -> Result<Option<ConversionRow>, StoreError> {
    let sql = format!("{} WHERE id = ?1", select());
    Ok(connection.prepare_cached(&sql)?.query_row([id], read_row).optional()?)
}

/// What happened to it, the first first.
///
/// # Errors
/// When SQLite fails.
pub fn history(connection: &ReadTx<'_>, number: u32) -> Result<Vec<HistoryEntry>, StoreError> {
    let sql = "SELECT time_created, action, actor, ifnull(api_key_id, 0), api_key_name, \
               postback_id, changes FROM conversion_history WHERE number = ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let entries = statement.query_map([number], |row| {
        let changes = serde_json::from_str(row.get_ref(6)?.as_str()?).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(6, Type::Text, Box::new(error))
        })?;
        Ok(HistoryEntry {
            time_created: row.get(0)?,
            action: row.get(1)?,
            actor: row.get(2)?,
            api_key_id: row.get(3)?,
            api_key_name: row.get(4)?,
            postback_id: row.get(5)?,
            changes,
        })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}

/// Adds a conversion. The visit of one that counts at once is turned into a click by who decided it,
/// and has it at hand.
///
/// # Errors
/// When SQLite fails.
pub fn insert(tx: &WriteTx<'_>, conversion: &Conversion) -> Result<ConversionRow, StoreError> {
    let sql = Conversion::insert_sql("conversion");
    let number = tx.prepare_cached(&sql)?.insert(conversion.values().as_slice())?;
    let number = u32::try_from(number).map_err(|_| StoreError::Full)?;
    if conversion.status == Status::Approved {
        list::remember_converted(tx, &conversion.transaction_id)?;
    }
    Ok(ConversionRow { number, conversion: conversion.clone() })
}

/// Writes all that can change of a conversion: status, amounts, notes, flags and key. The visit of one
/// that counts from now on is turned into a click as soon as clicks are taken in, at the latest.
///
/// # Errors
/// When SQLite fails.
pub fn update(tx: &WriteTx<'_>, row: &ConversionRow) -> Result<(), StoreError> {
    let sql = "UPDATE conversion SET time_saved = ?2, status = ?3, error_code = ?4, \
               sale_amount = ?5, payout = ?6, revenue = ?7, terms = ?8, has_conflict = ?9, \
               notes = ?10, amount = ?11, key = ?12 WHERE number = ?1";
    let now = &row.conversion;
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

/// Adds an entry to the history; who did it stands in the transaction.
///
/// # Errors
/// When SQLite fails.
pub fn record_history(
    tx: &WriteTx<'_>,
    number: u32,
    action: Action,
    postback: Option<ConversionId>,
    changes: &[FieldChange],
) -> Result<(), StoreError> {
    let (actor, key) = match tx.origin().actor {
        Actor::ApiKey(id) => ("api_key", Some(id)),
        Actor::CommandLine => ("command_line", None),
        Actor::Program => ("program", None),
    };
    let changes = serde_json::to_string(changes)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let sql = "INSERT INTO conversion_history (number, time_created, action, actor, api_key_id, \
               api_key_name, postback_id, changes) VALUES (?1, ?2, ?3, ?4, ?5, \
               ifnull((SELECT name FROM api_key WHERE id = ?5), ''), ?6, ?7)";
    tx.prepare_cached(sql)?.execute((number, tx.now(), action, actor, key, postback, changes))?;
    Ok(())
}

/// The conversions with a key that can be spoken of, in the order in which they were made.
///
/// # Errors
/// When SQLite fails.
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

/// Read of one key: those that stand are at most as many as there are ranks, and what was refused is
/// kept once for each reason and rank.
const MOST: usize = 100;

/// The latest conversion since `from_ms` that may count and was made by a message that says the same.
///
/// # Errors
/// When SQLite fails.
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
