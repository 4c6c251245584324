//! Counts of failed sign-ins. `accounts` decides what a count means.

use rusqlite::OptionalExtension;

use super::Digest;
use crate::store::{ReadTx, StoreError, WriteTx};

/// The failures of a subject: an address, a login or a known browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureCount {
    /// Number of failures.
    pub failures: u32,
    /// Time that the count refers to, in Unix seconds.
    pub time_counted: i64,
    /// Time of the last failure in the audit, in Unix seconds, or 0.
    pub time_recorded: i64,
}

/// The count of a subject; zero for an unknown one.
pub fn find(connection: &ReadTx<'_>, subject: &Digest) -> Result<FailureCount, StoreError> {
    let sql =
        "SELECT failures, time_counted, time_recorded FROM sign_in_failure WHERE subject = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([subject], |row| {
        Ok(FailureCount {
            failures: row.get(0)?,
            time_counted: row.get(1)?,
            time_recorded: row.get(2)?,
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Replaces the count of a subject.
pub fn save(tx: &WriteTx<'_>, subject: &Digest, count: FailureCount) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO sign_in_failure \
               (subject, failures, time_counted, time_recorded) VALUES (?1, ?2, ?3, ?4)";
    let FailureCount { failures, time_counted, time_recorded } = count;
    tx.prepare_cached(sql)?.execute((subject, failures, time_counted, time_recorded))?;
    Ok(())
}

/// Removes the count of a subject.
pub fn clear(tx: &WriteTx<'_>, subject: &Digest) -> Result<(), StoreError> {
    tx.execute("DELETE FROM sign_in_failure WHERE subject = ?1", [subject])?;
    Ok(())
}

/// Removes the counts of subjects without a failure since `time`.
pub fn expire(tx: &WriteTx<'_>, time: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM sign_in_failure WHERE time_counted < ?1")?.execute([time])?;
    Ok(())
}
