//! Tracking domains: one per host, and none goes away under a link.

use super::{EditError, Editable};
use crate::catalog::{TrackingDomain, base_of};
use crate::store::{WriteTx, domains, settings};

impl Editable for TrackingDomain {
    const NAME: &'static str = "tracking domain";
    const ANSWERED_ONLY: &'static [&'static str] =
        &["network_tracking_domain_id", "network_id", "time_created", "time_saved", "time_deleted"];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        TrackingDomain::check(self).map_err(EditError::Invalid)?;
        let Some((_, host)) = base_of(&self.base_url) else {
            return Err(EditError::field("base_url", "has no host"));
        };
        match domains::with_host(tx, &host)? {
            Some(other) if Some(other) != id => Err(EditError::conflict(
                "tracking_domain.duplicate",
                "base_url",
                format!("tracking domain {other} has the host {host} already"),
            )),
            _ => Ok(()),
        }
    }

    fn check_removal(tx: &WriteTx<'_>, id: u32) -> Result<(), EditError> {
        let offers = domains::offers_on(tx, id)?;
        let settings = settings::read(tx)?.settings;
        let reason = match (settings.default_tracking_domain_id == Some(id), offers) {
            (true, _) => "it is the default one; make another the default first".to_owned(),
            (false, 0) => return Ok(()),
            (false, offers) => format!("{offers} offer(s) use it; give them another domain first"),
        };
        let message = format!("tracking domain {id} cannot be deleted: {reason}");
        Err(EditError::conflict("tracking_domain.in_use", "network_tracking_domain_id", message))
    }
}
