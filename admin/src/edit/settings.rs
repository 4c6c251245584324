//! The network's settings.

use super::{Change, EditError, Saved, check_reference};
use crate::catalog::{Settings, TrackingDomain};
use crate::store::{WriteTx, settings};

/// Replaces them; answers them and when they were saved.
///
/// # Errors
/// When they are wrong.
pub fn replace(tx: &WriteTx<'_>, change: Change) -> Result<Saved<(Settings, i64)>, EditError> {
    let (before, _) = settings::read(tx)?;
    let after: Settings = change.apply(&before, &["network_id", "time_saved"])?;
    after.check().map_err(EditError::Invalid)?;
    if let Some(domain) = after.default_tracking_domain_id {
        check_reference::<TrackingDomain>(tx, "default_tracking_domain_id", domain)?;
    }
    settings::replace(tx, &after)?;
    let sequence = Some(tx.next_catalog_sequence()?);
    Ok(Saved { now: settings::read(tx)?, sequence })
}
