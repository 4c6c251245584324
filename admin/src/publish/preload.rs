//! Has the daemons load a level before a publication names it.

use coupon_shared::snapshot::manifest::ObjectName;
use tokio::task::JoinSet;

use crate::nodes::{Daemon, NodeRegistry};

/// Has every daemon load a level; returns when each has loaded it or failed to. Of several daemons,
/// a silent one and one that failed the last time are not waited for. An edge fetches the level when
/// the publication names it.
pub(super) async fn preload_everywhere(nodes: &NodeRegistry, level: ObjectName) {
    let mut awaited = JoinSet::new();
    for daemon in nodes.daemons().iter().filter(|daemon| !daemon.client.is_edge()) {
        let loading = preload(nodes.clone(), daemon.clone(), level);
        let is_slow = nodes.is_silent(daemon) || nodes.is_slow_to_load(daemon);
        if nodes.has_several() && is_slow {
            tokio::spawn(loading);
        } else {
            awaited.spawn(loading);
        }
    }
    awaited.join_all().await;
}

async fn preload(nodes: NodeRegistry, daemon: Daemon, level: ObjectName) {
    let loaded = daemon.while_present(daemon.client.preload(&level)).await;
    let Some(loaded) = loaded else { return };
    nodes.set_slow_to_load(&daemon, loaded.is_err());
    if let Err(error) = loaded {
        tracing::debug!(daemon = daemon.shown_name(), %error, "level not preloaded by the daemon");
    }
}
