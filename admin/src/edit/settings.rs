//! The network's settings.

use super::{Change, EditError, Saved, audit, check_meant_for, check_reference};
use crate::catalog::{Settings, TrackingDomain};
use crate::store::WriteTx;
use crate::store::settings::{self, SettingsRow};

/// Replaces them; answers them, and their row's times.
///
/// # Errors
/// When they are wrong.
pub fn replace(tx: &WriteTx<'_>, change: Change) -> Result<Saved<SettingsRow>, EditError> {
    let SettingsRow { settings: before, revision, .. } = settings::read(tx)?;
    check_meant_for(tx, "settings", 0, revision)?;
    let after: Settings = change.apply(&before, &["network_id", "time_saved"])?;
    after.check().map_err(EditError::Invalid)?;
    if let Some(domain) = after.default_tracking_domain_id {
        check_reference::<TrackingDomain>(tx, "default_tracking_domain_id", domain)?;
    }
    settings::replace(tx, &after)?;
    audit::changed(tx, "settings", 0, &before, &after)?;
    let sequence = Some(tx.next_catalog_sequence()?);
    Ok(Saved { now: settings::read(tx)?, sequence })
}
