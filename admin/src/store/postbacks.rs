//! Postbacks as they came, what became of each, and those that are still [`waiting`].
//!
//! A postback is known by its id: the unique index on it is what makes a second delivery harmless.
//! The message itself, with its secrets, is kept only while it waits.

use coupon_shared::postback::SpoolId;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, Row};

use super::conversions::{Channel, ConversionId, columns, word_columns};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::words::words;

pub mod log;
pub mod unidentified;
pub mod waiting;

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
        /// Nothing yet: its click has not come, or an earlier postback that may be about the same
        /// sale waits for its own.
        Waits = "waits",
        /// It made a conversion.
        Made = "made",
        /// It said again what had been said.
        Repeats = "repeats",
        /// It said another amount of what had been said.
        Conflicts = "conflicts",
        /// It took back from a conversion.
        Refunds = "refunds",
        /// Nothing: it names nothing that is known, or is not of a form that this program reads.
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
        /// Of a message that this program cannot read: its bytes.
        raw: Option<Vec<u8>>,
        /// What the row takes where it identifies nothing, else 0.
        unidentified_bytes: u64,
    }
}

impl Postback {
    /// A row without any fields: invalid, undecided, received at time 0.
    pub(crate) fn empty(id: ConversionId) -> Postback {
        Postback {
            id,
            spool: [0; 16],
            sequence: 0,
            received_ms: 0,
            node: 0,
            channel: Channel::Server,
            is_post: false,
            address: String::new(),
            host: String::new(),
            user_agent: String::new(),
            referer: String::new(),
            content_type: String::new(),
            query: String::new(),
            body: String::new(),
            network_id: 0,
            transaction_id: String::new(),
            coupon_code: String::new(),
            folded_code: String::new(),
            offer_id: 0,
            affiliate_id: 0,
            event: String::new(),
            order_id: String::new(),
            amount: String::new(),
            currency: String::new(),
            email: String::new(),
            verdict: VerdictWord::Invalid,
            outcome: Outcome::Unreadable,
            error_code: 0,
            error: String::new(),
            conversion_id: None,
            decided_ms: 0,
            steps: "[]".into(),
            raw: None,
            unidentified_bytes: 0,
        }
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
pub fn get(connection: &ReadTx<'_>, id: ConversionId) -> Result<Option<PostbackRow>, StoreError> {
    let sql = format!("SELECT number, {} FROM postback WHERE id = ?1", Postback::COLUMNS.join(","));
    Ok(connection.prepare_cached(&sql)?.query_row([id], read_row).optional()?)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<PostbackRow> {
    Ok(PostbackRow { number: row.get(0)?, postback: Postback::read(row, 1)? })
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

/// Whether a postback said this amount in this currency of a conversion before, and was kept as a
/// conflict.
///
/// # Errors
/// When SQLite fails.
pub fn has_conflict(
    connection: &ReadTx<'_>,
    conversion: ConversionId,
    amount: &str,
    currency: &str,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM postback WHERE conversion_id = ?1 AND outcome = 'conflicts' \
               AND amount = ?2 AND currency = ?3";
    Ok(connection.prepare_cached(sql)?.exists((conversion, amount, currency))?)
}

/// How far each spool has come.
///
/// # Errors
/// When SQLite fails.
pub fn cursors(connection: &ReadTx<'_>) -> Result<Vec<(SpoolId, u64)>, StoreError> {
    let sql = "SELECT id, last_sequence FROM postback_spool ORDER BY time_saved DESC, id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((SpoolId(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many sequences of all spools were passed over.
///
/// # Errors
/// When SQLite fails.
pub fn missing(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(sum(missing), 0) FROM postback_spool";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Moves a spool forward, never back, and adds to what it misses.
///
/// # Errors
/// When SQLite fails.
pub fn advance(
    tx: &WriteTx<'_>,
    spool: SpoolId,
    last_sequence: u64,
    missing: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO postback_spool (id, last_sequence, missing, time_saved)
         VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE
         SET last_sequence = max(last_sequence, excluded.last_sequence),
             missing = missing + excluded.missing, time_saved = excluded.time_saved";
    tx.prepare_cached(sql)?.execute((spool.0, last_sequence, missing, tx.now()))?;
    Ok(())
}
