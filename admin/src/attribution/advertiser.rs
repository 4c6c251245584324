//! Resolves the advertiser of a postback: the named advertiser, else the advertiser of the named
//! offer, else of the first usable click, else of the code, else of the order recorded under a
//! deleted code.
//!
//! The rules of this advertiser apply, and only this advertiser's offers can get the conversion.

use super::decision_step::DecisionSteps;
use super::eligibility;
use super::evidence::{Evidence, RecordedConversion};
use super::postback_fields::PostbackFields;

/// `None` where no field leads to an advertiser.
pub(super) fn resolve_advertiser(
    fields: &PostbackFields,
    evidence: &Evidence,
    steps: &mut DecisionSteps,
) -> Option<u32> {
    let named = fields.advertiser_id.map(|id| (id, "as it says"));
    let (advertiser_id, why) = named
        .or_else(|| {
            of_named_offer(fields, evidence).map(|id| (id, "the one of the offer it names"))
        })
        .or_else(|| of_first_click(fields, evidence).map(|id| (id, "the one of the click")))
        .or_else(|| of_code(evidence).map(|id| (id, "the one of the code's offer")))
        .or_else(|| {
            of_recorded_order(fields, evidence).map(|id| (id, "the one of the recorded order"))
        })?;
    steps.note("advertiser", format_args!("advertiser {advertiser_id}, {why}"));
    Some(advertiser_id)
}

fn of_named_offer(fields: &PostbackFields, evidence: &Evidence) -> Option<u32> {
    evidence.advertiser_of_offer(fields.offer_id?)
}

fn of_first_click(fields: &PostbackFields, evidence: &Evidence) -> Option<u32> {
    let ids = fields.transaction_ids.iter().filter_map(|sent| sent.id);
    ids.filter_map(|id| evidence.found(&id))
        .filter(|click| eligibility::check_click(fields, evidence, None, click).is_ok())
        .find_map(|click| evidence.advertiser_of_click(click))
}

/// Only where all rows of the code belong to one advertiser.
fn of_code(evidence: &Evidence) -> Option<u32> {
    let rows = evidence.codes.iter();
    single(rows.filter_map(|row| evidence.advertiser_of_offer(row.offer_id)))
}

/// Only where the code has no rows any more, and all orders with this order id under the code
/// belong to one advertiser.
fn of_recorded_order(fields: &PostbackFields, evidence: &Evidence) -> Option<u32> {
    let is_under_code = |recorded: &&RecordedConversion| recorded.has_code_of(fields);
    let orders = evidence.recorded.iter().filter(is_under_code);
    single(orders.map(|recorded| recorded.advertiser_id)).filter(|_| evidence.codes.is_empty())
}

fn single(mut advertisers: impl Iterator<Item = u32>) -> Option<u32> {
    let first = advertisers.next()?;
    advertisers.all(|other| other == first).then_some(first)
}
