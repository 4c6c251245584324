//! The whole judgement of a claim by the evidence: everything but whether it came before, which
//! only the store knows.

use std::fmt;

use coupon_shared::transaction_id::TransactionId;

use super::attribution::{Attributed, Attribution, Nearest, Outcome, attribute};
use super::claim::Claim;
use super::entry::{Entry, Event};
use super::error_code::ErrorCode;
use super::evidence::Evidence;
use super::key::{self, Key};
use super::payout::{Terms, Worth};
use super::status::Status;
use super::step::Steps;
use super::trust;
use crate::catalog::{Money, Offer};

/// What comes of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It is judged again when this click has come, or cannot come any more.
    Waits(TransactionId, Steps),
    /// It is decided.
    Decided(Box<Decided>),
}

/// A decided claim.
///
/// Who keeps it looks for an earlier conversion under [`earlier`](Self::earlier) first. One that is
/// found makes this a repeat, a conflict or a refund, whatever the status here says. Without one it
/// becomes what stands here, and takes [`key`](Self::key) where it is approved or pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What became of it.
    pub status: Status,
    /// Why it does not count, or not as yet.
    pub error: Option<ErrorCode>,
    /// Whose sale it is; also of one that is rejected.
    pub attributed: Option<Attributed>,
    /// As much as is known, always.
    pub nearest: Nearest,
    /// The event; `None` for the base conversion.
    pub event: Option<Event>,
    /// The amount of the sale; nothing where none was said.
    pub sale_amount: Money,
    /// What it is worth when it is approved.
    pub worth: Worth,
    /// Under which terms; `None` where the offer has none.
    pub terms: Option<Terms>,
    /// Of sale, payout and revenue.
    pub currency: String,
    /// By which repeats of it will be known.
    pub key: Option<Key>,
    /// Under which it may be a repeat. Empty where the sender may not be believed.
    pub earlier: Vec<Key>,
    /// How it came to this.
    pub steps: Steps,
}

impl Decided {
    /// Leaves it to somebody to decide, unless it does not count anyway.
    pub fn hold(&mut self, error: ErrorCode, detail: impl fmt::Display) {
        self.steps.note(error.as_str(), detail);
        if self.status == Status::Approved {
            self.status = Status::Pending;
            self.error = Some(error);
        }
    }
}

/// Judges a claim.
#[must_use]
pub fn judge(claim: &Claim, evidence: &Evidence) -> Judgement {
    let Attribution { outcome, advertiser_id, steps: found } = attribute(claim, evidence);
    let mut steps = claim.steps.clone();
    steps.0.extend(found.0);
    let unreadable = unreadable(claim, evidence, &mut steps);
    let (attributed, nearest, refused) = match outcome {
        Outcome::Attributed(whose) => (Some(whose.clone()), Nearest::from(&whose), None),
        Outcome::Refused { error, nearest } => (None, nearest, Some(error)),
        Outcome::Waits(id) if unreadable.is_none() => return Judgement::Waits(id, steps),
        Outcome::Waits(_) => (None, Nearest::default(), None),
    };
    let untrusted = untrusted(claim, evidence, advertiser_id, &mut steps);
    let subject = Subject::find(claim, evidence, &nearest);
    let (status, error) = match unreadable.or(refused).or(untrusted) {
        Some(error) => (error.status(), Some(error)),
        None => subject.status(claim, &mut steps),
    };
    let worth = attributed.as_ref().map(|_| subject.worth(claim, &mut steps)).unwrap_or_default();
    let key = attributed.as_ref().and_then(|whose| key::of(claim, evidence, whose));
    let is_believed = unreadable.is_none() && untrusted.is_none() && subject.is_in_its_currency;
    let earlier = if is_believed { key::earlier(claim, evidence, advertiser_id) } else { vec![] };
    Judgement::Decided(Box::new(Decided {
        status,
        error,
        sale_amount: claim.amount.unwrap_or_default(),
        worth,
        terms: subject.terms(),
        event: subject.entry.and_then(|entry| entry.event),
        currency: subject.currency.to_owned(),
        key,
        earlier,
        attributed,
        nearest,
        steps,
    }))
}

/// What of the message itself cannot be read, first of all the network it is meant for.
fn unreadable(claim: &Claim, evidence: &Evidence, steps: &mut Steps) -> Option<ErrorCode> {
    let is_ours = match claim.network_id {
        Some(network_id) => network_id == evidence.network_id,
        None => claim.is_sdk,
    };
    if !is_ours {
        let detail = format_args!("nid is not {}, the id of this network", evidence.network_id);
        steps.note(ErrorCode::InvalidNetwork.as_str(), detail);
        return Some(ErrorCode::InvalidNetwork);
    }
    claim.problems.first().copied()
}

/// Why the sender may not be believed; an advertiser of whom no rules are known believes nobody.
fn untrusted(
    claim: &Claim,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
    steps: &mut Steps,
) -> Option<ErrorCode> {
    match advertiser_id.and_then(|id| evidence.advertisers.get(&id)) {
        Some(advertiser) => trust::check(claim, advertiser, evidence.received_ms, steps).err(),
        None => Some(ErrorCode::InvalidOffer),
    }
}

/// The offer in question, and what of it the claim reports.
struct Subject<'a> {
    offer: Option<&'a Offer>,
    entry: Option<Entry<'a>>,
    currency: &'a str,
    is_in_its_currency: bool,
}

impl<'a> Subject<'a> {
    fn find(claim: &Claim, evidence: &'a Evidence, nearest: &Nearest) -> Subject<'a> {
        let offer = nearest.offer_id.and_then(|id| evidence.offers.get(&id));
        let own = offer.map(|offer| offer.currency_id.as_str()).filter(|own| !own.is_empty());
        let currency = own.unwrap_or(&evidence.network_currency);
        let is_other = |given: &String| claim.amount.is_some() && given != currency;
        Subject {
            offer,
            entry: offer.and_then(|offer| Entry::of(offer, &claim.event)),
            currency,
            is_in_its_currency: !claim.currency.as_ref().is_some_and(is_other),
        }
    }

    /// Of a claim that nothing stops so far.
    fn status(&self, claim: &Claim, steps: &mut Steps) -> (Status, Option<ErrorCode>) {
        let must_approve = self.offer.is_some_and(|offer| offer.is_must_approve_conversion);
        let error = match self.entry {
            None => Some(ErrorCode::UnknownEvent),
            Some(_) if !self.is_in_its_currency => Some(ErrorCode::OtherCurrency),
            Some(_) if claim.is_refund() => Some(ErrorCode::UnknownOrder),
            Some(_) => None,
        };
        match error {
            Some(error) => steps.note(error.as_str(), error.sentence()),
            None if must_approve => steps.note("must_approve", "the offer asks for approval"),
            None => {}
        }
        match error {
            Some(error) if claim.is_refund() => (Status::Invalid, Some(error)),
            Some(error) => (error.status(), Some(error)),
            None if must_approve => (Status::Pending, None),
            None => (Status::Approved, None),
        }
    }

    fn worth(&self, claim: &Claim, steps: &mut Steps) -> Worth {
        let Some(terms) = self.terms().filter(|_| !claim.is_refund()) else {
            return Worth::default();
        };
        if !self.is_in_its_currency {
            let detail = format_args!("worth nothing in {} as yet", self.currency);
            steps.note("worth_unknown", detail);
            return Worth::default();
        }
        if claim.amount.is_none() && terms.needs_amount() {
            steps.note("amount_missing", "a share of the sale is nothing without its amount");
        }
        terms.worth(claim.amount.unwrap_or_default())
    }

    fn terms(&self) -> Option<Terms> {
        self.entry.as_ref()?.terms.map(Terms::from)
    }
}
