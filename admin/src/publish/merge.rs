//! Merges: levels made one in the background, up to the base of all codes.
//!
//! What holds:
//! - A merge reads one state of the store, in one read transaction, on a thread and a connection of
//!   its own at the lowest priority. It streams, so memory does not grow with the codes until the
//!   finished file is read back. Nothing that is edited or published waits for it.
//! - Its result is a file that is whole, durable and checked, and that no manifest names. The daemon
//!   loads it ahead, so that edits that follow it do not wait for that, either. Only the publisher
//!   puts it into the stack, in a round that publishes all that the merge has read.
//! - One that is no longer wanted stops at the next code and leaves nothing.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

use super::content::{self, ContentError, LevelContext};
use super::folder::Unsynced;
use super::level_policy::{LevelInfo, Range};
use super::{PublishError, PublisherHandle};
use crate::daemon_client::DaemonClient;
use crate::store::{Store, meta};

/// The lowest there is: edits and visitors come first.
const NICENESS: i32 = 19;

/// A merge under way. Given up when dropped.
pub(super) struct Merge {
    range: Range,
    done: Receiver<Result<LevelInfo, PublishError>>,
    is_wanted: Arc<AtomicBool>,
    file: Arc<OnceLock<String>>,
}

impl Merge {
    /// Begins to make the levels of `range` one; `publisher` is told when that is done, and the
    /// daemon has what was made in its memory or does not answer.
    pub(super) fn start(
        store: Store,
        place: LevelContext,
        range: Range,
        daemon: DaemonClient,
        publisher: PublisherHandle,
    ) -> io::Result<Merge> {
        let (tell, merged) = oneshot::channel();
        let (finish, done) = oneshot::channel();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let wanted = Arc::clone(&is_wanted);
        let file = Arc::<OnceLock<String>>::default();
        let named = Arc::clone(&file);
        let run = move || {
            step_back();
            // Nobody listens any more to one that was given up.
            let _ = tell.send(merge(&store, &place, range, &wanted, &named));
        };
        std::thread::Builder::new().name("merge".into()).spawn(run)?;
        tokio::spawn(async move {
            let merged = merged.await.unwrap_or(Err(PublishError::BrokenOff));
            if let Ok(LevelInfo { name, .. }) = &merged
                && let Err(error) = daemon.preload(name).await
            {
                tracing::debug!(%error, "a merged level is not loaded ahead");
            }
            let _ = finish.send(merged);
            publisher.changed();
        });
        Ok(Merge { range, done, is_wanted, file })
    }

    /// The end of what it makes one.
    pub(super) fn cut(&self) -> u64 {
        self.range.to
    }

    /// The file it makes, from before it has that name.
    pub(super) fn file(&self) -> Option<&String> {
        self.file.get()
    }

    /// What came of it; `None` as long as it is under way.
    pub(super) fn result(&mut self) -> Option<Result<LevelInfo, PublishError>> {
        match self.done.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(PublishError::BrokenOff)),
        }
    }
}

#[cfg(test)]
impl Merge {
    /// One that ends when and how the test says.
    pub(super) fn of_a_test(
        range: Range,
    ) -> (Merge, oneshot::Sender<Result<LevelInfo, PublishError>>) {
        let (tell, done) = oneshot::channel();
        (Merge { range, done, is_wanted: Arc::default(), file: Arc::default() }, tell)
    }
}

impl Drop for Merge {
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
    }
}

fn merge(
    store: &Store,
    place: &LevelContext,
    range: Range,
    is_wanted: &AtomicBool,
    named: &OnceLock<String>,
) -> Result<LevelInfo, PublishError> {
    let begun = Instant::now();
    let is_wanted = || is_wanted.load(Ordering::Relaxed);
    let file = store.read_beside(|connection| {
        let lineage = meta::read(connection)?.lineage;
        content::write_level(connection, range, lineage, place, is_wanted)
    })?;
    if !is_wanted() {
        return Err(ContentError::GivenUp.into());
    }
    named.get_or_init(|| file.name().level_file());
    let mut unsynced = Unsynced::default();
    let (name, codes) = place.folder.put_level(file, &mut unsynced)?;
    unsynced.sync(&place.folder)?;
    let took_ms = begun.elapsed().as_millis();
    tracing::info!(codes, from = range.from, to = range.to, took_ms, "merged levels");
    Ok(LevelInfo { name, from: range.from, to: range.to, codes })
}

/// Lowers this thread's priority; where that is not allowed, it stays as it is.
fn step_back() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
        tracing::debug!(%error, "a merge keeps its priority");
    }
}
