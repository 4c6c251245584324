//! Stored answers of creations, so a repeated request gets the same answer and creates nothing.
//!
//! The answer is stored in the transaction of the creation: a crash leaves both or neither. The
//! single writer processes concurrent repeats one after the other, so the second finds the first.
//! Answers are kept for [`KEPT_SECONDS`], longer while the clock is not trusted; their number per
//! caller is bounded, and creations above the bound are refused.

use rusqlite::OptionalExtension;

use super::meta::Sequence;
use super::origin::Actor;
use super::{ReadTx, StoreError, WriteTx, removal_clock};

/// Least retention of an answer.
pub const KEPT_SECONDS: i64 = 24 * 60 * 60;
/// Most stored answers of an API key or a user.
pub const MAX_PER_CALLER: u64 = 100_000;

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Fingerprint of the request.
    pub fingerprint: [u8; 32],
    /// Body of the answer.
    pub body: Vec<u8>,
    /// Entity tag of the answer; empty for none.
    pub etag: String,
    /// Change sequence of the creation.
    pub sequence: Option<Sequence>,
}

/// The API key or the user that creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatingCaller {
    actor: &'static str,
    id: u32,
}

impl RepeatingCaller {
    /// `None` for other actors, who never repeat a request.
    #[must_use]
    pub fn from_actor(actor: Actor) -> Option<RepeatingCaller> {
        let id = actor.api_key_id().or(actor.user_id())?;
        Some(RepeatingCaller { actor: actor.as_str(), id })
    }
}

/// Finds the stored answer for this key of this caller.
pub fn find(
    connection: &ReadTx<'_>,
    caller: RepeatingCaller,
    key: &str,
) -> Result<Option<StoredResponse>, StoreError> {
    let sql = "SELECT fingerprint, body, etag, change_seq FROM idempotency \
               WHERE actor = ?1 AND actor_id = ?2 AND key = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((caller.actor, caller.id, key), |row| {
        Ok(StoredResponse {
            fingerprint: row.get(0)?,
            body: row.get(1)?,
            etag: row.get(2)?,
            sequence: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}

/// Number of stored answers of a caller.
pub fn count(connection: &ReadTx<'_>, caller: RepeatingCaller) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM idempotency WHERE actor = ?1 AND actor_id = ?2";
    Ok(connection.prepare_cached(sql)?.query_row((caller.actor, caller.id), |row| row.get(0))?)
}

/// Stores an answer.
pub fn keep(
    tx: &WriteTx<'_>,
    caller: RepeatingCaller,
    key: &str,
    response: &StoredResponse,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO idempotency \
               (actor, actor_id, key, fingerprint, body, etag, change_seq, time_created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let StoredResponse { fingerprint, body, etag, sequence } = response;
    let values = (caller.actor, caller.id, key, fingerprint, body, etag, sequence, tx.now());
    tx.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Removes expired answers, if the clock is trusted.
pub fn expire(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let Some(now) = removal_clock::removal_time(tx)? else { return Ok(()) };
    let now = i64::try_from(now.unix_ms() / 1000).unwrap_or(i64::MAX);
    let sql = "DELETE FROM idempotency WHERE time_created <= ?1";
    tx.prepare_cached(sql)?.execute([now - KEPT_SECONDS])?;
    Ok(())
}
