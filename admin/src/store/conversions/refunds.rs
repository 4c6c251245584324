//! Refunds: which were said before, and those that wait for their order.

use rusqlite::OptionalExtension;

use super::{ConversionId, ConversionRow, Rank, read_row, select};
use crate::catalog::Money;
use crate::store::{ReadTx, StoreError, WriteTx};

/// Refunds that are read at once.
const AT_ONCE: usize = 100;

/// The last refund with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// What it was taken from; of one that waits or is pending, the refund itself.
    pub conversion_id: ConversionId,
    /// Below zero.
    pub amount: Money,
    /// When it came, in Unix milliseconds.
    pub received_ms: u64,
}

/// The last refund with this key.
///
/// # Errors
/// When SQLite fails.
pub fn get(connection: &ReadTx<'_>, key: &[u8; 32]) -> Result<Option<Refund>, StoreError> {
    let sql = "SELECT conversion_id, amount, received_ms FROM refund WHERE key = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Refund { conversion_id: row.get(0)?, amount: row.get(1)?, received_ms: row.get(2)? })
    };
    Ok(connection.prepare_cached(sql)?.query_row([key], read).optional()?)
}

/// Remembers a refund in the place of an earlier one with its key.
///
/// # Errors
/// When SQLite fails.
pub fn remember(tx: &WriteTx<'_>, key: &[u8; 32], refund: &Refund) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO refund (key, conversion_id, amount, received_ms) \
               VALUES (?1, ?2, ?3, ?4)";
    let Refund { conversion_id, amount, received_ms } = refund;
    tx.prepare_cached(sql)?.execute((key, conversion_id, amount, received_ms))?;
    Ok(())
}

/// Refunds that wait for the order with this key and came from `since_ms` on, those that prove most
/// first, then the first; of each rank at most 100, so that a flood of unproved ones hides no other.
///
/// # Errors
/// When SQLite fails.
pub fn waiting_for(
    connection: &ReadTx<'_>,
    order: &[u8; 32],
    since_ms: u64,
) -> Result<Vec<ConversionRow>, StoreError> {
    let sql = format!(
        "{} INDEXED BY conversion_refund_waits WHERE refund_of = ?1 AND refund_of IS NOT NULL \
         AND evidence_rank = ?2 AND unix_ms >= ?3 AND status = 'pending' AND error_code = 1024 \
         ORDER BY unix_ms, number LIMIT {AT_ONCE}",
        select()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Vec::new();
    for rank in [Rank::Trusted, Rank::Click, Rank::Code] {
        let rows = statement.query_map((order, rank, since_ms), read_row)?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}

/// Some refunds that wait for an order and came before a time, in Unix milliseconds.
///
/// # Errors
/// When SQLite fails.
pub fn waiting_since_before(
    connection: &ReadTx<'_>,
    before_ms: u64,
) -> Result<Vec<ConversionRow>, StoreError> {
    let sql = format!(
        "{} INDEXED BY conversion_refund_waits_since WHERE unix_ms < ?1 \
         AND refund_of IS NOT NULL AND status = 'pending' AND error_code = 1024 \
         ORDER BY unix_ms LIMIT {AT_ONCE}",
        select()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([before_ms], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
