//! Dedup keys: two postbacks about the same sale have the same key.
//!
//! The key is a hash of (offer, event, order id), or of (offer, event, transaction id) without an
//! order id. A hash covers a label for its kind and its parts with their lengths, so keys of
//! different kinds, or of texts that are split differently, never collide. The bytes are stored and
//! must never change.

use std::fmt;

use coupon_shared::transaction_id::TransactionId;
use sha2::{Digest, Sha256};

use crate::catalog::Money;

/// Two equal postbacks without a key count as a possible duplicate within this time.
pub const DUPLICATE_WINDOW_MS: u64 = 600_000;

/// The key by which repeated postbacks are recognised.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey(pub [u8; 32]);

impl fmt::Debug for DedupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl DedupKey {
    #[must_use]
    pub fn for_order(offer_id: u32, event_id: u32, order_id: &str) -> DedupKey {
        hash(b"order", offer_id, event_id, order_id.as_bytes())
    }

    #[must_use]
    pub fn for_click(offer_id: u32, event_id: u32, transaction_id: &TransactionId) -> DedupKey {
        hash(b"click", offer_id, event_id, &transaction_id.0)
    }

    /// For a refund without a refund id. `other_currency` is the refund's currency where the order
    /// has another one.
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

    #[must_use]
    pub fn for_numbered_refund(order: &DedupKey, refund_id: &str) -> DedupKey {
        let mut hash = Sha256::new();
        add(&mut hash, b"numbered refund");
        add(&mut hash, &order.0);
        add(&mut hash, refund_id.as_bytes());
        DedupKey(hash.finalize().into())
    }
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
