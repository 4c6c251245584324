//! ClickIngest: click blocks come from the daemon into the archive, and are counted, each click once.
//!
//! One task pulls with a cursor, for each stream the last sequence that is durable here. What comes
//! is checked, what is known already is left out, and the rest is appended to the archive; then one
//! transaction of the store records the frames, their rollups and the cursor. So the cursor that
//! acknowledges clicks is never ahead of the archive, and the counts never of the cursor.
//!
//! Whatever fails in between is mended in one way: the task begins again by counting the frames of
//! the archive that the store does not know of. That is also what follows a crash, a restored
//! store, and (after forgetting all counts) a rebuild.
//!
//! A block that is damaged, or of a version not known here, is refused: it is neither archived nor
//! acknowledged, the daemon keeps it, and later blocks of its stream wait behind it. Other streams
//! go on.

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

/// How long the daemon waits for a click before it answers that there is none.
const WAIT: Duration = Duration::from_secs(1);
/// A click is at the daemon's feed this long after it was made, at the latest.
const SETTLED_AFTER_MS: u64 = 2_000;
/// What one answer may hold; also what is counted in one transaction.
const MAX_BYTES: usize = 4 << 20;
/// For so long at a time the archive is judged again; then clicks are taken in.
const RECLASSIFY_SLICE: Duration = Duration::from_millis(300);
const SHORTEST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// Why a pull failed.
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
    /// An offer was edited, in the moment when they were counted, before some of the clicks were made.
    #[error("an offer was edited while clicks were counted that it holds for")]
    Edited,
    /// A block was refused; what came beside it was taken in.
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

/// How intake stands.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct ClickIngestStatus {
    /// When the daemon last answered, in Unix seconds.
    pub last_pull: Option<i64>,
    /// When the last click taken in was made, in Unix milliseconds.
    pub last_click_unix_ms: Option<u64>,
    /// From that click to its being counted.
    pub lag_ms: Option<u64>,
    /// Clicks taken in since the program started.
    pub clicks: u64,
    /// Sequences that the daemon passed over: clicks it no longer had.
    pub missing: u64,
    /// All clicks that were made until then, in Unix milliseconds, have come or never will.
    pub passed_unix_ms: u64,
    /// Blocks in the archive.
    pub archived_blocks: u64,
    /// The archive's size.
    pub archive_bytes: u64,
    /// Why the last pull failed; intake goes on trying.
    pub last_error: Option<String>,
}

/// Shows how intake stands; clones share it.
#[derive(Clone)]
pub struct ClickIngestHandle {
    status: watch::Receiver<ClickIngestStatus>,
}

impl ClickIngestHandle {
    /// How intake stands now.
    #[must_use]
    pub fn status(&self) -> ClickIngestStatus {
        self.status.borrow().clone()
    }

    /// Waits until something has changed; for ever when intake has ended.
    pub async fn changed(&mut self) {
        if self.status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Starts intake; it ends with `stop`.
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

/// Forgets all counts and counts the archive again; answers how many clicks it holds.
///
/// # Errors
/// When the store or the archive fails. The next start, or another rebuild, goes on from there.
pub async fn rebuild(store: Store, archive: Archive) -> Result<u64, ClickIngestError> {
    rebuild_with_progress(store, archive, |_| ()).await
}

/// The same, telling again and again how many more of the archive's blocks are counted.
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

/// Counts what is in the archive and not counted yet, as intake does when it begins.
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
    /// What is archived and counted; `None` after a failure, until the archive was looked at.
    cursor: Option<Cursor>,
    /// Whether the archive is known to be the one the counts were made from.
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

    /// Takes in one answer of the daemon.
    async fn pull(&mut self) -> Result<(), ClickIngestError> {
        // Only success puts it back: after a failure it is not known what the archive holds.
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

    /// The daemon gave all that it had: what was made long enough before has come. A daemon that has
    /// just begun may still be busy with what an earlier run left.
    fn advance_passed_time(&mut self, began_ms: u64) {
        let steady_since_ms = *self.steady_since_ms.get_or_insert(began_ms);
        let passed = began_ms.saturating_sub(SETTLED_AFTER_MS);
        if passed >= steady_since_ms {
            self.counter.update(|status| status.passed_unix_ms = status.passed_unix_ms.max(passed));
        }
    }

    /// Goes on judging the archive by the list of bots that is wanted; answers whether there is more.
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

    /// Archives and counts what is new.
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
        let append = move |archive: &Archive| {
            let mut batch = Batch::after(cursor, classifier);
            let (new, refused) = batch.add_new(&answer.blocks);
            batch.assign_frames(archive.append(&new)?.start);
            Ok((batch, refused))
        };
        let (batch, refused) = self.counter.archive().on_disk(append).await?;
        if batch.is_empty() && refused.is_none() {
            // A daemon that repeats itself must not be asked in a tight loop.
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
