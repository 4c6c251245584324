//! Whose postback it is: the advertiser that it names, else the one of the offer that it names, else
//! of the first click that can be used, else of the code.
//!
//! This advertiser's rules decide, and only an offer of this advertiser can get the conversion.

use super::claim::Claim;
use super::evidence::Evidence;
use super::obstacle;
use super::step::Steps;

/// The advertiser; `None` where nothing leads to one.
pub(super) fn whose(claim: &Claim, evidence: &Evidence, steps: &mut Steps) -> Option<u32> {
    let named = claim.advertiser_id.map(|id| (id, "as it says"));
    let (advertiser_id, why) = named
        .or_else(|| of_named_offer(claim, evidence).map(|id| (id, "the one of the offer it names")))
        .or_else(|| of_first_click(claim, evidence).map(|id| (id, "the one of the click")))
        .or_else(|| of_code(evidence).map(|id| (id, "the one of the code's offer")))?;
    steps.note("advertiser", format_args!("advertiser {advertiser_id}, {why}"));
    Some(advertiser_id)
}

fn of_named_offer(claim: &Claim, evidence: &Evidence) -> Option<u32> {
    evidence.advertiser_of_offer(claim.offer_id?)
}

fn of_first_click(claim: &Claim, evidence: &Evidence) -> Option<u32> {
    let ids = claim.transaction_ids.iter().filter_map(|claimed| claimed.id);
    ids.filter_map(|id| evidence.found(&id))
        .filter(|click| obstacle::of_click(claim, evidence, None, click).is_none())
        .find_map(|click| evidence.advertiser_of_click(click))
}

/// Where all rows are of one advertiser.
fn of_code(evidence: &Evidence) -> Option<u32> {
    let rows = evidence.codes.iter();
    let mut advertisers = rows.filter_map(|row| evidence.advertiser_of_offer(row.offer_id));
    let first = advertisers.next()?;
    advertisers.all(|other| other == first).then_some(first)
}
