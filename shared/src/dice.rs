//! Draws that stay the same for a visitor.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv6Addr};

use siphasher::sip::SipHasher13;

use crate::transaction_id::ClickIdKey;

/// Number for a draw among the ways of an offer. The number depends on address and user agent, so a
/// visitor who comes again goes the same way; of an IPv6 address on the network's half only, because
/// the other half changes daily. The key keeps visitors from choosing their number.
#[must_use]
pub fn dice(key: &ClickIdKey, address: IpAddr, user_agent: &[u8], offer: u32) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&key.0);
    hasher.write_u32(offer);
    match address.to_canonical() {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64)).octets()),
    }
    hasher.write(user_agent);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draw_is_a_visitors_own_and_differs_by_offer() {
        let drawn = |address: &str, agent: &[u8], offer| {
            dice(&ClickIdKey([7; 16]), address.parse().unwrap(), agent, offer)
        };
        let one = drawn("2001:db8::1", b"a", 16);
        assert_eq!(drawn("2001:db8::ffff", b"a", 16), one);
        let others = [
            drawn("2001:db8:0:1::1", b"a", 16),
            drawn("2001:db8::1", b"b", 16),
            drawn("2001:db8::1", b"a", 17),
        ];
        assert!(others.iter().all(|other| *other != one));
        assert_eq!(drawn("::ffff:1.2.3.4", b"a", 16), drawn("1.2.3.4", b"a", 16));
    }
}
