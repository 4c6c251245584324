//! Click ingest: fetches click blocks from the daemons into the archive, and counts each click once.
//!
//! For each daemon a task, the [`poller`], asks with a cursor: for each stream of that daemon the last
//! durable sequence. One task for all daemons, the [`committer`], takes the answers that have come
//! together, skips known blocks, and appends the rest to the archive; then one transaction of the
//! store records the frames, their rollups and the cursor. So the cursor, which acknowledges
//! clicks, is never ahead of the archive, and the counts are never ahead of the cursor.
//!
//! Every failure of the committer is repaired in one way: the task starts again by counting the
//! frames of the archive that the store does not know. The same happens after a crash, after a
//! restored store and, after deleting all counts, in a rebuild. A daemon that fails stops no other.
//!
//! Ingest refuses damaged blocks, blocks of an unknown version and blocks of another daemon's
//! stream: the daemon keeps such a block, and later blocks of the stream wait. Other streams go on.

mod address_watch;
mod answer_budget;
mod batch;
mod click_counter;
mod committer;
pub(crate) mod converted_visits;
mod poller;
mod reclassify;
mod replay;
mod stream_evidence;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, ArchiveError};
use crate::click_lookup::LookUpError;
use crate::daemon_client::DaemonError;
use crate::nodes::{AdmissionError, NodeRegistry, PassedTimes};
use crate::store::bot_list::{self, PendingWork};
use crate::store::{Store, StoreError};
use crate::worker;
use answer_budget::AnswerBudget;
use batch::BlockRefusal;
use click_counter::ClickCounter;
use committer::ClickCommitter;
use poller::ClickPoller;

/// Most bytes per answer. A transaction takes no further answer beyond.
const MAX_BYTES: usize = 4 << 20;
/// Answers that wait for the committer; a daemon has at most one under way.
const MAX_ARRIVING: usize = 1_024;
const SHORTEST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// Reasons for a failed pull.
#[derive(Debug, thiserror::Error)]
pub enum ClickIngestError {
    /// The daemon gave no blocks.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The daemon's answer is not used.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
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
    #[error(transparent)]
    Refused(#[from] BlockRefusal),
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
    /// All clicks before this time, in Unix milliseconds, have arrived or never will, except those of
    /// edges that have been silent for an hour.
    pub passed_unix_ms: u64,
    /// The same for each node.
    #[serde(skip)]
    pub(crate) passed: Arc<PassedTimes>,
    /// Transactions that counted clicks since the start of the program.
    pub commits: u64,
    /// Appends to the archive since the start of the program, each with one sync of the disk.
    pub archive_appends: u64,
    /// Blocks in the archive.
    pub archived_blocks: u64,
    /// Size of the archive.
    pub archive_bytes: u64,
    /// Error of the last pull; ingest goes on trying.
    pub last_error: Option<String>,
    /// Why the committer failed the last time.
    #[serde(skip)]
    pub(crate) commit_error: Option<String>,
}

impl ClickIngestStatus {
    /// Takes over the state of the daemons.
    fn show_daemons(&mut self, nodes: &NodeRegistry) {
        self.last_pull = nodes.earliest(|status| status.last_click_pull);
        self.passed_unix_ms = nodes.all_passed_ms();
        self.passed = nodes.passed_times();
        let failures = || nodes.join_failures(|status| status.click_error.as_ref());
        self.last_error = self.commit_error.clone().or_else(failures);
    }
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
    nodes: NodeRegistry,
    stop: CancellationToken,
) -> ClickIngestHandle {
    let counter = ClickCounter::new(store, archive);
    let handle = ClickIngestHandle { status: counter.subscribe() };
    let (answers, arriving) = mpsc::channel(MAX_ARRIVING);
    let committer = ClickCommitter::new(counter, nodes.clone(), arriving);
    let (acknowledged, status) = (committer.subscribe(), committer.status_sender());
    follow_daemons(&nodes, status.clone(), stop.clone());
    let (registry, budget) = (nodes.clone(), AnswerBudget::new());
    nodes.spawn_for_each(stop.clone(), move |daemon| {
        let (nodes, acknowledged) = (registry.clone(), acknowledged.clone());
        let poller =
            ClickPoller::new(daemon.clone(), nodes, acknowledged, status.clone(), budget.clone());
        poller.sending_to(answers.clone())
    });
    worker::spawn(committer, stop);
    handle
}

/// Shows a daemon that joined or left: sales wait for the clicks of the one, and no longer for those
/// of the other.
fn follow_daemons(
    nodes: &NodeRegistry,
    status: watch::Sender<ClickIngestStatus>,
    stop: CancellationToken,
) {
    let registry = nodes.clone();
    nodes.follow(stop, move |_| status.send_modify(|status| status.show_daemons(&registry)));
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

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
