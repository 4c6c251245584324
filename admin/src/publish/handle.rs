//! The handle to the publisher: its status, and waiting until the daemon serves a change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coupon_rules::place::PlaceParts;
use coupon_shared::index::Index;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::manifest::Manifest;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::catalog_rows::LeftOut;
use super::index_cache::IndexCache;
use super::older_daemon::CatalogForm;
use super::pause::{PauseRequest, PauseRequests};
use super::served::{LiveNodes, ServedByDaemon};
use crate::edit::EditError;
use crate::index_folder::FolderError;
use crate::nodes::{Daemon, NodeRegistry};
use crate::store::meta::Sequence;
use crate::wait_policy::WaitPolicy;

/// How long [`PublisherHandle::wait_live`] waits.
const WAIT_LIVE: Duration = Duration::from_secs(5);

/// State of publication.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct PublicationStatus {
    /// The published generation; 0 before the first.
    pub generation: u64,
    /// The last change in the published index.
    pub sequence: Sequence,
    #[serde(skip)]
    pub(super) lineage: Option<Lineage>,
    /// Number of levels.
    pub levels: usize,
    /// Entries of all levels; an edited code counts in several.
    pub entries: u64,
    /// Duration of the last publication.
    pub took_ms: f64,
    /// Why the last attempt failed; publication is retried.
    pub last_error: Option<String>,
    /// Stored objects missing from the published catalog.
    pub left_out: Vec<LeftOut>,
    /// The generation served, as reported by the daemon.
    pub served_generation: Option<u64>,
    /// The last change served, as reported by the daemon.
    pub served_sequence: Option<Sequence>,
    /// Why the daemon does not serve the published index.
    pub daemon_error: Option<String>,
    /// Whether the daemon, as of its last answer, would refuse a catalog with rules. Edits that need
    /// rules are refused then.
    pub is_daemon_too_old_for_rules: bool,
    /// The form of catalog that the daemon can serve, as of its last answer.
    #[serde(skip)]
    catalog_form: CatalogForm,
    /// Active offers that are closed, because the daemon does not know the rules that bind them:
    /// their visits get the fallback. They open when a newer daemon runs.
    pub offers_closed_for_old_daemon: u64,
    /// The facts that the daemon's databases of places know, as of its last answer; `None` if it
    /// never said.
    #[serde(skip)]
    pub(super) daemon_place_parts: Option<PlaceParts>,
    /// The generation that edges can fetch; 0 before the first.
    #[serde(skip)]
    pub(super) put_generation: u64,
    /// A later generation of this store's lineage at the daemon.
    #[serde(skip)]
    pub(super) daemon_ahead: Option<(Lineage, u64)>,
    /// The same for each daemon, by its position.
    #[serde(skip)]
    pub(super) daemons: BTreeMap<usize, ServedByDaemon>,
}

impl PublicationStatus {
    pub(super) fn set_catalog_form(&mut self, form: CatalogForm) {
        self.catalog_form = form;
        self.is_daemon_too_old_for_rules = form == CatalogForm::WithoutRules;
    }
}

#[cfg(test)]
impl PublicationStatus {
    pub(super) fn set_daemon_ahead(&mut self, lineage: Lineage, generation: u64) {
        self.daemon_ahead = Some((lineage, generation));
    }
}

/// Why a change is not known to be served. The change is saved, and is published when possible.
#[derive(Debug, thiserror::Error)]
pub enum WaitLiveError {
    /// The change is not published.
    #[error("the change is saved but not published yet: {reason}")]
    NotPublished {
        /// The failure, or a hint to a long wait.
        reason: String,
    },
    /// The change is published, but the daemon does not serve it.
    #[error("the change is saved and published, but coupond does not serve it yet: {reason}")]
    NotServed {
        /// The daemon's answer, or a hint to a long wait.
        reason: String,
    },
    /// The change is published, and there is no daemon.
    #[error(
        "the change is saved and published, but there is no coupond to serve it: name one with \
         daemon_socket in coupon-admin.toml"
    )]
    NoDaemon,
}

/// Wakes the publisher and shows its status. Clones share one publisher.
#[derive(Clone)]
pub struct PublisherHandle {
    changed: Arc<Notify>,
    pub(super) status: watch::Sender<PublicationStatus>,
    pub(super) pause_requests: PauseRequests,
    pub(super) nodes: NodeRegistry,
    index: IndexCache,
    wait_policy: WaitPolicy,
}

impl PublisherHandle {
    /// A handle whose edits wait for other daemons than all.
    #[must_use]
    pub(crate) fn with_wait_policy(self, wait_policy: WaitPolicy) -> PublisherHandle {
        PublisherHandle { wait_policy, ..self }
    }

    pub(super) fn new(index: IndexCache, nodes: NodeRegistry) -> PublisherHandle {
        PublisherHandle {
            nodes,
            changed: Arc::default(),
            status: watch::Sender::default(),
            pause_requests: PauseRequests::default(),
            index,
            wait_policy: WaitPolicy::All,
        }
    }

    /// Reports a committed change, for publication before the next poll.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Waits for the publication of a later generation than this one.
    pub(crate) async fn wait_for_generation_above(&self, generation: u64) {
        let mut status = self.status.subscribe();
        // The channel cannot close: this handle holds its sender.
        let _ = status.wait_for(|status| status.generation > generation).await;
    }

    /// Reports that edges can fetch a generation.
    pub(crate) fn note_put(&self, generation: u64) {
        self.update(|status| status.put_generation = generation);
    }

    /// Waits until the daemons serve the change with this sequence; returns the served generation.
    /// Of several daemons, silent and refused ones are not waited for.
    ///
    /// # Errors
    /// With the obstacle, after 5 s; without a daemon as soon as the change is published.
    pub async fn wait_live(&self, sequence: Sequence) -> Result<u64, WaitLiveError> {
        self.wait_live_for(sequence, WAIT_LIVE).await
    }

    /// Like [`PublisherHandle::wait_live`], with the caller's deadline.
    pub(crate) async fn wait_live_for(
        &self,
        sequence: Sequence,
        longest: Duration,
    ) -> Result<u64, WaitLiveError> {
        self.changed();
        let mut status = self.status.subscribe();
        let is_decided = |status: &PublicationStatus| {
            let is_published = status.sequence >= sequence;
            status.live(&self.nodes, self.wait_policy, sequence).is_some()
                || is_published && self.nodes.daemons().is_empty()
        };
        let _ = timeout(longest, status.wait_for(is_decided)).await;
        // Looked at once more: a daemon may have become silent meanwhile.
        let reached = self.status.borrow().live(&self.nodes, self.wait_policy, sequence);
        reached.ok_or_else(|| self.not_live_error(sequence, longest))
    }

    /// Which daemons serve the change; `None` for an only daemon.
    pub(crate) fn live_nodes(&self, sequence: Sequence) -> Option<LiveNodes> {
        self.status.borrow().live_nodes(&self.nodes, sequence)
    }

    fn not_live_error(&self, sequence: Sequence, longest: Duration) -> WaitLiveError {
        let status = self.status.borrow();
        let waited = || format!("nothing was heard for {} s; see the log", longest.as_secs());
        if status.sequence < sequence {
            let reason = status.last_error.clone().unwrap_or_else(waited);
            return WaitLiveError::NotPublished { reason };
        }
        if self.nodes.daemons().is_empty() {
            return WaitLiveError::NoDaemon;
        }
        WaitLiveError::NotServed { reason: status.daemon_error.clone().unwrap_or_else(waited) }
    }

    /// Checks that the daemon can serve a catalog with rules.
    ///
    /// # Errors
    /// When the daemon is too old. A daemon that was never reached stands in the way of nothing.
    pub(crate) fn require_rules(&self) -> Result<(), EditError> {
        if !self.status.borrow().is_daemon_too_old_for_rules {
            return Ok(());
        }
        let message =
            "the running coupond does not know targeting, caps and traffic rules: upgrade \
                       coupond, then try again"
                .into();
        Err(EditError::Conflict { code: "daemon_too_old", message, fields: Vec::new() })
    }

    /// The offers that are closed because the daemon does not know their rules.
    pub(crate) fn offers_closed_for_old_daemon(&self) -> u64 {
        self.status.borrow().offers_closed_for_old_daemon
    }

    /// The form of catalog that the daemon can serve.
    pub(super) fn catalog_form(&self) -> CatalogForm {
        self.status.borrow().catalog_form
    }

    /// The facts that the daemon's databases of places know; `None` if the daemon never said.
    pub(crate) fn daemon_place_parts(&self) -> Option<PlaceParts> {
        self.status.borrow().daemon_place_parts
    }

    #[must_use]
    pub fn status(&self) -> PublicationStatus {
        self.status.borrow().clone()
    }

    /// Opens the published index, or returns the copy in memory. Blocks while reading files.
    ///
    /// # Errors
    /// When nothing is published, or the index cannot be read.
    pub fn open_index(&self) -> Result<Arc<Index<Bytes>>, FolderError> {
        self.index.open()
    }

    #[cfg(test)]
    pub(super) fn subscribe(&self) -> watch::Receiver<PublicationStatus> {
        self.status.subscribe()
    }

    pub(super) fn request_pause(&self, request: PauseRequest) {
        self.pause_requests.put(request);
        self.changed();
    }

    pub(super) async fn notified(&self) {
        self.changed.notified().await;
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut PublicationStatus)) {
        self.status.send_modify(change);
    }

    /// Works out anew what holds for all daemons whenever one joins or leaves: an edit is live
    /// without a daemon that left.
    pub(super) fn follow_daemons(&self, stop: CancellationToken) {
        let handle = self.clone();
        self.nodes.follow(stop, move |_| {
            handle.update(|status| status.show_daemons(&handle.nodes));
            // The catalog may have another form without the daemon.
            handle.changed();
        });
    }

    /// Changes the state of a daemon that has not left; `change` also gets the published generation.
    pub(super) fn update_daemon(
        &self,
        daemon: &Daemon,
        change: impl FnOnce(u64, &mut ServedByDaemon),
    ) {
        self.status.send_modify(|status| {
            if !self.nodes.is_present(daemon) {
                return;
            }
            let served = status.daemons.entry(daemon.index).or_default();
            change(status.generation, served);
            self.nodes.update(daemon, |shown| {
                shown.served_generation = served.served.as_ref().map(|served| served.generation);
                shown.publication_error.clone_from(&served.error);
            });
            status.show_daemons(&self.nodes);
        });
    }

    /// Whether a merged level waits for a daemon to load it.
    pub(super) fn is_awaited_to_load(&self, daemon: &Daemon) -> bool {
        self.status.borrow().is_awaited_to_load(&self.nodes, daemon)
    }

    pub(super) fn show_published(&self, manifest: &Manifest, entries: u64, took: Duration) {
        self.update(|status| {
            status.generation = manifest.generation;
            status.sequence = manifest.sequence;
            status.lineage = Some(manifest.lineage);
            status.levels = manifest.levels.len();
            status.entries = entries;
            status.took_ms = took.as_secs_f64() * 1000.0;
        });
    }

    /// The daemon's highest known generation of this lineage, else 0.
    pub(super) fn daemon_generation(&self, lineage: Lineage) -> u64 {
        let ahead = self.status.borrow().daemon_ahead;
        ahead.filter(|(of, _)| *of == lineage).map_or(0, |(_, generation)| generation)
    }
}
