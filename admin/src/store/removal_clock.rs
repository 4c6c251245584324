//! Trust in the clock for removals by age. The removal task writes the one row; all removals read
//! it.

use coupon_shared::removal_clock::{ClockState, RemovalTime};
use rusqlite::OptionalExtension;

use super::{ReadTx, StoreError, WriteTx};

/// State after the last check of the clock.
pub fn kept(connection: &ReadTx<'_>) -> Result<Option<ClockState>, StoreError> {
    let sql = "SELECT unix_ms, agreed_ms, parted_ms, jump_ms FROM removal_clock";
    let mut statement = connection.prepare_cached(sql)?;
    let kept = statement.query_row([], |row| {
        Ok(ClockState {
            unix_ms: row.get(0)?,
            agreed_ms: row.get(1)?,
            parted_ms: row.get(2)?,
            jump_ms: row.get(3)?,
        })
    });
    Ok(kept.optional()?)
}

/// Stores the state after a check of the clock.
pub fn keep(tx: &WriteTx<'_>, kept: ClockState) -> Result<(), StoreError> {
    let sql = "INSERT INTO removal_clock (id, unix_ms, agreed_ms, parted_ms, jump_ms) \
               VALUES (1, ?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET unix_ms = excluded.unix_ms, \
               agreed_ms = excluded.agreed_ms, parted_ms = excluded.parted_ms, \
               jump_ms = excluded.jump_ms";
    let ClockState { unix_ms, agreed_ms, parted_ms, jump_ms } = kept;
    // The clock's range ends before SQLite's.
    let unix_ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    tx.prepare_cached(sql)?.execute((unix_ms, agreed_ms, parted_ms, jump_ms))?;
    Ok(())
}

/// Time for removals by age: that of the last check, at most a minute old while the program runs.
/// `None` if nothing may be removed.
pub fn removal_time(connection: &ReadTx<'_>) -> Result<Option<RemovalTime>, StoreError> {
    Ok(kept(connection)?.and_then(|kept| kept.removal_time().ok()))
}
