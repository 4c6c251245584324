//! Postbacks that identify nothing, which anyone can send: their size and removal.

use super::Postback;
use crate::store::erasure::with_secure_delete;
use crate::store::{ReadTx, StoreError, WriteTx};

/// Rows per removal.
const AT_ONCE: u64 = 100;

/// Size of the stored ones, and numbers of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of the stored ones.
    pub bytes: u64,
    /// Number removed early to stay within the bound.
    pub removed: u64,
    /// Number dropped because the disk was low.
    pub dropped: u64,
}

/// The present totals.
pub fn totals(connection: &ReadTx<'_>) -> Result<Totals, StoreError> {
    let sql = "SELECT bytes, removed, dropped FROM unidentified_postbacks";
    let totals = connection.prepare_cached(sql)?.query_row([], |row| {
        Ok(Totals { bytes: row.get(0)?, removed: row.get(1)?, dropped: row.get(2)? })
    })?;
    Ok(totals)
}

/// Removes the oldest until at most `max_bytes` remain.
pub fn keep_within(tx: &WriteTx<'_>, max_bytes: u64) -> Result<(), StoreError> {
    let sql = "DELETE FROM postback WHERE number IN (SELECT number FROM postback
         WHERE unidentified_bytes > 0 ORDER BY received_ms, number LIMIT ?1)";
    while totals(tx)?.bytes > max_bytes {
        // The rows hold addresses, so their bytes must not stay in the free space of the file.
        let removed =
            with_secure_delete(tx, |tx| Ok(tx.prepare_cached(sql)?.execute([AT_ONCE])?))?;
        let count = "UPDATE unidentified_postbacks SET removed = removed + ?1";
        tx.prepare_cached(count)?.execute([removed as u64])?;
        if removed == 0 {
            break;
        }
    }
    Ok(())
}

/// Counts dropped postbacks.
pub fn count_dropped(tx: &WriteTx<'_>, dropped: u64) -> Result<(), StoreError> {
    let sql = "UPDATE unidentified_postbacks SET dropped = dropped + ?1";
    tx.prepare_cached(sql)?.execute([dropped])?;
    Ok(())
}

/// Replaces the texts of a formerly waiting postback by its cut texts.
pub fn cut(tx: &WriteTx<'_>, number: u64, cut: &Postback) -> Result<(), StoreError> {
    let sql = "UPDATE postback SET transaction_id = ?2, coupon_code = ?3, folded_code = ?4, \
               event = ?5, order_id = ?6, email = ?7, host = ?8, content_type = ?9, query = ?10, \
               body = ?11, user_agent = ?12, referer = ?13, unidentified_bytes = ?14 \
               WHERE number = ?1";
    tx.prepare_cached(sql)?.execute((
        number,
        &cut.transaction_id,
        &cut.coupon_code,
        &cut.folded_code,
        &cut.event,
        &cut.order_id,
        &cut.email,
        &cut.host,
        &cut.content_type,
        &cut.query,
        &cut.body,
        &cut.user_agent,
        &cut.referer,
        cut.unidentified_bytes,
    ))?;
    Ok(())
}
