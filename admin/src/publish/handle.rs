//! The handle to the publisher: its status, and waiting until the daemon serves a change.

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
use super::served::{LiveNodes, ServedByDaemon, ServedByDaemons};
use crate::edit::EditError;
use crate::index_folder::{FolderError, MergeRecipe};
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
    /// Active offers that are closed, because the daemon does not know the rules that bind them:
    /// their visits get the fallback. They open when a newer daemon runs.
    pub offers_closed_for_old_daemon: u64,
    /// How published levels follow from earlier ones.
    #[serde(skip)]
    recipes: Vec<MergeRecipe>,
    /// The generation that edges can fetch; 0 before the first.
    #[serde(skip)]
    pub(super) put_generation: u64,
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
    /// Changes with publications alone: each notifier follows it, and there may be a thousand of
    /// them. The fields that daemons decide are filled in where the status is shown.
    published: watch::Sender<PublicationStatus>,
    /// Changes with each answer of a daemon.
    served: watch::Sender<ServedByDaemons>,
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
            published: watch::Sender::default(),
            served: watch::Sender::default(),
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
        let mut published = self.published.subscribe();
        // The channel cannot close: this handle holds its sender.
        let _ = published.wait_for(|status| status.generation > generation).await;
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
        let is_published = || self.published.borrow().sequence >= sequence;
        let is_decided = || {
            self.live_generation(sequence).is_some()
                || self.nodes.daemons().is_empty() && is_published()
        };
        let _ = timeout(longest, self.wait_until(is_decided)).await;
        // Looked at once more: a daemon may have become silent meanwhile.
        self.live_generation(sequence).ok_or_else(|| self.not_live_error(sequence, longest))
    }

    /// The generation that daemons serve with the change; `None` before the change is live.
    pub(super) fn live_generation(&self, sequence: Sequence) -> Option<u64> {
        self.served.borrow().live(&self.nodes, self.wait_policy, sequence)
    }

    /// Waits for a condition on what is published and what the daemons serve.
    async fn wait_until(&self, is_reached: impl Fn() -> bool) {
        let (mut published, mut served) = (self.published.subscribe(), self.served.subscribe());
        while !is_reached() {
            // The channels cannot close: this handle holds their senders.
            tokio::select! {
                _ = published.changed() => {}
                _ = served.changed() => {}
            }
        }
    }

    /// Which daemons serve the change; `None` for an only daemon.
    pub(crate) fn live_nodes(&self, sequence: Sequence) -> Option<LiveNodes> {
        self.served.borrow().live_nodes(&self.nodes, sequence)
    }

    fn not_live_error(&self, sequence: Sequence, longest: Duration) -> WaitLiveError {
        let waited = || format!("nothing was heard for {} s; see the log", longest.as_secs());
        let published = self.published.borrow();
        if published.sequence < sequence {
            let reason = published.last_error.clone().unwrap_or_else(waited);
            return WaitLiveError::NotPublished { reason };
        }
        if self.nodes.daemons().is_empty() {
            return WaitLiveError::NoDaemon;
        }
        WaitLiveError::NotServed { reason: self.daemon_error().unwrap_or_else(waited) }
    }

    /// Why daemons do not serve the published index.
    fn daemon_error(&self) -> Option<String> {
        self.nodes.join_failures(|status| status.publication_error.as_ref())
    }

    /// Checks that the daemon can serve a catalog with rules.
    ///
    /// # Errors
    /// When the daemon is too old. A daemon that was never reached stands in the way of nothing.
    pub(crate) fn require_rules(&self) -> Result<(), EditError> {
        if self.catalog_form() != CatalogForm::WithoutRules {
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
        self.published.borrow().offers_closed_for_old_daemon
    }

    /// The form of catalog that the daemon can serve.
    pub(super) fn catalog_form(&self) -> CatalogForm {
        self.served.borrow().catalog_form()
    }

    /// The facts that the daemon's databases of places know; `None` if the daemon never said.
    pub(crate) fn daemon_place_parts(&self) -> Option<PlaceParts> {
        self.served.borrow().place_parts()
    }

    /// The published generation; 0 before the first.
    pub(crate) fn generation(&self) -> u64 {
        self.published.borrow().generation
    }

    #[must_use]
    pub fn status(&self) -> PublicationStatus {
        let lowest = self.served.borrow().lowest(&self.nodes);
        let (served_generation, served_sequence) = lowest.unzip();
        PublicationStatus {
            served_generation,
            served_sequence,
            daemon_error: self.daemon_error(),
            is_daemon_too_old_for_rules: self.catalog_form() == CatalogForm::WithoutRules,
            ..self.published.borrow().clone()
        }
    }

    /// Opens the published index, or returns the copy in memory. Blocks while reading files.
    ///
    /// # Errors
    /// When nothing is published, or the index cannot be read.
    pub fn open_index(&self) -> Result<Arc<Index<Bytes>>, FolderError> {
        self.index.open()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<PublicationStatus> {
        self.published.subscribe()
    }

    pub(super) fn request_pause(&self, request: PauseRequest) {
        self.pause_requests.put(request);
        self.changed();
    }

    pub(super) async fn notified(&self) {
        self.changed.notified().await;
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut PublicationStatus)) {
        self.published.send_modify(change);
    }

    /// Forgets daemons that leave: an edit is live without them.
    pub(super) fn follow_daemons(&self, stop: CancellationToken) {
        let handle = self.clone();
        self.nodes.follow(stop, move |present| {
            handle.served.send_modify(|served| served.retain(present));
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
        let published = self.generation();
        self.served.send_modify(|served| {
            if !self.nodes.is_present(daemon) {
                return;
            }
            let served = served.0.entry(daemon.index).or_default();
            change(published, served);
            self.nodes.update(daemon, |shown| {
                shown.served_generation = served.served.as_ref().map(|served| served.generation);
                shown.publication_error.clone_from(&served.error);
            });
        });
    }

    /// Whether a merged level waits for a daemon to load it.
    pub(super) fn is_awaited_to_load(&self, daemon: &Daemon) -> bool {
        self.served.borrow().is_awaited_to_load(&self.nodes, daemon)
    }

    /// How published levels follow from earlier ones.
    pub(crate) fn recipes(&self) -> Vec<MergeRecipe> {
        self.published.borrow().recipes.clone()
    }

    pub(super) fn show_published(
        &self,
        manifest: &Manifest,
        recipes: &[MergeRecipe],
        entries: u64,
        took: Duration,
    ) {
        self.update(|status| {
            status.recipes = recipes.to_vec();
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
        self.served.borrow().generation_ahead(lineage)
    }
}

#[cfg(test)]
impl PublisherHandle {
    /// Changes what one daemon serves, which need not have joined.
    pub(super) fn update_served(&self, change: impl FnOnce(&mut ServedByDaemon)) {
        self.served.send_modify(|served| change(served.0.entry(0).or_default()));
    }

    pub(super) async fn wait_for_served(&self, is_reached: impl Fn(&ServedByDaemons) -> bool) {
        self.wait_until(|| is_reached(&self.served.borrow())).await;
    }
}
