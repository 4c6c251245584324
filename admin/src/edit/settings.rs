//! The network's settings.

use super::own_address::OwnAddresses;
use super::{Change, EditError, Saved, audit, check_if_match, check_reference};
use crate::catalog::{FieldError, Settings, TrackingDomain};
use crate::json::Fields;
use crate::store::WriteTx;
use crate::store::settings::{self, SettingsRow};

/// Changes the settings, and returns the settings with the times of the row. A replacement must
/// name every field: a field left out by mistake, such as the default tracking domain, would break
/// all links.
///
/// # Errors
/// When fields are invalid or missing.
pub fn change(tx: &WriteTx<'_>, change: Change) -> Result<Saved<SettingsRow>, EditError> {
    let SettingsRow { settings: before, revision, .. } = settings::read(tx)?;
    check_if_match(tx, "settings", 0, revision)?;
    if let Change::Replace(named) = &change {
        check_complete(named)?;
    }
    let after: Settings = change.apply(&before, &["network_id", "time_saved"])?;
    after.check().map_err(EditError::Invalid)?;
    if let Some(domain) = after.default_tracking_domain_id {
        check_reference::<TrackingDomain>(tx, "default_tracking_domain_id", domain)?;
    }
    if after.fallback_url != before.fallback_url {
        OwnAddresses::read(tx)?.check_fallback("fallback_url", &after.fallback_url)?;
    }
    if after.global_fail_traffic_url != before.global_fail_traffic_url {
        let url = &after.global_fail_traffic_url;
        OwnAddresses::read(tx)?.check_fallback("global_fail_traffic_url", url)?;
    }
    settings::replace(tx, &after)?;
    audit::record_changed(tx, "settings", 0, &before, &after)?;
    let sequence = Some(tx.next_catalog_sequence()?);
    Ok(Saved { now: settings::read(tx)?, sequence })
}

fn check_complete(named: &Fields) -> Result<(), EditError> {
    let missing = Settings::FIELDS.iter().filter(|field| !named.contains_key(field));
    let missing: Vec<FieldError> = missing
        .map(|field| FieldError {
            field: (*field).into(),
            error: "is missing; PUT replaces all settings, and PATCH only those that are named"
                .into(),
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(EditError::Invalid(missing)) }
}
