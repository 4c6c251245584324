//! What stands in the way of a click, of a code's row, or of a partner on an offer: the first
//! obstacle, in the order in which a redirect is refused too.

use coupon_shared::click::VisitKind;
use coupon_shared::decision::Reason;

use super::error_code::ErrorCode;
use super::evidence::{ClickFacts, CodeFacts, Evidence};
use super::postback_fields::PostbackFields;
use crate::catalog::{
    AccountStatus, CouponStatus, Offer, OfferStatus, PartnerVisibility, Visibility,
};

const HOUR_MS: u64 = 3_600_000;

/// Of a click. Its partner could run the offer when it was made, and that is not asked again.
pub(super) fn of_click(
    fields: &PostbackFields,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
    click: &ClickFacts,
) -> Option<ErrorCode> {
    if !leads_to_an_offer(click) {
        return Some(ErrorCode::InvalidClick);
    }
    if fields.offer_id.is_some_and(|asked_for| asked_for != click.offer_id) {
        return Some(ErrorCode::OfferMismatch);
    }
    let Some(offer) = evidence.offers.get(&click.offer_id) else {
        return Some(ErrorCode::InvalidOffer);
    };
    if advertiser_id.is_some() && advertiser_id != evidence.advertiser_of_click(click) {
        return Some(ErrorCode::InvalidOffer);
    }
    if is_too_old(click, offer, evidence.received_ms) {
        return Some(ErrorCode::AboveLookBack);
    }
    of_offer(offer, evidence).or_else(|| of_partner(click.affiliate_id, evidence))
}

/// Somebody was sent to an offer, even one who was taken for a program until he bought something.
fn leads_to_an_offer(click: &ClickFacts) -> bool {
    let is_click = click.kind != VisitKind::Impression;
    is_click && click.reason == Reason::Redirected && click.affiliate_id != 0
}

fn is_too_old(click: &ClickFacts, offer: &Offer, received_ms: u64) -> bool {
    let most_ms = u64::from(offer.session_tracking_lifespan_hour) * HOUR_MS;
    most_ms != 0 && received_ms.saturating_sub(click.unix_ms) > most_ms
}

/// Of a code's row.
pub(super) fn of_row(
    row: &CodeFacts,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
) -> Option<ErrorCode> {
    let today = evidence.today;
    let of_code = match row.affiliate_id {
        _ if row.status != CouponStatus::Active => Some(ErrorCode::PausedCode),
        None => Some(ErrorCode::UnassignedCode),
        _ if row.start_date.is_some_and(|first| today < first) => Some(ErrorCode::CodeNotStarted),
        _ if row.end_date.is_some_and(|last| today > last) => Some(ErrorCode::ExpiredCode),
        Some(_) => None,
    };
    let affiliate_id = row.affiliate_id.unwrap_or_default();
    of_code.or_else(|| of_pair(row.offer_id, affiliate_id, evidence, advertiser_id))
}

/// Of a partner on an offer of this advertiser.
pub(super) fn of_pair(
    offer_id: u32,
    affiliate_id: u32,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
) -> Option<ErrorCode> {
    let offer = evidence.offers.get(&offer_id);
    let of_advertiser = |offer: &&Offer| {
        advertiser_id.is_none_or(|advertiser_id| advertiser_id == offer.network_advertiser_id)
    };
    let Some(offer) = offer.filter(of_advertiser) else {
        return Some(ErrorCode::InvalidOffer);
    };
    of_offer(offer, evidence)
        .or_else(|| of_partner(affiliate_id, evidence))
        .or_else(|| of_access(offer_id, offer, affiliate_id, evidence))
}

fn of_offer(offer: &Offer, evidence: &Evidence) -> Option<ErrorCode> {
    match offer.date_live_until {
        _ if offer.offer_status != OfferStatus::Active => Some(ErrorCode::InactiveOffer),
        Some(last) if evidence.today > last => Some(ErrorCode::ExpiredOffer),
        _ => None,
    }
}

fn of_partner(affiliate_id: u32, evidence: &Evidence) -> Option<ErrorCode> {
    let is_active = evidence.partners.get(&affiliate_id) == Some(&AccountStatus::Active);
    (!is_active).then_some(ErrorCode::PartnerNotActive)
}

fn of_access(
    offer_id: u32,
    offer: &Offer,
    affiliate_id: u32,
    evidence: &Evidence,
) -> Option<ErrorCode> {
    let can_run = match evidence.access.get(&(offer_id, affiliate_id)) {
        Some(PartnerVisibility::Visible) => true,
        Some(PartnerVisibility::Hidden | PartnerVisibility::Rejected) => false,
        None => offer.visibility == Visibility::Public,
    };
    (!can_run).then_some(ErrorCode::NotRunnable)
}
