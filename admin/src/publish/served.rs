//! The index that each daemon serves, and what holds for all of them.
//!
//! An edit is live once each counted daemon serves it, or as many as the policy wants. A daemon that
//! has been silent for 15 s, is refused, or has just joined, is not counted: one dead daemon among
//! several must not make every edit wait.

use std::collections::BTreeMap;

use coupon_rules::place::PlaceParts;
use coupon_shared::snapshot::Lineage;

use super::older_daemon::CatalogForm;
use crate::daemon_client::Served;
use crate::nodes::{Daemon, NodeRegistry};
use crate::store::meta::Sequence;
use crate::wait_policy::WaitPolicy;

/// The index that one daemon serves, as of its last answer.
#[derive(Debug, Clone, Default)]
pub(super) struct ServedByDaemon {
    /// `None` if the last question failed.
    pub(super) served: Option<Served>,
    /// Whether the daemon ever served an index of this store since it joined.
    pub(super) has_served: bool,
    /// A later generation of this store's lineage.
    pub(super) ahead: Option<(Lineage, u64)>,
    /// Why the daemon does not serve the published index.
    pub(super) error: Option<String>,
    /// The form of catalog that the daemon can serve.
    pub(super) catalog_form: CatalogForm,
    /// The facts that its databases of places know; `None` if it never said.
    pub(super) place_parts: Option<PlaceParts>,
}

/// Which daemons serve a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveNodes {
    pub(crate) live: usize,
    pub(crate) all: usize,
    /// Names of the daemons that do not serve the change.
    pub(crate) missing: Vec<String>,
}

/// The index that each daemon serves, by the daemon's position. Answers of daemons come far more often
/// than questions, so a question works out by itself what holds for all daemons.
#[derive(Debug, Clone, Default)]
pub(super) struct ServedByDaemons(pub(super) BTreeMap<usize, ServedByDaemon>);

impl ServedByDaemons {
    /// Whether edits wait for a daemon. A daemon that joined at run time may need long for its first
    /// index, and is not counted until then.
    fn is_counted(&self, nodes: &NodeRegistry, daemon: &Daemon) -> bool {
        !nodes.has_several() || self.is_answering(nodes, daemon)
    }

    /// Whether a merged level waits for a daemon to load it. Unlike an edit, which can be live nowhere
    /// else, a merge does not wait for an only edge that is silent.
    pub(super) fn is_awaited_to_load(&self, nodes: &NodeRegistry, daemon: &Daemon) -> bool {
        let is_only_near = !nodes.has_several() && !daemon.client.is_edge();
        is_only_near || self.is_answering(nodes, daemon)
    }

    fn is_answering(&self, nodes: &NodeRegistry, daemon: &Daemon) -> bool {
        let has_served = || self.0.get(&daemon.index).is_some_and(|it| it.has_served);
        !nodes.is_silent(daemon)
            && !nodes.is_refused(daemon)
            && (daemon.is_configured || has_served())
    }

    /// The lowest generation of the counted daemons that serve the change `wanted`, if these are as
    /// many as the policy wants.
    pub(super) fn live(
        &self,
        nodes: &NodeRegistry,
        policy: WaitPolicy,
        wanted: Sequence,
    ) -> Option<u64> {
        let daemons = nodes.daemons();
        let counted: Vec<&Daemon> =
            daemons.iter().filter(|daemon| self.is_counted(nodes, daemon)).collect();
        let serving = counted
            .iter()
            .filter_map(|daemon| self.served_by(daemon).filter(|served| served.sequence >= wanted));
        let serving: Vec<u64> = serving.map(|served| served.generation).collect();
        let lowest = serving.iter().min().copied();
        lowest.filter(|_| policy.is_reached(serving.len(), counted.len()))
    }

    /// Which daemons serve the change; `None` for an only daemon.
    pub(super) fn live_nodes(&self, nodes: &NodeRegistry, wanted: Sequence) -> Option<LiveNodes> {
        let serves = |daemon: &&Daemon| {
            self.served_by(daemon).is_some_and(|served| served.sequence >= wanted)
        };
        let daemons = nodes.daemons();
        let all = daemons.len();
        let lacking = daemons.iter().filter(|daemon| !serves(daemon));
        let missing: Vec<String> = lacking.map(|daemon| daemon.shown_name().to_owned()).collect();
        (all != 1).then(|| LiveNodes { live: all - missing.len(), all, missing })
    }

    fn served_by(&self, daemon: &Daemon) -> Option<&Served> {
        self.0.get(&daemon.index).and_then(|daemon| daemon.served.as_ref())
    }

    /// Forgets daemons that have left.
    pub(super) fn retain(&mut self, present: &[Daemon]) {
        self.0.retain(|index, _| present.binary_search_by_key(index, |it| it.index).is_ok());
    }

    /// The lowest generation, with its last change, that a counted daemon serves; `None` if one
    /// serves nothing.
    pub(super) fn lowest(&self, nodes: &NodeRegistry) -> Option<(u64, Sequence)> {
        let daemons = nodes.daemons();
        let counted = daemons.iter().filter(|daemon| self.is_counted(nodes, daemon));
        let served: Option<Vec<&Served>> = counted.map(|daemon| self.served_by(daemon)).collect();
        let lowest = served?.into_iter().min_by_key(|served| served.generation);
        lowest.map(|served| (served.generation, served.sequence))
    }

    /// The highest generation of this lineage that is later than any published one; 0 without one.
    pub(super) fn generation_ahead(&self, lineage: Lineage) -> u64 {
        let ahead = self.0.values().filter_map(|daemon| daemon.ahead);
        ahead.filter(|(of, _)| *of == lineage).map(|(_, generation)| generation).max().unwrap_or(0)
    }

    /// The facts that the databases of places of all daemons know; `None` if no daemon ever said.
    pub(super) fn place_parts(&self) -> Option<PlaceParts> {
        self.0.values().filter_map(|daemon| daemon.place_parts).reduce(PlaceParts::common)
    }

    /// The form of the one catalog for all daemons: the form for the oldest.
    pub(super) fn catalog_form(&self) -> CatalogForm {
        self.0.values().map(|daemon| daemon.catalog_form).min().unwrap_or_default()
    }
}
