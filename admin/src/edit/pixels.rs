//! Partner postbacks. None of this is published.

use serde_json::Map;

use super::{EditError, Editable, Saved, audit, check_reference, existing};
use crate::catalog::{Affiliate, Offer, Pixel, PixelStatus};
use crate::store::partner_postbacks::{self, Replayed};
use crate::store::{WriteTx, domains, offers, rows};

/// In the audit.
const DELIVERY: &str = "pixel_delivery";

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
        check_target(self, tx, id)?;
        check_room(self, tx, id)
    }
}

/// That it does not lead back to a tracking domain. A domain may have come later than a postback that
/// leads there; nothing is sent then, and the postback can still be switched off.
fn check_target(pixel: &Pixel, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
    let before = id.map(|id| rows::find::<Pixel>(tx, id)).transpose()?.flatten();
    if before.is_some_and(|before| pixel.only_switches_off(&before.object)) {
        return Ok(());
    }
    let Some(url) = pixel.target() else { return Ok(()) };
    let elsewhere = domains::own_hosts(tx)?.check(&url);
    elsewhere.map_err(|own| EditError::field("postback_url", own.to_string()))
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
    if partner_postbacks::count_others(tx, pixel.network_affiliate_id, id)? < MAX_PER_PARTNER {
        return Ok(());
    }
    let message = format!(
        "this partner has {MAX_PER_PARTNER} postbacks, which is the most; delete some first"
    );
    Err(EditError::conflict("pixel.too_many", "network_affiliate_id", message))
}

/// That a partner may know of the offer it names. Whether there is one it does not see, it is not
/// told.
///
/// # Errors
/// When it may not.
pub fn check_sees_offer(tx: &WriteTx<'_>, pixel: &Pixel) -> Result<(), EditError> {
    let (offer, partner) = (pixel.network_offer_id, pixel.network_affiliate_id);
    if offer == 0 || offers::is_visible_for(tx, offer, partner)? {
        return Ok(());
    }
    let message = format!("there is no {} {offer}", Offer::NAME);
    Err(EditError::field("network_offer_id", message))
}

/// What is to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// One delivery, whatever came of it.
    Delivery(u32),
    /// All dead deliveries of a postback.
    DeadOf(u32),
}

/// Makes deliveries due; answers how many.
///
/// # Errors
/// When there is no such delivery or postback, or the postback is not active.
pub fn replay(tx: &WriteTx<'_>, which: Replay) -> Result<Saved<u64>, EditError> {
    let (pixel_id, which) = match which {
        Replay::Delivery(id) => (pixel_of(tx, id)?, Replayed::One(id)),
        Replay::DeadOf(id) => (id, Replayed::DeadOf(id)),
    };
    let pixel = existing::<Pixel>(tx, pixel_id)?.object;
    if pixel.pixel_status != PixelStatus::Active {
        let message = format!("partner postback {pixel_id} is inactive; make it active first");
        return Err(EditError::conflict("pixel.inactive", "pixel_status", message));
    }
    let (replayed, first, last) = partner_postbacks::replay(tx, which)?;
    if replayed > 0 {
        audit::record_range(tx, DELIVERY, "replayed", replayed, (first, last), &Map::new())?;
    }
    Ok(Saved { now: replayed, sequence: None })
}

/// The postback of a delivery that can be sent at all.
fn pixel_of(tx: &WriteTx<'_>, id: u32) -> Result<u32, EditError> {
    let found =
        partner_postbacks::delivery(tx, id)?.ok_or(EditError::NotFound { what: "delivery", id })?;
    if found.url.is_empty() {
        let message = format!("delivery {id} has no URL any more, and cannot be sent");
        return Err(EditError::conflict("pixel_delivery.no_url", "url", message));
    }
    Ok(found.network_pixel_id)
}
