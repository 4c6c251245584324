//! Matches a postback to recorded conversions: computes the dedup key and lists the other
//! candidates.
//!
//! Offer and event of the key are those of the attribution. A postback without a key whose content
//! equals another one within
//! [`DUPLICATE_WINDOW_MS`](super::dedup_key::DUPLICATE_WINDOW_MS) is held as a possible duplicate.
//!
//! A conversion with the key has precedence. Otherwise other conversions are found by their
//! **recorded** fields, also after changes of code or event, in this order: clicks as listed, code
//! rows by id, the code itself, the named advertiser. A sale with a key of its own is a new sale,
//! except where its code has left the offer of the recorded order.

use coupon_shared::transaction_id::TransactionId;

use super::attribute::in_touch_order;
use super::attributed::{Attributed, Method, PartialAttribution};
use super::dedup_key::DedupKey;
use super::evidence::{ClickEvidence, Evidence, RecordedConversion};
use super::offer_entry::OfferEntry;
use super::postback_fields::{PostbackFields, SentEvent};
use crate::catalog::Offer;

/// The key of a postback; `None` without an offer or event, and without both an order id and a
/// genuine transaction id.
#[must_use]
pub(super) fn dedup_key(
    fields: &PostbackFields,
    evidence: &Evidence,
    partial: &PartialAttribution,
) -> Option<DedupKey> {
    let offer_id = partial.offer_id?;
    let event_id = event_on(fields, evidence.offers.get(&offer_id)?)?;
    if let Some(order_id) = &fields.order_id {
        return Some(DedupKey::for_order(offer_id, event_id, order_id));
    }
    let id = partial
        .transaction_id
        .or_else(|| first_genuine_id(fields, evidence, partial.advertiser_id))?;
    Some(DedupKey::for_click(offer_id, event_id, &id))
}

/// Candidates with another key, best match first. Several candidates are ambiguous.
///
/// The caller checks the sender against the trust rules of each conversion's advertiser.
#[must_use]
pub(super) fn other_candidates<'a>(
    fields: &PostbackFields,
    evidence: &'a Evidence,
    attributed: Option<&Attributed>,
    partial: &PartialAttribution,
) -> Vec<&'a RecordedConversion> {
    let own = dedup_key(fields, evidence, partial);
    let is_new = attributed.is_some() && own.is_some() && !fields.is_refund();
    let is_possible = |recorded: &&RecordedConversion| {
        Some(recorded.key) != own
            && is_same_sale(fields, partial, recorded)
            && is_same_event(fields, evidence, recorded)
            && fields.offer_id.is_none_or(|id| id == recorded.offer_id)
            && fields.advertiser_id.is_none_or(|id| id == recorded.advertiser_id)
            && (!is_new || code_has_moved(fields, evidence, attributed, recorded))
    };
    let possible = evidence.recorded.iter().filter(is_possible);
    let mut found: Vec<(MatchedBy, &RecordedConversion)> = possible
        .filter_map(|one| Some((MatchedBy::find(fields, evidence, partial, one)?, one)))
        .collect();
    found.sort_by_key(|(matched_by, one)| (*matched_by, one.number));
    found.into_iter().map(|(_, one)| one).collect()
}

/// Compares order ids; without an order id the attributed click, and for a refund all clicks.
fn is_same_sale(
    fields: &PostbackFields,
    partial: &PartialAttribution,
    recorded: &RecordedConversion,
) -> bool {
    match (&fields.order_id, recorded.transaction_id) {
        (Some(order_id), _) => *order_id == recorded.order_id,
        (None, Some(id)) if fields.is_refund() => names_click(fields, &id),
        // The other clicks of a list may have led to other sales.
        (None, id) => id.is_some() && id == partial.transaction_id,
    }
}

/// Whether the code has left the offer of an order that was recorded under the code.
fn code_has_moved(
    fields: &PostbackFields,
    evidence: &Evidence,
    attributed: Option<&Attributed>,
    recorded: &RecordedConversion,
) -> bool {
    let is_by_code = attributed.is_some_and(|attributed| attributed.method == Method::CouponCode);
    let stays = evidence.codes.iter().any(|row| row.offer_id == recorded.offer_id);
    is_by_code && recorded.has_code_of(fields) && !stays && fields.order_id.is_some()
}

/// The field that leads from a postback to a recorded conversion, best match first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum MatchedBy {
    NamedOffer,
    /// With the position in the list of transaction ids.
    Click(usize),
    /// With the id of the code's row on that offer.
    Row(u32),
    RecordedCode,
    NamedAdvertiser,
}

impl MatchedBy {
    fn find(
        fields: &PostbackFields,
        evidence: &Evidence,
        partial: &PartialAttribution,
        recorded: &RecordedConversion,
    ) -> Option<MatchedBy> {
        let is_same_advertiser = partial.advertiser_id == Some(recorded.advertiser_id);
        let named = fields.offer_id.filter(|_| is_same_advertiser).map(|_| MatchedBy::NamedOffer);
        let leads_there = |id: TransactionId| {
            let offer_id = evidence.found(&id).map(|click| click.offer_id);
            recorded.transaction_id == Some(id) || offer_id == Some(recorded.offer_id)
        };
        let click = || {
            let at = fields.transaction_ids.iter().position(|c| c.id.is_some_and(leads_there));
            at.filter(|_| is_same_advertiser).map(MatchedBy::Click)
        };
        let row = || {
            let rows = evidence.codes.iter().filter(|row| row.offer_id == recorded.offer_id);
            let first = rows.map(|row| row.code_id).min();
            first.filter(|_| is_same_advertiser).map(MatchedBy::Row)
        };
        let code = || recorded.has_code_of(fields).then_some(MatchedBy::RecordedCode);
        let advertiser = || fields.advertiser_id.map(|_| MatchedBy::NamedAdvertiser);
        named.or_else(click).or_else(row).or_else(code).or_else(advertiser)
    }
}

/// Compares with the event that the offer has now under this id or name, and with the event at the
/// time of the recorded conversion.
fn is_same_event(
    fields: &PostbackFields,
    evidence: &Evidence,
    recorded: &RecordedConversion,
) -> bool {
    let now = evidence.offers.get(&recorded.offer_id).and_then(|offer| event_on(fields, offer));
    now == Some(recorded.event_id)
        || match &fields.event {
            SentEvent::Base => recorded.event_id == 0,
            SentEvent::Id(id) => recorded.event_id == *id,
            SentEvent::Name(name) => {
                recorded.event_id != 0 && recorded.event_name.eq_ignore_ascii_case(name)
            }
        }
}

/// Whether the attributed click has a base conversion on this offer with a key other than `own`.
#[must_use]
pub(super) fn click_has_converted(
    evidence: &Evidence,
    attributed: &Attributed,
    own: Option<DedupKey>,
) -> bool {
    evidence.recorded.iter().any(|recorded| {
        attributed.transaction_id.is_some()
            && recorded.transaction_id == attributed.transaction_id
            && (recorded.offer_id, recorded.event_id) == (attributed.offer_id, 0)
            && Some(recorded.key) != own
    })
}

/// The sent ids that were made with this network's key, whether their clicks have arrived or not.
#[must_use]
pub(super) fn genuine_ids(fields: &PostbackFields, evidence: &Evidence) -> Vec<TransactionId> {
    let ids = fields.transaction_ids.iter().filter_map(|sent| sent.id);
    ids.filter(|id| is_genuine(evidence, id)).collect()
}

fn names_click(fields: &PostbackFields, id: &TransactionId) -> bool {
    fields.transaction_ids.iter().any(|sent| sent.id.as_ref() == Some(id))
}

fn first_genuine_id(
    fields: &PostbackFields,
    evidence: &Evidence,
    advertiser_id: Option<u32>,
) -> Option<TransactionId> {
    let ids = in_touch_order(fields, evidence, advertiser_id);
    ids.into_iter().find(|id| is_genuine(evidence, id))
}

fn is_genuine(evidence: &Evidence, id: &TransactionId) -> bool {
    evidence.clicks.get(id).is_some_and(|click| *click != ClickEvidence::Invented)
}

fn event_on(fields: &PostbackFields, offer: &Offer) -> Option<u32> {
    Some(OfferEntry::find(offer, &fields.event)?.event.map_or(0, |event| event.id))
}

#[cfg(test)]
mod tests;
