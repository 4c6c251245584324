//! Whose sale it is.
//!
//! Three things can identify it, tried in the order of the advertiser's priority: a click
//! (`transaction_id`), the coupon code, and at last `oid` with `affid`. The first that is **usable**
//! decides; one that is not falls through to the next, with its reason among the steps. Where none
//! is usable, the reason of what exists (a click out of its window, an expired code) explains more
//! than the reason of what does not (an invented id, an unknown code), and that is the answer.
//!
//! - Of several clicks the first or the last by their time is taken, as the advertiser says. Where
//!   the walk meets a click that can still come, the conversion waits for it.
//! - Partner and offer are those of the click or of the code's row, never looked up otherwise.
//! - A code is on the offer that `oid` names, or on one offer only: no other offer stands in.
//!
//! Absent: what it is worth, whether the sender may be believed, and whether it came before.

use std::fmt;

use coupon_shared::transaction_id::TransactionId;

use super::advertiser::resolve_advertiser;
use super::decision_step::DecisionSteps;
use super::error_code::ErrorCode;
use super::evidence::{ClickEvidence, ClickFacts, CodeFacts, Evidence};
use super::obstacle;
use super::postback_fields::PostbackFields;
use crate::catalog::words::words;
use crate::catalog::{AttributionMethod, AttributionPriority, Offer};

words! {
    /// What identified a conversion.
    Method {
        /// A click.
        Click = "click",
        /// The coupon code.
        CouponCode = "coupon_code",
        /// Offer and partner as the advertiser names them.
        OfferAndPartner = "offer_and_partner",
    }
}

/// Whose sale it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributed {
    /// The offer.
    pub offer_id: u32,
    /// The partner.
    pub affiliate_id: u32,
    /// The offer's advertiser.
    pub advertiser_id: u32,
    /// The row of the code that identified it, or of the click's code.
    pub code_id: Option<u32>,
    /// That code; empty for none.
    pub coupon_code: String,
    /// The click that counts: the one that identified it, or one of the same partner on the same
    /// offer beside the code that did.
    pub transaction_id: Option<TransactionId>,
    /// What identified it.
    pub method: Method,
}

/// As much as is known of a conversion, also of one that is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialAttribution {
    /// The advertiser whose postback it is.
    pub advertiser_id: Option<u32>,
    /// The offer.
    pub offer_id: Option<u32>,
    /// The partner.
    pub affiliate_id: Option<u32>,
    /// The row of the code.
    pub code_id: Option<u32>,
    /// The code; empty for none.
    pub coupon_code: String,
    /// The click.
    pub transaction_id: Option<TransactionId>,
}

impl PartialAttribution {
    /// It names no code, click or partner that is known: nobody could ever be paid for it.
    #[must_use]
    pub fn names_nobody(&self) -> bool {
        let PartialAttribution { affiliate_id, code_id, coupon_code, transaction_id, .. } = self;
        (affiliate_id, code_id, transaction_id) == (&None, &None, &None) && coupon_code.is_empty()
    }
}

impl From<&Attributed> for PartialAttribution {
    fn from(known: &Attributed) -> PartialAttribution {
        PartialAttribution {
            advertiser_id: Some(known.advertiser_id),
            offer_id: Some(known.offer_id),
            affiliate_id: Some(known.affiliate_id),
            code_id: known.code_id,
            coupon_code: known.coupon_code.clone(),
            transaction_id: known.transaction_id,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is known whose sale it is.
    Attributed(Attributed),
    /// It is nobody's.
    Refused {
        /// Why.
        error: ErrorCode,
        /// What is known all the same.
        partial: PartialAttribution,
    },
    /// It is decided when this click has come, or cannot come any more.
    Waits(TransactionId),
}

/// Whose sale it is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// What came of it.
    pub outcome: Outcome,
    /// The advertiser whose postback it is: the one it names, else the offer's that it names, else
    /// the first click's, else the code's.
    pub advertiser_id: Option<u32>,
    /// How that came.
    pub steps: DecisionSteps,
}

/// Says whose sale it is.
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

/// The ids by the time of their clicks, which stands in them: the one that counts first, first.
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

/// An identifier that could not be used.
struct Failure {
    error: ErrorCode,
    /// What is known of what it names; `None` where it names nothing that exists.
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

    fn fail(
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
            self.fail(ErrorCode::InvalidTransactionId, detail, None);
        }
        let ids = self.ids.clone();
        ids.iter().find_map(|id| self.by_id(id))
    }

    fn by_id(&mut self, id: &TransactionId) -> Option<Outcome> {
        let evidence = self.evidence;
        let (error, detail) = match evidence.clicks.get(id) {
            Some(ClickEvidence::Found(click)) => return self.by_found(id, click),
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
        self.fail(error, format_args!("the id {id} identifies nothing: {detail}"), None);
        None
    }

    fn by_found(&mut self, id: &TransactionId, click: &ClickFacts) -> Option<Outcome> {
        let (offer_id, affiliate_id) = (click.offer_id, click.affiliate_id);
        let shown = format!("the click {id} of partner {affiliate_id} on offer {offer_id}");
        if let Some(error) = self.obstacle_of(click) {
            let exists = error != ErrorCode::InvalidClick;
            let partial = exists.then(|| PartialAttribution::from(&self.of_click(id, click)));
            let why = error.sentence();
            self.fail(error, format_args!("{shown} cannot be used: {why}"), partial);
            return None;
        }
        self.steps.note("click_chosen", format_args!("{shown} identifies it"));
        Some(Outcome::Attributed(self.of_click(id, click)))
    }

    fn obstacle_of(&self, click: &ClickFacts) -> Option<ErrorCode> {
        obstacle::of_click(self.fields, self.evidence, self.advertiser_id, click)
    }

    fn of_click(&self, id: &TransactionId, click: &ClickFacts) -> Attributed {
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
            self.fail(ErrorCode::UnreadableCode, detail, None);
            return None;
        }
        if !is_known {
            self.fail(ErrorCode::UnknownCode, "nobody has the coupon code", None);
            return None;
        }
        let row = self.one_row()?;
        self.by_row(row)
    }

    /// The row on the offer asked for, or the only one on an offer of this advertiser.
    fn one_row(&mut self) -> Option<&'a CodeFacts> {
        let rows = self.evidence.codes.iter().filter(|row| self.can_be_meant(row));
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
        self.fail(
            error,
            detail,
            Some(PartialAttribution { coupon_code, ..PartialAttribution::default() }),
        );
        None
    }

    fn can_be_meant(&self, row: &CodeFacts) -> bool {
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
        let obstacle = obstacle::of_row(row, self.evidence, self.advertiser_id);
        let (None, Some(affiliate_id)) = (obstacle, row.affiliate_id) else {
            let error = obstacle.unwrap_or(ErrorCode::UnassignedCode);
            let why = error.sentence();
            let partial = Some(self.nearest_of_row(row));
            self.fail(error, format_args!("{shown} cannot be used: {why}"), partial);
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

    fn nearest_of_row(&self, row: &CodeFacts) -> PartialAttribution {
        PartialAttribution {
            advertiser_id: self.evidence.advertiser_of_offer(row.offer_id),
            offer_id: Some(row.offer_id),
            affiliate_id: row.affiliate_id,
            code_id: Some(row.code_id),
            coupon_code: row.coupon_code.clone(),
            transaction_id: None,
        }
    }

    /// The click that led the same partner's visitor to the same offer.
    fn click_beside(&mut self, offer_id: u32, affiliate_id: u32) -> Option<TransactionId> {
        let is_theirs = |click: &ClickFacts| {
            (click.offer_id, click.affiliate_id) == (offer_id, affiliate_id)
                && self.obstacle_of(click).is_none()
        };
        let found = |id: &&TransactionId| self.evidence.found(id).is_some_and(is_theirs);
        let id = *self.ids.iter().find(found)?;
        let detail = format_args!("the click {id} is of the same partner on the same offer");
        self.steps.note("click_beside", detail);
        Some(id)
    }

    fn by_names(&mut self) -> Option<Outcome> {
        let (offer_id, affiliate_id) = self.fields.offer_id.zip(self.fields.affiliate_id)?;
        let evidence = self.evidence;
        let shown = format!("partner {affiliate_id} on offer {offer_id}");
        if let Some(error) = obstacle::of_pair(offer_id, affiliate_id, evidence, self.advertiser_id)
        {
            let exists = evidence.partners.contains_key(&affiliate_id);
            let partial =
                evidence.advertiser_of_offer(offer_id).map(|advertiser_id| PartialAttribution {
                    advertiser_id: Some(advertiser_id),
                    offer_id: Some(offer_id),
                    affiliate_id: exists.then_some(affiliate_id),
                    ..PartialAttribution::default()
                });
            let why = error.sentence();
            self.fail(error, format_args!("{shown} cannot be used: {why}"), partial);
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

    /// The first failure of something that exists, else the first.
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

const SHOWN_OFFERS: usize = 10;

fn ambiguity(rows: &[&CodeFacts]) -> String {
    let shown = rows.iter().take(SHOWN_OFFERS).map(|row| row.offer_id.to_string());
    let offers = shown.collect::<Vec<_>>().join(", ");
    let more = if rows.len() > SHOWN_OFFERS { " and more" } else { "" };
    format!("the coupon code stands on the offers {offers}{more}; oid must say which")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::attribution::sample::{evidence, fields, word_of};

    /// Attributes a postback under an advertiser's rules: `click 10/7 MORNING7`, `code 10/8`,
    /// `named 10/7`, `waits AWAITED`, or the number of the error.
    fn attributed(rules: &str, query: &str) -> String {
        let fields = fields(query);
        let mut evidence = evidence(&fields);
        for advertiser in evidence.advertisers.values_mut() {
            let [priority, method] = match rules {
                "click, last" => ["click", "last_touch"],
                "click, first" => ["click", "first_touch"],
                "code, last" => ["coupon_code", "last_touch"],
                "code, first" => ["coupon_code", "first_touch"],
                other => panic!("{other}"),
            };
            advertiser.attribution_priority = priority.parse().unwrap();
            advertiser.attribution_method = method.parse().unwrap();
        }
        let attributed = match attribute(&fields, &evidence).outcome {
            Outcome::Attributed(attributed) => attributed,
            Outcome::Refused { error, .. } => return error.number().to_string(),
            Outcome::Waits(id) => return format!("waits {}", word_of(&id)),
        };
        let method = match attributed.method {
            Method::Click => "click",
            Method::CouponCode => "code",
            Method::OfferAndPartner => "named",
        };
        let click = attributed.transaction_id.map(|id| format!(" {}", word_of(&id)));
        let (offer_id, affiliate_id) = (attributed.offer_id, attributed.affiliate_id);
        format!("{method} {offer_id}/{affiliate_id}{}", click.unwrap_or_default())
    }

    #[test]
    fn sales_go_to_whom_the_advertisers_rules_give_them() {
        #[rustfmt::skip]
        let cases = [
            // One identifier alone.
            ("click, last", "transaction_id=NOON8", "click 10/8 NOON8"),
            ("click, last", "_ef_transaction_id=NOON8", "click 10/8 NOON8"),
            ("click, last", "coupon_code=seven", "code 10/7"),
            ("click, last", "coupon_code=%20SEVEN%20", "code 10/7"),
            ("click, last", "coupon_code=SAVE-20", "code 10/8"),
            ("click, last", "coupon_code=TODAY", "code 10/8"),
            ("click, last", "oid=10&affid=7", "named 10/7"),
            ("click, last", "", "1010"),
            ("click, last", "amount=10&order_id=A1", "1010"),
            ("click, last", "oid=10", "1010"),
            ("click, last", "affid=7", "1010"),
            // Which of the two comes first.
            ("click, last", "transaction_id=MORNING7&coupon_code=EIGHT", "click 10/7 MORNING7"),
            ("click, first", "transaction_id=MORNING7&coupon_code=EIGHT", "click 10/7 MORNING7"),
            ("code, last", "transaction_id=MORNING7&coupon_code=EIGHT", "code 10/8"),
            ("code, first", "transaction_id=MORNING7&coupon_code=EIGHT", "code 10/8"),
            ("code, last", "transaction_id=MORNING7", "click 10/7 MORNING7"),
            ("click, last", "coupon_code=EIGHT&oid=10&affid=7", "code 10/8"),
            ("click, last", "transaction_id=MORNING7&oid=10&affid=8", "click 10/7 MORNING7"),
            // A click of the same partner on the same offer counts beside the code.
            ("code, last", "transaction_id=MORNING7&coupon_code=SEVEN", "code 10/7 MORNING7"),
            ("code, last", "transaction_id=MORNING7|NOON8&coupon_code=SEVEN", "code 10/7 MORNING7"),
            ("code, last", "transaction_id=ELEVEN7&coupon_code=SEVEN", "code 10/7"),
            // First and last touch, by the time of the clicks and not by their place.
            ("click, last", "transaction_id=MORNING7|NOON8", "click 10/8 NOON8"),
            ("click, last", "transaction_id=NOON8|MORNING7", "click 10/8 NOON8"),
            ("click, first", "transaction_id=MORNING7|NOON8", "click 10/7 MORNING7"),
            ("click, first", "transaction_id=NOON8|MORNING7", "click 10/7 MORNING7"),
            ("click, last", "transaction_id=MORNING7%7CNOON8", "click 10/8 NOON8"),
            ("click, last", "transaction_id=MORNING7|MORNING7", "click 10/7 MORNING7"),
            // Members of a list that cannot be used.
            ("click, last", "transaction_id=MORNING7|GONE", "click 10/7 MORNING7"),
            ("click, last", "transaction_id=MORNING7|INVENTED|rubbish||null", "click 10/7 MORNING7"),
            ("click, last", "transaction_id=MORNING7|NOTSENT7", "click 10/7 MORNING7"),
            ("click, last", "transaction_id=MORNING7|PAUSED7", "click 10/7 MORNING7"),
            ("click, first", "transaction_id=STALE7|NOON8", "click 10/8 NOON8"),
            ("click, last", "transaction_id=MORNING7|SUSPENDED9", "click 10/7 MORNING7"),
            ("click, last", "transaction_id=MORNING7|TWENTY8&aid=1", "click 10/7 MORNING7"),
            ("click, last", "transaction_id=MORNING7|TWENTY8&oid=20", "click 20/8 TWENTY8"),
            ("click, last", "transaction_id=MORNING7|TWENTY8", "click 10/7 MORNING7"),
            ("click, last", "transaction_id=INVENTED|GONE|rubbish", "12"),
            // A click still on its way is waited for when its turn comes.
            ("click, last", "transaction_id=AWAITED", "waits AWAITED"),
            ("click, last", "transaction_id=AWAITED&coupon_code=EIGHT", "waits AWAITED"),
            ("code, last", "transaction_id=AWAITED&coupon_code=EIGHT", "code 10/8"),
            ("code, last", "transaction_id=AWAITED&coupon_code=EXPIRED", "waits AWAITED"),
            ("click, last", "transaction_id=MORNING7|AWAITED", "waits AWAITED"),
            ("click, first", "transaction_id=MORNING7|AWAITED", "click 10/7 MORNING7"),
            ("click, first", "transaction_id=GONE|AWAITED", "waits AWAITED"),
            // Invented, mangled and missing clicks, alone and beside a code.
            ("click, last", "transaction_id=INVENTED", "12"),
            ("click, last", "transaction_id=0123", "12"),
            ("click, last", "transaction_id=GONE", "13"),
            ("click, last", "transaction_id=NOTSENT7", "13"),
            ("click, last", "transaction_id=INVENTED&coupon_code=EIGHT", "code 10/8"),
            ("click, last", "transaction_id=0123&coupon_code=EIGHT", "code 10/8"),
            ("click, last", "transaction_id=GONE&coupon_code=EIGHT", "code 10/8"),
            ("click, last", "transaction_id=NOTSENT7&coupon_code=EIGHT", "code 10/8"),
            ("click, last", "transaction_id=GONE&oid=10&affid=7", "named 10/7"),
            ("click, last", "transaction_id=INVENTED&coupon_code=EXPIRED", "1005"),
            ("click, last", "transaction_id=INVENTED&coupon_code=UNKNOWN", "12"),
            ("code, last", "transaction_id=INVENTED&coupon_code=UNKNOWN&aid=1", "1001"),
            // Absent is absent.
            ("click, last", "transaction_id=&coupon_code=EIGHT", "code 10/8"),
            ("click, last", "transaction_id=null&coupon_code=EIGHT", "code 10/8"),
            ("click, last", "transaction_id={transaction_id}&coupon_code=EIGHT", "code 10/8"),
            ("click, last", "transaction_id=[tid]&coupon_code=EIGHT", "code 10/8"),
            ("click, last", "transaction_id=%7Btid%7D", "1010"),
            ("click, last", "transaction_id=NOON8&coupon_code={coupon_code}", "click 10/8 NOON8"),
            // A visit that was taken for a program's counts when somebody buys.
            ("click, last", "transaction_id=FETCHED7", "click 10/7 FETCHED7"),
            ("click, last", "transaction_id=UNNAMED8", "click 10/8 UNNAMED8"),
            ("click, last", "transaction_id=REPORTED8", "click 10/8 REPORTED8"),
            ("click, last", "transaction_id=SHOWN7", "13"),
            // The look-back window.
            ("click, last", "transaction_id=FRESH7", "click 15/7 FRESH7"),
            ("click, last", "transaction_id=STALE7", "5"),
            ("click, last", "transaction_id=AGES7", "click 10/7 AGES7"),
            ("click, last", "transaction_id=STALE7&coupon_code=EIGHT", "code 10/8"),
            ("click, last", "transaction_id=STALE7&coupon_code=UNKNOWN", "5"),
            ("code, last", "transaction_id=STALE7&coupon_code=UNKNOWN", "5"),
            // The offer asked for.
            ("click, last", "transaction_id=NOON8&oid=10", "click 10/8 NOON8"),
            ("click, last", "transaction_id=NOON8&oid=11", "14"),
            ("click, last", "transaction_id=NOON8&oid=11&coupon_code=BOTH", "code 11/7"),
            ("click, last", "transaction_id=NOON8|ELEVEN7&oid=11", "click 11/7 ELEVEN7"),
            ("click, last", "transaction_id=NOON8&oid=99", "14"),
            // The advertiser.
            ("click, last", "transaction_id=NOON8&aid=1", "click 10/8 NOON8"),
            ("click, last", "transaction_id=NOON8&aid=2", "15"),
            ("click, last", "transaction_id=NOON8&advid=2", "15"),
            ("click, last", "coupon_code=EIGHT&aid=2", "15"),
            ("click, last", "coupon_code=EIGHT&aid=2&oid=10", "15"),
            ("click, last", "oid=10&affid=7&aid=2", "15"),
            ("click, last", "coupon_code=EIGHT&aid=77", "15"),
            ("click, last", "transaction_id=PAUSED7&coupon_code=TWENTY", "code 20/8"),
            ("code, last", "transaction_id=MORNING7&coupon_code=TWENTY", "click 10/7 MORNING7"),
            // A code on several offers.
            ("click, last", "coupon_code=BOTH", "1006"),
            ("click, last", "coupon_code=BOTH&oid=10", "code 10/7"),
            ("click, last", "coupon_code=BOTH&oid=11", "code 11/7"),
            ("click, last", "coupon_code=BOTH&oid=20", "1007"),
            ("click, last", "coupon_code=EIGHT&oid=11", "1007"),
            ("click, last", "coupon_code=EIGHT&oid=99", "1007"),
            ("click, last", "coupon_code=BOTH&aid=1", "1006"),
            ("click, last", "coupon_code=CROSS", "1006"),
            ("click, last", "coupon_code=CROSS&aid=2", "code 20/7"),
            ("click, last", "coupon_code=CROSS&oid=20", "code 20/7"),
            ("click, last", "transaction_id=NOON8&coupon_code=BOTH", "click 10/8 NOON8"),
            ("code, last", "transaction_id=NOON8&coupon_code=BOTH", "click 10/8 NOON8"),
            // Codes that cannot be used, alone and beside a click.
            ("click, last", "coupon_code=UNKNOWN", "1001"),
            ("click, last", "coupon_code=RESTING", "1002"),
            ("click, last", "coupon_code=NOBODYS", "1003"),
            ("click, last", "coupon_code=SOON", "1004"),
            ("click, last", "coupon_code=EXPIRED", "1005"),
            ("click, last", "coupon_code=OFSUSPENDED", "1008"),
            ("click, last", "coupon_code=ONHIDDEN", "1009"),
            ("click, last", "coupon_code=ONPRIVATE", "1009"),
            ("click, last", "coupon_code=ONPAUSED", "18"),
            ("click, last", "coupon_code=ONENDED", "19"),
            ("click, last", "coupon_code=ONLOST", "15"),
            ("click, last", "coupon_code=EIGHT,SEVEN", "1019"),
            ("click, last", "coupon_code=EIGHT%20SEVEN", "1019"),
            ("click, last", "coupon_code=BUY+1,+GET+1", "code 10/8"),
            ("click, last", "coupon_code=r%C3%A9duction", "1019"),
            ("code, last", "coupon_code=EXPIRED&transaction_id=NOON8", "click 10/8 NOON8"),
            ("code, last", "coupon_code=UNKNOWN&transaction_id=NOON8", "click 10/8 NOON8"),
            ("code, last", "coupon_code=EIGHT,SEVEN&transaction_id=NOON8", "click 10/8 NOON8"),
            ("click, last", "coupon_code=EXPIRED&oid=10&affid=7", "named 10/7"),
            // Clicks whose offer or partner does not take part any more.
            ("click, last", "transaction_id=PAUSED7", "18"),
            ("click, last", "transaction_id=ENDED7", "19"),
            ("click, last", "transaction_id=SUSPENDED9", "1008"),
            ("click, last", "transaction_id=LOST7", "15"),
            ("click, last", "transaction_id=HIDDEN8", "click 11/8 HIDDEN8"),
            ("click, last", "transaction_id=PAUSED7&coupon_code=EIGHT", "code 10/8"),
            // Offer and partner by name: who cannot run it gets nothing.
            ("click, last", "oid=12&affid=7", "named 12/7"),
            ("click, last", "oid=12&affid=8", "1009"),
            ("click, last", "oid=11&affid=8", "1009"),
            ("click, last", "oid=10&affid=9", "1008"),
            ("click, last", "oid=10&affid=77", "1008"),
            ("click, last", "oid=13&affid=7", "18"),
            ("click, last", "oid=14&affid=7", "19"),
            ("click, last", "oid=99&affid=7", "15"),
            ("click, last", "offer_id=10&affiliate_id=7", "named 10/7"),
        ];
        let wrong =
            cases.iter().filter(|(rules, query, wanted)| attributed(rules, query) != *wanted);
        let wrong: Vec<String> = wrong
            .map(|(rules, query, _)| format!("{rules}: {query}: {}", attributed(rules, query)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn the_reason_of_each_identifier_that_was_passed_over_is_kept() {
        let fields = fields("transaction_id=GONE|INVENTED|STALE7&coupon_code=EIGHT");
        let Attribution { steps, advertiser_id, .. } = attribute(&fields, &evidence(&fields));
        let words: Vec<&str> = steps.0.iter().map(|step| step.step.as_ref()).collect();
        assert_eq!(
            words,
            [
                "advertiser",
                "invalid_click",
                "invalid_transaction_id",
                "above_look_back",
                "coupon_code_chosen"
            ]
        );
        assert_eq!(advertiser_id, Some(1));
    }

    #[test]
    fn what_is_known_of_a_sale_without_an_owner_is_told() {
        let partial = |query: &str| {
            let fields = fields(query);
            match attribute(&fields, &evidence(&fields)).outcome {
                Outcome::Refused { partial, .. } => partial,
                other => panic!("{other:?}"),
            }
        };
        let expired = partial("coupon_code=EXPIRED");
        assert_eq!((expired.offer_id, expired.affiliate_id), (Some(10), Some(8)));
        assert_eq!(expired.coupon_code, "EXPIRED");
        let nobodys = partial("coupon_code=NOBODYS");
        assert_eq!((nobodys.offer_id, nobodys.affiliate_id), (Some(10), None));
        let stale = partial("transaction_id=INVENTED|STALE7");
        assert_eq!((stale.offer_id, stale.advertiser_id), (Some(15), Some(1)));
        assert_eq!(partial("transaction_id=INVENTED"), PartialAttribution::default());
        assert_eq!(partial("coupon_code=UNKNOWN&oid=10").offer_id, Some(10));
    }

    fn any_query() -> impl Strategy<Value = String> {
        let value = prop::sample::select(vec![
            "",
            "null",
            "0",
            "1",
            "2",
            "7",
            "8",
            "9",
            "10",
            "11",
            "13",
            "15",
            "20",
            "99",
            "MORNING7",
            "NOON8",
            "NOON8|GONE",
            "STALE7|AWAITED",
            "INVENTED",
            "INVENTED|NOON8",
            "TWENTY8",
            "NOTSENT7",
            "SEVEN",
            "EIGHT",
            "BOTH",
            "CROSS",
            "EXPIRED",
            "NOBODYS",
            "UNKNOWN",
        ]);
        let name = prop::sample::select(vec![
            "transaction_id",
            "coupon_code",
            "oid",
            "affid",
            "aid",
            "event_id",
            "amount",
            "order_id",
        ]);
        let pairs = prop::collection::vec((name, value), 0..6);
        pairs.prop_map(|pairs| {
            let pairs = pairs.into_iter().map(|(name, value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>().join("&")
        })
    }

    proptest! {
        #[test]
        fn nobody_gets_a_sale_whom_the_facts_do_not_name(query in any_query()) {
            let fields = fields(&query);
            let evidence = evidence(&fields);
            let Outcome::Attributed(attributed) = attribute(&fields, &evidence).outcome else { return Ok(()) };
            let clicks = fields.transaction_ids.iter().filter_map(|c| evidence.found(&c.id?));
            let of_clicks = clicks.map(|click| (click.offer_id, click.affiliate_id));
            let of_rows = evidence.codes.iter().filter_map(|row| Some((row.offer_id, row.affiliate_id?)));
            let mut named: HashSet<(u32, u32)> = of_clicks.chain(of_rows).collect();
            named.extend(fields.offer_id.zip(fields.affiliate_id));
            prop_assert!(named.contains(&(attributed.offer_id, attributed.affiliate_id)));
            prop_assert_eq!(evidence.advertiser_of_offer(attributed.offer_id), Some(attributed.advertiser_id));
            prop_assert!(fields.offer_id.is_none_or(|asked_for| asked_for == attributed.offer_id));
        }

        #[test]
        fn a_click_that_was_not_sent_here_never_identifies(query in any_query()) {
            let fields = fields(&query);
            let evidence = evidence(&fields);
            let Outcome::Attributed(attributed) = attribute(&fields, &evidence).outcome else { return Ok(()) };
            if let Some(id) = attributed.transaction_id {
                prop_assert!(evidence.found(&id).is_some_and(|click| click.affiliate_id == attributed.affiliate_id));
            }
            prop_assert!(attributed.method != Method::Click || attributed.transaction_id.is_some());
        }
    }
}
