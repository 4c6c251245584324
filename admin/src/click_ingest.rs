//! Click ingest: fetches click blocks from the daemon into the archive, and counts each click once.
//!
//! One task pulls with a cursor: for each stream the last durable sequence. The task checks the
//! blocks, skips known ones, and appends the rest to the archive; then one transaction of the store
//! records the frames, their rollups and the cursor. So the cursor, which acknowledges clicks, is
//! never ahead of the archive, and the counts are never ahead of the cursor.
//!
//! Every failure is repaired in one way: the task starts again by counting the frames of the
//! archive that the store does not know. The same happens after a crash, after a restored store
//! and, after deleting all counts, in a rebuild.
//!
//! A damaged block, or one of an unknown version, is refused: it is neither archived nor
//! acknowledged, the daemon keeps it, and later blocks of its stream wait behind it. Other streams
//! go on.

mod address_watch;
mod batch;
mod click_counter;
pub(crate) mod converted_visits;
mod reclassify;
mod replay;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant, SystemTime};

use coupon_shared::click::ClickError;
use coupon_shared::feed::Cursor;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, ArchiveError};
use crate::click_lookup::LookUpError;
use crate::daemon_client::{DaemonClient, DaemonError, FeedAnswer};
use crate::store::bot_list::{self, PendingWork};
use crate::store::{Store, StoreError};
use crate::worker::{self, RetryDelays, Worker};
use batch::Batch;
use click_counter::ClickCounter;
use reclassify::Reclassifier;

/// Longest time that the daemon waits for a click before an empty answer.
const WAIT: Duration = Duration::from_secs(1);
/// Longest time from a click to its presence in the daemon's feed.
const SETTLED_AFTER_MS: u64 = 2_000;
/// Most bytes per answer, and per transaction.
const MAX_BYTES: usize = 4 << 20;
/// Time slice for classifying the archive again, between two pulls.
const RECLASSIFY_SLICE: Duration = Duration::from_millis(300);
const SHORTEST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// Reasons for a failed pull.
#[derive(Debug, thiserror::Error)]
pub enum ClickIngestError {
    /// The daemon gave no blocks.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An offer was edited during the count, with effect before some of the clicks.
    #[error("an offer was edited while clicks were counted that it holds for")]
    Edited,
    /// A block was refused; the others were ingested.
    #[error("a click block from coupond was refused and stays there: {0}")]
    Refused(#[from] ClickError),
}

impl From<LookUpError> for ClickIngestError {
    fn from(error: LookUpError) -> ClickIngestError {
        match error {
            LookUpError::Store(error) => error.into(),
            LookUpError::Archive(error) => error.into(),
        }
    }
}

/// State of click ingest.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct ClickIngestStatus {
    /// Time of the daemon's last answer, in Unix seconds.
    pub last_pull: Option<i64>,
    /// Time of the last ingested click, in Unix milliseconds.
    pub last_click_unix_ms: Option<u64>,
    /// Delay from this click to its count.
    pub lag_ms: Option<u64>,
    /// Clicks ingested since the start of the program.
    pub clicks: u64,
    /// Sequences skipped by the daemon: clicks it no longer had.
    pub missing: u64,
    /// All clicks before this time, in Unix milliseconds, have arrived or never will.
    pub passed_unix_ms: u64,
    /// Blocks in the archive.
    pub archived_blocks: u64,
    /// Size of the archive.
    pub archive_bytes: u64,
    /// Error of the last pull; ingest goes on trying.
    pub last_error: Option<String>,
}

/// Handle for the state of click ingest; clones share it.
#[derive(Clone)]
pub struct ClickIngestHandle {
    status: watch::Receiver<ClickIngestStatus>,
}

impl ClickIngestHandle {
    /// The present state.
    #[must_use]
    pub fn status(&self) -> ClickIngestStatus {
        self.status.borrow().clone()
    }

    /// Waits for a change; for ever after ingest has ended.
    pub async fn changed(&mut self) {
        if self.status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Starts click ingest; it ends with `stop`.
#[must_use]
pub fn start(
    store: Store,
    archive: Archive,
    daemon: DaemonClient,
    stop: CancellationToken,
) -> ClickIngestHandle {
    let intake = ClickIngest::new(store, archive, daemon);
    let handle = ClickIngestHandle { status: intake.counter.subscribe() };
    worker::spawn(intake, stop);
    handle
}

/// Deletes all counts and counts the archive again; returns the number of clicks.
///
/// # Errors
/// When the store or the archive fails. The next start, or another rebuild, goes on from there.
pub async fn rebuild(store: Store, archive: Archive) -> Result<u64, ClickIngestError> {
    rebuild_with_progress(store, archive, |_| ()).await
}

/// The same, with progress in counted blocks.
///
/// # Errors
/// As [`rebuild`].
pub async fn rebuild_with_progress(
    store: Store,
    archive: Archive,
    tell: impl Fn(u64),
) -> Result<u64, ClickIngestError> {
    let counter = ClickCounter::new(store, archive);
    counter.start_rebuild().await?;
    counter.catch_up_with_progress(tell).await?;
    while let PendingWork::MarkConverted(after) =
        counter.store().read(bot_list::pending_work).await?
    {
        converted_visits::reclassify_next_converted_visits(
            counter.store(),
            counter.archive(),
            after,
        )
        .await?;
    }
    Ok(counter.status().clicks)
}

/// Counts archived, uncounted frames, as at the start of ingest.
#[cfg(test)]
pub(crate) async fn count_archived(store: Store, archive: Archive) -> Result<(), ClickIngestError> {
    let counter = ClickCounter::new(store, archive);
    counter.check_archive_matches().await?;
    counter.catch_up().await.map(drop)
}

struct ClickIngest {
    counter: ClickCounter,
    reclassifier: Reclassifier,
    daemon: DaemonClient,
    /// Archived and counted sequences; `None` after a failure, until the archive is checked.
    cursor: Option<Cursor>,
    /// Whether the archive was found to match the counts.
    is_compared: bool,
    oldest_incarnation: u32,
    /// Since when the daemon has answered every pull, in Unix milliseconds.
    steady_since_ms: Option<u64>,
}

impl Worker for ClickIngest {
    const NAME: &'static str = "click ingest";
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: SHORTEST_BACK_OFF, longest: LONGEST_BACK_OFF };
    type Error = ClickIngestError;

    async fn step(&mut self) -> Result<(), ClickIngestError> {
        self.pull().await
    }

    fn reset_after(&mut self, _error: &ClickIngestError) {
        self.steady_since_ms = None;
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        self.counter.update(|status| status.last_error = failure.map(str::to_owned));
    }
}

impl ClickIngest {
    fn new(store: Store, archive: Archive, daemon: DaemonClient) -> ClickIngest {
        let counter = ClickCounter::new(store, archive);
        ClickIngest {
            counter,
            reclassifier: Reclassifier::default(),
            daemon,
            cursor: None,
            is_compared: false,
            oldest_incarnation: 0,
            steady_since_ms: None,
        }
    }

    /// Ingests one answer of the daemon.
    async fn pull(&mut self) -> Result<(), ClickIngestError> {
        // Only success restores the cursor: after a failure the archive's content is unknown.
        let cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.begin().await?,
        };
        let wait = if self.reclassify().await? { Duration::ZERO } else { WAIT };
        let mut asked = cursor.clone();
        asked.remove_incarnations_before(self.oldest_incarnation);
        let began_ms = now_ms();
        let answer = self.daemon.feed(&asked, wait, MAX_BYTES).await?;
        let was_all = self.oldest_incarnation > 0 && answer.blocks.len() < MAX_BYTES / 2;
        self.oldest_incarnation = answer.oldest_incarnation.unwrap_or(0);
        self.counter.update(|status| status.last_pull = Some((now_ms() / 1000) as i64));
        self.take_in(cursor, answer).await?;
        if was_all {
            self.advance_passed_time(began_ms);
        }
        Ok(())
    }

    /// The daemon gave all it had: clicks made long enough before have arrived. A daemon that has
    /// just started may still process the rings of an earlier run.
    fn advance_passed_time(&mut self, began_ms: u64) {
        let steady_since_ms = *self.steady_since_ms.get_or_insert(began_ms);
        let passed = began_ms.saturating_sub(SETTLED_AFTER_MS);
        if passed >= steady_since_ms {
            self.counter.update(|status| status.passed_unix_ms = status.passed_unix_ms.max(passed));
        }
    }

    /// Continues classifying the archive by the new bot list; returns whether more is left.
    async fn reclassify(&mut self) -> Result<bool, ClickIngestError> {
        let began = Instant::now();
        while self.reclassifier.step(&self.counter).await? {
            if began.elapsed() >= RECLASSIFY_SLICE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn begin(&mut self) -> Result<Cursor, ClickIngestError> {
        if !self.is_compared {
            self.counter.check_archive_matches().await?;
            self.is_compared = true;
        }
        self.counter.catch_up().await
    }

    /// Archives and counts new blocks.
    async fn take_in(
        &mut self,
        cursor: Cursor,
        answer: FeedAnswer,
    ) -> Result<(), ClickIngestError> {
        if answer.blocks.is_empty() {
            self.cursor = Some(cursor);
            return Ok(());
        }
        let classifier = self.counter.classifier().await?;
        let watch = self.counter.address_watch().await?;
        let append = move |archive: &Archive| {
            let batch = Batch::after(cursor, classifier, archive.databases());
            let mut batch = batch.with_address_watch(watch);
            let (new, refused) = batch.add_new(&answer.blocks);
            batch.assign_frames(archive.append(&new)?.start);
            Ok((batch, refused))
        };
        let (batch, refused) = self.counter.archive().on_disk(append).await?;
        if batch.is_empty() && refused.is_none() {
            // A daemon that repeats itself must not be polled in a tight loop.
            tokio::time::sleep(SHORTEST_BACK_OFF).await;
        }
        self.cursor = Some(self.counter.commit(batch).await?);
        refused.map_or(Ok(()), |refused| Err(refused.into()))
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
