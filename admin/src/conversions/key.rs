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

use super::attribution::Attributed;
use super::claim::Claim;
use super::entry::Entry;
use super::evidence::{ClickEvidence, Evidence};
use crate::catalog::{Money, Offer};

/// Keys that are looked for; a list of clicks and a code on many offers lead to many.
const MAX_KEYS: usize = 100;

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
    let offer = evidence.offers.get(&whose.offer_id)?;
    let genuine = || whose.transaction_id.or_else(|| genuine_ids(claim, evidence).next());
    of_offer(claim, whose.offer_id, offer, genuine)
}

/// The keys under which a conversion may have come before, also of a claim that would not be
/// attributed any more: the code has expired since, the click has left its window. Only offers of
/// the advertiser whose postback it is are looked at.
#[must_use]
pub fn earlier(claim: &Claim, evidence: &Evidence, advertiser_id: Option<u32>) -> Vec<Key> {
    let mut keys: Vec<Key> = candidates(claim, evidence)
        .filter(|(offer_id, _)| evidence.advertiser_of_offer(*offer_id) == advertiser_id)
        .filter_map(|(offer_id, id)| {
            of_offer(claim, offer_id, evidence.offers.get(&offer_id)?, || id)
        })
        .take(MAX_KEYS)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Offers that the claim leads to, each with the click that would tell repeats apart.
fn candidates<'a>(
    claim: &'a Claim,
    evidence: &'a Evidence,
) -> impl Iterator<Item = (u32, Option<TransactionId>)> + 'a {
    let first = genuine_ids(claim, evidence).next();
    let named = claim.offer_id.map(|offer_id| (offer_id, first));
    let clicked = genuine_ids(claim, evidence)
        .filter_map(|id| Some((evidence.found(&id)?.offer_id, Some(id))));
    let of_code = evidence.codes.iter().map(move |row| (row.offer_id, first));
    let asked_for = |offer_id: u32| claim.offer_id.is_none_or(|asked_for| asked_for == offer_id);
    named
        .into_iter()
        .chain(clicked)
        .chain(of_code)
        .filter(move |(offer_id, _)| asked_for(*offer_id))
}

/// Ids that a click was given, whether it has come or not.
fn genuine_ids<'a>(
    claim: &'a Claim,
    evidence: &'a Evidence,
) -> impl Iterator<Item = TransactionId> + 'a {
    let is_genuine = |id: &TransactionId| {
        evidence.clicks.get(id).is_some_and(|click| *click != ClickEvidence::Invented)
    };
    claim.transaction_ids.iter().filter_map(|claimed| claimed.id).filter(is_genuine)
}

fn of_offer(
    claim: &Claim,
    offer_id: u32,
    offer: &Offer,
    click: impl FnOnce() -> Option<TransactionId>,
) -> Option<Key> {
    let event_id = Entry::of(offer, &claim.event)?.event.map_or(0, |event| event.id);
    match &claim.order_id {
        Some(order_id) => Some(Key::of_order(offer_id, event_id, order_id)),
        None if offer.is_allow_duplicate_conversion => None,
        None => Some(Key::of_click(offer_id, event_id, &click()?)),
    }
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
