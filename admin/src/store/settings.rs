//! The one row of settings.

use rusqlite::Connection;

use super::{StoreError, WriteTx};
use crate::catalog::Settings;

/// They and what is said of their row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsRow {
    /// As edited.
    pub settings: Settings,
    /// Last edit, in Unix seconds.
    pub time_saved: i64,
    /// Grows with every change.
    pub revision: u64,
}

/// Reads them.
///
/// # Errors
/// When SQLite fails.
pub fn read(connection: &Connection) -> Result<SettingsRow, StoreError> {
    let sql = "SELECT time_zone, currency, fallback_url, default_tracking_domain_id, time_saved, revision FROM settings";
    let read = connection.prepare_cached(sql)?.query_row([], |row| {
        let settings = Settings {
            time_zone: row.get(0)?,
            currency: row.get(1)?,
            fallback_url: row.get(2)?,
            default_tracking_domain_id: row.get(3)?,
        };
        Ok(SettingsRow { settings, time_saved: row.get(4)?, revision: row.get(5)? })
    })?;
    Ok(read)
}

/// Replaces them.
///
/// # Errors
/// When SQLite fails.
pub fn replace(tx: &WriteTx<'_>, settings: &Settings) -> Result<(), StoreError> {
    let sql = "UPDATE settings SET time_zone = ?1, currency = ?2, fallback_url = ?3, \
               default_tracking_domain_id = ?4, time_saved = ?5";
    let Settings { time_zone, currency, fallback_url, default_tracking_domain_id } = settings;
    tx.execute(sql, (time_zone, currency, fallback_url, default_tracking_domain_id, tx.now()))?;
    Ok(())
}
