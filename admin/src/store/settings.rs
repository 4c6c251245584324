//! The one row of settings.

use super::rows::word;
use super::{ReadTx, StoreError, WriteTx, click_terms};
use crate::catalog::{CodeLeakGuard, Settings};

/// Settings with the metadata of their row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsRow {
    /// The editable fields.
    pub settings: Settings,
    /// Last edit, in Unix seconds.
    pub time_saved: i64,
    /// Increases with each change.
    pub revision: u64,
}

/// Reads the settings.
pub fn read(connection: &ReadTx<'_>) -> Result<SettingsRow, StoreError> {
    let sql = "SELECT time_zone, currency, fallback_url, default_tracking_domain_id, leak_action, \
               leak_spike_factor, leak_spike_minimum, time_saved, revision FROM settings";
    let read = connection.prepare_cached(sql)?.query_row([], |row| {
        let settings = Settings {
            time_zone: row.get(0)?,
            currency: row.get(1)?,
            fallback_url: row.get(2)?,
            default_tracking_domain_id: row.get(3)?,
            code_leak_guard: CodeLeakGuard {
                action: word(row, 4)?,
                spike_factor: row.get(5)?,
                spike_minimum: row.get(6)?,
            },
        };
        Ok(SettingsRow { settings, time_saved: row.get(7)?, revision: row.get(8)? })
    })?;
    Ok(read)
}

/// Replaces the settings.
pub fn replace(tx: &WriteTx<'_>, settings: &Settings) -> Result<(), StoreError> {
    let sql = "UPDATE settings SET time_zone = ?1, currency = ?2, fallback_url = ?3, \
               default_tracking_domain_id = ?4, leak_action = ?5, leak_spike_factor = ?6, \
               leak_spike_minimum = ?7, time_saved = ?8";
    let guard = &settings.code_leak_guard;
    tx.execute(
        sql,
        (
            &settings.time_zone,
            &settings.currency,
            &settings.fallback_url,
            settings.default_tracking_domain_id,
            guard.action.as_str(),
            guard.spike_factor,
            guard.spike_minimum,
            tx.now(),
        ),
    )?;
    click_terms::record_currency(tx, &settings.currency)
}
