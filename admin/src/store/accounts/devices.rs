//! Rows of browsers in which a user signed in before.

use super::Digest;
use crate::store::{ReadTx, StoreError, WriteTx};

/// Most known browsers of a user; a further one replaces the one that was unseen for longest.
const MAX_PER_USER: u32 = 50;

/// Whether the user signed in before in the browser with this secret.
pub fn is_known(connection: &ReadTx<'_>, user_id: u32, hash: &Digest) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM user_device WHERE hash = ?1 AND user_id = ?2)";
    Ok(connection.prepare_cached(sql)?.query_row((hash, user_id), |row| row.get(0))?)
}

/// Adds a browser, or records a sign-in in a known browser.
pub fn remember(tx: &WriteTx<'_>, user_id: u32, hash: &Digest) -> Result<(), StoreError> {
    let sql = "INSERT INTO user_device (hash, user_id, time_created, time_seen) \
               VALUES (?1, ?2, ?3, ?3) ON CONFLICT (hash) DO UPDATE SET time_seen = ?3";
    tx.execute(sql, (hash, user_id, tx.now()))?;
    let sql = "DELETE FROM user_device WHERE hash IN (SELECT hash FROM user_device WHERE user_id = ?1 \
               ORDER BY time_seen DESC, hash = ?3 DESC LIMIT -1 OFFSET ?2)";
    tx.execute(sql, (user_id, MAX_PER_USER, hash))?;
    Ok(())
}

/// Forgets all browsers of a user.
pub fn forget_all(tx: &WriteTx<'_>, user_id: u32) -> Result<(), StoreError> {
    tx.execute("DELETE FROM user_device WHERE user_id = ?1", [user_id])?;
    Ok(())
}
