//! Prebuilt levels: a bulk change becomes a level before it is committed.
//!
//! Building the level after the commit would delay the publication of every following edit. Inside
//! the transaction the work takes time while nothing can be edited anyway, and the level is
//! published in the first round that sees the committed change.
//!
//! Invariants:
//! - A bulk change asks the publisher to pause and to send the published levels
//!   ([`PublishedState`]). The publisher first publishes all committed changes. During the pause
//!   the write transaction keeps out other commits, so the levels below stay as they are.
//! - The level is built as the publisher would build it, from the store as the transaction leaves
//!   it. Before the commit it is complete, durable, checked, and loaded by the daemon.
//! - The publisher receives only levels of committed transactions. The level of a rolled-back
//!   transaction is a file without a manifest, and is removed like any other.
//! - After any failure here, the publisher continues and builds the level when it sees the change.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use super::content;
use super::error::PublishError;
use super::handle::PublisherHandle;
use super::level_policy::{LARGE, LevelInfo};
use super::pause::{BuiltLevel, MAX_PRELOAD, PauseChannels, PauseRequest, PublishedState};
use crate::index_folder::Unsynced;
use crate::store::ReadTx;
use crate::store::meta;

/// How long the publisher may take to publish the committed changes and pause.
const MAX_WAIT_FOR_PAUSE: Duration = Duration::from_secs(2);

/// The level of an uncommitted change. Dropping discards the level.
#[must_use = "the publisher pauses until the level is committed or dropped"]
pub struct PrebuiltLevel {
    pub(super) level: LevelInfo,
    committed: oneshot::Sender<LevelInfo>,
}

impl PrebuiltLevel {
    /// Hands the level over after its change was committed.
    pub fn publish_committed(self) {
        // A stopped publisher publishes nothing any more.
        let _ = self.committed.send(self.level);
    }
}

impl PublisherHandle {
    /// Builds the level of a change of `rows` codes at the end of its transaction. Blocks the
    /// thread for up to 7 s beside the building itself. Returns `None` if the change is small, or
    /// after a failure: the change is then published like any other.
    pub fn prebuild_level(&self, tx: &ReadTx<'_>, rows: u64) -> Option<PrebuiltLevel> {
        if rows <= LARGE {
            return None;
        }
        self.try_prebuild_level(tx).unwrap_or_else(|error| {
            tracing::warn!(%error, "bulk change not prebuilt; its level follows after the commit");
            None
        })
    }

    fn try_prebuild_level(&self, tx: &ReadTx<'_>) -> Result<Option<PrebuiltLevel>, PublishError> {
        let (request, PauseChannels { state, built, committed }) = PauseRequest::new();
        self.request_pause(request);
        let Ok(PublishedState { levels, cut, context }) = state.recv_timeout(MAX_WAIT_FOR_PAUSE)
        else {
            tracing::warn!("bulk change not prebuilt: the publisher did not pause");
            return Ok(None);
        };
        let begun = Instant::now();
        let meta = meta::read(tx)?;
        let Some(level) = content::new_level(tx, &levels, cut, &meta, &context)? else {
            return Ok(None);
        };
        let mut unsynced = Unsynced::default();
        let level = level.put(&context.folder, &mut unsynced)?;
        unsynced.sync(&context.folder)?;
        let (preloaded, is_preloaded) = sync_channel(1);
        if built.send(BuiltLevel { name: level.name, preloaded }).is_ok() {
            // The publisher answers within its own deadline, unless it has stopped.
            let _ = is_preloaded.recv_timeout(MAX_PRELOAD);
        }
        let took_ms = begun.elapsed().as_millis();
        tracing::info!(codes = level.codes, took_ms, "bulk change prebuilt");
        Ok(Some(PrebuiltLevel { level, committed }))
    }
}
