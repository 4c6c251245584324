//! Jobs: bulk work on coupon codes in slices, so that single edits go on between two slices.
//!
//! Invariants:
//! - One job runs at a time, in the order of the requests.
//! - A slice is one transaction: coupon codes, replaced values, cursor and counts commit together.
//!   After a crash the next start goes on behind the last committed slice.
//! - A slice has at most [`MAX_ROWS`] rows, except for a code with more rows, and fewer if these
//!   take longer than [`SLICE_TIME`].
//! - A job stops between two slices only.
//! - A revert gives values back only to rows that have not changed since the job.
//! - Slices leave the disk's reserve free; a job waits while it is low.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::disk::{Disk, LowDiskSpace};
use crate::publish::PublisherHandle;
use crate::store::coupon_codes::slice::{ChosenSlice, next_chosen};
use crate::store::jobs::{self as rows, Job, JobState};
use crate::store::origin::{self, Origin};
use crate::store::{ReadTx, Store, StoreError, WriteTx};
use crate::worker::{self, RetryDelays, Worker};

mod slices;

#[cfg(test)]
mod tests;

/// Most rows of a slice.
const MAX_ROWS: usize = 20_000;
/// Rows of the first slice after a start.
const FIRST_ROWS: usize = 500;
/// Wanted time of a slice: a single edit waits at most about twice as long.
const SLICE_TIME: Duration = Duration::from_millis(60);
/// Disk space of the largest slice: changed pages in the write-ahead log.
const SLICE_BYTES: u64 = 128 << 20;
/// Time between two looks for work that nobody announced.
const POLL: Duration = Duration::from_secs(1);
/// Time between two removals of old jobs.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(60);
/// Attempts at a slice before its job fails. A busy store and a full disk do not count.
const MAX_ATTEMPTS: u32 = 5;

/// Reasons why a slice was not done.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    LowDiskSpace(#[from] LowDiskSpace),
}

impl JobError {
    /// Whether the slice can succeed later without a change of the job.
    fn passes_by_itself(&self) -> bool {
        matches!(
            self,
            JobError::LowDiskSpace(_) | JobError::Store(StoreError::Busy | StoreError::Full)
        )
    }
}

/// Announces jobs to the worker, and shows why the present one waits. Clones share it.
#[derive(Clone, Default)]
pub struct JobsHandle {
    requested: Arc<Notify>,
    problem: Arc<Mutex<Option<String>>>,
}

impl JobsHandle {
    /// Announces a new job, a stop or a revert.
    pub fn wake(&self) {
        self.requested.notify_one();
    }

    /// Why the job whose turn it is cannot go on at present.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the worker, which goes on with unfinished jobs.
pub fn start(
    store: Store,
    publisher: PublisherHandle,
    disk: Disk,
    stop: CancellationToken,
) -> JobsHandle {
    let handle = JobsHandle::default();
    worker::spawn(JobWorker::new(store, publisher, disk, handle.clone()), stop);
    handle
}

struct JobWorker {
    store: Store,
    publisher: PublisherHandle,
    disk: Disk,
    handle: JobsHandle,
    /// Rows of the next slice.
    slice_rows: usize,
    /// Failed attempts at the same slice in a row.
    attempts: u32,
    next_removal: Instant,
    is_idle: bool,
}

impl Worker for JobWorker {
    const NAME: &'static str = "bulk jobs";
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: Duration::from_millis(500), longest: Duration::from_secs(15) };
    type Error = JobError;

    async fn step(&mut self) -> Result<(), JobError> {
        if Instant::now() >= self.next_removal {
            self.next_removal = Instant::now() + REMOVAL_INTERVAL;
            self.remove_old().await?;
        }
        let job = self.store.read(rows::next_unfinished).await?;
        self.is_idle = job.is_none();
        let Some(job) = job else { return Ok(()) };
        let id = job.id;
        let result = self.advance(job).await;
        self.attempts = match &result {
            Err(error) if !error.passes_by_itself() => self.attempts + 1,
            _ => 0,
        };
        match result {
            Err(error) if self.attempts >= MAX_ATTEMPTS => {
                self.attempts = 0;
                tracing::error!(job = id, %error, "job failed");
                let problem = error.to_string();
                self.store.write(move |tx| slices::fail(tx, id, &problem)).await?;
                Ok(())
            }
            result => result,
        }
    }

    async fn wait_for_work(&mut self) {
        if self.is_idle {
            self.wait_for_retry(POLL).await;
        }
    }

    /// Returns earlier when a job is announced.
    async fn wait_for_retry(&mut self, delay: Duration) {
        let _ = tokio::time::timeout(delay, self.handle.requested.notified()).await;
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        let mut problem = self.handle.problem.lock().unwrap_or_else(PoisonError::into_inner);
        *problem = failure.map(str::to_owned);
    }
}

impl JobWorker {
    fn new(store: Store, publisher: PublisherHandle, disk: Disk, handle: JobsHandle) -> JobWorker {
        JobWorker {
            store,
            publisher,
            disk,
            handle,
            slice_rows: FIRST_ROWS,
            attempts: 0,
            next_removal: Instant::now(),
            is_idle: false,
        }
    }

    /// Removes old and surplus jobs, with rests for other writes.
    async fn remove_old(&self) -> Result<(), StoreError> {
        loop {
            let began = Instant::now();
            if !self.store.write(rows::remove_some).await? {
                return Ok(());
            }
            tokio::time::sleep(began.elapsed()).await;
        }
    }

    /// Does one slice, or ends the job.
    async fn advance(&mut self, job: Job) -> Result<(), JobError> {
        self.disk.ensure_free(SLICE_BYTES)?;
        let (id, most) = (job.id, self.slice_rows);
        let origin = Origin::of_request(job.actor, job.request_id.clone());
        let planned = match job.state {
            JobState::Queued | JobState::Running => {
                Some(self.store.read(move |connection| plan(connection, &job, most)).await?)
            }
            _ => None,
        };
        let work = move |tx: &WriteTx<'_>| slices::advance(tx, id, planned, most);
        let began = Instant::now();
        let done = origin::scope(origin, self.store.write(work)).await?;
        if done.rows > 0 {
            self.publisher.changed();
            self.slice_rows = next_size(most, done.rows, began.elapsed());
        }
        if let Some(state) = done.ended {
            tracing::info!(job = id, state = state.as_str(), "job ended");
        }
        Ok(())
    }
}

/// Chooses the next rows outside of the write transaction, because a rare filter passes many rows.
fn plan(connection: &ReadTx<'_>, job: &Job, most: usize) -> Result<ChosenSlice, StoreError> {
    let chosen = slices::chosen(job)?;
    next_chosen(connection, &chosen, &job.cursor, job.last_id, most)
}

/// Rows of the next slice, so that it takes about [`SLICE_TIME`]; at most twice or a half of before.
fn next_size(most: usize, rows: usize, took: Duration) -> usize {
    let wanted = rows as f64 * SLICE_TIME.as_secs_f64() / took.as_secs_f64().max(0.000_001);
    (wanted as usize).clamp(most / 2, most * 2).clamp(100, MAX_ROWS)
}
