//! Preferences of users.

use rusqlite::OptionalExtension;

use crate::catalog::Preferences;
use crate::store::rows::word;
use crate::store::{ReadTx, StoreError, WriteTx};

/// The preferences of a user; the defaults if the user never saved any.
pub fn find(connection: &ReadTx<'_>, user_id: u32) -> Result<Preferences, StoreError> {
    let sql = "SELECT theme, density, decimal_mark, has_single_key_actions FROM preference \
               WHERE user_id = ?1";
    let found = connection.prepare_cached(sql)?.query_row([user_id], |row| {
        Ok(Preferences {
            theme: word(row, 0)?,
            density: word(row, 1)?,
            decimal_mark: word(row, 2)?,
            has_single_key_actions: row.get(3)?,
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Replaces the preferences of a user.
pub fn save(tx: &WriteTx<'_>, user_id: u32, preferences: Preferences) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO preference VALUES (?1, ?2, ?3, ?4, ?5)";
    let Preferences { theme, density, decimal_mark, has_single_key_actions } = preferences;
    let values =
        (user_id, theme.as_str(), density.as_str(), decimal_mark.as_str(), has_single_key_actions);
    tx.execute(sql, values)?;
    Ok(())
}
