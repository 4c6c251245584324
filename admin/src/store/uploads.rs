//! Uploads with their results. Their rows are staged in files of their own.

use rusqlite::{OptionalExtension, Row};

use super::meta::Sequence;
use super::rows::{Listed, Page, word};
use super::staging::Intent;
use super::{ReadTx, StoreError, WriteTx, removal_clock};
use crate::catalog::Encoding;

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Never reused.
    pub id: u32,
    /// Mode and options.
    pub intent: Intent,
    /// File of its staged rows, in the upload folder.
    pub file_name: String,
    /// Creation time, in Unix seconds.
    pub time_created: i64,
    /// Expiry, in Unix seconds.
    pub time_expires: i64,
    /// Result of its commit.
    pub outcome: Option<Outcome>,
    /// The encoding that the file shows, while its rows are not read: the file is as received then.
    pub unread: Option<Encoding>,
}

/// Result of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Commit time, in Unix seconds.
    pub time_committed: i64,
    /// New codes.
    pub created: u64,
    /// Changed codes.
    pub updated: u64,
    /// Rows without a change.
    pub unchanged: u64,
    /// Skipped faulty rows.
    pub skipped: u64,
    /// Change sequence; `None` if no code changed.
    pub sequence: Option<Sequence>,
    /// The job by which the upload can be reverted; `None` if no code changed or the job is removed.
    pub job_id: Option<u32>,
}

const SELECT: &str = "SELECT id, mode, allow_reissue, file_name, time_created, time_expires, time_committed, created, \
    updated, unchanged, skipped, change_seq, (SELECT j.id FROM job j WHERE j.upload_id = coupon_code_upload.id), \
    unread_encoding FROM coupon_code_upload";

fn read(row: &Row<'_>) -> rusqlite::Result<Upload> {
    let outcome = Outcome {
        time_committed: row.get(6)?,
        created: row.get(7)?,
        updated: row.get(8)?,
        unchanged: row.get(9)?,
        skipped: row.get(10)?,
        sequence: row.get(11)?,
        job_id: row.get(12)?,
    };
    Ok(Upload {
        id: row.get(0)?,
        intent: Intent { mode: word(row, 1)?, allow_reissue: row.get(2)? },
        file_name: row.get(3)?,
        time_created: row.get(4)?,
        time_expires: row.get(5)?,
        outcome: Some(outcome).filter(|outcome| outcome.time_committed != 0),
        unread: row.get::<_, Option<String>>(13)?.map(|_| word(row, 13)).transpose()?,
    })
}

/// Records an upload whose file is durable: its rows are staged, or it is as received.
pub fn insert(
    tx: &WriteTx<'_>,
    intent: Intent,
    file_name: &str,
    unread: Option<Encoding>,
    keep_seconds: i64,
) -> Result<Upload, StoreError> {
    let sql = "INSERT INTO coupon_code_upload (mode, allow_reissue, file_name, time_created, time_expires, \
               unread_encoding) VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id";
    let (created, expires) = (tx.now(), tx.now().saturating_add(keep_seconds));
    let unread = unread.map(Encoding::as_str);
    let values = (intent.mode.as_str(), intent.allow_reissue, file_name, created, expires, unread);
    let id = tx.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    find(tx, id)?.ok_or(StoreError::Aborted)
}

/// Finds an upload by id.
pub fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<Upload>, StoreError> {
    let sql = format!("{SELECT} WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

/// One page of the uploads, newest first.
pub fn list(connection: &ReadTx<'_>, page: Page) -> Result<Listed<Upload>, StoreError> {
    let offset = u64::from(page.number.saturating_sub(1)) * u64::from(page.size);
    let sql = format!("{SELECT} ORDER BY id DESC LIMIT {} OFFSET {offset}", page.size);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    Ok(Listed::new(rows, count(connection)?))
}

/// Number of uploads.
pub fn count(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM coupon_code_upload";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Stores the result of a commit in the transaction of its codes.
pub fn committed(tx: &WriteTx<'_>, id: u32, outcome: &Outcome) -> Result<(), StoreError> {
    let sql = "UPDATE coupon_code_upload SET time_committed = ?2, created = ?3, updated = ?4, unchanged = ?5, \
               skipped = ?6, change_seq = ?7 WHERE id = ?1";
    let Outcome { time_committed, created, updated, unchanged, skipped, sequence, .. } = *outcome;
    let values = (id, time_committed, created, updated, unchanged, skipped, sequence);
    tx.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Sets the staged rows of an upload in the place of its file as received.
pub fn set_read(tx: &WriteTx<'_>, id: u32, file_name: &str) -> Result<(), StoreError> {
    let sql = "UPDATE coupon_code_upload SET file_name = ?2, unread_encoding = NULL WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, file_name))?;
    Ok(())
}

/// Deletes an upload.
pub fn delete(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM coupon_code_upload WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// An expired upload, as far as the clock is trusted.
pub fn expired(connection: &ReadTx<'_>) -> Result<Option<Upload>, StoreError> {
    let Some(now) = removal_clock::removal_time(connection)? else { return Ok(None) };
    let now = i64::try_from(now.unix_ms() / 1000).unwrap_or(i64::MAX);
    let sql = format!("{SELECT} WHERE time_expires <= ?1 ORDER BY id LIMIT 1");
    Ok(connection.prepare_cached(&sql)?.query_row([now], read).optional()?)
}

/// Names of all staged files.
pub fn file_names(connection: &ReadTx<'_>) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT file_name FROM coupon_code_upload")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
