//! Offers. A deleted offer's codes stay and do not redirect.

use super::{EditError, Editable, check_reference};
use crate::catalog::{Advertiser, FieldError, Offer, OfferStatus, TrackingDomain};
use crate::store::{WriteTx, offers};

impl Editable for Offer {
    const NAME: &'static str = "offer";
    const ANSWERED_ONLY: &'static [&'static str] = &[
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
        if id.is_none() && self.is_removal() {
            return Err(EditError::field("offer_status", "a new offer cannot be deleted"));
        }
        check_reference::<Advertiser>(tx, "network_advertiser_id", self.network_advertiser_id)?;
        if let Some(domain) = self.network_tracking_domain_id {
            check_reference::<TrackingDomain>(tx, "network_tracking_domain_id", domain)?;
        }
        check_entries(self, tx, id)
    }

    fn is_removal(&self) -> bool {
        self.offer_status == OfferStatus::Deleted
    }
}

/// An entry's id names an entry of this offer, never another's.
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
