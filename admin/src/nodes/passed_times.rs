//! Up to which time the clicks of each node have arrived.

use std::collections::BTreeMap;
use std::time::Duration;

/// The time of a node whose clicks are not awaited any more; the store holds no greater number.
pub(super) const PASSED_FOR_EVER: u64 = i64::MAX as u64;

/// Clicks of a node without a daemon are awaited for this long.
const AWAIT_UNKNOWN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// For each node the time, by the clocks of its daemons, up to which all clicks have arrived or
/// never will.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedTimes {
    by_node: BTreeMap<u16, u64>,
    /// Whether every configured daemon ever stated its node.
    are_all_known: bool,
    /// Of the only daemon, if it is too old to state its node: holds for all nodes.
    older_daemon_ms: u64,
}

impl PassedTimes {
    /// The times of the nodes that daemons stated.
    pub(super) fn of_nodes(by_node: BTreeMap<u16, u64>, are_all_known: bool) -> PassedTimes {
        PassedTimes { by_node, are_all_known, older_daemon_ms: 0 }
    }

    /// The time of the only daemon, which is too old to state its node.
    pub(super) fn of_older_daemon(passed_ms: u64) -> PassedTimes {
        PassedTimes { older_daemon_ms: passed_ms, ..PassedTimes::default() }
    }

    /// The time for one node, in Unix milliseconds. `now_ms` is the time of the admin.
    pub(crate) fn for_node(&self, node: u16, now_ms: u64) -> u64 {
        self.by_node.get(&node).copied().unwrap_or_else(|| self.for_other_nodes(now_ms))
    }

    /// The time for nodes without a daemon; 0 while a daemon was not heard yet, because
    /// the node may be its own.
    pub(crate) fn for_other_nodes(&self, now_ms: u64) -> u64 {
        if !self.are_all_known {
            return self.older_daemon_ms;
        }
        let longest = u64::try_from(AWAIT_UNKNOWN.as_millis()).unwrap_or(u64::MAX);
        now_ms.saturating_sub(longest)
    }

    /// The nodes of daemons, with the time of each.
    pub(crate) fn by_node(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.by_node.iter().map(|(node, passed_ms)| (*node, *passed_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_its_own_time_and_an_unknown_one_seven_days() {
        const NOW_MS: u64 = 1_780_000_000_000;
        const WEEK_MS: u64 = 604_800_000;
        let times = |passed: PassedTimes| [1, 2, 3].map(|node| passed.for_node(node, NOW_MS));
        let nodes = BTreeMap::from([(1, NOW_MS - 5), (2, 0)]);
        assert_eq!(times(PassedTimes::of_nodes(nodes, true)), [NOW_MS - 5, 0, NOW_MS - WEEK_MS]);
        let unheard = PassedTimes::of_nodes(BTreeMap::from([(1, 0)]), false);
        assert_eq!(times(unheard), [0; 3], "it may be a daemon's that was not heard yet");
        assert_eq!(times(PassedTimes::of_older_daemon(NOW_MS - 7)), [NOW_MS - 7; 3]);
    }
}
