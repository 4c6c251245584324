//! Partner postbacks. None of this is published.

use super::{EditError, Editable, check_reference};
use crate::catalog::{Affiliate, Offer, Pixel};
use crate::store::{WriteTx, offers, pixels};

/// Each conversion of a partner is told to all of its postbacks.
const MAX_PER_PARTNER: u64 = 200;

impl Editable for Pixel {
    const NAME: &'static str = "partner postback";
    const IS_PUBLISHED: bool = false;
    const ANSWERED_ONLY: &'static [&'static str] = &[
        "network_pixel_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        Pixel::check(self).map_err(EditError::Invalid)?;
        check_reference::<Affiliate>(tx, "network_affiliate_id", self.network_affiliate_id)?;
        if self.network_offer_id != 0 {
            check_reference::<Offer>(tx, "network_offer_id", self.network_offer_id)?;
        }
        check_event(self, tx)?;
        check_room(self, tx, id)
    }
}

fn check_event(pixel: &Pixel, tx: &WriteTx<'_>) -> Result<(), EditError> {
    let (offer, event) = (pixel.network_offer_id, pixel.network_offer_payout_revenue_id);
    if event == 0 || offers::has_entry(tx, offer, event)? {
        return Ok(());
    }
    let message = format!("offer {offer} has no entry {event}");
    Err(EditError::field("network_offer_payout_revenue_id", message))
}

fn check_room(pixel: &Pixel, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
    if pixels::count_others(tx, pixel.network_affiliate_id, id)? < MAX_PER_PARTNER {
        return Ok(());
    }
    let message = format!(
        "this partner has {MAX_PER_PARTNER} postbacks, which is the most; delete some first"
    );
    Err(EditError::conflict("pixel.too_many", "network_affiliate_id", message))
}
