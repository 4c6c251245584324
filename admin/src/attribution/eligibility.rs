//! Eligibility of a conversion: checks the click, the code row, or the offer and partner that a
//! postback names, and answers the error code of the first obstacle.
//!
//! [`coupon_shared::eligibility`] has the conditions and their order, the same as for a redirect.
//! Added here are the conditions that only a conversion has: the click was redirected, is on the
//! requested offer or came from it, and within the look-back window, and the offer belongs to the sender's
//! advertiser.

use coupon_shared::click::VisitKind;
use coupon_shared::decision::Reason;
use coupon_shared::eligibility::{AccessCheck, CodeTerms, Ineligibility, RunTerms};
use jiff::civil::Date;

use super::error_code::ErrorCode;
use super::evidence::{ClickFacts, CodeFacts, Evidence};
use super::postback_fields::PostbackFields;
use crate::catalog::{
    AccountStatus, CouponStatus, Offer, OfferStatus, PartnerVisibility, Visibility,
};

const HOUR_MS: u64 = 3_600_000;

impl From<Ineligibility> for ErrorCode {
    fn from(ineligibility: Ineligibility) -> ErrorCode {
        match ineligibility {
            Ineligibility::Paused => ErrorCode::PausedCode,
            Ineligibility::Unassigned => ErrorCode::UnassignedCode,
            Ineligibility::NotStarted => ErrorCode::CodeNotStarted,
            Ineligibility::Expired => ErrorCode::ExpiredCode,
            Ineligibility::OfferNotActive => ErrorCode::InactiveOffer,
            Ineligibility::OfferEnded => ErrorCode::ExpiredOffer,
            Ineligibility::PartnerNotActive => ErrorCode::PartnerNotActive,
            Ineligibility::NotRunnable => ErrorCode::NotRunnable,
        }
    }
}

/// Checks a click. Offer and partner must be active when the postback comes; the code's terms and
/// the partner's access were checked by the redirect, at the time of the click.
pub(super) fn check_click(
    fields: &PostbackFields,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
    click: &ClickFacts,
) -> Result<(), ErrorCode> {
    if !was_redirected(click) {
        return Err(ErrorCode::InvalidClick);
    }
    // A shop that knows the offer of its link alone names the offer that sent the visit on.
    let is_of_click =
        |requested| requested == click.offer_id || Some(requested) == click.previous_offer_id;
    if fields.offer_id.is_some_and(|requested| !is_of_click(requested)) {
        return Err(ErrorCode::OfferMismatch);
    }
    let offer = evidence.offers.get(&click.offer_id).ok_or(ErrorCode::InvalidOffer)?;
    if advertiser_id.is_some() && advertiser_id != evidence.advertiser_of_click(click) {
        return Err(ErrorCode::InvalidOffer);
    }
    if is_too_old(click, offer, evidence.received_ms) {
        return Err(ErrorCode::AboveLookBack);
    }
    if is_too_soon(click, offer, evidence.received_ms) {
        return Err(ErrorCode::BelowMinimumTime);
    }
    let access: AccessCheck<fn() -> bool> = AccessCheck::AtClick;
    Ok(run_terms(offer, click.affiliate_id, evidence, access).check(evidence.today)?)
}

/// A click by a bot counts too: `reason` says redirected, and the conversion shows that a person
/// followed.
fn was_redirected(click: &ClickFacts) -> bool {
    let is_click = click.kind != VisitKind::Impression;
    is_click && click.reason == Reason::Redirected && click.affiliate_id != 0
}

fn is_too_old(click: &ClickFacts, offer: &Offer, received_ms: u64) -> bool {
    let look_back_ms = u64::from(offer.session_tracking_lifespan_hour) * HOUR_MS;
    // A look-back window of 0 hours has no end.
    look_back_ms != 0 && received_ms.saturating_sub(click.unix_ms) > look_back_ms
}

/// A page that converts within seconds was reached before the click: software put the click in.
fn is_too_soon(click: &ClickFacts, offer: &Offer, received_ms: u64) -> bool {
    let shortest_ms = u64::from(offer.session_tracking_minimum_lifespan_second) * 1000;
    shortest_ms != 0 && received_ms < click.unix_ms.saturating_add(shortest_ms)
}

/// Checks a row of the code that a postback names without a usable click.
pub(super) fn check_code_row(
    row: &CodeFacts,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
) -> Result<(), ErrorCode> {
    // The store's dates are compared unconverted: a `Day` ends in 2179, a date does not.
    let terms = CodeTerms {
        active: row.status == CouponStatus::Active,
        assigned: row.affiliate_id.is_some(),
        first_day: row.start_date.unwrap_or(Date::MIN),
        last_day: row.end_date.unwrap_or(Date::MAX),
    };
    terms.check(evidence.today)?;
    let affiliate_id = row.affiliate_id.unwrap_or_default();
    check_offer_and_partner(row.offer_id, affiliate_id, evidence, advertiser_id)
}

/// Checks a partner on an offer of this advertiser.
pub(super) fn check_offer_and_partner(
    offer_id: u32,
    affiliate_id: u32,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
) -> Result<(), ErrorCode> {
    let is_advertisers = |offer: &&Offer| {
        advertiser_id.is_none_or(|advertiser_id| advertiser_id == offer.network_advertiser_id)
    };
    let offer = evidence.offers.get(&offer_id).filter(is_advertisers);
    let offer = offer.ok_or(ErrorCode::InvalidOffer)?;
    let can_run = || match evidence.access.get(&(offer_id, affiliate_id)) {
        Some(PartnerVisibility::Visible) => true,
        Some(PartnerVisibility::Hidden | PartnerVisibility::Rejected) => false,
        None => offer.visibility == Visibility::Public,
    };
    let terms = run_terms(offer, affiliate_id, evidence, AccessCheck::Now(can_run));
    Ok(terms.check(evidence.today)?)
}

fn run_terms<F: FnOnce() -> bool>(
    offer: &Offer,
    affiliate_id: u32,
    evidence: &Evidence,
    access: AccessCheck<F>,
) -> RunTerms<Date, F> {
    RunTerms {
        offer_active: offer.offer_status == OfferStatus::Active,
        offer_last_day: offer.date_live_until.unwrap_or(Date::MAX),
        // A deleted partner is missing in the evidence, which counts as not active.
        partner_active: evidence.partners.get(&affiliate_id) == Some(&AccountStatus::Active),
        access,
    }
}

#[cfg(test)]
mod tests {
    use coupon_shared::civil_day::Day;
    use coupon_shared::snapshot::level::CodeRecord;
    use jiff::civil::date;
    use serde_json::json;

    use super::*;
    use crate::attribution::sample;
    use crate::catalog::tracking_link::tests::decide_visit;
    use crate::catalog::{LinkFacts, LinkState, published_day};

    /// The day 9662 of [`Day`].
    const TODAY: Date = date(2026, 6, 15);

    /// A condition that is not met, and the answers of the redirect, of the conversion by code, of
    /// the conversion by click and of the link if it is the first such condition.
    type Answers = (Ineligibility, Reason, ErrorCode, Option<ErrorCode>, LinkState);

    #[rustfmt::skip]
    const ANSWERS: [Answers; 8] = [
        (Ineligibility::Paused,           Reason::Paused,           ErrorCode::PausedCode,       None,                              LinkState::Paused),
        (Ineligibility::Unassigned,       Reason::Unassigned,       ErrorCode::UnassignedCode,   Some(ErrorCode::InvalidClick),     LinkState::Unassigned),
        (Ineligibility::NotStarted,       Reason::NotStarted,       ErrorCode::CodeNotStarted,   None,                              LinkState::NotStarted),
        (Ineligibility::Expired,          Reason::Expired,          ErrorCode::ExpiredCode,      None,                              LinkState::Expired),
        (Ineligibility::OfferNotActive,   Reason::OfferNotActive,   ErrorCode::InactiveOffer,    Some(ErrorCode::InactiveOffer),    LinkState::OfferNotActive),
        (Ineligibility::OfferEnded,       Reason::OfferEnded,       ErrorCode::ExpiredOffer,     Some(ErrorCode::ExpiredOffer),     LinkState::OfferNotActive),
        (Ineligibility::PartnerNotActive, Reason::PartnerNotActive, ErrorCode::PartnerNotActive, Some(ErrorCode::PartnerNotActive), LinkState::PartnerNotActive),
        (Ineligibility::NotRunnable,      Reason::NotRunnable,      ErrorCode::NotRunnable,      None,                              LinkState::NotRunnable),
    ];

    /// The bits of `unmet` stand for the conditions in the order of [`ANSWERS`].
    fn is_met(unmet: usize, condition: Ineligibility) -> bool {
        let at = ANSWERS.iter().position(|answers| answers.0 == condition).unwrap();
        unmet >> at & 1 == 0
    }

    fn link_facts(unmet: usize) -> LinkFacts {
        let is_met = |condition| is_met(unmet, condition);
        let today = published_day(TODAY).0;
        LinkFacts {
            is_conversion_only: false,
            has_tracking_domain: true,
            record: CodeRecord {
                code_id: 1,
                offer_id: 1,
                partner_id: is_met(Ineligibility::Unassigned).into(),
                active: is_met(Ineligibility::Paused),
                first_day: Day(today + u16::from(!is_met(Ineligibility::NotStarted))),
                last_day: Day(today - u16::from(!is_met(Ineligibility::Expired))),
            },
            is_offer_deleted: false,
            is_offer_active: is_met(Ineligibility::OfferNotActive),
            offer_last_day: Day(today - u16::from(!is_met(Ineligibility::OfferEnded))),
            is_partner_deleted: false,
            is_partner_active: is_met(Ineligibility::PartnerNotActive),
            can_run: is_met(Ineligibility::NotRunnable),
        }
    }

    fn evidence(unmet: usize) -> Evidence {
        let is_met = |condition| is_met(unmet, condition);
        let mut evidence = sample::evidence(&sample::fields(""));
        let yesterday = TODAY.yesterday().unwrap();
        let offer = json!({
            "name": "Jackets", "network_advertiser_id": 1,
            "destination_url": "https://shop.example/",
            "offer_status": if is_met(Ineligibility::OfferNotActive) { "active" } else { "paused" },
            "date_live_until":
                if is_met(Ineligibility::OfferEnded) { TODAY } else { yesterday }.to_string(),
        });
        let account_status = match is_met(Ineligibility::PartnerNotActive) {
            true => AccountStatus::Active,
            false => AccountStatus::Suspended,
        };
        let access = match is_met(Ineligibility::NotRunnable) {
            true => PartnerVisibility::Visible,
            false => PartnerVisibility::Hidden,
        };
        evidence.today = TODAY;
        evidence.offers = [(1, serde_json::from_value(offer).unwrap())].into();
        evidence.partners = [(1, account_status)].into();
        evidence.access = [((1, 1), access)].into();
        evidence
    }

    fn code_row(unmet: usize) -> CodeFacts {
        let is_met = |condition| is_met(unmet, condition);
        let first = if is_met(Ineligibility::NotStarted) { Ok(TODAY) } else { TODAY.tomorrow() };
        let last = if is_met(Ineligibility::Expired) { Ok(TODAY) } else { TODAY.yesterday() };
        CodeFacts {
            code_id: 1,
            coupon_code: "WINTER25".into(),
            offer_id: 1,
            affiliate_id: is_met(Ineligibility::Unassigned).then_some(1),
            status: match is_met(Ineligibility::Paused) {
                true => CouponStatus::Active,
                false => CouponStatus::Paused,
            },
            start_date: Some(first.unwrap()),
            end_date: Some(last.unwrap()),
            conversion_only: false,
        }
    }

    fn click(unmet: usize) -> ClickFacts {
        ClickFacts {
            unix_ms: sample::NOW_MS,
            kind: VisitKind::Click,
            reason: Reason::Redirected,
            code_id: 1,
            offer_id: 1,
            previous_offer_id: None,
            affiliate_id: is_met(unmet, Ineligibility::Unassigned).into(),
            advertiser_id: 1,
            coupon_code: "WINTER25".into(),
        }
    }

    #[test]
    fn redirect_conversion_and_link_agree_in_all_combinations_of_conditions() {
        assert_eq!(ANSWERS.map(|answers| answers.0), Ineligibility::IN_ORDER);
        let fields = sample::fields("");
        for unmet in 0..1_usize << ANSWERS.len() {
            let first = ANSWERS.iter().enumerate().find(|(at, _)| unmet >> at & 1 == 1);
            let first = first.map(|(_, answers)| *answers);
            let (facts, evidence) = (link_facts(unmet), evidence(unmet));

            let redirected = decide_visit(&facts).0.unwrap().reason;
            assert_eq!(redirected, first.map_or(Reason::Redirected, |it| it.1), "{unmet:08b}");

            let converted = check_code_row(&code_row(unmet), &evidence, Some(1));
            assert_eq!(converted.err(), first.map(|it| it.2), "{unmet:08b}");

            let state = facts.state(published_day(TODAY));
            // A code without a partner has no link, which the list says before any state of a link.
            let expected = match is_met(unmet, Ineligibility::Unassigned) {
                true => first.map_or(LinkState::Leads, |it| it.4),
                false => LinkState::Unassigned,
            };
            assert_eq!(state, expected, "{unmet:08b}");

            // A click from before skips the code's terms and the partner's access.
            let by_click = ANSWERS.iter().enumerate().filter(|(at, _)| unmet >> at & 1 == 1);
            let by_click = by_click.filter_map(|(_, answers)| answers.3).next();
            let converted = check_click(&fields, &evidence, Some(1), &click(unmet));
            assert_eq!(converted.err(), by_click, "{unmet:08b}");
        }
    }
}
