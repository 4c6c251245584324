//! Levels built ahead: a change of many codes becomes its level before it is committed.
//!
//! Built after the commit, it would keep every edit that follows from being published for as long
//! as that takes. Built within the transaction, it takes its time while nothing can be edited
//! anyway, and is published with the first look at the committed store.
//!
//! What holds:
//! - Who changes many codes asks the publisher for what is published ([`Basis`]). The publisher
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

use super::content::{self, Place};
use super::folder::Unsynced;
use super::stack::{LARGE, Placed};
use super::{PublishError, PublisherHandle};
use crate::daemon_client::DaemonClient;
use crate::store::meta::{self, Sequence};

/// How long the publisher may take to publish what is committed.
const LONGEST_STAND_BY: Duration = Duration::from_secs(2);
/// How long the daemon may take to load a level.
const LONGEST_PRELOAD: Duration = Duration::from_secs(5);

/// Asks the publisher to stand by.
pub(super) struct Request {
    pub(super) basis: oneshot::Sender<Basis>,
    /// The level, once its change is committed.
    pub(super) committed: oneshot::Receiver<Placed>,
}

/// What a level is built on.
pub(super) struct Basis {
    pub(super) levels: Vec<Placed>,
    pub(super) cut: Sequence,
    pub(super) place: Place,
    pub(super) daemon: DaemonClient,
}

/// A level of a change that is not committed yet. Dropped, it is as if it had not been built.
#[must_use = "the publisher stands by until it hears of it"]
pub struct Ahead {
    pub(super) level: Placed,
    committed: oneshot::Sender<Placed>,
}

impl Ahead {
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
    pub fn build_ahead(&self, tx: &Connection, rows: u64) -> Option<Ahead> {
        if rows <= LARGE {
            return None;
        }
        self.try_build_ahead(tx).unwrap_or_else(|error| {
            tracing::warn!(%error, "the level of a large change is built after its commit");
            None
        })
    }

    fn try_build_ahead(&self, tx: &Connection) -> Result<Option<Ahead>, PublishError> {
        let (to_me, basis) = oneshot::channel();
        let (committed, heard) = oneshot::channel();
        let asked = async {
            let request = Request { basis: to_me, committed: heard };
            self.requests.send(request).await.ok()?;
            basis.await.ok()
        };
        let runtime = Handle::current();
        let basis = runtime.block_on(async { timeout(LONGEST_STAND_BY, asked).await });
        let Some(Basis { levels, cut, place, daemon }) = basis.ok().flatten() else {
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
        let loaded = async { timeout(LONGEST_PRELOAD, daemon.preload(&level.name)).await };
        if !matches!(runtime.block_on(loaded), Ok(Ok(()))) {
            tracing::debug!("a level that is built ahead is not loaded ahead");
        }
        let took_ms = begun.elapsed().as_millis();
        tracing::info!(codes = level.codes, took_ms, "built the level of a large change");
        Ok(Some(Ahead { level, committed }))
    }
}
