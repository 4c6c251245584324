//! Attribution of a postback to partner and offer.
//!
//! Three identifiers are tried, the first two in the order of the advertiser's priority: a click
//! (`transaction_id`), the coupon code, and last `oid` with `affid`. The first **usable**
//! identifier decides. An unusable one is skipped, and the reason is noted among the steps. Without
//! any usable identifier, the answer is the error of the first identifier that exists (a click
//! outside its window, an expired code), because it explains more than the error of an unknown one.
//!
//! - Of several clicks the first or last by time counts, as the advertiser's settings say. If the
//!   search meets a click that can still arrive, the conversion waits for it.
//! - Partner and offer are always those of the click or of the code's row.
//! - A code must be on the offer that `oid` names, or on one offer only; no other offer is
//!   substituted.
//!
//! Not decided here: payout, trust in the sender, duplicates.

use std::fmt;

use coupon_shared::transaction_id::TransactionId;

use super::advertiser::resolve_advertiser;
use super::attributed::{Attributed, Method, PartialAttribution};
use super::decision_step::DecisionSteps;
use super::eligibility;
use super::error_code::ErrorCode;
use super::evidence::{ClickEvidence, ClickFacts, CodeFacts, Evidence};
use super::postback_fields::PostbackFields;
use crate::catalog::{AttributionMethod, AttributionPriority, Offer};

/// The outcome of an attribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Attributed(Attributed),
    /// No identifier is usable.
    Refused {
        error: ErrorCode,
        partial: PartialAttribution,
    },
    /// The attribution depends on this click, which can still arrive.
    Waits(TransactionId),
}

/// An attribution with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    pub outcome: Outcome,
    /// The advertiser of the postback, also where no partner is found.
    pub advertiser_id: Option<u32>,
    pub steps: DecisionSteps,
}

/// Attributes a postback to partner and offer.
#[must_use]
pub fn attribute(fields: &PostbackFields, evidence: &Evidence) -> Attribution {
    let mut steps = DecisionSteps::default();
    let advertiser_id = resolve_advertiser(fields, evidence, &mut steps);
    let (priority, _) = rules(evidence, advertiser_id);
    let ids = in_touch_order(fields, evidence, advertiser_id);
    let mut search =
        AttributionSearch { fields, evidence, advertiser_id, ids, steps, failures: Vec::new() };
    let outcome = search.run(priority);
    Attribution { outcome, advertiser_id, steps: search.steps }
}

fn rules(
    evidence: &Evidence,
    advertiser_id: Option<u32>,
) -> (AttributionPriority, AttributionMethod) {
    match advertiser_id.and_then(|id| evidence.advertisers.get(&id)) {
        Some(advertiser) => (advertiser.attribution_priority, advertiser.attribution_method),
        None => (AttributionPriority::Click, AttributionMethod::LastTouch),
    }
}

/// The sent ids in the order of preference. They are sorted by the click time that an id contains.
pub(super) fn in_touch_order(
    fields: &PostbackFields,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
) -> Vec<TransactionId> {
    let mut ids: Vec<TransactionId> = fields.transaction_ids.iter().filter_map(|c| c.id).collect();
    ids.sort_by_key(TransactionId::unix_ms);
    if rules(evidence, advertiser_id).1 == AttributionMethod::LastTouch {
        ids.reverse();
    }
    ids
}

/// An unusable identifier.
struct Failure {
    error: ErrorCode,
    /// `None` for an identifier of an unknown object.
    partial: Option<PartialAttribution>,
}

struct AttributionSearch<'a> {
    fields: &'a PostbackFields,
    evidence: &'a Evidence,
    advertiser_id: Option<u32>,
    ids: Vec<TransactionId>,
    steps: DecisionSteps,
    failures: Vec<Failure>,
}

impl<'a> AttributionSearch<'a> {
    fn run(&mut self, priority: AttributionPriority) -> Outcome {
        let found = match priority {
            AttributionPriority::Click => self.by_click().or_else(|| self.by_code()),
            AttributionPriority::CouponCode => self.by_code().or_else(|| self.by_click()),
        };
        found.or_else(|| self.by_names()).unwrap_or_else(|| self.refused())
    }

    fn note_failure(
        &mut self,
        error: ErrorCode,
        detail: impl fmt::Display,
        partial: Option<PartialAttribution>,
    ) {
        self.steps.note(error.as_str(), detail);
        self.failures.push(Failure { error, partial });
    }

    fn by_click(&mut self) -> Option<Outcome> {
        if self.fields.transaction_ids.iter().any(|sent| sent.id.is_none()) {
            let detail = "transaction_id holds what is not 32 hexadecimal digits";
            self.note_failure(ErrorCode::InvalidTransactionId, detail, None);
        }
        let ids = self.ids.clone();
        ids.iter().find_map(|id| self.by_transaction_id(id))
    }

    fn by_transaction_id(&mut self, id: &TransactionId) -> Option<Outcome> {
        let evidence = self.evidence;
        let (error, detail) = match evidence.clicks.get(id) {
            Some(ClickEvidence::Found(click)) => return self.by_found_click(id, click),
            Some(ClickEvidence::Awaited) => {
                let detail = format_args!("the click {id} is still on its way");
                self.steps.note("click_awaited", detail);
                return Some(Outcome::Waits(*id));
            }
            Some(ClickEvidence::Gone) => (ErrorCode::InvalidClick, "its click never came"),
            Some(ClickEvidence::Invented) | None => {
                (ErrorCode::InvalidTransactionId, "it was never given to a click")
            }
        };
        self.note_failure(error, format_args!("the id {id} identifies nothing: {detail}"), None);
        None
    }

    fn by_found_click(&mut self, id: &TransactionId, click: &ClickFacts) -> Option<Outcome> {
        let (offer_id, affiliate_id) = (click.offer_id, click.affiliate_id);
        let shown = format!("the click {id} of partner {affiliate_id} on offer {offer_id}");
        if let Err(error) = self.check_click(click) {
            let exists = error != ErrorCode::InvalidClick;
            let partial =
                exists.then(|| PartialAttribution::from(&self.attribution_of_click(id, click)));
            let why = error.sentence();
            self.note_failure(error, format_args!("{shown} cannot be used: {why}"), partial);
            return None;
        }
        if let Some(requested) = self.fields.offer_id.filter(|requested| *requested != offer_id) {
            let detail = format_args!("oid names offer {requested}, which sent the visit on");
            self.steps.note("offer_left", detail);
        }
        self.steps.note("click_chosen", format_args!("{shown} identifies it"));
        Some(Outcome::Attributed(self.attribution_of_click(id, click)))
    }

    fn check_click(&self, click: &ClickFacts) -> Result<(), ErrorCode> {
        eligibility::check_click(self.fields, self.evidence, self.advertiser_id, click)
    }

    fn attribution_of_click(&self, id: &TransactionId, click: &ClickFacts) -> Attributed {
        Attributed {
            offer_id: click.offer_id,
            affiliate_id: click.affiliate_id,
            advertiser_id: self.evidence.advertiser_of_click(click).unwrap_or_default(),
            code_id: Some(click.code_id).filter(|id| *id != 0),
            coupon_code: click.coupon_code.clone(),
            transaction_id: Some(*id),
            method: Method::Click,
        }
    }

    fn by_code(&mut self) -> Option<Outcome> {
        let code = self.fields.coupon_code.as_ref()?;
        let is_known = !self.evidence.codes.is_empty();
        if code.folded.is_none() || (!is_known && code.looks_like_several) {
            let detail = "coupon_code holds several codes, or what can be no code";
            self.note_failure(ErrorCode::UnreadableCode, detail, None);
            return None;
        }
        if !is_known {
            self.note_failure(ErrorCode::UnknownCode, "nobody has the coupon code", None);
            return None;
        }
        let row = self.find_row()?;
        self.by_row(row)
    }

    /// The code's row on the named offer, or the only row on an offer of this advertiser.
    fn find_row(&mut self) -> Option<&'a CodeFacts> {
        let rows = self.evidence.codes.iter().filter(|row| self.is_candidate_row(row));
        let (error, detail) = match rows.collect::<Vec<_>>().as_slice() {
            [row] => return Some(row),
            [] if self.fields.offer_id.is_some() => {
                (ErrorCode::CodeNotOnOffer, "the coupon code is not on the offer of oid".to_owned())
            }
            [] => (ErrorCode::InvalidOffer, "the coupon code is another advertiser's".to_owned()),
            several => (ErrorCode::AmbiguousCode, ambiguity(several)),
        };
        let typed = self.fields.coupon_code.as_ref().map(|code| code.typed.clone());
        let coupon_code = typed.unwrap_or_default();
        self.note_failure(
            error,
            detail,
            Some(PartialAttribution { coupon_code, ..PartialAttribution::default() }),
        );
        None
    }

    fn is_candidate_row(&self, row: &CodeFacts) -> bool {
        let advertiser_of = |offer: &Offer| offer.network_advertiser_id;
        match (self.fields.offer_id, self.advertiser_id) {
            (Some(asked_for), _) => row.offer_id == asked_for,
            (None, None) => true,
            (None, known) => self.evidence.offers.get(&row.offer_id).map(advertiser_of) == known,
        }
    }

    fn by_row(&mut self, row: &CodeFacts) -> Option<Outcome> {
        let CodeFacts { coupon_code, offer_id, code_id, .. } = row;
        let shown = format!("the coupon code {coupon_code} on offer {offer_id} (row {code_id})");
        let checked = eligibility::check_code_row(row, self.evidence, self.advertiser_id);
        let (Ok(()), Some(affiliate_id)) = (checked, row.affiliate_id) else {
            let error = checked.err().unwrap_or(ErrorCode::UnassignedCode);
            let why = error.sentence();
            let partial = Some(self.partial_of_row(row));
            self.note_failure(error, format_args!("{shown} cannot be used: {why}"), partial);
            return None;
        };
        let detail = format_args!("{shown} of partner {affiliate_id} identifies it");
        self.steps.note("coupon_code_chosen", detail);
        Some(Outcome::Attributed(Attributed {
            offer_id: row.offer_id,
            affiliate_id,
            advertiser_id: self.evidence.advertiser_of_offer(row.offer_id).unwrap_or_default(),
            code_id: Some(row.code_id),
            coupon_code: row.coupon_code.clone(),
            transaction_id: self.click_beside(row.offer_id, affiliate_id),
            method: Method::CouponCode,
        }))
    }

    fn partial_of_row(&self, row: &CodeFacts) -> PartialAttribution {
        PartialAttribution {
            advertiser_id: self.evidence.advertiser_of_offer(row.offer_id),
            offer_id: Some(row.offer_id),
            affiliate_id: row.affiliate_id,
            code_id: Some(row.code_id),
            coupon_code: row.coupon_code.clone(),
            transaction_id: None,
        }
    }

    /// The sent click of the same partner on the same offer.
    fn click_beside(&mut self, offer_id: u32, affiliate_id: u32) -> Option<TransactionId> {
        let is_same_pair = |click: &ClickFacts| {
            (click.offer_id, click.affiliate_id) == (offer_id, affiliate_id)
                && self.check_click(click).is_ok()
        };
        let found = |id: &&TransactionId| self.evidence.found(id).is_some_and(is_same_pair);
        let id = *self.ids.iter().find(found)?;
        let detail = format_args!("the click {id} is of the same partner on the same offer");
        self.steps.note("click_beside", detail);
        Some(id)
    }

    fn by_names(&mut self) -> Option<Outcome> {
        let (offer_id, affiliate_id) = self.fields.offer_id.zip(self.fields.affiliate_id)?;
        let evidence = self.evidence;
        let shown = format!("partner {affiliate_id} on offer {offer_id}");
        if let Err(error) = eligibility::check_offer_and_partner(
            offer_id,
            affiliate_id,
            evidence,
            self.advertiser_id,
        ) {
            let exists = evidence.partners.contains_key(&affiliate_id);
            let partial =
                evidence.advertiser_of_offer(offer_id).map(|advertiser_id| PartialAttribution {
                    advertiser_id: Some(advertiser_id),
                    offer_id: Some(offer_id),
                    affiliate_id: exists.then_some(affiliate_id),
                    ..PartialAttribution::default()
                });
            let why = error.sentence();
            self.note_failure(error, format_args!("{shown} cannot be used: {why}"), partial);
            return None;
        }
        self.steps.note("offer_and_partner_chosen", format_args!("{shown} are named"));
        Some(Outcome::Attributed(Attributed {
            offer_id,
            affiliate_id,
            advertiser_id: evidence.advertiser_of_offer(offer_id).unwrap_or_default(),
            code_id: None,
            coupon_code: String::new(),
            transaction_id: None,
            method: Method::OfferAndPartner,
        }))
    }

    /// The first failure of an existing object, else the first failure.
    fn refused(&mut self) -> Outcome {
        let of_existing = self.failures.iter().find(|failure| failure.partial.is_some());
        let chosen = of_existing.or(self.failures.first());
        let error = chosen.map_or(ErrorCode::NothingIdentifies, |failure| failure.error);
        let partial = chosen.and_then(|failure| failure.partial.clone()).unwrap_or_default();
        if chosen.is_none() {
            self.steps.note(error.as_str(), error.sentence());
        }
        let asked_for = self.fields.offer_id.filter(|id| self.evidence.offers.contains_key(id));
        let partial = PartialAttribution {
            advertiser_id: partial.advertiser_id.or(self.advertiser_id),
            offer_id: partial.offer_id.or(asked_for),
            ..partial
        };
        Outcome::Refused { error, partial }
    }
}

/// Offers that are listed in the detail of an ambiguous code.
const SHOWN_OFFERS: usize = 10;

fn ambiguity(rows: &[&CodeFacts]) -> String {
    let shown = rows.iter().take(SHOWN_OFFERS).map(|row| row.offer_id.to_string());
    let offers = shown.collect::<Vec<_>>().join(", ");
    let more = if rows.len() > SHOWN_OFFERS { " and more" } else { "" };
    format!("the coupon code stands on the offers {offers}{more}; oid must say which")
}

#[cfg(test)]
mod tests;
