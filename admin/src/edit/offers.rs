//! Offers. The codes of a deleted offer stay, but do not redirect.

use super::own_address::OwnAddresses;
use super::{EditError, Editable, Removal, check_live_codes, check_reference};
use crate::catalog::{Advertiser, FieldError, Offer, OfferGroup, OfferStatus, TrackingDomain};
use crate::store::coupon_codes::{self, CodesOf};
use crate::store::{WriteTx, offers, rows};

impl Editable for Offer {
    const NAME: &'static str = "offer";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_offer_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        Offer::check(self).map_err(EditError::Invalid)?;
        if id.is_none() && self.offer_status == OfferStatus::Deleted {
            return Err(EditError::field("offer_status", "a new offer cannot be deleted"));
        }
        check_reference::<Advertiser>(tx, "network_advertiser_id", self.network_advertiser_id)?;
        if let Some(domain) = self.network_tracking_domain_id {
            check_reference::<TrackingDomain>(tx, "network_tracking_domain_id", domain)?;
        }
        check_group(self, tx)?;
        check_entries(self, tx, id)?;
        check_urls(self, tx, id)
    }

    fn check_removal(tx: &WriteTx<'_>, id: u32, removal: Removal) -> Result<(), EditError> {
        let codes = coupon_codes::count_live(tx, CodesOf::Offer(id))?;
        check_live_codes(codes, removal, ("offer.has_live_codes", "network_offer_id"), |codes| {
            format!(
                "offer {id} has {codes} live coupon code(s), whose links and sales would end with \
                 it; set offer_status to paused, or delete it nevertheless with ?force=true"
            )
        })
    }

    fn take_removal(&mut self, before: &Offer) -> bool {
        let is_removal = self.offer_status == OfferStatus::Deleted;
        if is_removal {
            self.offer_status = before.offer_status;
        }
        is_removal
    }
}

/// Checks that the group is the same advertiser's.
fn check_group(offer: &Offer, tx: &WriteTx<'_>) -> Result<(), EditError> {
    let id = offer.network_offer_group_id;
    if id == 0 {
        return Ok(());
    }
    let field = "network_offer_group_id";
    let Some(group) = rows::find::<OfferGroup>(tx, id)? else {
        return Err(EditError::field(field, format!("there is no {} {id}", OfferGroup::NAME)));
    };
    let owner = group.object.network_advertiser_id;
    if owner == offer.network_advertiser_id {
        return Ok(());
    }
    let message = format!("offer group {id} is one of advertiser {owner}");
    Err(EditError::field(field, message))
}

/// Refuses URLs that lead back to a tracking domain. An unchanged URL may lead to a newer domain,
/// so the offer can still be paused.
fn check_urls(offer: &Offer, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
    let before = id.map(|id| rows::find::<Offer>(tx, id)).transpose()?.flatten();
    let before = before.map(|stored| stored.object);
    let own = OwnAddresses::read(tx)?;
    if before.as_ref().is_none_or(|before| before.destination_url != offer.destination_url) {
        own.check_destination("destination_url", &offer.destination_url)?;
    }
    if before.is_none_or(|before| before.fallback_url != offer.fallback_url) {
        own.check_fallback("fallback_url", &offer.fallback_url)?;
    }
    Ok(())
}

/// Checks that entry ids belong to this offer.
fn check_entries(offer: &Offer, tx: &WriteTx<'_>, offer_id: Option<u32>) -> Result<(), EditError> {
    let mut wrong = Vec::new();
    for (index, entry) in offer.payout_revenue.iter().enumerate() {
        let Some(entry_id) = entry.network_offer_payout_revenue_id else { continue };
        let is_own = match offer_id {
            Some(offer_id) => offers::has_entry(tx, offer_id, entry_id)?,
            None => false,
        };
        if !is_own {
            wrong.push(FieldError {
                field: format!("payout_revenue[{index}].network_offer_payout_revenue_id"),
                error: format!("this offer has no entry {entry_id}; leave the id out to add one"),
            });
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(EditError::Invalid(wrong)) }
}
