//! The complete evaluation of a postback by the evidence. Only the search for an earlier conversion
//! is missing, because it needs the store.

use std::fmt;

use coupon_shared::transaction_id::TransactionId;

use super::attribute::{Attribution, Outcome, attribute};
use super::attributed::{Attributed, PartialAttribution};
use super::currency::Currencies;
use super::decision_step::DecisionSteps;
use super::dedup_key::DedupKey;
use super::error_code::ErrorCode;
use super::evidence::{Evidence, SaleTime};
use super::matched_offer::MatchedOffer;
use super::matching;
use super::offer_entry::Event;
use super::payout::{Payable, PayoutTerms};
use super::postback_fields::PostbackFields;
use super::rank::{IncomingPostback, Rank};
use super::status::Status;
use super::trust::{self, Trust};
use crate::catalog::Money;

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evaluation {
    /// The result depends on this click; evaluate again once it has arrived or cannot arrive any
    /// more.
    Waits(TransactionId, DecisionSteps),
    Decided(Box<ProposedConversion>),
}

/// The conversion that a postback creates without an earlier conversion.
///
/// The caller looks for an earlier conversion with the [`key`](Self::key), then among the
/// [`others`](Self::others). With an earlier conversion the postback is a repeat, a conflict, a
/// refund or a dispute, and the status here does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedConversion {
    pub status: Status,
    /// Why the conversion does not count, or not yet.
    pub error: Option<ErrorCode>,
    pub attributed: Option<Attributed>,
    /// Filled also where `attributed` is `None`.
    pub partial: PartialAttribution,
    /// `None` for the base conversion.
    pub event: Option<Event>,
    /// Zero where no amount was sent.
    pub sale_amount: Money,
    /// Payout and revenue on approval, also for a refused conversion.
    pub payable: Payable,
    /// `None` where the offer has no payout entry.
    pub terms: Option<PayoutTerms>,
    pub currencies: Currencies,
    /// The dedup key; for a refund that of its order.
    pub key: Option<DedupKey>,
    pub rank: Rank,
    /// Whether the sender may affect earlier conversions.
    pub is_believed: bool,
    /// Candidates for an earlier conversion if no conversion has the key. Several candidates are
    /// ambiguous, and the postback fails.
    pub others: Vec<Candidate>,
    /// The sent transaction ids that are genuine.
    pub genuine_ids: Vec<TransactionId>,
    /// When the sale was made, in Unix milliseconds, where a trusted sender reports it later.
    pub sold_ms: Option<u64>,
    pub steps: DecisionSteps,
}

/// A recorded conversion that a postback may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub key: DedupKey,
    /// The rank of the postback for this conversion's advertiser.
    pub rank: Rank,
}

impl ProposedConversion {
    /// Makes an approved conversion pending. A conversion with an error keeps its status.
    pub fn hold(&mut self, error: ErrorCode, detail: impl fmt::Display) {
        self.steps.note(error.as_str(), detail);
        if self.status == Status::Approved {
            self.status = Status::Pending;
            self.error = Some(error);
        }
    }

    /// Sets the error and its status.
    pub fn fail_with(&mut self, error: ErrorCode, detail: impl fmt::Display) {
        self.steps.note(error.as_str(), detail);
        (self.status, self.error) = (error.status(), Some(error));
    }

    #[must_use]
    pub fn incoming(&self, is_refund: bool) -> IncomingPostback {
        IncomingPostback { rank: self.rank, status: self.status, error: self.error, is_refund }
    }
}

/// Evaluates a postback, at the time of the sale where a trusted sender reports it later.
#[must_use]
pub fn evaluate(fields: &PostbackFields, evidence: &Evidence) -> Evaluation {
    let mut proposed = match evaluate_at_receipt(fields, evidence) {
        Evaluation::Decided(proposed) => proposed,
        waits @ Evaluation::Waits(..) => return waits,
    };
    let is_trusted = proposed.rank == Rank::Trusted;
    if !is_trusted && (fields.reports_for_buyer() || evidence.sale_time.is_some()) {
        let detail = "user_ip, user_agent and timestamp count only where the advertiser has a trust rule \
                      and the sender passes it";
        proposed.steps.note("untrusted_ignored", detail);
    }
    // A refund has no time of a sale of its own.
    match evidence.sale_time.filter(|_| is_trusted && !fields.is_refund()) {
        Some(sold) => evaluate_at_sale(fields, evidence, sold, proposed),
        None => Evaluation::Decided(proposed),
    }
}

/// Evaluates a postback of a trusted sender at the time of the sale. The result at the receipt
/// stands if it has another advertiser, or if the click came after the sale.
fn evaluate_at_sale(
    fields: &PostbackFields,
    evidence: &Evidence,
    sold: SaleTime,
    mut at_receipt: Box<ProposedConversion>,
) -> Evaluation {
    let then = Evidence { received_ms: sold.unix_ms, today: sold.day, ..evidence.clone() };
    let advertiser_id = at_receipt.partial.advertiser_id;
    let came_before = |proposed: &ProposedConversion| {
        let click = proposed.partial.transaction_id.and_then(|id| evidence.found(&id));
        click.is_none_or(|click| click.unix_ms <= sold.unix_ms)
    };
    match evaluate_at_receipt(fields, &then) {
        Evaluation::Decided(mut proposed)
            if proposed.rank == Rank::Trusted
                && proposed.partial.advertiser_id == advertiser_id
                && came_before(&proposed) =>
        {
            proposed.sold_ms = Some(sold.unix_ms);
            proposed.steps.note("sold_earlier", "timestamp is the time of the sale");
            Evaluation::Decided(proposed)
        }
        _ => {
            let detail = "timestamp does not fit the click or the advertiser and is ignored";
            at_receipt.steps.note("timestamp_ignored", detail);
            Evaluation::Decided(at_receipt)
        }
    }
}

fn evaluate_at_receipt(fields: &PostbackFields, evidence: &Evidence) -> Evaluation {
    let Attribution { outcome, steps: found, .. } = attribute(fields, evidence);
    let mut steps = fields.steps.clone();
    steps.0.extend(found.0);
    let unreadable = message_error(fields, evidence, &mut steps);
    let (attributed, partial, refused) = match outcome {
        Outcome::Attributed(attributed) => {
            (Some(attributed.clone()), PartialAttribution::from(&attributed), None)
        }
        Outcome::Refused { error, partial } => (None, partial, Some(error)),
        Outcome::Waits(id) if unreadable.is_none() => return Evaluation::Waits(id, steps),
        Outcome::Waits(_) => (None, PartialAttribution::default(), None),
    };
    let trust = trust(fields, evidence, partial.advertiser_id, &mut steps);
    let matched = MatchedOffer::find(fields, evidence, &partial);
    let key = matching::dedup_key(fields, evidence, &partial);
    let (status, error) = match unreadable.or(refused).or(trust.err()) {
        Some(error) => (error.status(), Some(error)),
        None => {
            let converted = attributed
                .as_ref()
                .is_some_and(|attributed| matching::click_has_converted(evidence, attributed, key));
            matched.status(fields, converted, &mut steps)
        }
    };
    let is_known = partial.offer_id.is_some() && partial.affiliate_id.is_some();
    let payable = if is_known { matched.payable(fields, &mut steps) } else { Payable::default() };
    let rank = trust.map_or(Rank::Code, |trust| rank(evidence, &partial, trust));
    let is_believed = unreadable.is_none() && trust.is_ok();
    let others = if unreadable.is_none() {
        believed_candidates(fields, evidence, attributed.as_ref(), &partial, trust)
    } else {
        Vec::new()
    };
    Evaluation::Decided(Box::new(ProposedConversion {
        status,
        error,
        sale_amount: fields.amount.filter(|amount| !amount.is_negative()).unwrap_or_default(),
        payable,
        terms: matched.terms(),
        currencies: matched.currencies(fields),
        event: matched.entry.and_then(|entry| entry.event),
        key,
        rank,
        is_believed,
        others,
        genuine_ids: matching::genuine_ids(fields, evidence),
        sold_ms: None,
        attributed,
        partial,
        steps,
    }))
}

/// The rank of a postback for an advertiser whose trust rules the sender passes.
fn rank(evidence: &Evidence, partial: &PartialAttribution, trust: Trust) -> Rank {
    let is_of_offer =
        |id| evidence.found(&id).is_some_and(|click| Some(click.offer_id) == partial.offer_id);
    match trust {
        Trust::Proved => Rank::Trusted,
        Trust::Anybody if partial.transaction_id.is_some_and(is_of_offer) => Rank::Click,
        Trust::Anybody => Rank::Code,
    }
}

/// The candidates among conversions of advertisers whose trust rules the sender passes.
fn believed_candidates(
    fields: &PostbackFields,
    evidence: &Evidence,
    attributed: Option<&Attributed>,
    partial: &PartialAttribution,
    trust: Result<Trust, ErrorCode>,
) -> Vec<Candidate> {
    let possible = matching::other_candidates(fields, evidence, attributed, partial);
    let believed = possible.into_iter().filter_map(|recorded| {
        let advertiser_id = Some(recorded.advertiser_id);
        let believes = if advertiser_id == partial.advertiser_id {
            trust.ok()?
        } else {
            self::trust(fields, evidence, advertiser_id, &mut DecisionSteps::default()).ok()?
        };
        let rank = if believes == Trust::Proved { Rank::Trusted } else { Rank::Code };
        Some(Candidate { key: recorded.key, rank })
    });
    believed.collect()
}

/// The first error of the message itself; a wrong network id comes first.
fn message_error(
    fields: &PostbackFields,
    evidence: &Evidence,
    steps: &mut DecisionSteps,
) -> Option<ErrorCode> {
    let is_ours = match fields.network_id {
        Some(network_id) => network_id == evidence.network_id,
        None => fields.is_sdk,
    };
    if !is_ours {
        let detail = format_args!("nid is not {}, the id of this network", evidence.network_id);
        steps.note(ErrorCode::InvalidNetwork.as_str(), detail);
        return Some(ErrorCode::InvalidNetwork);
    }
    fields.problems.first().copied()
}

/// Checks the trust rules of the advertiser. An unknown advertiser trusts no sender.
fn trust(
    fields: &PostbackFields,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
    steps: &mut DecisionSteps,
) -> Result<Trust, ErrorCode> {
    match advertiser_id.and_then(|id| evidence.advertisers.get(&id)) {
        Some(advertiser) => trust::check(fields, advertiser, evidence.received_ms, steps),
        None => Err(ErrorCode::InvalidOffer),
    }
}

#[cfg(test)]
mod tests;
