//! Refuses URLs that lead visitors back to a tracking domain, and so in circles.
//!
//! A destination may lead to a page on the same host if the path cannot be a coupon code, because a
//! proxy may serve a shop there. A fallback URL may not, because all visits without a known code go
//! to it.

use super::EditError;
use crate::catalog::{TrackingDomain, WebAddress, may_be_code_path};
use crate::store::{WriteTx, domains, offers, settings};

/// The addresses of the network's tracking domains.
pub(super) struct OwnAddresses(Vec<(WebAddress, String)>);

impl OwnAddresses {
    pub(super) fn read(tx: &WriteTx<'_>) -> Result<OwnAddresses, EditError> {
        let own = OwnAddresses(Vec::new());
        Ok(domains::all(tx)?.into_iter().fold(own, |own, domain| own.with(&domain.base_url)))
    }

    /// Adds an address.
    pub(super) fn with(mut self, base_url: &str) -> OwnAddresses {
        self.0.extend(WebAddress::parse(base_url).map(|address| (address, base_url.to_owned())));
        self
    }

    /// Refuses a destination that leads to a coupon code.
    pub(super) fn check_destination(&self, field: &str, url: &str) -> Result<(), EditError> {
        if may_be_code_path(url) { self.check_elsewhere(field, url) } else { Ok(()) }
    }

    /// Refuses a fallback URL that leads to an address of this network.
    pub(super) fn check_fallback(&self, field: &str, url: &str) -> Result<(), EditError> {
        if url.is_empty() { Ok(()) } else { self.check_elsewhere(field, url) }
    }

    fn check_elsewhere(&self, field: &str, url: &str) -> Result<(), EditError> {
        let Some(base_url) = self.leading_to(url) else { return Ok(()) };
        let message = format!(
            "leads to the tracking domain {base_url}, which would redirect visitors in circles; \
             write the address of a page elsewhere"
        );
        Err(EditError::field(field, message))
    }

    fn leading_to(&self, url: &str) -> Option<&str> {
        let address = WebAddress::parse(url)?;
        let (_, base_url) = self.0.iter().find(|(own, _)| *own == address)?;
        Some(base_url)
    }
}

/// Checks that no stored URL leads to the address of a new tracking domain.
pub(super) fn check_nothing_leads_to(
    tx: &WriteTx<'_>,
    domain: &TrackingDomain,
    id: Option<u32>,
) -> Result<(), EditError> {
    let new = OwnAddresses(Vec::new()).with(&domain.base_url);
    let network = settings::read(tx)?.settings;
    for (url, what) in [
        (&network.fallback_url, "the fallback_url of the settings"),
        (&network.global_fail_traffic_url, "the global_fail_traffic_url of the settings"),
    ] {
        if new.leading_to(url).is_some() {
            return Err(led_to(domain, what));
        }
    }
    for other in domains::all(tx)? {
        if Some(other.id) != id && new.leading_to(&other.fallback_url).is_some() {
            return Err(led_to(
                domain,
                &format!("the fallback_url of tracking domain {}", other.id),
            ));
        }
    }
    for offer in offers::urls(tx)? {
        let destination = &offer.destination_url;
        if may_be_code_path(destination) && new.leading_to(destination).is_some() {
            return Err(led_to(domain, &format!("the destination_url of offer {}", offer.id)));
        }
        if new.leading_to(&offer.fallback_url).is_some() {
            return Err(led_to(domain, &format!("the fallback_url of offer {}", offer.id)));
        }
    }
    Ok(())
}

fn led_to(domain: &TrackingDomain, what: &str) -> EditError {
    let message = format!(
        "{what} leads to {}, which would redirect visitors in circles if it were a tracking domain; \
         change that URL first",
        domain.base_url
    );
    EditError::conflict("tracking_domain.led_to", "base_url", message)
}
