//! The state of each daemon in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use coupon_shared::node_identity::NodeStamp;
use tokio_util::sync::CancellationToken;

use super::click_pace::ClickPace;
use super::passed_times::{PASSED_FOR_EVER, PassedTimes};
use super::{Daemon, DaemonStatus, LEFT_OUT_AFTER, SILENT_AFTER};
use crate::daemon_client::DaemonClient;

pub(super) struct SeenDaemons {
    pub(super) started: Instant,
    /// The present daemons by position.
    pub(super) daemons: BTreeMap<usize, SeenDaemon>,
    /// Position of the next daemon.
    next: usize,
    /// Every node that a daemon ever stated, also as a refused daemon, by the daemon's name.
    stated: BTreeMap<String, BTreeSet<u16>>,
    /// Names of daemons that left for good.
    retired: BTreeSet<String>,
    pub(super) passed: Arc<PassedTimes>,
    /// Whether click caps are in force.
    pub(super) caps_count: Arc<AtomicBool>,
}

pub(super) struct SeenDaemon {
    pub(super) daemon: Daemon,
    /// As of the last answer, also of a refused daemon.
    pub(super) stamp: Option<NodeStamp>,
    pub(super) answered: Option<Instant>,
    pub(super) joined: Instant,
    pub(super) is_admitted: bool,
    /// When the node was stored.
    pub(super) saved: Option<Instant>,
    pub(super) status: DaemonStatus,
}

impl SeenDaemon {
    pub(super) fn is_silent(&self) -> bool {
        self.answered.is_none_or(|at| at.elapsed() >= SILENT_AFTER)
    }

    /// Whether evaluations go on without the daemon. A configured daemon is on this machine, where
    /// its absence is noticed.
    fn is_left_out(&self) -> bool {
        let heard = self.answered.unwrap_or(self.joined);
        !self.daemon.is_configured && heard.elapsed() >= LEFT_OUT_AFTER
    }
}

impl SeenDaemons {
    pub(super) fn new() -> SeenDaemons {
        SeenDaemons {
            started: Instant::now(),
            daemons: BTreeMap::new(),
            next: 0,
            stated: BTreeMap::new(),
            retired: BTreeSet::new(),
            passed: Arc::default(),
            caps_count: Arc::default(),
        }
    }

    /// Adds a daemon of the configuration.
    pub(super) fn join_configured(&mut self, name: &str, client: DaemonClient, is_only: bool) {
        let daemon = self.new_daemon(name, client, Duration::ZERO);
        self.insert(Daemon { is_configured: true, inherits_streams: is_only, ..daemon });
    }

    /// Adds a daemon at run time.
    pub(super) fn join(
        &mut self,
        name: &str,
        client: DaemonClient,
        click_gathering: Duration,
    ) -> Daemon {
        let daemon = self.new_daemon(name, client, click_gathering);
        self.retired.remove(name);
        self.insert(daemon.clone());
        self.refresh_passed();
        daemon
    }

    fn new_daemon(
        &mut self,
        name: &str,
        client: DaemonClient,
        click_gathering: Duration,
    ) -> Daemon {
        let index = self.next;
        self.next += 1;
        Daemon {
            index,
            name: name.into(),
            client,
            is_configured: false,
            inherits_streams: false,
            click_pace: Arc::new(ClickPace::new(click_gathering, Arc::clone(&self.caps_count))),
            left: CancellationToken::new(),
        }
    }

    fn insert(&mut self, daemon: Daemon) {
        let status = DaemonStatus::named(&daemon.name);
        let seen = SeenDaemon {
            daemon,
            stamp: None,
            answered: None,
            joined: Instant::now(),
            is_admitted: false,
            saved: None,
            status,
        };
        self.daemons.insert(seen.daemon.index, seen);
    }

    /// Returns whether the daemon was present.
    pub(super) fn leave(&mut self, daemon: &Daemon) -> bool {
        if self.daemons.remove(&daemon.index).is_none() {
            return false;
        }
        daemon.left.cancel();
        self.give_up([daemon.name.to_string()]);
        true
    }

    /// Ends the waiting for clicks of these daemons.
    pub(super) fn give_up(&mut self, names: impl IntoIterator<Item = String>) {
        self.retired.extend(names);
        self.refresh_passed();
    }

    /// The present daemon of this name.
    pub(super) fn find(&self, name: &str) -> Option<Daemon> {
        let mut present = self.daemons.values().map(|seen| &seen.daemon);
        present.find(|daemon| *daemon.name == *name).cloned()
    }

    pub(super) fn list(&self) -> Arc<[Daemon]> {
        self.daemons.values().map(|seen| seen.daemon.clone()).collect()
    }

    pub(super) fn has_several(&self) -> bool {
        self.daemons.len() > 1
    }

    /// The nodes that a daemon of this name ever stated.
    pub(super) fn nodes(&self, name: &str) -> impl Iterator<Item = u16> + '_ {
        self.stated.get(name).into_iter().flatten().copied()
    }

    pub(super) fn note_stated(&mut self, name: &str, nodes: impl IntoIterator<Item = u16>) {
        self.stated.entry(name.to_owned()).or_default().extend(nodes);
    }

    /// All daemons except never heard ones that joined at run time, such as an edge before its
    /// installation: the absence of such an edge is no fault, and the edge holds no clicks.
    pub(super) fn expected(&self) -> impl Iterator<Item = &SeenDaemon> {
        self.daemons.values().filter(|seen| self.is_expected(seen))
    }

    /// The expected daemons without edges that have been silent for long; with them if there is no
    /// other one, because then nothing is known.
    pub(super) fn attended(&self) -> impl Iterator<Item = &SeenDaemon> {
        let is_any = self.expected().any(|seen| !seen.is_left_out());
        self.expected().filter(move |seen| !is_any || !seen.is_left_out())
    }

    pub(super) fn is_expected(&self, seen: &SeenDaemon) -> bool {
        seen.daemon.is_configured || self.has_stated(seen)
    }

    fn has_stated(&self, seen: &SeenDaemon) -> bool {
        self.stated.contains_key(&*seen.daemon.name)
    }

    /// A node has passed the least time of all daemons that ever stated the node: a refused daemon,
    /// and a daemon with another node id by now, may still hold clicks of the node.
    pub(super) fn refresh_passed(&mut self) {
        let are_all_known = self.expected().all(|seen| self.has_stated(seen));
        let mut by_node = BTreeMap::new();
        if are_all_known {
            by_node.extend(self.abandoned_nodes().map(|node| (node, PASSED_FOR_EVER)));
        }
        for seen in self.daemons.values() {
            let passed_ms = if are_all_known { seen.status.passed_unix_ms } else { 0 };
            for node in self.nodes(&seen.daemon.name) {
                let least = by_node.entry(node).or_insert(passed_ms);
                *least = passed_ms.min(*least);
            }
        }
        self.passed = Arc::new(PassedTimes::of_nodes(by_node, are_all_known));
    }

    /// The nodes that only retired daemons ever stated.
    fn abandoned_nodes(&self) -> impl Iterator<Item = u16> + '_ {
        let is_retired = |name: &&String| self.retired.contains(*name);
        let others = self.stated.iter().filter(move |(name, _)| !is_retired(name));
        let others: BTreeSet<u16> = others.flat_map(|(_, nodes)| nodes).copied().collect();
        let retired = self.retired.iter().flat_map(|name| self.nodes(name));
        retired.filter(move |node| !others.contains(node))
    }
}
