//! Tracking domains: at most one for each host, on any port; a domain with live links stays.

use super::own_address::{OwnAddresses, check_nothing_leads_to};
use super::{EditError, Editable, Removal, audit, check_live_codes};
use crate::catalog::{CertificateSource, TrackingDomain, parse_base_url, without_port};
use crate::store::coupon_codes::{self, CodesOf};
use crate::store::rows::Stored;
use crate::store::{WriteTx, certificates, domains, rows, settings};

impl Editable for TrackingDomain {
    const NAME: &'static str = "tracking domain";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_tracking_domain_id",
        "network_id",
        "certificate_state",
        "time_created",
        "time_saved",
        "time_deleted",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        TrackingDomain::check(self).map_err(EditError::Invalid)?;
        let before = id.map(|id| rows::find::<TrackingDomain>(tx, id)).transpose()?.flatten();
        let before = before.map(|stored| stored.object);
        let moved = before.as_ref().is_none_or(|before| {
            parse_base_url(&before.base_url) != parse_base_url(&self.base_url)
        });
        if moved {
            check_host(self, tx, id)?;
            check_nothing_leads_to(tx, self, id)?;
        }
        if moved || before.is_some_and(|before| before.fallback_url != self.fallback_url) {
            let own = OwnAddresses::read(tx)?.with(&self.base_url);
            own.check_fallback("fallback_url", &self.fallback_url)?;
        }
        Ok(())
    }

    fn check_removal(tx: &WriteTx<'_>, id: u32, removal: Removal) -> Result<(), EditError> {
        let offers = domains::offers_on(tx, id)?;
        let settings = settings::read(tx)?.settings;
        let reason = match (settings.default_tracking_domain_id == Some(id), offers) {
            (true, _) => "it is the default one; make another the default first".to_owned(),
            (false, 0) => return check_links(tx, id, removal),
            (false, offers) => format!("{offers} offer(s) use it; give them another domain first"),
        };
        let message = format!("tracking domain {id} cannot be deleted: {reason}");
        Err(EditError::conflict("tracking_domain.in_use", "network_tracking_domain_id", message))
    }
}

/// Makes the next attempt at the domain's certificate due now.
///
/// # Errors
/// When the domain does not exist, or asks for no certificate.
pub fn request_certificate(tx: &WriteTx<'_>, id: u32) -> Result<Stored<TrackingDomain>, EditError> {
    let found = rows::find::<TrackingDomain>(tx, id)?;
    let found = found.ok_or(EditError::NotFound { what: TrackingDomain::NAME, id })?;
    if found.object.certificate != CertificateSource::Acme {
        let message = format!(
            "tracking domain {id} asks for no certificate; set its certificate to acme first"
        );
        return Err(EditError::conflict("tracking_domain.no_certificate", "certificate", message));
    }
    let (_, host) = parse_base_url(&found.object.base_url).unwrap_or_default();
    certificates::request_renewal(tx, without_port(&host))?;
    audit::record_action(tx, "certificate", "requested", id)?;
    Ok(rows::find(tx, id)?.unwrap_or(found))
}

/// Checks that no other domain has the host. The daemon distinguishes requests by host alone, so it
/// would never use a second domain on another port of the same host.
fn check_host(domain: &TrackingDomain, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
    let Some((_, host)) = parse_base_url(&domain.base_url) else {
        return Err(EditError::field("base_url", "has no host"));
    };
    match domains::with_host(tx, &host, id)? {
        None => Ok(()),
        Some((other, base_url)) => Err(EditError::conflict(
            "tracking_domain.duplicate",
            "base_url",
            format!(
                "tracking domain {other} ({base_url}) has this host already; a port does not tell \
                 two domains apart, so change that one, or choose another host"
            ),
        )),
    }
}

/// Every tracking domain serves every code, so links with this domain may
/// belong to any code.
fn check_links(tx: &WriteTx<'_>, id: u32, removal: Removal) -> Result<(), EditError> {
    let codes = coupon_codes::count_live(tx, CodesOf::Network)?;
    let place = ("tracking_domain.has_live_codes", "network_tracking_domain_id");
    check_live_codes(codes, removal, place, |codes| {
        format!(
            "the network has {codes} active coupon code(s), whose links may be known with tracking \
             domain {id}; such links would end with it. Delete it nevertheless with ?force=true"
        )
    })
}
