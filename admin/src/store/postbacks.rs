//! Postbacks as they came, what became of each, and those that still wait for their click.
//!
//! A postback is known by its id: the unique index on it is what makes a second delivery harmless.
//! The message itself, with its secrets, is kept only while it waits.

use rusqlite::{Connection, OptionalExtension};

use super::conversions::{Channel, ConversionId, columns, word_columns};
use super::{StoreError, WriteTx};
use crate::catalog::words::words;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

words! {
    /// What a postback is answered.
    VerdictWord {
        /// It is not decided yet.
        Queued = "queued",
        /// It counts.
        Approved = "approved",
        /// Somebody has to decide.
        Pending = "pending",
        /// It does not count.
        Rejected = "rejected",
        /// It cannot be read, or nobody can be named.
        Invalid = "invalid",
    }
}

words! {
    /// What a postback did.
    Outcome {
        /// Nothing yet: its click has not come.
        Waits = "waits",
        /// It made a conversion.
        Made = "made",
        /// It said again what had been said.
        Repeats = "repeats",
        /// It said another amount of what had been said.
        Conflicts = "conflicts",
        /// It took back from a conversion.
        Refunds = "refunds",
        /// Nothing: it is not of a form that this program reads.
        Unreadable = "unreadable",
    }
}

word_columns!(VerdictWord, Outcome);

columns! {
    /// A postback and what became of it.
    Postback {
        /// Given by the daemon.
        id: ConversionId,
        /// The daemon's spool that delivered it.
        spool: [u8; 16],
        /// Its place there.
        sequence: u64,
        /// When it came.
        received_ms: u64,
        /// Which node took it.
        node: u16,
        /// By which way it came.
        channel: Channel,
        /// It was a POST.
        is_post: bool,
        /// Personal: where from.
        address: String,
        /// The host it was sent to.
        host: String,
        /// Personal: its sender's program.
        user_agent: String,
        /// Personal: its page.
        referer: String,
        /// Of the body.
        content_type: String,
        /// Personal: as sent, without secrets.
        query: String,
        /// Personal: as sent, without secrets.
        body: String,
        /// `nid`; 0 for none.
        network_id: u32,
        /// As sent.
        transaction_id: String,
        /// As sent.
        coupon_code: String,
        /// As it is looked up.
        folded_code: String,
        /// `oid`; 0 for none.
        offer_id: u32,
        /// `affid`; 0 for none.
        affiliate_id: u32,
        /// As sent.
        event: String,
        /// As sent.
        order_id: String,
        /// As read.
        amount: String,
        /// As sent.
        currency: String,
        /// Personal: as sent.
        email: String,
        /// What it is answered.
        verdict: VerdictWord,
        /// What it did.
        outcome: Outcome,
        /// Why not; 0 for nothing.
        error_code: u32,
        /// The same as a sentence.
        error: String,
        /// The conversion that it made, repeats or takes back from.
        conversion_id: Option<ConversionId>,
        /// When that was decided; 0 while it waits.
        decided_ms: u64,
        /// How: a JSON array of `{step, detail}`.
        steps: String,
    }
}

/// A postback and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct PostbackRow {
    /// Grows with every postback.
    pub number: u64,
    /// As it stands.
    pub postback: Postback,
}

/// The postback with this id.
///
/// # Errors
/// When SQLite fails.
pub fn get(connection: &Connection, id: ConversionId) -> Result<Option<PostbackRow>, StoreError> {
    let sql = format!("SELECT number, {} FROM postback WHERE id = ?1", Postback::COLUMNS.join(","));
    let row = connection.prepare_cached(&sql)?.query_row([id], |row| {
        Ok(PostbackRow { number: row.get(0)?, postback: Postback::read(row, 1)? })
    });
    Ok(row.optional()?)
}

/// Adds a postback and answers its number.
///
/// # Errors
/// When SQLite fails, also because it is here already.
pub fn insert(tx: &WriteTx<'_>, postback: &Postback) -> Result<u64, StoreError> {
    let sql = Postback::insert_sql("postback");
    let number = tx.prepare_cached(&sql)?.insert(postback.values().as_slice())?;
    Ok(number.unsigned_abs())
}

/// Writes what became of a postback that waited.
///
/// # Errors
/// When SQLite fails.
pub fn decide(tx: &WriteTx<'_>, row: &PostbackRow) -> Result<(), StoreError> {
    let sql = "UPDATE postback SET verdict = ?2, outcome = ?3, error_code = ?4, error = ?5, \
               conversion_id = ?6, decided_ms = ?7, steps = ?8 WHERE number = ?1";
    let now = &row.postback;
    tx.prepare_cached(sql)?.execute((
        row.number,
        now.verdict,
        now.outcome,
        now.error_code,
        &now.error,
        now.conversion_id,
        now.decided_ms,
        &now.steps,
    ))?;
    Ok(())
}
