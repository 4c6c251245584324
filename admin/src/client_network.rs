//! The network of a client, for bounds on clients.

use std::net::{IpAddr, Ipv6Addr};

/// Reduces an IPv6 address to its /64, because a client usually has a whole /64.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}
