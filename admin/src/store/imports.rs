//! Rows of an import while they are judged: a temporary table that the process's end removes.

use rusqlite::Connection;

use super::meta::Sequence;
use super::rows::day_text;
use super::{StoreError, WriteTx};
use crate::catalog::CheckedCode;

/// Room for the pages that a big import touches again and again.
const CACHE_KIB: i64 = 131_072;

/// Makes the table.
///
/// # Errors
/// When SQLite fails.
pub fn create_staged(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch(&format!(
        "PRAGMA main.cache_size = -{CACHE_KIB};
         DROP TABLE IF EXISTS temp.staged;
         CREATE TEMP TABLE staged (
             number INTEGER PRIMARY KEY, line INTEGER NOT NULL, code TEXT NOT NULL, folded TEXT NOT NULL,
             offer_id INTEGER NOT NULL, affiliate_id INTEGER, status TEXT NOT NULL, start_date TEXT, end_date TEXT,
             description TEXT NOT NULL, is_description_plain_text INTEGER NOT NULL, internal_notes TEXT NOT NULL
         ) STRICT"
    ))?;
    Ok(())
}

/// Adds a row.
///
/// # Errors
/// When SQLite fails.
pub fn stage(connection: &Connection, line: u64, code: &CheckedCode) -> Result<(), StoreError> {
    let sql = "INSERT INTO temp.staged (line, code, folded, offer_id, affiliate_id, status, start_date, end_date, \
               description, is_description_plain_text, internal_notes) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    connection.prepare_cached(sql)?.execute((
        line,
        code.code.as_str(),
        code.code.folded().as_str(),
        code.offer_id,
        code.affiliate_id,
        code.status.as_str(),
        day_text(code.start_date),
        day_text(code.end_date),
        &code.description,
        code.is_description_plain_text,
        &code.internal_notes,
    ))?;
    Ok(())
}

/// Orders the table by code, for the questions below.
///
/// # Errors
/// When SQLite fails.
pub fn index_staged(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("CREATE INDEX temp.staged_key ON staged (folded, offer_id, line)")?;
    Ok(())
}

/// Line and id for each row whose offer is not there.
///
/// # Errors
/// When SQLite fails.
pub fn each_missing_offer(
    connection: &Connection,
    mut each: impl FnMut(u64, u32),
) -> Result<(), StoreError> {
    let sql = "SELECT line, offer_id FROM temp.staged WHERE offer_id NOT IN \
               (SELECT id FROM offer WHERE time_deleted = 0) ORDER BY number";
    each_of(connection, sql, |row| {
        each(row.get(0)?, row.get(1)?);
        Ok(())
    })
}

/// Line and id for each row whose partner is not there.
///
/// # Errors
/// When SQLite fails.
pub fn each_missing_affiliate(
    connection: &Connection,
    mut each: impl FnMut(u64, u32),
) -> Result<(), StoreError> {
    let sql = "SELECT line, affiliate_id FROM temp.staged WHERE affiliate_id NOT IN \
               (SELECT id FROM affiliate WHERE time_deleted = 0) ORDER BY number";
    each_of(connection, sql, |row| {
        each(row.get(0)?, row.get(1)?);
        Ok(())
    })
}

/// Line, the line before it, and offer for each row that stands in the file already.
///
/// # Errors
/// When SQLite fails.
pub fn each_repeated(
    connection: &Connection,
    mut each: impl FnMut(u64, u64, u32),
) -> Result<(), StoreError> {
    let sql = "SELECT line, before, offer_id FROM (SELECT line, offer_id, lag(line) OVER \
               (PARTITION BY folded, offer_id ORDER BY line) AS before FROM temp.staged) WHERE before IS NOT NULL";
    each_of(connection, sql, |row| {
        each(row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(())
    })
}

/// Line, id of the row in the store, and offer for each row that stands in the store already.
///
/// # Errors
/// When SQLite fails.
pub fn each_taken(
    connection: &Connection,
    mut each: impl FnMut(u64, u32, u32),
) -> Result<(), StoreError> {
    let sql = "SELECT s.line, c.id, s.offer_id FROM temp.staged s CROSS JOIN coupon_code c \
               ON c.folded = s.folded AND c.offer_id = s.offer_id AND c.time_deleted = 0 ORDER BY s.folded, s.offer_id";
    each_of(connection, sql, |row| {
        each(row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(())
    })
}

fn each_of(
    connection: &Connection,
    sql: &str,
    mut each: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row)?;
    }
    Ok(())
}

/// Where the staged rows went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    /// A row's id is its number in the file, counted from 1, and this.
    pub before_first_id: u32,
}

/// Writes all staged rows under one change, in the order of the file.
///
/// # Errors
/// When SQLite fails.
pub fn insert_staged(tx: &WriteTx<'_>, sequence: Sequence) -> Result<Staged, StoreError> {
    let sql = "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'coupon_code'";
    let before_first_id: u32 = tx.query_row(sql, [], |row| row.get(0))?;
    tx.execute(
        "INSERT INTO coupon_code (id, code, folded, offer_id, affiliate_id, status, start_date, end_date, description, \
         is_description_plain_text, internal_notes, time_created, time_saved, change_seq) \
         SELECT ?1 + number, code, folded, offer_id, affiliate_id, status, start_date, end_date, description, \
         is_description_plain_text, internal_notes, ?2, ?2, ?3 FROM temp.staged ORDER BY number",
        (before_first_id, tx.now(), sequence),
    )?;
    Ok(Staged { before_first_id })
}

/// The line of a staged row.
///
/// # Errors
/// When SQLite fails.
pub fn line_of(connection: &Connection, number: u32) -> Result<u64, StoreError> {
    let sql = "SELECT line FROM temp.staged WHERE number = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([number], |row| row.get(0))?)
}
