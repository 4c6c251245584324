//! Undecided postbacks: each waits for its click, or behind an earlier one that waits for its click
//! and may be about the same sale.
//!
//! Two postbacks may be about the same sale if they share a [`SequenceKey`]. The keys of all
//! waiting postbacks are stored, so a later postback finds the one it must wait behind, also after
//! a restart. When a postback is decided, the postbacks behind it are processed again.

use coupon_shared::transaction_id::TransactionId;
use rusqlite::OptionalExtension;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

use super::{Postback, PostbackRow, read_row};
use crate::store::{ReadTx, StoreError, WriteTx};

/// Most postbacks behind one. Later ones are decided at once.
pub const MAX_BEHIND: u64 = 1_000;

/// Key by which two postbacks may be about the same sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceKey<'a> {
    /// The order id as sent.
    Order(&'a str),
    /// One of the transaction ids.
    Click(TransactionId),
}

impl SequenceKey<'_> {
    /// Number and bytes in the store.
    fn columns(&self) -> (u8, Bytes<'_>) {
        match self {
            SequenceKey::Order(id) => (1, Bytes(id.as_bytes())),
            SequenceKey::Click(id) => (2, Bytes(&id.0)),
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl ToSql for Bytes<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0)))
    }
}

/// The awaited event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// Arrival of its click.
    Click(TransactionId),
    /// Decision of the earlier postback with this number.
    Postback(u64),
}

/// A waiting postback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Number of the postback.
    pub number: u64,
    /// The postback as received.
    pub message: Vec<u8>,
}

/// Numbers of waiting postbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitingCounts {
    /// Waiting for a click or behind another postback.
    pub all: u64,
    /// Waiting behind another postback.
    pub behind: u64,
}

/// Makes a postback wait, or changes the event it waits for.
pub fn insert(
    tx: &WriteTx<'_>,
    number: u64,
    waits_for: WaitsFor,
    keys: &[SequenceKey<'_>],
    message: &[u8],
) -> Result<(), StoreError> {
    let (click, behind) = match waits_for {
        WaitsFor::Click(id) => (Some(id), None),
        WaitsFor::Postback(number) => (None, Some(number)),
    };
    let sql = "INSERT OR REPLACE INTO postback_waiting \
               (number, transaction_id, node, thread, id_ms, behind, message) \
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    tx.prepare_cached(sql)?.execute((
        number,
        click.map(|id| id.0),
        click.map(|id| id.node()),
        click.map(|id| id.thread()),
        click.map(|id| id.unix_ms()),
        behind,
        message,
    ))?;
    let sql = "INSERT OR IGNORE INTO postback_waiting_key (kind, value, number) VALUES (?, ?, ?)";
    let mut statement = tx.prepare_cached(sql)?;
    for key in keys {
        let (kind, value) = key.columns();
        statement.execute((kind, value, number))?;
    }
    Ok(())
}

/// Ends the waiting of a postback.
pub fn remove(tx: &WriteTx<'_>, number: u64) -> Result<(), StoreError> {
    for table in ["postback_waiting", "postback_waiting_key"] {
        let sql = format!("DELETE FROM {table} WHERE number = ?1");
        tx.prepare_cached(&sql)?.execute([number])?;
    }
    Ok(())
}

/// The nodes whose clicks postbacks wait for.
pub fn nodes_of_awaited_clicks(connection: &ReadTx<'_>) -> Result<Vec<u16>, StoreError> {
    let sql = "SELECT DISTINCT node FROM postback_waiting WHERE node IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let nodes = statement.query_map([], |row| row.get(0))?;
    Ok(nodes.collect::<Result<_, _>>()?)
}

/// The postback that one with these keys must wait behind: a waiting, earlier postback with a
/// common key. `number` is the postback's own number; `None` for a new postback.
///
/// If the found postback waits behind another, the result is that other one. So all postbacks
/// behind the click of one sale are processed together.
pub fn blocker(
    connection: &ReadTx<'_>,
    keys: &[SequenceKey<'_>],
    number: Option<u64>,
) -> Result<Option<u64>, StoreError> {
    // Usually nothing waits, while a list may have many ids.
    if !connection.prepare_cached("SELECT 1 FROM postback_waiting LIMIT 1")?.exists([])? {
        return Ok(None);
    }
    let sql = "SELECT coalesce(waiting.behind, waiting.number) \
               FROM postback_waiting_key AS key JOIN postback_waiting AS waiting USING (number) \
               WHERE key.kind = ?1 AND key.value = ?2 AND key.number < ?3 \
               ORDER BY key.number LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let before = number.unwrap_or(i64::MAX as u64);
    let mut first: Option<u64> = None;
    for key in keys {
        let (kind, value) = key.columns();
        let found: Option<u64> =
            statement.query_row((kind, value, before), |row| row.get(0)).optional()?;
        first = found.into_iter().chain(first).min();
    }
    Ok(first)
}

/// Whether one more postback may wait behind this one.
pub fn has_room_behind(connection: &ReadTx<'_>, number: u64) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM postback_waiting WHERE behind = ?1";
    let behind: u64 = connection.prepare_cached(sql)?.query_row([number], |row| row.get(0))?;
    Ok(behind < MAX_BEHIND)
}

/// Counts the waiting postbacks.
pub fn count(connection: &ReadTx<'_>) -> Result<WaitingCounts, StoreError> {
    let sql = "SELECT count(*), count(behind) FROM postback_waiting";
    let read =
        |row: &rusqlite::Row<'_>| Ok(WaitingCounts { all: row.get(0)?, behind: row.get(1)? });
    Ok(connection.prepare_cached(sql)?.query_row([], read)?)
}

/// Up to which time the clicks of each node have arrived, in Unix milliseconds.
#[derive(Debug, Clone, Default)]
pub struct PassedNodes {
    pub by_node: Vec<(u16, u64)>,
    /// Of all other nodes.
    pub others_ms: u64,
}

/// Some postbacks that can be decided now, by ascending number. Either their click may have
/// arrived, because later clicks of the same node and thread have; or it cannot arrive any more,
/// because all clicks of its node until then have; or the postback before them is decided.
pub fn ripe(
    connection: &ReadTx<'_>,
    passed: &PassedNodes,
    after: u64,
    limit: usize,
) -> Result<Vec<Waiting>, StoreError> {
    let by_node = passed.by_node.iter().map(|(node, ms)| format!("\"{node}\":{ms}"));
    let by_node: Vec<String> = by_node.collect();
    let by_node = format!("{{{}}}", by_node.join(","));
    let sql = "SELECT number, message FROM postback_waiting AS waiting
         WHERE number > ?2 AND CASE WHEN behind IS NULL THEN
             id_ms <= coalesce(json_extract(?1, '$.' || waiting.node), ?4) OR EXISTS (
                 SELECT 1 FROM click_stream AS stream JOIN click_block AS block
                     USING (node, incarnation, thread)
                 WHERE stream.node = waiting.node AND stream.thread = waiting.thread
                     AND block.max_id_ms >= waiting.id_ms)
             ELSE NOT EXISTS (
                 SELECT 1 FROM postback_waiting AS head WHERE head.number = waiting.behind)
             END
         ORDER BY number LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let others_ms = passed.others_ms;
    let rows = statement.query_map((by_node, after, limit as u64, others_ms), |row| {
        Ok(Waiting { number: row.get(0)?, message: row.get(1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The waiting postback with this number.
pub fn get(connection: &ReadTx<'_>, number: u64) -> Result<Option<PostbackRow>, StoreError> {
    let sql = format!(
        "SELECT number, {} FROM postback WHERE number = ?1 AND outcome = 'waits'",
        Postback::COLUMNS.join(",")
    );
    Ok(connection.prepare_cached(&sql)?.query_row([number], read_row).optional()?)
}
