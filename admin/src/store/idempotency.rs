//! Creations that were answered, so that a repetition is answered alike and creates nothing.
//!
//! The answer is kept in the transaction of the creation: a crash leaves both or neither. The one
//! writer does twins one after the other, so the second finds what the first left. Rows are kept
//! for [`KEPT_SECONDS`], longer while the clock cannot be trusted, and are bounded in number for each
//! key: what cannot be promised is refused.

use rusqlite::OptionalExtension;

use super::meta::Sequence;
use super::{ReadTx, StoreError, WriteTx, removal_clock};

/// How long an answer is kept at least.
pub const KEPT_SECONDS: i64 = 24 * 60 * 60;
/// Answers kept at once for one API key.
pub const MAX_PER_KEY: u64 = 100_000;

/// An answer as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Of the request that it answered.
    pub fingerprint: [u8; 32],
    /// The answer's body.
    pub body: Vec<u8>,
    /// The answer's entity tag, or nothing.
    pub etag: String,
    /// The change's place in the sequence.
    pub sequence: Option<Sequence>,
}

/// What was answered to this key of this caller, if it is still kept.
///
/// # Errors
/// When SQLite fails.
pub fn find(
    connection: &ReadTx<'_>,
    api_key_id: u32,
    key: &str,
) -> Result<Option<StoredResponse>, StoreError> {
    let sql = "SELECT fingerprint, body, etag, change_seq FROM idempotency \
               WHERE api_key_id = ?1 AND key = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((api_key_id, key), |row| {
        Ok(StoredResponse {
            fingerprint: row.get(0)?,
            body: row.get(1)?,
            etag: row.get(2)?,
            sequence: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}

/// How many answers are kept for a caller.
///
/// # Errors
/// When SQLite fails.
pub fn count(connection: &ReadTx<'_>, api_key_id: u32) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM idempotency WHERE api_key_id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([api_key_id], |row| row.get(0))?)
}

/// Keeps an answer.
///
/// # Errors
/// When SQLite fails.
pub fn keep(
    tx: &WriteTx<'_>,
    api_key_id: u32,
    key: &str,
    response: &StoredResponse,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO idempotency (api_key_id, key, fingerprint, body, etag, change_seq, time_created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let StoredResponse { fingerprint, body, etag, sequence } = response;
    let values = (api_key_id, key, fingerprint, body, etag, sequence, tx.now());
    tx.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Removes what is older than the promise, where the clock can be trusted.
///
/// # Errors
/// When SQLite fails.
pub fn expire(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let Some(now) = removal_clock::removal_time(tx)? else { return Ok(()) };
    let now = i64::try_from(now.unix_ms() / 1000).unwrap_or(i64::MAX);
    let sql = "DELETE FROM idempotency WHERE time_created <= ?1";
    tx.prepare_cached(sql)?.execute([now - KEPT_SECONDS])?;
    Ok(())
}
