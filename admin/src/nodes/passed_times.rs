//! Up to which time the clicks of each node have arrived.

use std::collections::BTreeMap;
use std::time::Duration;

/// Clicks of a node without a configured daemon are awaited for this long.
const AWAIT_UNKNOWN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// For each node the time, by the node's own clock, up to which all clicks have arrived or never
/// will.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedTimes {
    by_node: BTreeMap<u16, u64>,
    /// Whether the node of every configured daemon is known.
    are_all_known: bool,
    /// Of the only daemon, if it is too old to state its node: holds for all nodes.
    older_daemon_ms: u64,
}

impl PassedTimes {
    /// The time for one node, in Unix milliseconds. `now_ms` is the time of the admin.
    pub(crate) fn for_node(&self, node: u16, now_ms: u64) -> u64 {
        self.by_node.get(&node).copied().unwrap_or_else(|| self.for_other_nodes(now_ms))
    }

    /// The time for nodes without a configured daemon; 0 while a daemon was not heard yet, because
    /// the node may be its own.
    pub(crate) fn for_other_nodes(&self, now_ms: u64) -> u64 {
        if !self.are_all_known {
            return self.older_daemon_ms;
        }
        let longest = u64::try_from(AWAIT_UNKNOWN.as_millis()).unwrap_or(u64::MAX);
        now_ms.saturating_sub(longest)
    }

    /// The nodes of configured daemons, with the time of each.
    pub(crate) fn by_node(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.by_node.iter().map(|(node, passed_ms)| (*node, *passed_ms))
    }

    /// Moves the nodes of a daemon forward, never back.
    pub(super) fn advance(&mut self, nodes: impl Iterator<Item = u16>, passed_ms: u64) {
        self.older_daemon_ms = 0;
        for node in nodes {
            let passed = self.by_node.entry(node).or_default();
            *passed = passed_ms.max(*passed);
        }
    }

    /// Moves all nodes forward, for the only daemon that is too old to state its node.
    pub(super) fn advance_all(&mut self, passed_ms: u64) {
        self.by_node.clear();
        self.are_all_known = false;
        self.older_daemon_ms = self.older_daemon_ms.max(passed_ms);
    }

    /// Awaits the clicks of these nodes until their daemon has answered.
    pub(super) fn await_nodes(&mut self, nodes: impl Iterator<Item = u16>, are_all_known: bool) {
        self.are_all_known = are_all_known;
        for node in nodes {
            self.by_node.entry(node).or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_its_own_time_and_an_unknown_one_seven_days() {
        const NOW_MS: u64 = 1_780_000_000_000;
        const WEEK_MS: u64 = 604_800_000;
        let mut passed = PassedTimes::default();
        passed.await_nodes([1, 2].into_iter(), false);
        assert_eq!(passed.for_node(3, NOW_MS), 0, "it may be a daemon's that was not heard yet");
        passed.await_nodes([1, 2].into_iter(), true);
        passed.advance([1].into_iter(), NOW_MS - 5);
        passed.advance([1].into_iter(), NOW_MS - 9);
        let times = [1, 2, 3].map(|node| passed.for_node(node, NOW_MS));
        assert_eq!(times, [NOW_MS - 5, 0, NOW_MS - WEEK_MS]);
        passed.advance_all(NOW_MS - 7);
        let times = [1, 2, 3].map(|node| passed.for_node(node, NOW_MS));
        assert_eq!(times, [NOW_MS - 7; 3], "an older daemon answers for all nodes");
        passed.await_nodes([1].into_iter(), true);
        passed.advance([1].into_iter(), NOW_MS - 3);
        assert_eq!(passed.for_node(3, NOW_MS), NOW_MS - WEEK_MS);
    }
}
