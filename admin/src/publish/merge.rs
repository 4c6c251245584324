//! Merges: levels joined in the background, up to the base of all codes.
//!
//! Invariants:
//! - A merge reads the files of its levels, on a thread of its own at the lowest priority. The merge
//!   streams, so memory does not grow with the codes. Edits and publications do not wait for a merge.
//! - An edge that has the files makes the merged level itself, from the same recipe. A level whose
//!   inputs are damaged here is built anew from the store; then edges fetch it.
//! - The result is a complete, durable and checked file, not named by a manifest yet. The daemons
//!   preload the file, on edges after fetching it, so the following edits do not wait for loading
//!   either. Only the publisher puts the merged level into the stack, in a round that publishes all
//!   changes read by the merge.
//! - A cancelled merge stops at the next code and leaves no file.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use coupon_shared::snapshot::manifest::ObjectName;
use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

use super::content::{self, LevelContext};
use super::error::{ContentError, PublishError};
use super::handle::PublisherHandle;
use super::level_policy::{LevelInfo, Range};
use super::preload::preload_everywhere;
use crate::index_folder::{FinishedLevel, MergeError, MergeRecipe, Unsynced, spawn_low_priority};
use crate::store::Store;
use crate::store::meta::{self, Sequence};

/// Pause after a failed merge.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// A merged level, and how it follows from its inputs; without a recipe it was built from the store.
#[derive(Debug, Clone)]
pub(super) struct MergedLevel {
    pub(super) info: LevelInfo,
    pub(super) recipe: Option<MergeRecipe>,
}

/// The only running or finished merge.
pub(super) struct Merging {
    pub(super) running: Option<Merge>,
    /// Finished, and not published yet.
    pub(super) merged: Option<MergedLevel>,
    paused_until: Option<Instant>,
}

impl Merging {
    pub(super) fn new() -> Merging {
        Merging { running: None, merged: None, paused_until: None }
    }

    /// End of the running merge's range, else 0. Levels published meanwhile must not cross this
    /// cut.
    pub(super) fn cut(&self) -> Sequence {
        self.running.as_ref().map_or(0, Merge::cut)
    }

    /// Files of the merge, not named by a manifest yet.
    pub(super) fn files(&self) -> Vec<String> {
        let running = self.running.as_ref().and_then(Merge::file).cloned();
        let merged = self.merged.as_ref().map(|merged| merged.info.name.level_file());
        running.into_iter().chain(merged).collect()
    }

    /// Takes the result of a finished merge.
    pub(super) fn take_result(&mut self) {
        match self.running.as_mut().and_then(Merge::result) {
            None => return,
            Some(Ok(merged)) => self.merged = Some(merged),
            Some(Err(error)) => self.pause_after(&error),
        }
        self.running = None;
    }

    fn pause_after(&mut self, error: &PublishError) {
        tracing::error!(%error, retry_ms = PAUSE_AFTER_FAILURE.as_millis(), "level merge failed");
        self.paused_until = Some(Instant::now() + PAUSE_AFTER_FAILURE);
    }

    /// Cancels the running merge: a large change needs its place.
    pub(super) fn cancel(&mut self) {
        tracing::debug!("level merge cancelled: a large change needs its place");
        self.running = None;
    }

    pub(super) fn may_begin(&self) -> bool {
        self.running.is_none() && self.paused_until.is_none_or(|until| until <= Instant::now())
    }

    pub(super) fn begin(&mut self, merge: io::Result<Merge>) {
        match merge {
            Ok(merge) => self.running = Some(merge),
            Err(error) => self.pause_after(&PublishError::Thread(error)),
        }
    }
}

/// A running merge. Dropping cancels it.
pub(super) struct Merge {
    range: Range,
    done: Receiver<Result<MergedLevel, PublishError>>,
    is_wanted: Arc<AtomicBool>,
    file: Arc<OnceLock<String>>,
}

impl Merge {
    /// Starts to merge those of the published levels that lie in `range`. Wakes `publisher` when the
    /// merged level is complete and enough daemons have preloaded the level, or failed to.
    pub(super) fn start(
        store: Store,
        context: LevelContext,
        (published, range): (&[LevelInfo], Range),
        publisher: PublisherHandle,
    ) -> io::Result<Merge> {
        let (result, merged) = oneshot::channel();
        let (finish, done) = oneshot::channel();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let wanted = Arc::clone(&is_wanted);
        let file = Arc::<OnceLock<String>>::default();
        let named = Arc::clone(&file);
        let is_within = |level: &&LevelInfo| level.from >= range.from && level.to <= range.to;
        let newest_first = published.iter().filter(is_within).map(|level| level.name).collect();
        let job = MergeJob { store, context, range, newest_first };
        spawn_low_priority("merge", move || {
            // A cancelled merge has no receiver any more.
            let _ = result.send(job.run(&wanted, &named));
        })?;
        tokio::spawn(async move {
            let merged = merged.await.unwrap_or(Err(PublishError::Aborted));
            if let Ok(MergedLevel { info, recipe }) = &merged {
                preload_everywhere(&publisher, info.name, recipe.as_ref()).await;
            }
            let _ = finish.send(merged);
            publisher.changed();
        });
        Ok(Merge { range, done, is_wanted, file })
    }

    /// End of the merged range.
    fn cut(&self) -> Sequence {
        self.range.to
    }

    /// Name of the merged file, known before the file is renamed.
    pub(super) fn file(&self) -> Option<&String> {
        self.file.get()
    }

    /// The result; `None` while the merge runs.
    fn result(&mut self) -> Option<Result<MergedLevel, PublishError>> {
        match self.done.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(PublishError::Aborted)),
        }
    }
}

#[cfg(test)]
impl Merge {
    /// A merge whose result the test sends.
    pub(super) fn of_a_test(
        range: Range,
    ) -> (Merge, oneshot::Sender<Result<MergedLevel, PublishError>>) {
        let (result, done) = oneshot::channel();
        (Merge { range, done, is_wanted: Arc::default(), file: Arc::default() }, result)
    }
}

impl Drop for Merge {
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
    }
}

/// The work of one merge.
struct MergeJob {
    store: Store,
    context: LevelContext,
    range: Range,
    newest_first: Vec<ObjectName>,
}

impl MergeJob {
    fn run(
        self,
        is_wanted: &AtomicBool,
        named: &OnceLock<String>,
    ) -> Result<MergedLevel, PublishError> {
        let begun = Instant::now();
        let is_wanted = || is_wanted.load(Ordering::Relaxed);
        let folder = &self.context.folder;
        let (file, is_from_files) = match folder.merge_levels(&self.newest_first, is_wanted) {
            Ok(file) => (file, true),
            Err(MergeError::Build(error)) => return Err(ContentError::from(error).into()),
            Err(MergeError::Cancelled) => return Err(ContentError::Cancelled.into()),
            Err(error @ (MergeError::Folder(_) | MergeError::Levels(_))) => {
                tracing::warn!(%error, "levels cannot be merged; merging the codes of the store");
                (self.merge_in_store(is_wanted)?, false)
            }
        };
        if !is_wanted() {
            return Err(ContentError::Cancelled.into());
        }
        named.get_or_init(|| file.name().level_file());
        let mut unsynced = Unsynced::default();
        let (name, codes) = folder.put_level(file, &mut unsynced)?;
        unsynced.sync(folder)?;
        let Range { from, to } = self.range;
        tracing::info!(codes, from, to, took_ms = begun.elapsed().as_millis(), "levels merged");
        let newest_first = self.newest_first;
        let recipe = is_from_files.then_some(MergeRecipe { level: name, newest_first });
        Ok(MergedLevel { info: LevelInfo { name, from, to, codes }, recipe })
    }

    fn merge_in_store(&self, is_wanted: impl Fn() -> bool) -> Result<FinishedLevel, PublishError> {
        self.store.read_dedicated(|connection| {
            let lineage = meta::read(connection)?.lineage;
            let built =
                content::write_level(connection, self.range, lineage, &self.context, is_wanted);
            Ok(built?)
        })
    }
}
