//! Refunds: known ones, and refunds that wait for their order.

use rusqlite::OptionalExtension;

use super::{ConversionId, ConversionRow, Rank, read_row, select};
use crate::catalog::Money;
use crate::store::{ReadTx, StoreError, WriteTx};

/// Refunds per query.
const AT_ONCE: usize = 100;

/// The last refund with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The reduced conversion; for a waiting or pending refund, the refund itself.
    pub conversion_id: ConversionId,
    /// Negative.
    pub amount: Money,
    /// Time of reception, in Unix milliseconds.
    pub received_ms: u64,
}

/// The last refund with this key.
pub fn get(connection: &ReadTx<'_>, key: &[u8; 32]) -> Result<Option<Refund>, StoreError> {
    let sql = "SELECT conversion_id, amount, received_ms FROM refund WHERE key = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Refund { conversion_id: row.get(0)?, amount: row.get(1)?, received_ms: row.get(2)? })
    };
    Ok(connection.prepare_cached(sql)?.query_row([key], read).optional()?)
}

/// Stores a refund, replacing an earlier one with its key.
pub fn remember(tx: &WriteTx<'_>, key: &[u8; 32], refund: &Refund) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO refund (key, conversion_id, amount, received_ms) \
               VALUES (?1, ?2, ?3, ?4)";
    let Refund { conversion_id, amount, received_ms } = refund;
    tx.prepare_cached(sql)?.execute((key, conversion_id, amount, received_ms))?;
    Ok(())
}

/// Waiting refunds for the order with this key, received from `since_ms` on: strongest evidence
/// first, then oldest; at most 100 per rank, so a flood without evidence hides no other.
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

/// Some refunds that wait for an order and were received before a time, in Unix milliseconds.
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
