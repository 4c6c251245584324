//! Partner postbacks. They are not published.

use serde_json::Map;

use super::{EditError, Editable, Saved, audit, check_reference, existing};
use crate::catalog::{Affiliate, Offer, Pixel, PixelStatus};
use crate::store::outbox;
use crate::store::partner_postbacks::{self, PostbackOutbox, Replayed};
use crate::store::{WriteTx, domains, offers, rows};

/// The audit's name for a delivery.
const DELIVERY: &str = "pixel_delivery";

/// A bound, because each conversion of a partner goes to all postbacks of the partner.
const MAX_PER_PARTNER: u64 = 200;

impl Editable for Pixel {
    const NAME: &'static str = "partner postback";
    const IS_PUBLISHED: bool = false;
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
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

/// Checks that the URL does not lead back to a tracking domain. A domain may be newer than a
/// postback that leads to the domain; then the postback is not sent, and can still be switched off.
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

/// Checks that the partner sees the offer. The error is the same for a hidden and for a missing
/// offer, so a partner learns nothing about hidden offers.
///
/// # Errors
/// When the partner does not see the offer.
pub fn check_sees_offer(tx: &WriteTx<'_>, pixel: &Pixel) -> Result<(), EditError> {
    let (offer, partner) = (pixel.network_offer_id, pixel.network_affiliate_id);
    if offer == 0 || offers::is_visible_for(tx, offer, partner)? {
        return Ok(());
    }
    let message = format!("there is no {} {offer}", Offer::NAME);
    Err(EditError::field("network_offer_id", message))
}

/// Finds a postback of a partner. The error is the same for a postback of another partner and for a
/// missing one.
///
/// # Errors
/// When the partner has no such postback.
pub fn find_own(tx: &WriteTx<'_>, id: u32, affiliate_id: u32) -> Result<Pixel, EditError> {
    let pixel = existing::<Pixel>(tx, id)?.object;
    if pixel.network_affiliate_id == affiliate_id {
        return Ok(pixel);
    }
    Err(EditError::NotFound { what: Pixel::NAME, id })
}

/// The deliveries to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// One delivery in any state.
    Delivery(u32),
    /// All dead deliveries of a postback.
    DeadOf(u32),
}

/// Makes deliveries due, and returns their number.
///
/// # Errors
/// When the delivery or postback does not exist, or the postback is inactive.
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

/// The postback of a delivery that still has its URL.
fn pixel_of(tx: &WriteTx<'_>, id: u32) -> Result<u32, EditError> {
    let found = outbox::delivery::<PostbackOutbox>(tx, id)?
        .ok_or(EditError::NotFound { what: "delivery", id })?;
    if found.url.is_empty() {
        let message = format!("delivery {id} has no URL any more, and cannot be sent");
        return Err(EditError::conflict("pixel_delivery.no_url", "url", message));
    }
    Ok(found.network_pixel_id)
}
