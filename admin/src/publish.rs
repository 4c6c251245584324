//! Publication: turns the store's changes into the index that the daemon serves.
//!
//! One worker, the [`publisher`], watches the store's change sequence. Edits of this process wake
//! the worker; edits of other processes are found by polling. Each round reads one consistent state
//! of the store, writes the changed files, and announces all files in one manifest.
//!
//! Invariants:
//! - A generation is reserved durably in the store before a manifest carries it. A generation never
//!   stands for two contents, even after a crash or a restored backup ([`generations`]).
//! - After any failure (full disk, busy store) the published index stays unchanged. The failure is
//!   logged and shown in the status, and the round is retried with growing delays.
//! - An edit rebuilds one small level, an import writes a level of its own; [`level_policy`]
//!   selects the level. A round reads only the published part of the store.
//! - A [`merge`] joins larger levels, up to the base of all codes, in the background while edits
//!   are published on top. A later round replaces the inputs by the merged level. That round
//!   publishes the store's present state, so changes made during the merge are in the levels above.
//!   A failed or cancelled merge costs only its own work.
//! - Published files need not be durable yet, because the store is; [`syncing`] syncs them
//!   afterwards.
//! - Publication does not wait for the store's write lock. An edit does not wait
//!   for the level of an earlier bulk change, because that level is [`prebuilt`] before its commit.
//!
//! A second worker for each daemon, the [`daemon_notifier`], tells the daemon about each publication
//! and tracks the served generation. A hanging daemon therefore delays no publication, and no other
//! daemon.

mod blocked_values;
mod catalog_rows;
mod content;
mod controls;
mod daemon_notifier;
mod error;
mod generations;
mod handle;
mod index_cache;
mod level_policy;
mod merge;
mod offer_rules;
mod older_daemon;
mod pause;
mod prebuilt;
mod preload;
mod published;
mod publisher;
mod served;
mod syncing;
mod visit_rules;

#[cfg(test)]
mod tests;

use std::path::Path;

use bytes::Bytes;
use coupon_shared::index::Index;
use tokio_util::sync::CancellationToken;

use crate::index_folder::IndexFolder;
use crate::nodes::NodeRegistry;
use crate::store::Store;
use crate::worker;
use daemon_notifier::DaemonNotifier;
use index_cache::{IndexCache, UnusedIndexRemoval};
use publisher::Publisher;

pub use crate::index_folder::{FOLDER_NAME, FolderError};
pub use catalog_rows::LeftOut;
pub use error::{ContentError, PublishError};
pub use handle::{PublicationStatus, PublisherHandle, WaitLiveError};
pub use prebuilt::PrebuiltLevel;
pub(crate) use served::LiveNodes;

/// Opens the published index as a daemon does: reads all files into memory and checks every entry.
/// Changes nothing in the folder. A running admin shares one copy instead
/// ([`PublisherHandle::open_index`]).
///
/// # Errors
/// When nothing is published, or the index cannot be read.
pub fn published(data_dir: &Path) -> Result<Index<Bytes>, FolderError> {
    IndexFolder::at(data_dir.join(FOLDER_NAME)).open_current(None)
}

/// Starts the publisher and the daemons' notifiers, which run until `stop`.
#[must_use]
pub fn start(
    store: Store,
    network_id: u32,
    nodes: NodeRegistry,
    stop: CancellationToken,
) -> PublisherHandle {
    let index = IndexCache::new(IndexFolder::at(store.dir().join(FOLDER_NAME)));
    let handle = PublisherHandle::new(index.clone(), nodes.clone());
    let publisher = Publisher::new(store, network_id, handle.clone());
    worker::spawn(publisher, stop.clone());
    handle.follow_daemons(stop.clone());
    let notified = handle.clone();
    nodes.spawn_for_each(stop.clone(), move |daemon| {
        DaemonNotifier::new(daemon.clone(), notified.clone())
    });
    worker::spawn(UnusedIndexRemoval(index), stop);
    handle
}
