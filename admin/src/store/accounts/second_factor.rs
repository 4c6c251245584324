//! The second factor of a user: a TOTP secret, and recovery codes.

use super::Digest;
use crate::store::{ReadTx, StoreError, WriteTx};

/// The TOTP columns of a user.
#[derive(Default)]
pub struct TotpSecrets {
    /// The secret in force.
    pub secret: Option<Vec<u8>>,
    /// A secret without a first code yet.
    pub pending: Option<Vec<u8>>,
    /// Time step of the last accepted code.
    pub last_step: u64,
}

/// Reads the TOTP columns of an existing user.
pub fn find(connection: &ReadTx<'_>, user_id: u32) -> Result<TotpSecrets, StoreError> {
    let sql = "SELECT totp_secret, totp_pending, totp_last_step FROM user WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([user_id], |row| {
        Ok(TotpSecrets { secret: row.get(0)?, pending: row.get(1)?, last_step: row.get(2)? })
    })?)
}

/// Replaces the TOTP columns of a user.
pub fn save(tx: &WriteTx<'_>, user_id: u32, totp: &TotpSecrets) -> Result<(), StoreError> {
    let sql =
        "UPDATE user SET totp_secret = ?2, totp_pending = ?3, totp_last_step = ?4 WHERE id = ?1";
    tx.execute(sql, (user_id, &totp.secret, &totp.pending, totp.last_step))?;
    Ok(())
}

/// Replaces the recovery codes of a user.
pub fn set_recovery_codes(
    tx: &WriteTx<'_>,
    user_id: u32,
    hashes: &[Digest],
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM recovery_code WHERE user_id = ?1", [user_id])?;
    let sql = "INSERT INTO recovery_code (user_id, hash) VALUES (?1, ?2)";
    for hash in hashes {
        tx.prepare_cached(sql)?.execute((user_id, hash))?;
    }
    Ok(())
}

/// Removes a recovery code; `false` if there is none with this hash.
pub fn use_recovery_code(
    tx: &WriteTx<'_>,
    user_id: u32,
    hash: &Digest,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM recovery_code WHERE user_id = ?1 AND hash = ?2";
    Ok(tx.execute(sql, (user_id, hash))? > 0)
}

/// Number of unused recovery codes.
pub fn count_recovery_codes(connection: &ReadTx<'_>, user_id: u32) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM recovery_code WHERE user_id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([user_id], |row| row.get(0))?)
}
