//! A value for each client address, in fixed memory.
//!
//! All addresses share one table. A keyed hash assigns the places, so no client can target the
//! place of another; two addresses with the same place share its value.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// A value for each client address.
pub struct PerAddress<T> {
    values: Box<[T]>,
    hasher: RandomState,
}

impl<T: Default> PerAddress<T> {
    /// A table with at least one place.
    pub fn new(places: usize) -> PerAddress<T> {
        let values = std::iter::repeat_with(T::default).take(places.max(1)).collect();
        PerAddress { values, hasher: RandomState::new() }
    }
}

impl<T> PerAddress<T> {
    /// The value of an address's network.
    pub fn get(&self, address: IpAddr) -> &T {
        let place = self.hasher.hash_one(network_of(address)) as usize % self.values.len();
        &self.values[place]
    }
}

impl<T> fmt::Debug for PerAddress<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerAddress").field("places", &self.values.len()).finish_non_exhaustive()
    }
}

/// The IPv4 address, or the /64 network of an IPv6 address, because one client usually has the
/// whole network.
fn network_of(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}
