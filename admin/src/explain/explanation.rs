//! The result of explaining a visit, as the API returns it.

use serde::Serialize;

use super::visitor::{ExplainedFacts, ExplainedRule};

/// The decision for a visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    /// Generation of the published index.
    pub generation: u64,
    /// The last change in the published index.
    pub sequence: u64,
    /// Time of the visit, in Unix seconds.
    pub time: i64,
    /// The network's day at this time.
    pub day: String,
    /// Descriptions, in order of the decision.
    pub steps: Vec<ExplanationStep>,
    /// The rows of the code by id, each with its obstacle.
    pub rows: Vec<ExplainedRow>,
    /// Everything known of the visitor.
    pub facts: ExplainedFacts,
    /// When the counts of caps and the converted visitors were known, in Unix seconds; 0 if no rule
    /// asks for them. coupond counts on from there.
    pub state_as_of: i64,
    /// The offers on the visit's way: the code's, then those it was forwarded or failed over to.
    pub path: Vec<ExplainedHop>,
    /// The rules of the code's offers that the visit got to, each with its verdict.
    pub rules: Vec<ExplainedRule>,
    /// The chosen row.
    pub network_coupon_code_id: u32,
    /// The reason in the click record; empty if no click is recorded.
    pub reason: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// `offer`, `fail_traffic_url`, `fallback` or `not_found`.
    pub answer: &'static str,
    /// The redirect's URL, with a sample transaction id.
    pub location: String,
    /// An id in the form of a transaction id; no click has it.
    pub sample_transaction_id: String,
    /// The fallback URLs in order of precedence.
    pub fallbacks: Vec<FallbackUrl>,
    /// Whether such a visit records a click.
    pub is_click_recorded: bool,
}

/// One step of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Step)]
pub struct ExplanationStep {
    /// Name of the step.
    pub step: &'static str,
    /// The result as a sentence.
    pub result: String,
}

/// A row of the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ExplainedRow {
    pub network_coupon_code_id: u32,
    /// The offer.
    pub network_offer_id: u32,
    /// The partner, 0 for an unassigned code.
    pub network_affiliate_id: u32,
    /// The offer's advertiser, 0 if the index lacks the offer.
    pub network_advertiser_id: u32,
    /// A stable word, as in click reports.
    pub reason: &'static str,
    /// The reason as a sentence.
    pub explanation: String,
    /// Whether this row was chosen.
    pub is_chosen: bool,
}

/// An offer on a visit's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ExplainedHop {
    /// The offer; 0 for the network's URL for failed visits.
    pub network_offer_id: u32,
    /// How the visit came to it: `code`, `oid`, `sibling`, `forwarding_rule`, `fail_traffic` or
    /// `global_fail_traffic`.
    pub via: &'static str,
    /// `redirected`, `forwarded`, or the reason of the refusal.
    pub outcome: &'static str,
}

/// A fallback URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FallbackUrl {
    /// `offer`, `tracking_domain` or `network`.
    pub of: &'static str,
    /// The expanded URL; empty if none is set.
    pub url: String,
}
