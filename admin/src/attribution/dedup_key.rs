//! Which key a postback has, and in which order an earlier conversion is looked for that it may be
//! about: this module alone knows.
//!
//! The key is (offer, event, order id), without an order id (offer, event, transaction id); with
//! neither there is none, and a postback that says exactly the same within [`DUPLICATE_WINDOW_MS`] is kept
//! pending as a possible duplicate. Offer and event are those that the postback is attributed to.
//!
//! That key is looked for first. Only where nothing has it, others are looked at: conversions by what
//! they were **recorded** under, whatever became of their code or event since, those of the clicks as
//! they are listed, then of the rows of the code by their ids, then of the code itself, then of the
//! advertiser that is named. A sale with a key of its own is a new one, except where the code has
//! left the offer of the recorded order.
//!
//! A key is a hash with its length-prefixed parts under its own label, so that no two kinds and no
//! two ways of splitting a text ever meet. The bytes are kept in the store: they never change.

use std::fmt;

use coupon_shared::transaction_id::TransactionId;
use sha2::{Digest, Sha256};

use super::attribute::{Attributed, Method, PartialAttribution, in_touch_order};
use super::evidence::{ClickEvidence, Evidence, RecordedConversion};
use super::offer_entry::OfferEntry;
use super::postback_fields::{PostbackFields, SentEvent};
use crate::catalog::{Money, Offer};

/// How long two postbacks that say the same, and have nothing to be told apart by, are taken for one
/// that was sent twice.
pub const DUPLICATE_WINDOW_MS: u64 = 600_000;

/// A key of repeats.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey(pub [u8; 32]);

impl fmt::Debug for DedupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl DedupKey {
    /// Of an order.
    #[must_use]
    pub fn for_order(offer_id: u32, event_id: u32, order_id: &str) -> DedupKey {
        hash(b"order", offer_id, event_id, order_id.as_bytes())
    }

    /// Of a click.
    #[must_use]
    pub fn for_click(offer_id: u32, event_id: u32, transaction_id: &TransactionId) -> DedupKey {
        hash(b"click", offer_id, event_id, &transaction_id.0)
    }

    /// Of a refund that has no number: the amount with `adv1` … `adv5` of an order, and its currency
    /// where that is not the order's.
    #[must_use]
    pub fn for_refund(
        order: &DedupKey,
        amount: Money,
        adv: &[String; 5],
        other_currency: Option<&str>,
    ) -> DedupKey {
        let mut hash = Sha256::new();
        add(&mut hash, b"refund");
        add(&mut hash, &order.0);
        add(&mut hash, &amount.millionths().to_le_bytes());
        adv.iter().for_each(|text| add(&mut hash, text.as_bytes()));
        other_currency.iter().for_each(|currency| add(&mut hash, currency.as_bytes()));
        DedupKey(hash.finalize().into())
    }

    /// Of a refund by its number.
    #[must_use]
    pub fn for_numbered_refund(order: &DedupKey, refund_id: &str) -> DedupKey {
        let mut hash = Sha256::new();
        add(&mut hash, b"numbered refund");
        add(&mut hash, &order.0);
        add(&mut hash, refund_id.as_bytes());
        DedupKey(hash.finalize().into())
    }
}

/// The key of what is known of a conversion, where it has one.
#[must_use]
pub fn dedup_key(
    fields: &PostbackFields,
    evidence: &Evidence,
    partial: &PartialAttribution,
) -> Option<DedupKey> {
    let offer_id = partial.offer_id?;
    let event_id = event_on(fields, evidence.offers.get(&offer_id)?)?;
    if let Some(order_id) = &fields.order_id {
        return Some(DedupKey::for_order(offer_id, event_id, order_id));
    }
    let id = partial.transaction_id.or_else(|| genuine(fields, evidence, partial.advertiser_id))?;
    Some(DedupKey::for_click(offer_id, event_id, &id))
}

/// Conversions other than those with its own key that a claim may be about, in the order in which
/// they are looked for. A claim that names no offer and may be about several is about none.
///
/// The caller checks that the advertiser of each believes the sender.
#[must_use]
pub fn others<'a>(
    fields: &PostbackFields,
    evidence: &'a Evidence,
    attributed: Option<&Attributed>,
    partial: &PartialAttribution,
) -> Vec<&'a RecordedConversion> {
    let own = dedup_key(fields, evidence, partial);
    let is_new = attributed.is_some() && own.is_some() && !fields.is_refund();
    let is_possible = |recorded: &&RecordedConversion| {
        Some(recorded.key) != own
            && is_of_the_same(fields, partial, recorded)
            && event_is(fields, evidence, recorded)
            && fields.offer_id.is_none_or(|id| id == recorded.offer_id)
            && fields.advertiser_id.is_none_or(|id| id == recorded.advertiser_id)
            && (!is_new || has_moved(fields, evidence, attributed, recorded))
    };
    let possible = evidence.recorded.iter().filter(is_possible);
    let mut found: Vec<(MatchedBy, &RecordedConversion)> = possible
        .filter_map(|one| Some((MatchedBy::to(fields, evidence, partial, one)?, one)))
        .collect();
    found.sort_by_key(|(way, one)| (*way, one.number));
    found.into_iter().map(|(_, one)| one).collect()
}

/// It has the claim's order id; without one, the click that counts, and for a refund any of its
/// clicks. Of a list of clicks the others may well have led to other sales.
fn is_of_the_same(
    fields: &PostbackFields,
    partial: &PartialAttribution,
    recorded: &RecordedConversion,
) -> bool {
    match (&fields.order_id, recorded.transaction_id) {
        (Some(order_id), _) => *order_id == recorded.order_id,
        (None, Some(id)) if fields.is_refund() => names(fields, &id),
        (None, id) => id.is_some() && id == partial.transaction_id,
    }
}

/// A code that has left an offer since an order there was recorded under it.
fn has_moved(
    fields: &PostbackFields,
    evidence: &Evidence,
    attributed: Option<&Attributed>,
    recorded: &RecordedConversion,
) -> bool {
    let is_by_code = attributed.is_some_and(|attributed| attributed.method == Method::CouponCode);
    let stays = evidence.codes.iter().any(|row| row.offer_id == recorded.offer_id);
    is_by_code && is_recorded_under_code(fields, recorded) && !stays && fields.order_id.is_some()
}

/// By what a claim leads to a recorded conversion, the first way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum MatchedBy {
    NamedOffer,
    /// By its place in the list.
    Click(usize),
    /// By the id of the code's row on that offer.
    Row(u32),
    RecordedCode,
    NamedAdvertiser,
}

impl MatchedBy {
    fn to(
        fields: &PostbackFields,
        evidence: &Evidence,
        partial: &PartialAttribution,
        recorded: &RecordedConversion,
    ) -> Option<MatchedBy> {
        let is_theirs = partial.advertiser_id == Some(recorded.advertiser_id);
        let named = fields.offer_id.filter(|_| is_theirs).map(|_| MatchedBy::NamedOffer);
        let leads_there = |id: TransactionId| {
            let offer_id = evidence.found(&id).map(|click| click.offer_id);
            recorded.transaction_id == Some(id) || offer_id == Some(recorded.offer_id)
        };
        let click = || {
            let at = fields.transaction_ids.iter().position(|c| c.id.is_some_and(leads_there));
            at.filter(|_| is_theirs).map(MatchedBy::Click)
        };
        let row = || {
            let rows = evidence.codes.iter().filter(|row| row.offer_id == recorded.offer_id);
            rows.map(|row| row.code_id).min().filter(|_| is_theirs).map(MatchedBy::Row)
        };
        let code = || is_recorded_under_code(fields, recorded).then_some(MatchedBy::RecordedCode);
        let advertiser = || fields.advertiser_id.map(|_| MatchedBy::NamedAdvertiser);
        named.or_else(click).or_else(row).or_else(code).or_else(advertiser)
    }
}

pub(super) fn is_recorded_under_code(
    fields: &PostbackFields,
    recorded: &RecordedConversion,
) -> bool {
    let folded = fields.coupon_code.as_ref().and_then(|code| code.folded.as_ref());
    folded.is_some_and(|folded| folded.as_str() == recorded.folded_code)
}

/// It is of the event that the claim means there now, or that was called so then.
fn event_is(fields: &PostbackFields, evidence: &Evidence, recorded: &RecordedConversion) -> bool {
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

/// Whether the click of this conversion has made another base conversion before. `own` is the key of
/// the one that is judged.
#[must_use]
pub fn click_has_converted(
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

/// The ids of a claim that clicks were given, whether these have come or not.
#[must_use]
pub fn genuine_ids(fields: &PostbackFields, evidence: &Evidence) -> Vec<TransactionId> {
    let ids = fields.transaction_ids.iter().filter_map(|sent| sent.id);
    ids.filter(|id| is_genuine(evidence, id)).collect()
}

fn names(fields: &PostbackFields, id: &TransactionId) -> bool {
    fields.transaction_ids.iter().any(|sent| sent.id.as_ref() == Some(id))
}

/// The first id by touch that a click was given, whether it has come or not.
fn genuine(
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

fn hash(label: &[u8], offer_id: u32, event_id: u32, name: &[u8]) -> DedupKey {
    let mut hash = Sha256::new();
    add(&mut hash, label);
    add(&mut hash, &offer_id.to_le_bytes());
    add(&mut hash, &event_id.to_le_bytes());
    add(&mut hash, name);
    DedupKey(hash.finalize().into())
}

fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::attribute::{Outcome, attribute};
    use crate::attribution::sample::{evidence, fields, with_ids};

    /// What is known of a postback, and whose it is.
    fn judged(query: &str) -> (PostbackFields, Evidence, Option<Attributed>, PartialAttribution) {
        let fields = fields(query);
        let evidence = evidence(&fields);
        let (attributed, partial) = match attribute(&fields, &evidence).outcome {
            Outcome::Attributed(attributed) => {
                (Some(attributed.clone()), PartialAttribution::from(&attributed))
            }
            Outcome::Refused { partial, .. } => (None, partial),
            other @ Outcome::Waits(_) => panic!("{query}: {other:?}"),
        };
        (fields, evidence, attributed, partial)
    }

    fn key(query: &str) -> Option<DedupKey> {
        let (fields, evidence, _, partial) = judged(query);
        dedup_key(&fields, &evidence, &partial)
    }

    fn id(word: &str) -> TransactionId {
        with_ids(word).parse().unwrap()
    }

    #[test]
    fn each_postback_has_the_key_of_its_offer_event_and_order_else_of_its_click() {
        let order =
            |offer_id, event_id, order_id| Some(DedupKey::for_order(offer_id, event_id, order_id));
        let click =
            |offer_id, event_id, word| Some(DedupKey::for_click(offer_id, event_id, &id(word)));
        #[rustfmt::skip]
        let cases = [
            ("coupon_code=EIGHT&order_id=A1", order(10, 0, "A1")),
            ("transaction_id=NOON8&order_id=A1&amount=7", order(10, 0, "A1")),
            ("coupon_code=SEVEN&order_id=A1", order(10, 0, "A1")),
            ("oid=10&affid=7&order_id=A1", order(10, 0, "A1")),
            ("coupon_code=EIGHT&order_id=a1", order(10, 0, "a1")),
            ("coupon_code=BOTH&oid=11&order_id=A1", order(11, 0, "A1")),
            ("coupon_code=EIGHT&order_id=A1&event_id=100", order(10, 0, "A1")),
            ("coupon_code=EIGHT&order_id=A1&event_id=101", order(10, 101, "A1")),
            ("coupon_code=EIGHT&order_id=A1&adv_event_id=newsletter", order(10, 101, "A1")),
            ("transaction_id=ELEVEN7|NOON8&order_id=A1", order(10, 0, "A1")),
            // Without an order id.
            ("transaction_id=NOON8", click(10, 0, "NOON8")),
            ("transaction_id=NOON8&amount=9", click(10, 0, "NOON8")),
            ("transaction_id=NOON8&event_id=101", click(10, 101, "NOON8")),
            ("transaction_id=MORNING7", click(10, 0, "MORNING7")),
            ("transaction_id=MORNING7|NOON8", click(10, 0, "NOON8")),
            // A genuine id tells repeats also where the code decides; one that was invented does not.
            ("transaction_id=GONE&coupon_code=EIGHT", click(10, 0, "GONE")),
            ("transaction_id=GONE&coupon_code=SEVEN", click(10, 0, "GONE")),
            ("transaction_id=INVENTED&coupon_code=EIGHT", None),
            ("transaction_id=test&coupon_code=EIGHT", None),
            ("coupon_code=EIGHT", None),
            // What is not attributed, but known, can be approved by hand and has its key.
            ("coupon_code=ONPAUSED&order_id=A1", order(13, 0, "A1")),
            ("coupon_code=EXPIRED&order_id=A1", order(10, 0, "A1")),
            ("coupon_code=RESTING&order_id=A1", order(10, 0, "A1")),
            ("transaction_id=PAUSED7", click(13, 0, "PAUSED7")),
            ("transaction_id=STALE7", click(15, 0, "STALE7")),
            ("transaction_id=STALE7&coupon_code=UNKNOWN", click(15, 0, "STALE7")),
            ("oid=10&order_id=A1", order(10, 0, "A1")),
            // Nothing leads to an offer, or to an event of it.
            ("order_id=A1", None),
            ("coupon_code=UNKNOWN&order_id=A1", None),
            ("coupon_code=BOTH&order_id=A1", None),
            ("coupon_code=EIGHT&order_id=A1&event_id=999", None),
        ];
        for (query, wanted) in cases {
            assert_eq!(key(query), wanted, "{query}");
        }
    }

    /// A recorded order: `(offer, event, code, click)`; it has the number of its place, from 1.
    type Row = (u32, u32, &'static str, &'static str);

    fn recorded(rows: &[Row], order_id: &str) -> Vec<RecordedConversion> {
        let row = |(number, &(offer_id, event_id, code, click)): (u32, &Row)| {
            let transaction_id = Some(click).filter(|word| !word.is_empty()).map(id);
            RecordedConversion {
                number,
                key: match transaction_id.filter(|_| order_id.is_empty()) {
                    Some(id) => DedupKey::for_click(offer_id, event_id, &id),
                    None => DedupKey::for_order(offer_id, event_id, order_id),
                },
                offer_id,
                advertiser_id: if offer_id == 20 { 2 } else { 1 },
                event_id,
                event_name: if event_id == 0 { "".into() } else { "Old name".into() },
                folded_code: code.to_ascii_lowercase(),
                order_id: order_id.into(),
                transaction_id,
            }
        };
        (1..).zip(rows).map(row).collect()
    }

    /// The numbers of those that are looked at after the claim's own key, in that order.
    fn looked_at(query: &str, rows: &[Row], order_id: &str) -> Vec<u32> {
        let fields = fields(query);
        let mut evidence = evidence(&fields);
        evidence.recorded = recorded(rows, order_id);
        let (attributed, partial) = match attribute(&fields, &evidence).outcome {
            Outcome::Attributed(attributed) => {
                (Some(attributed.clone()), PartialAttribution::from(&attributed))
            }
            Outcome::Refused { partial, .. } => (None, partial),
            other @ Outcome::Waits(_) => panic!("{query}: {other:?}"),
        };
        let others = others(&fields, &evidence, attributed.as_ref(), &partial);
        others.iter().map(|recorded| recorded.number).collect()
    }

    #[test]
    fn orders_are_found_by_what_they_were_recorded_under_in_one_fixed_order() {
        let y_and_z: &[Row] = &[(11, 0, "BOTH", "ELEVEN7"), (10, 0, "BOTH", "NOON8")];
        let on_y = &y_and_z[..1];
        #[rustfmt::skip]
        let cases: [(&str, &[Row], &[u32]); 26] = [
            // Its own key comes first; the others only follow, by the place in the list.
            ("transaction_id=ELEVEN7|NOON8&amount=-9", y_and_z, &[1]),
            ("transaction_id=NOON8|ELEVEN7&amount=-9", y_and_z, &[1]),
            ("transaction_id=ELEVEN7|NOON8&amount=-9", on_y, &[1]),
            // A new order on one offer is no repeat of an order on another.
            ("transaction_id=ELEVEN7|NOON8&amount=9", on_y, &[]),
            ("coupon_code=BOTH&oid=10&amount=9", on_y, &[]),
            ("transaction_id=NOON8&coupon_code=BOTH&amount=9", on_y, &[]),
            // A code on both without oid: both, and so it is about none.
            ("coupon_code=BOTH&amount=-9", y_and_z, &[2, 1]),
            ("coupon_code=BOTH&amount=9", y_and_z, &[2, 1]),
            ("coupon_code=BOTH&amount=-9", on_y, &[1]),
            ("coupon_code=BOTH&oid=11&amount=-9", y_and_z, &[]),
            // Clicks come before rows.
            ("transaction_id=STALE7|ELEVEN7&coupon_code=BOTH&amount=-9", y_and_z, &[2]),
            // The code was deleted or renamed, or has moved to another offer or advertiser.
            ("coupon_code=UNKNOWN&amount=-9", &[(10, 0, "UNKNOWN", "")], &[1]),
            ("coupon_code=UNKNOWN&amount=9", &[(10, 0, "UNKNOWN", "")], &[1]),
            ("coupon_code=UNKNOWN&amount=9", &[(10, 0, "OTHER", "")], &[]),
            ("coupon_code=EIGHT&amount=-9", &[(11, 0, "EIGHT", "")], &[1]),
            ("coupon_code=EIGHT&amount=9", &[(11, 0, "EIGHT", "")], &[1]),
            ("coupon_code=EIGHT&amount=9", &[(20, 0, "EIGHT", "")], &[1]),
            ("coupon_code=EIGHT&amount=9", &[(11, 0, "SEVEN", "")], &[]),
            ("coupon_code=EIGHT&oid=10&amount=9", &[(11, 0, "EIGHT", "")], &[]),
            ("coupon_code=EIGHT&aid=1&amount=-9", &[(20, 0, "EIGHT", "")], &[]),
            // The event was removed or renamed.
            ("coupon_code=EIGHT&amount=-9&adv_event_id=old+NAME", &[(10, 103, "EIGHT", "")], &[1]),
            ("coupon_code=EIGHT&amount=9&event_id=103", &[(10, 103, "EIGHT", "")], &[1]),
            ("coupon_code=EIGHT&amount=-9&adv_event_id=other", &[(10, 103, "EIGHT", "")], &[]),
            ("coupon_code=EIGHT&amount=-9&event_id=103", &[(10, 0, "EIGHT", "")], &[]),
            // Who names its advertiser needs nothing else; who names nothing finds nothing.
            ("aid=1&amount=-9", &[(10, 0, "EIGHT", "")], &[1]),
            ("amount=-9", &[(10, 0, "EIGHT", "")], &[]),
        ];
        for (query, rows, wanted) in cases {
            let query = format!("{query}&order_id=A1");
            assert_eq!(looked_at(&query, rows, "A1"), wanted, "{query} among {rows:?}");
        }
        assert_eq!(looked_at("coupon_code=UNKNOWN&order_id=A2", y_and_z, "A1"), [0; 0]);
    }

    #[test]
    fn without_an_order_id_a_refund_looks_at_all_its_clicks_and_a_sale_at_the_one_that_counts() {
        let both: &[Row] = &[(11, 0, "", "ELEVEN7"), (10, 0, "", "NOON8")];
        let cases: [(&str, &[u32]); 3] = [
            ("transaction_id=ELEVEN7|NOON8&amount=-9", &[1]),
            ("transaction_id=ELEVEN7|NOON8&amount=9", &[]),
            ("coupon_code=BOTH&amount=-9", &[]),
        ];
        for (query, wanted) in cases {
            assert_eq!(looked_at(query, both, ""), wanted, "{query}");
            assert_eq!(looked_at(query, &both[..1], ""), wanted, "{query}");
        }
    }

    #[test]
    fn a_click_has_converted_when_it_made_another_base_conversion_of_the_offer() {
        let converted = |query: &str, rows: &[Row], order_id: &str| {
            let (fields, mut evidence, attributed, partial) = judged(query);
            evidence.recorded = recorded(rows, order_id);
            click_has_converted(
                &evidence,
                &attributed.unwrap(),
                dedup_key(&fields, &evidence, &partial),
            )
        };
        let by_noon: &[Row] = &[(10, 0, "", "NOON8")];
        assert!(converted("transaction_id=NOON8&order_id=E1", by_noon, ""));
        assert!(converted("transaction_id=NOON8&order_id=E2", by_noon, "E1"));
        assert!(converted("transaction_id=NOON8", by_noon, "E1"));
        assert!(!converted("transaction_id=NOON8&order_id=E1", by_noon, "E1"), "its own key");
        assert!(!converted("transaction_id=MORNING7&order_id=E2", by_noon, "E1"));
        assert!(!converted("coupon_code=EIGHT&order_id=E2", by_noon, "E1"));
        assert!(!converted("transaction_id=NOON8&order_id=E2", &[(10, 101, "", "NOON8")], "E1"));
    }

    #[test]
    fn refunds_are_told_apart_by_their_number_else_by_what_they_say() {
        let order = DedupKey::for_order(10, 0, "A1");
        let refund = |amount: &str, adv1: &str| {
            let adv = [adv1, "", "", "", ""].map(String::from);
            DedupKey::for_refund(&order, amount.parse().unwrap(), &adv, None)
        };
        let in_euros = DedupKey::for_refund(
            &order,
            "-10".parse().unwrap(),
            &["r1", "", "", "", ""].map(String::from),
            Some("EUR"),
        );
        assert_ne!(refund("-10", "r1"), in_euros);
        assert_eq!(refund("-10", "r1"), refund("-10.00", "r1"));
        assert_ne!(refund("-10", "r1"), refund("-10", "r2"));
        assert_ne!(refund("-10", "r1"), refund("-11", "r1"));
        assert_ne!(refund("-10", "r1"), order);
        let numbered = DedupKey::for_numbered_refund(&order, "R1");
        assert_eq!(numbered, DedupKey::for_numbered_refund(&order, "R1"));
        assert_ne!(numbered, DedupKey::for_numbered_refund(&order, "R2"));
        assert_ne!(
            numbered,
            DedupKey::for_numbered_refund(&DedupKey::for_order(10, 0, "A2"), "R1")
        );
    }

    #[test]
    fn the_bytes_of_keys_stay_as_they_were() {
        let hex =
            |key: DedupKey| key.0[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let id = TransactionId([7; 16]);
        let order = DedupKey::for_order(10, 0, "A1");
        let adv = ["r1", "", "", "", ""].map(String::from);
        let refund = DedupKey::for_refund(&order, "-10".parse().unwrap(), &adv, None);
        let numbered = DedupKey::for_numbered_refund(&order, "R1");
        let keys = [order, DedupKey::for_click(10, 101, &id), refund, numbered];
        let wanted =
            ["807767de4a600cc7", "2cc0938739f613c8", "64031882ec86dcdb", "4eeaaef658105ed3"];
        assert_eq!(keys.map(hex), wanted);
    }
}
