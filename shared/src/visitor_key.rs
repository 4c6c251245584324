//! The visitor key: a number for a visitor that both programs work out alike.
//!
//! A key is SipHash-1-3 of the address, and of the user agent unless the offer's session definition
//! is the address alone. Addresses of a network that hands them out by the block, IPv6, count by
//! their first 64 bits, because a device changes the rest by itself. The hash is keyed by the
//! network, so that keys in click records say nothing about addresses to others.
//!
//! Key and offer together make a hash that marks the visitor of one offer.

use std::hash::Hasher;
use std::net::IpAddr;

use coupon_rules::sessions::SessionDefinition;
use siphasher::sip::SipHasher13;

use crate::transaction_id::ClickIdKey;

const CONTEXT: &str = "coupond visitor key 1";
/// A longer user agent counts by its beginning.
const MAX_USER_AGENT_BYTES: usize = 512;

/// Makes the visitor keys of one network.
#[derive(Clone, Copy)]
pub struct VisitorKeys {
    key: [u8; 16],
}

/// A visitor under one session definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VisitorKey(pub u64);

impl VisitorKeys {
    /// The keys of the network with this key of click ids.
    #[must_use]
    pub fn new(click_id_key: &ClickIdKey) -> VisitorKeys {
        let derived = blake3::derive_key(CONTEXT, &click_id_key.0);
        let mut key = [0; 16];
        key.copy_from_slice(&derived[..16]);
        VisitorKeys { key }
    }

    /// The key of a visitor with this whole address and user agent.
    #[must_use]
    pub fn identify(
        &self,
        definition: SessionDefinition,
        address: IpAddr,
        user_agent: &[u8],
    ) -> VisitorKey {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u8(definition as u8);
        match address.to_canonical() {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()[..8]),
        }
        match definition {
            SessionDefinition::Address => {}
            SessionDefinition::AddressAndUserAgent => {
                hasher.write(&user_agent[..user_agent.len().min(MAX_USER_AGENT_BYTES)]);
            }
        }
        VisitorKey(hasher.finish())
    }
}

impl VisitorKey {
    /// The hash of the visitor and an offer.
    #[must_use]
    pub fn hash_with_offer(self, offer_id: u32) -> u64 {
        // The key is a keyed hash already; the offer only has to reach every bit.
        let mut mixed = self.0 ^ u64::from(offer_id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The bytes in a click record.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// Reads the bytes of a click record; `None` unless there are eight.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<VisitorKey> {
        Some(VisitorKey(u64::from_le_bytes(bytes.try_into().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SessionDefinition::{Address, AddressAndUserAgent};

    fn key(definition: SessionDefinition, address: &str, user_agent: &[u8]) -> VisitorKey {
        let keys = VisitorKeys::new(&ClickIdKey([7; 16]));
        keys.identify(definition, address.parse().unwrap(), user_agent)
    }

    #[test]
    fn keys_stay_the_same_for_ever() {
        let known = [
            (Address, "192.0.2.1", &b"curl/8"[..], KNOWN[0]),
            (AddressAndUserAgent, "192.0.2.1", b"curl/8", KNOWN[1]),
            (AddressAndUserAgent, "2001:db8::1", b"", KNOWN[2]),
        ];
        let got = known.map(|(definition, address, agent, _)| key(definition, address, agent).0);
        assert_eq!(got, KNOWN);
        assert_eq!(VisitorKey(1).hash_with_offer(16), 3_081_251_696_030_599_739);
        assert_eq!(VisitorKey::from_bytes(&VisitorKey(5).to_bytes()), Some(VisitorKey(5)));
        assert_eq!(VisitorKey::from_bytes(&[1; 7]), None);
    }

    const KNOWN: [u64; 3] =
        [7_796_582_542_245_429_368, 5_944_332_802_899_748_401, 11_020_293_125_406_150_967];

    #[test]
    fn the_user_agent_counts_only_where_the_definition_says_so() {
        let address = "192.0.2.1";
        assert_eq!(key(Address, address, b"one"), key(Address, address, b"other"));
        let [one, other] = [&b"one"[..], b"other"].map(|it| key(AddressAndUserAgent, address, it));
        assert_ne!(one, other);
        assert_ne!(one, key(Address, address, b"one"));
        let long = [b'x'; 600];
        let [cut, whole] = [&long[..512], &long].map(|it| key(AddressAndUserAgent, address, it));
        assert_eq!(cut, whole);
    }

    #[test]
    fn addresses_count_in_their_canonical_form_and_ipv6_by_network() {
        for (one, other, is_same) in [
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ] {
            assert_eq!(
                key(Address, one, b"") == key(Address, other, b""),
                is_same,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn networks_and_offers_make_different_numbers_of_one_visitor() {
        let address = "192.0.2.1".parse().unwrap();
        let of_network = |network: u8| {
            VisitorKeys::new(&ClickIdKey([network; 16])).identify(Address, address, b"")
        };
        assert_ne!(of_network(1), of_network(2));
        let hashes: std::collections::BTreeSet<u64> =
            (0..10_000).map(|offer| of_network(1).hash_with_offer(offer)).collect();
        assert_eq!(hashes.len(), 10_000);
    }
}
