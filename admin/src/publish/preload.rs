//! Has the daemons load a level before a publication names it.
//!
//! A daemon that fails, or is not asked, loads the level with its publication: edits are live there
//! later, and nothing else is lost. So no failure here stops a publication.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coupon_shared::snapshot::manifest::ObjectName;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::handle::PublisherHandle;
use crate::daemon_client::DaemonError;
use crate::index_folder::MergeRecipe;
use crate::nodes::Daemon;
use crate::wait_policy::WaitPolicy;

/// How long a daemon may take: a core busy with visitors leaves little time for a large level, and an
/// edge fetches it first.
const LONGEST_LOADING: Duration = Duration::from_secs(120);
/// The share of the awaited daemons that suffices. Daemons that have failed are not among them.
const ENOUGH: WaitPolicy = WaitPolicy::Share(95);
/// How often daemons that have become silent are left out.
const RECHECK: Duration = Duration::from_secs(1);

/// Has all daemons load a merged level; returns when enough have loaded it or all others have failed,
/// after 120 s at the latest.
pub(super) async fn preload_everywhere(
    publisher: &PublisherHandle,
    level: ObjectName,
    recipe: Option<&MergeRecipe>,
) {
    let daemons = publisher.nodes.daemons();
    let order = PreloadOrder::new(level, recipe, LONGEST_LOADING);
    preload_at(publisher, &order, daemons.iter()).await;
}

/// The same for the daemons of this machine alone: a bulk change, which keeps other edits from the
/// store, must not wait for far ones.
pub(super) async fn preload_near(publisher: &PublisherHandle, level: ObjectName) {
    let daemons = publisher.nodes.daemons();
    let near = daemons.iter().filter(|daemon| !daemon.client.is_edge());
    preload_at(publisher, &PreloadOrder::new(level, None, LONGEST_LOADING), near).await;
}

/// Of several daemons, a silent one and one that failed the last time are not waited for.
pub(super) async fn preload_at(
    publisher: &PublisherHandle,
    order: &PreloadOrder,
    daemons: impl Iterator<Item = &Daemon>,
) {
    let nodes = &publisher.nodes;
    let (mut running, mut pending) = (JoinSet::new(), Vec::new());
    for daemon in daemons {
        let is_awaited = publisher.is_awaited_to_load(daemon);
        if daemon.client.is_edge() && !is_awaited {
            continue;
        }
        let loading = order.clone().run(publisher.clone(), daemon.clone());
        if !is_awaited || nodes.has_several() && nodes.is_slow_to_load(daemon) {
            tokio::spawn(loading);
        } else {
            pending.push(daemon.clone());
            let index = daemon.index;
            running.spawn(async move { (index, loading.await) });
        }
    }
    let mut loaded = 0;
    while !running.is_empty() {
        // A daemon may become silent meanwhile.
        pending.retain(|daemon| publisher.is_awaited_to_load(daemon));
        if pending.is_empty() || ENOUGH.is_reached(loaded, loaded + pending.len()) {
            break;
        }
        if let Ok(Some(Ok((index, is_loaded)))) = timeout(RECHECK, running.join_next()).await {
            pending.retain(|daemon| daemon.index != index);
            loaded += usize::from(is_loaded);
        }
    }
    running.detach_all();
}

/// Returns when an edge is away: asked at its return, it would fetch a level that may be replaced by
/// then.
async fn wait_until_away(publisher: &PublisherHandle, daemon: &Daemon) -> &'static str {
    while !daemon.client.is_edge() || publisher.is_awaited_to_load(daemon) {
        sleep(RECHECK).await;
    }
    "the edge is silent or refused"
}

/// A level to load, and until when.
#[derive(Clone)]
pub(super) struct PreloadOrder {
    level: ObjectName,
    /// How the level follows from the published ones: edges that have them need no transfer.
    recipe: Option<Arc<MergeRecipe>>,
    longest: Duration,
    /// Whether edges can fetch the level. One edge stores it for all.
    is_stored: Arc<OnceCell<bool>>,
}

impl PreloadOrder {
    pub(super) fn new(
        level: ObjectName,
        recipe: Option<&MergeRecipe>,
        longest: Duration,
    ) -> PreloadOrder {
        let recipe = recipe.cloned().map(Arc::new);
        PreloadOrder { level, recipe, longest, is_stored: Arc::default() }
    }

    /// Has one daemon load the level; returns whether it has.
    async fn run(self, publisher: PublisherHandle, daemon: Daemon) -> bool {
        let began = Instant::now();
        if daemon.client.is_edge() && !*self.is_stored.get_or_init(|| self.store(&daemon)).await {
            return false;
        }
        let left = self.longest.saturating_sub(began.elapsed());
        let loading = async {
            tokio::select! {
                loaded = daemon.client.preload(&self.level, self.recipe.as_deref(), left) => loaded,
                reason = wait_until_away(&publisher, &daemon) => {
                    Err(DaemonError::NotPreloaded { reason: reason.to_owned() })
                }
            }
        };
        let Some(loaded) = daemon.while_present(loading).await else { return false };
        if let Err(error) = &loaded {
            let (daemon, level) = (daemon.shown_name(), self.level);
            tracing::warn!(daemon, %level, %error, "merged level not preloaded");
        }
        let is_loaded = loaded.is_ok();
        let error = loaded.err().map(|error| error.to_string());
        publisher.nodes.update(&daemon, |status| status.preload_error = error);
        is_loaded
    }

    async fn store(&self, edge: &Daemon) -> bool {
        let stored = timeout(self.longest, edge.client.store_ahead(&self.level)).await;
        let stored = stored.unwrap_or_else(|_elapsed| {
            let reason = format!("NATS did not take it within {} s", self.longest.as_secs());
            Err(DaemonError::NotPreloaded { reason })
        });
        stored.unwrap_or_else(|error| {
            tracing::warn!(level = %self.level, %error, "merged level not stored for edges");
            false
        })
    }
}
