//! Whose postback it is: the advertiser that it names, else the one of the offer that it names, else
//! of the first click that can be used, else of the code, else of the order that was recorded under
//! a code that is gone.
//!
//! This advertiser's rules decide, and only an offer of this advertiser can get the conversion.

use super::decision_step::DecisionSteps;
use super::evidence::{Evidence, RecordedConversion};
use super::postback_fields::PostbackFields;
use super::{dedup_key, obstacle};

/// The advertiser; `None` where nothing leads to one.
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
            of_recorded(fields, evidence).map(|id| (id, "the one of the recorded order"))
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
        .filter(|click| obstacle::of_click(fields, evidence, None, click).is_none())
        .find_map(|click| evidence.advertiser_of_click(click))
}

/// Where all rows are of one advertiser.
fn of_code(evidence: &Evidence) -> Option<u32> {
    let rows = evidence.codes.iter();
    the_only(rows.filter_map(|row| evidence.advertiser_of_offer(row.offer_id)))
}

/// Where a code has no rows any more, and all orders with this number under it are of one advertiser.
fn of_recorded(fields: &PostbackFields, evidence: &Evidence) -> Option<u32> {
    let is_under_it =
        |recorded: &&RecordedConversion| dedup_key::is_recorded_under_code(fields, recorded);
    let orders = evidence.recorded.iter().filter(is_under_it);
    the_only(orders.map(|recorded| recorded.advertiser_id)).filter(|_| evidence.codes.is_empty())
}

fn the_only(mut advertisers: impl Iterator<Item = u32>) -> Option<u32> {
    let first = advertisers.next()?;
    advertisers.all(|other| other == first).then_some(first)
}
