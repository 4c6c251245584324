//! The one row of settings.

use rusqlite::params;

use super::rows::{from_json, word};
use super::{ReadTx, StoreError, WriteTx, click_terms};
use crate::catalog::{CodeLeakGuard, SecondFactorPolicy, Settings};

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
               leak_spike_factor, leak_spike_minimum, second_factor_admin, second_factor_manager, \
               second_factor_read_only, second_factor_partner, \
               is_global_fail_traffic_enabled, global_fail_traffic_url, \
               is_fail_traffic_on_paused_enabled, ip_blocklist, cap_alert_percentage, \
               address_alert_percentage, address_alert_minimum, time_saved, revision FROM settings";
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
            second_factor_required: SecondFactorPolicy {
                admin: row.get(7)?,
                manager: row.get(8)?,
                read_only: row.get(9)?,
                partner: row.get(10)?,
            },
            is_global_fail_traffic_enabled: row.get(11)?,
            global_fail_traffic_url: row.get(12)?,
            is_fail_traffic_on_paused_enabled: row.get(13)?,
            ip_blocklist: from_json(row, 14)?,
            cap_alert_percentage: row.get(15)?,
            address_alert_percentage: row.get(16)?,
            address_alert_minimum: row.get(17)?,
        };
        Ok(SettingsRow { settings, time_saved: row.get(18)?, revision: row.get(19)? })
    })?;
    Ok(read)
}

/// Replaces the settings.
pub fn replace(tx: &WriteTx<'_>, settings: &Settings) -> Result<(), StoreError> {
    let sql = "UPDATE settings SET time_zone = ?1, currency = ?2, fallback_url = ?3, \
               default_tracking_domain_id = ?4, leak_action = ?5, leak_spike_factor = ?6, \
               leak_spike_minimum = ?7, second_factor_admin = ?8, second_factor_manager = ?9, \
               second_factor_read_only = ?10, second_factor_partner = ?11, \
               is_global_fail_traffic_enabled = ?12, global_fail_traffic_url = ?13, \
               is_fail_traffic_on_paused_enabled = ?14, ip_blocklist = ?15, \
               cap_alert_percentage = ?16, address_alert_percentage = ?17, \
               address_alert_minimum = ?18, time_saved = ?19";
    let (guard, second_factor) = (&settings.code_leak_guard, &settings.second_factor_required);
    tx.execute(
        sql,
        params![
            &settings.time_zone,
            &settings.currency,
            &settings.fallback_url,
            settings.default_tracking_domain_id,
            guard.action.as_str(),
            guard.spike_factor,
            guard.spike_minimum,
            second_factor.admin,
            second_factor.manager,
            second_factor.read_only,
            second_factor.partner,
            settings.is_global_fail_traffic_enabled,
            &settings.global_fail_traffic_url,
            settings.is_fail_traffic_on_paused_enabled,
            serde_json::json!(settings.ip_blocklist).to_string(),
            settings.cap_alert_percentage,
            settings.address_alert_percentage,
            settings.address_alert_minimum,
            tx.now(),
        ],
    )?;
    click_terms::record_currency(tx, &settings.currency)
}
