//! Addresses from which visits come.
//!
//! The side that closes a TCP connection first keeps its port for a minute. Visitors close first,
//! so at thousands of new connections per second one address would run out of ports. On the
//! loopback network each of the addresses in 127.0.0.0/8 has ports of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Network of the addresses.
const FIRST: u32 = Ipv4Addr::new(127, 1, 0, 1).to_bits();

/// Default number of addresses if each request has a connection of its own.
pub(crate) const DEFAULT_FOR_NEW_CONNECTIONS: u16 = 64;

/// Source addresses of one thread, in turn.
#[derive(Debug)]
pub(crate) struct SourceAddresses {
    /// With 1, the system chooses the address.
    count: u32,
    next: u32,
}

impl SourceAddresses {
    /// Each thread begins at another address.
    pub(crate) fn new(count: u16, thread: usize) -> Self {
        Self { count: u32::from(count), next: thread as u32 }
    }

    /// Address of the next connection; `None` leaves the choice to the system.
    pub(crate) fn next(&mut self) -> Option<Ipv4Addr> {
        if self.count <= 1 {
            return None;
        }
        self.next = (self.next + 1) % self.count;
        Some(Ipv4Addr::from_bits(FIRST + self.next))
    }
}

/// Whether connections to this target can come from any address of 127.0.0.0/8.
pub(crate) fn reaches(target: SocketAddr) -> bool {
    matches!(target.ip(), IpAddr::V4(address) if address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_come_from_all_addresses_in_turn() {
        let mut addresses = SourceAddresses::new(3, 0);
        let all: Vec<Ipv4Addr> = (0..4).map_while(|_| addresses.next()).collect();
        assert_eq!(all.len(), 4);
        assert!(all[0] == all[3] && all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert!(all.iter().all(Ipv4Addr::is_loopback));
        assert_eq!(SourceAddresses::new(1, 0).next(), None);
    }

    #[test]
    fn only_loopback_targets_of_version_4_can_be_reached_from_all_of_them() {
        assert!(reaches(SocketAddr::from(([127, 0, 0, 1], 80))));
        assert!(!reaches(SocketAddr::from(([192, 0, 2, 1], 80))));
        assert!(!reaches(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 80))));
    }
}
