//! Levels built ahead: a change of many codes becomes its level before it is committed.
//!
//! Built after the commit, it would keep every edit that follows from being published for as long
//! as that takes. Built within the transaction, it takes its time while nothing can be edited
//! anyway, and is published with the first look at the committed store.
//!
//! What holds:
//! - Who changes many codes asks the publisher for what is published ([`PublishedState`]). The publisher
//!   first publishes all that is committed, and from then on stands by: nothing else can be
//!   committed, and what is published stays what the level lies on.
//! - The level is built as the publisher would build it, of the store as the transaction leaves it.
//!   It is whole, durable, checked and in the daemon's memory before the commit.
//! - Only a level whose transaction is committed is handed over. One that is not, for whatever
//!   reason, is a file that no manifest names, and goes like any other.
//! - Whatever goes wrong here, the publisher goes on, and builds the level when it sees the change.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::content::{self, LevelContext};
use super::folder::Unsynced;
use super::level_policy::{LARGE, LevelInfo};
use super::{PublishError, PublisherHandle};
use crate::daemon_client::DaemonClient;
use crate::store::meta::{self, Sequence};

/// How long the publisher may take to publish what is committed.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// How long the daemon may take to load a level.
const MAX_PRELOAD: Duration = Duration::from_secs(5);

/// Asks the publisher to stand by.
pub(super) struct Request {
    pub(super) state: oneshot::Sender<PublishedState>,
    /// The level, once its change is committed.
    pub(super) committed: oneshot::Receiver<LevelInfo>,
}

/// What a level is built on.
pub(super) struct PublishedState {
    pub(super) levels: Vec<LevelInfo>,
    pub(super) cut: Sequence,
    pub(super) place: LevelContext,
    pub(super) daemon: DaemonClient,
}

/// A level of a change that is not committed yet. Dropped, it is as if it had not been built.
#[must_use = "the publisher stands by until it hears of it"]
pub struct PrebuiltLevel {
    pub(super) level: LevelInfo,
    committed: oneshot::Sender<LevelInfo>,
}

impl PrebuiltLevel {
    /// The change is committed.
    pub fn committed(self) {
        // A publisher that has ended publishes nothing any more.
        let _ = self.committed.send(self.level);
    }
}

/// Two ends of the way on which the publisher is asked to stand by.
pub(super) fn requests() -> (mpsc::Sender<Request>, mpsc::Receiver<Request>) {
    mpsc::channel(1)
}

impl PublisherHandle {
    /// Builds the level that a change of so many codes becomes, from within its transaction and at
    /// its end. `None` where the change is small or that does not succeed: it is then published
    /// like any other. Must be called on a thread that may block.
    pub fn prebuild_level(&self, tx: &Connection, rows: u64) -> Option<PrebuiltLevel> {
        if rows <= LARGE {
            return None;
        }
        self.try_prebuild_level(tx).unwrap_or_else(|error| {
            tracing::warn!(%error, "the level of a large change is built after its commit");
            None
        })
    }

    fn try_prebuild_level(&self, tx: &Connection) -> Result<Option<PrebuiltLevel>, PublishError> {
        let (to_me, state) = oneshot::channel();
        let (committed, heard) = oneshot::channel();
        let asked = async {
            let request = Request { state: to_me, committed: heard };
            self.requests.send(request).await.ok()?;
            state.await.ok()
        };
        let runtime = Handle::current();
        let state = runtime.block_on(async { timeout(MAX_PAUSE, asked).await });
        let Some(PublishedState { levels, cut, place, daemon }) = state.ok().flatten() else {
            tracing::warn!("the level of a large change is not built ahead: nothing is published");
            return Ok(None);
        };
        let begun = Instant::now();
        let meta = meta::read(tx)?;
        let Some(level) = content::new_level(tx, &levels, cut, &meta, &place)? else {
            return Ok(None);
        };
        let mut unsynced = Unsynced::default();
        let level = level.put(&place.folder, &mut unsynced)?;
        unsynced.sync(&place.folder)?;
        let loaded = async { timeout(MAX_PRELOAD, daemon.preload(&level.name)).await };
        if !matches!(runtime.block_on(loaded), Ok(Ok(()))) {
            tracing::debug!("a level that is built ahead is not loaded ahead");
        }
        let took_ms = begun.elapsed().as_millis();
        tracing::info!(codes = level.codes, took_ms, "built the level of a large change");
        Ok(Some(PrebuiltLevel { level, committed }))
    }
}
