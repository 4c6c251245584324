//! The order in which waiting connections are closed when there is no room for a new one.
//!
//! - A connection with an unfinished request for [`OVERDUE_AFTER`] goes before idle ones, and a
//!   younger one as a last resort.
//! - Of each kind, the longest waiting connection of the address with most open connections goes
//!   first. So an address keeps at most an equal share while others need room. Among addresses with
//!   equally many, the longest waiting connection decides.
//! - The new connection's address counts as the one with most if no other has more.
//!
//! Invariants: a queued connection is in two lists, of all addresses and of its own, each from the
//! longest waiting on; an address is ranked exactly while it has queued connections of the kind.
//! Opening, closing and queueing cost O(log n) at most; the choice costs O(log n). Only addresses
//! with open connections take memory.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::list::{Links, List};

/// Time after which an unfinished request is less worth than an idle connection.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);

/// The event for which a connection waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The first byte, or the rest of a request head.
    Unfinished,
    /// The next request.
    Idle,
}

/// An address that shares its limit: an IPv4 address, or the /64 network of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct AddressKey(u128);

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> AddressKey {
        AddressKey(match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        })
    }
}

#[derive(Debug, Clone)]
struct Node {
    address: AddressKey,
    queued: Option<Waiting>,
    /// Number of connections that were queued before.
    queued_before: u64,
    since: Instant,
    in_all: Links,
    in_address: Links,
}

#[derive(Debug, Default)]
struct AddressConnections {
    open: u32,
    queued: [List; 2],
}

impl AddressConnections {
    fn rank(&self, nodes: &[Node], waiting: Waiting) -> Option<Rank> {
        let first = self.queued[waiting as usize].first?;
        Some((self.open, Reverse(nodes[first as usize].queued_before), first))
    }
}

/// An address among those with queued connections: its number of open connections, then the queue
/// position and the number of its longest waiting connection. The last rank goes first.
type Rank = (u32, Reverse<u64>, u32);

/// The queued connections of one kind.
#[derive(Debug, Default)]
struct Queue {
    all: List,
    ranking: BTreeSet<Rank>,
}

/// The waiting connections, by the number of their place in the table of open connections.
#[derive(Debug, Default)]
pub(crate) struct EvictionOrder {
    nodes: Vec<Node>,
    addresses: HashMap<AddressKey, AddressConnections>,
    queues: [Queue; 2],
    queued_so_far: u64,
}

impl EvictionOrder {
    /// Adds an open connection, which is not queued yet.
    pub(crate) fn open(&mut self, number: u32, address: AddressKey) {
        let (queued, queued_before, in_all, in_address) = Default::default();
        let since = Instant::now();
        let node = Node { address, queued, queued_before, since, in_all, in_address };
        match self.nodes.get_mut(number as usize) {
            Some(free) => *free = node,
            None => self.nodes.resize(number as usize + 1, node),
        }
        self.change(address, |_, connections| connections.open += 1);
    }

    pub(crate) fn close(&mut self, number: u32) {
        self.dequeue(number);
        let address = self.nodes[number as usize].address;
        self.change(address, |_, connections| connections.open -= 1);
        if self.addresses.get(&address).is_some_and(|connections| connections.open == 0) {
            self.addresses.remove(&address);
        }
    }

    /// Changes the connection's address: a proxy names its client only in the first bytes.
    pub(crate) fn set_address(&mut self, number: u32, address: AddressKey) {
        let node = &self.nodes[number as usize];
        if node.address == address {
            return;
        }
        let queued = node.queued.map(|waiting| (waiting, node.since));
        self.close(number);
        self.open(number, address);
        if let Some((waiting, since)) = queued {
            self.enqueue(number, waiting, since);
        }
    }

    /// Changes the connections of an address, and its ranks accordingly.
    fn change(
        &mut self,
        address: AddressKey,
        change: impl FnOnce(&mut [Node], &mut AddressConnections),
    ) {
        const KINDS: [Waiting; 2] = [Waiting::Unfinished, Waiting::Idle];
        let connections = self.addresses.entry(address).or_default();
        let before = KINDS.map(|waiting| connections.rank(&self.nodes, waiting));
        change(&mut self.nodes, connections);
        let after = KINDS.map(|waiting| connections.rank(&self.nodes, waiting));
        for ((queue, before), after) in self.queues.iter_mut().zip(before).zip(after) {
            if before != after {
                before.map(|rank| queue.ranking.remove(&rank));
                after.map(|rank| queue.ranking.insert(rank));
            }
        }
    }

    pub(crate) fn is_queued(&self, number: u32) -> bool {
        self.nodes[number as usize].queued.is_some()
    }

    pub(crate) fn has_queued(&self) -> bool {
        self.queues.iter().any(|queue| !queue.all.is_empty())
    }

    /// Queues a connection behind all others of its kind. Without effect on a queued one.
    pub(crate) fn enqueue(&mut self, number: u32, waiting: Waiting, since: Instant) {
        let node = &mut self.nodes[number as usize];
        if node.queued.is_some() {
            return;
        }
        (node.queued, node.since) = (Some(waiting), since);
        node.queued_before = self.queued_so_far;
        self.queued_so_far += 1;
        let address = node.address;
        let all = &mut self.queues[waiting as usize].all;
        all.push(&mut self.nodes, |node| &mut node.in_all, number);
        self.change(address, |nodes, connections| {
            connections.queued[waiting as usize].push(nodes, |node| &mut node.in_address, number);
        });
    }

    pub(crate) fn dequeue(&mut self, number: u32) {
        let node = &mut self.nodes[number as usize];
        let Some(waiting) = node.queued.take() else { return };
        let address = node.address;
        let all = &mut self.queues[waiting as usize].all;
        all.remove(&mut self.nodes, |node| &mut node.in_all, number);
        self.change(address, |nodes, connections| {
            connections.queued[waiting as usize].remove(nodes, |node| &mut node.in_address, number);
        });
    }

    /// The first connection of a kind to have been queued, and since when it waits.
    pub(crate) fn longest_queued(&self, waiting: Waiting) -> Option<(u32, Instant)> {
        let number = self.queues[waiting as usize].all.first?;
        Some((number, self.nodes[number as usize].since))
    }

    /// The connection to close first, in favour of a new one from `newcomer`. Without `last_resort`
    /// no connection that has waited less than a second for an unfinished request.
    pub(crate) fn next_to_close(
        &self,
        newcomer: Option<AddressKey>,
        now: Instant,
        last_resort: bool,
    ) -> Option<u32> {
        let firsts = self.queues.each_ref().map(|queue| queue.ranking.last());
        let most = firsts.iter().flatten().map(|(open, ..)| *open).max()?;
        let own = newcomer.and_then(|address| self.addresses.get(&address));
        let own = own.filter(|own| own.open >= most);
        let overdue_or_idle = |[unfinished, idle]: [Option<u32>; 2]| {
            unfinished.filter(|number| self.is_overdue(*number, now)).or(idle)
        };
        let own = own.and_then(|own| overdue_or_idle(own.queued.map(|list| list.first)));
        let firsts = firsts.map(|rank| rank.map(|(.., first)| *first));
        let young = firsts[Waiting::Unfinished as usize].filter(|_| last_resort);
        own.or_else(|| overdue_or_idle(firsts)).or(young)
    }

    fn is_overdue(&self, number: u32, now: Instant) -> bool {
        now.duration_since(self.nodes[number as usize].since) >= OVERDUE_AFTER
    }
}

#[cfg(test)]
mod tests;
