//! By which repeats of one sale are known.
//!
//! (offer, event, order id); without an order id (offer, event, transaction id), unless the offer
//! allows one click to convert again; with neither there is none, and a postback that says exactly
//! the same within [`TWIN_WINDOW_MS`] is kept pending as a possible duplicate.
//!
//! A key is a hash with its length-prefixed parts under its own label, so that no two kinds and no
//! two ways of splitting a text ever meet. The bytes are kept in the store: they never change.

use std::fmt;

use coupon_shared::transaction_id::TransactionId;
use sha2::{Digest, Sha256};

use super::attribution::{Attributed, Nearest, in_touch_order};
use super::claim::Claim;
use super::entry::Entry;
use super::evidence::{ClickEvidence, Evidence};
use crate::catalog::{Money, Offer};

/// Offers on which an order is looked for; a list of clicks and a code on many offers lead to many.
const MAX_OFFERS: usize = 100;

/// How long two postbacks without a key that say the same are taken for one that was sent twice.
pub const TWIN_WINDOW_MS: u64 = 600_000;

/// A key of repeats.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Key {
    /// Of an order.
    #[must_use]
    pub fn of_order(offer_id: u32, event_id: u32, order_id: &str) -> Key {
        hash(b"order", offer_id, event_id, order_id.as_bytes())
    }

    /// Of a click.
    #[must_use]
    pub fn of_click(offer_id: u32, event_id: u32, transaction_id: &TransactionId) -> Key {
        hash(b"click", offer_id, event_id, &transaction_id.0)
    }

    /// Of a refund: the same amount with the same `adv1` … `adv5` is taken back from an order once.
    #[must_use]
    pub fn of_refund(order: &Key, amount: Money, adv: &[String; 5]) -> Key {
        let mut hash = Sha256::new();
        add(&mut hash, b"refund");
        add(&mut hash, &order.0);
        add(&mut hash, &amount.millionths().to_le_bytes());
        adv.iter().for_each(|text| add(&mut hash, text.as_bytes()));
        Key(hash.finalize().into())
    }
}

/// The key of a conversion, where it has one.
#[must_use]
pub fn of(claim: &Claim, evidence: &Evidence, whose: &Attributed) -> Option<Key> {
    if claim.order_id.is_some() {
        return of_order_on(claim, evidence, whose.offer_id);
    }
    let id = whose.transaction_id.or_else(|| genuine(claim, evidence, whose.advertiser_id))?;
    of_click_on(claim, evidence, whose.offer_id, &id)
}

/// The keys under which a conversion may have come before, also of a claim that would not be
/// attributed any more: the code has expired since, the click has left its window.
///
/// Only offers of the advertiser whose postback it is are looked at. Of a list of clicks only the
/// one that counts: the others may well have led to other sales.
#[must_use]
pub fn earlier(
    claim: &Claim,
    evidence: &Evidence,
    attribution: &Nearest,
    own: Option<Key>,
) -> Vec<Key> {
    let advertiser_id = attribution.advertiser_id;
    let mut keys: Vec<Key> = own.into_iter().collect();
    if claim.order_id.is_some() {
        let offers = offers_led_to(claim, evidence).take(MAX_OFFERS);
        let theirs = offers.filter(|id| evidence.advertiser_of_offer(*id) == advertiser_id);
        keys.extend(theirs.filter_map(|offer_id| of_order_on(claim, evidence, offer_id)));
    } else if let Some((offer_id, id)) = attribution.offer_id.zip(attribution.transaction_id) {
        keys.extend(of_click_on(claim, evidence, offer_id, &id));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The one that it names, else those of its clicks and of its code.
fn offers_led_to<'a>(claim: &'a Claim, evidence: &'a Evidence) -> impl Iterator<Item = u32> + 'a {
    let ids = claim.transaction_ids.iter().filter_map(|claimed| claimed.id);
    let clicked = ids.filter_map(|id| Some(evidence.found(&id)?.offer_id));
    let of_code = evidence.codes.iter().map(|row| row.offer_id);
    let implied = clicked.chain(of_code).filter(|_| claim.offer_id.is_none());
    claim.offer_id.into_iter().chain(implied)
}

/// The first id by touch that a click was given, whether it has come or not.
fn genuine(claim: &Claim, evidence: &Evidence, advertiser_id: u32) -> Option<TransactionId> {
    let is_genuine = |id: &TransactionId| {
        evidence.clicks.get(id).is_some_and(|click| *click != ClickEvidence::Invented)
    };
    in_touch_order(claim, evidence, Some(advertiser_id)).into_iter().find(is_genuine)
}

fn of_order_on(claim: &Claim, evidence: &Evidence, offer_id: u32) -> Option<Key> {
    let event_id = event_on(claim, evidence.offers.get(&offer_id)?)?;
    Some(Key::of_order(offer_id, event_id, claim.order_id.as_ref()?))
}

fn of_click_on(
    claim: &Claim,
    evidence: &Evidence,
    offer_id: u32,
    id: &TransactionId,
) -> Option<Key> {
    let offer = evidence.offers.get(&offer_id)?;
    let event_id = event_on(claim, offer)?;
    (!offer.is_allow_duplicate_conversion).then(|| Key::of_click(offer_id, event_id, id))
}

fn event_on(claim: &Claim, offer: &Offer) -> Option<u32> {
    Some(Entry::of(offer, &claim.event)?.event.map_or(0, |event| event.id))
}

fn hash(label: &[u8], offer_id: u32, event_id: u32, name: &[u8]) -> Key {
    let mut hash = Sha256::new();
    add(&mut hash, label);
    add(&mut hash, &offer_id.to_le_bytes());
    add(&mut hash, &event_id.to_le_bytes());
    add(&mut hash, name);
    Key(hash.finalize().into())
}

fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversions::attribution::{Outcome, attribute};
    use crate::conversions::judge::{Judgement, judge};
    use crate::conversions::sample::{claim, evidence};

    /// The key of a postback that is attributed.
    fn key_with(query: &str, allow_duplicates: bool) -> Option<Key> {
        let claim = claim(query);
        let mut evidence = evidence(&claim);
        for offer in evidence.offers.values_mut() {
            offer.is_allow_duplicate_conversion = allow_duplicates;
        }
        match attribute(&claim, &evidence).outcome {
            Outcome::Attributed(whose) => of(&claim, &evidence, &whose),
            other => panic!("{query}: {other:?}"),
        }
    }

    fn key(query: &str) -> Option<Key> {
        key_with(query, false)
    }

    fn keys_before(query: &str) -> Vec<Key> {
        let claim = claim(query);
        match judge(&claim, &evidence(&claim)) {
            Judgement::Decided(decided) => decided.earlier,
            Judgement::Waits(..) => panic!("{query} waits"),
        }
    }

    #[test]
    fn an_order_is_known_by_its_id_on_its_offer_and_event() {
        let first = key("coupon_code=EIGHT&order_id=A1");
        assert!(first.is_some());
        assert_eq!(key("transaction_id=NOON8&order_id=A1&amount=7"), first);
        assert_eq!(key_with("coupon_code=SEVEN&order_id=A1", true), first);
        for other in [
            "coupon_code=EIGHT&order_id=A2",
            "coupon_code=EIGHT&order_id=a1",
            "coupon_code=BOTH&oid=11&order_id=A1",
            "coupon_code=EIGHT&order_id=A1&adv_event_id=newsletter",
        ] {
            assert_ne!(key(other), first, "{other}");
        }
        let event = key("coupon_code=EIGHT&order_id=A1&adv_event_id=newsletter");
        assert_eq!(key("coupon_code=EIGHT&order_id=A1&event_id=101"), event);
        assert_eq!(key("coupon_code=EIGHT&order_id=A1&event_id=100"), first);
    }

    #[test]
    fn without_an_order_id_the_click_tells_repeats_apart_unless_it_may_convert_again() {
        let first = key("transaction_id=NOON8");
        assert!(first.is_some());
        assert_eq!(key("transaction_id=NOON8&amount=9"), first);
        assert_ne!(key("transaction_id=NOON8&event_id=101"), first);
        assert_ne!(key("transaction_id=MORNING7"), first);
        assert_eq!(key_with("transaction_id=NOON8", true), None);
    }

    #[test]
    fn a_genuine_id_tells_repeats_apart_also_where_the_code_decides() {
        assert_eq!(
            key("transaction_id=GONE&coupon_code=EIGHT"),
            key("transaction_id=GONE&coupon_code=SEVEN")
        );
        assert_eq!(key("transaction_id=INVENTED&coupon_code=EIGHT"), None);
        assert_eq!(key("transaction_id=test&coupon_code=EIGHT"), None);
        assert_eq!(key("coupon_code=EIGHT"), None);
    }

    #[test]
    fn an_order_is_found_again_when_it_would_not_be_attributed_any_more() {
        let held = key("coupon_code=EIGHT&order_id=A1").unwrap();
        for later in [
            "coupon_code=EXPIRED&order_id=A1",
            "coupon_code=RESTING&order_id=A1",
            "coupon_code=BOTH&order_id=A1",
            "oid=10&order_id=A1",
            "transaction_id=SUSPENDED9&order_id=A1",
            "coupon_code=EIGHT&order_id=A1",
        ] {
            assert!(keys_before(later).contains(&held), "{later}");
        }
        for other in [
            "coupon_code=TWENTY&order_id=A1",
            "oid=11&order_id=A1",
            "order_id=A1",
            "coupon_code=EXPIRED",
        ] {
            assert!(!keys_before(other).contains(&held), "{other}");
        }
        let stale =
            Key::of_click(15, 0, &claim("transaction_id=STALE7").transaction_ids[0].id.unwrap());
        assert_eq!(keys_before("transaction_id=STALE7&coupon_code=UNKNOWN"), [stale]);
    }

    #[test]
    fn a_visitor_who_clicks_and_buys_again_makes_a_new_sale() {
        let first = key("transaction_id=MORNING7").unwrap();
        assert!(!keys_before("transaction_id=MORNING7|NOON8").contains(&first));
        assert_eq!(
            keys_before("transaction_id=MORNING7|NOON8"),
            [key("transaction_id=NOON8").unwrap()]
        );
    }

    #[test]
    fn the_key_of_an_attributed_sale_is_among_those_looked_for() {
        for query in [
            "transaction_id=NOON8",
            "transaction_id=NOON8&coupon_code=BOTH",
            "transaction_id=MORNING7|NOON8&order_id=A1",
            "transaction_id=GONE&coupon_code=EIGHT",
            "transaction_id=GONE|NOON8&oid=10&affid=7",
            "oid=10&affid=7&order_id=A1",
        ] {
            assert!(keys_before(query).contains(&key(query).unwrap()), "{query}");
        }
    }

    #[test]
    fn the_same_refund_of_an_order_is_one() {
        let order = Key::of_order(10, 0, "A1");
        let refund = |amount: &str, adv1: &str| {
            let adv = [adv1, "", "", "", ""].map(String::from);
            Key::of_refund(&order, amount.parse().unwrap(), &adv)
        };
        assert_eq!(refund("-10", "r1"), refund("-10.00", "r1"));
        assert_ne!(refund("-10", "r1"), refund("-10", "r2"));
        assert_ne!(refund("-10", "r1"), refund("-11", "r1"));
        assert_ne!(refund("-10", "r1"), order);
    }

    #[test]
    fn the_bytes_of_keys_stay_as_they_were() {
        let hex =
            |key: Key| key.0[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let id = TransactionId([7; 16]);
        let keys = [Key::of_order(10, 0, "A1"), Key::of_click(10, 101, &id)];
        assert_eq!(keys.map(hex), ["807767de4a600cc7", "2cc0938739f613c8"]);
    }
}
