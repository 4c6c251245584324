//! Postbacks as received, their results, and postbacks that are still [`waiting`].
//!
//! The unique index on the postback id makes a repeated delivery harmless. The message itself, with
//! its secrets, is kept only while the postback waits.

use coupon_shared::node_identity::StoreId;
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
    /// Verdict in the answer to a postback.
    VerdictWord {
        /// Not decided yet.
        Queued = "queued",
        /// The conversion counts.
        Approved = "approved",
        /// The conversion waits for approval.
        Pending = "pending",
        /// The conversion does not count.
        Rejected = "rejected",
        /// Unreadable, or without a known partner.
        Invalid = "invalid",
    }
}

words! {
    /// Effect of a postback.
    Outcome {
        /// None yet: its click has not arrived, or an earlier postback about possibly the same sale
        /// waits for its click.
        Waits = "waits",
        /// Made a conversion.
        Made = "made",
        /// Repeated an earlier report.
        Repeats = "repeats",
        /// Repeated an earlier report with another amount.
        Conflicts = "conflicts",
        /// Reduced a conversion.
        Refunds = "refunds",
        /// None: it names nothing known, or its form is unknown to this program.
        Unreadable = "unreadable",
    }
}

word_columns!(VerdictWord, Outcome);

columns! {
    /// A postback with its result.
    Postback {
        /// Assigned by the daemon.
        id: ConversionId,
        /// The daemon's spool of the delivery.
        spool: [u8; 16],
        /// Sequence in the spool.
        sequence: u64,
        /// Time of reception.
        received_ms: u64,
        /// Node that received it.
        node: u16,
        /// Channel of reception.
        channel: Channel,
        /// Whether it was a POST.
        is_post: bool,
        /// Personal: sender's address.
        address: String,
        /// Requested host.
        host: String,
        /// Personal: sender's user agent.
        user_agent: String,
        /// Personal: sender's page.
        referer: String,
        /// Content type of the body.
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
        /// Folded for look-ups.
        folded_code: String,
        /// `oid`; 0 for none.
        offer_id: u32,
        /// `affid`; 0 for none.
        affiliate_id: u32,
        /// As sent.
        event: String,
        /// As sent.
        order_id: String,
        /// As parsed.
        amount: String,
        /// As sent.
        currency: String,
        /// Personal: as sent.
        email: String,
        /// Verdict in the answer.
        verdict: VerdictWord,
        /// Effect.
        outcome: Outcome,
        /// Reason against counting; 0 for none.
        error_code: u32,
        /// The reason as a sentence.
        error: String,
        /// The conversion made, repeated or reduced.
        conversion_id: Option<ConversionId>,
        /// Time of the decision; 0 while it waits.
        decided_ms: u64,
        /// Steps of the decision: a JSON array of `{step, detail}`.
        steps: String,
        /// Bytes of a message that this program cannot read.
        raw: Option<Vec<u8>>,
        /// Size of the row if the postback identifies nothing, otherwise 0.
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

/// How far each spool of a data folder has come, latest first, with the spools whose folder is not
/// known; of all folders where `store` is `None`.
pub fn cursors(
    connection: &ReadTx<'_>,
    store: Option<StoreId>,
) -> Result<Vec<(SpoolId, u64)>, StoreError> {
    let sql = "SELECT id, last_sequence FROM postback_spool
         WHERE ?1 IS NULL OR store_id IS NULL OR store_id = ?1
         ORDER BY time_saved DESC, id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement
        .query_map([store.map(|store| store.0)], |row| Ok((SpoolId(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How far a spool has come.
pub fn last_sequence(connection: &ReadTx<'_>, spool: SpoolId) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT last_sequence FROM postback_spool WHERE id = ?1";
    let last = connection.prepare_cached(sql)?.query_row([spool.0], |row| row.get(0));
    Ok(last.optional()?)
}

/// How many sequences of all spools were passed over.
pub fn missing(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(sum(missing), 0) FROM postback_spool";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Moves a spool forward, never back, and adds to what it misses.
pub fn advance(
    tx: &WriteTx<'_>,
    spool: SpoolId,
    store: Option<StoreId>,
    last_sequence: u64,
    missing: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO postback_spool (id, last_sequence, missing, time_saved, store_id)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
         SET last_sequence = max(last_sequence, excluded.last_sequence),
             missing = missing + excluded.missing, time_saved = excluded.time_saved,
             store_id = coalesce(excluded.store_id, store_id)";
    let store = store.map(|store| store.0);
    tx.prepare_cached(sql)?.execute((spool.0, last_sequence, missing, tx.now(), store))?;
    Ok(())
}
