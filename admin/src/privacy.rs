//! Removal of personal data: clicks and postbacks by age, addresses truncated to their network, and
//! everything personal of one click, address or email address on request.
//!
//! One task does all of it sequentially, and only this task rewrites the archive. It works in small
//! steps and rests after each for as long as the step took, so ingest and the API go on. Each step
//! may be the last before a crash: a pending change is recorded first, and repeating a step changes
//! nothing.
//!
//! Aggregates stay: counts, amounts, ids and codes are never touched. Because the counted data
//! change, a rebuild keeps the earlier days (see `click_archive`).
//!
//! Outside of its reach: clicks and postbacks that coupond has handed over and still keeps, for its
//! configured time; earlier backups; and data that left by a redirect, a partner postback or an
//! export.

mod erasure;
mod retention;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coupon_shared::removal_clock::{ClockReading, ClockState, RemovalClock};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, ArchiveError};
use crate::store::erasure::{self as jobs, Erasure, Selector, Stage};
use crate::store::{Store, StoreError, removal_clock};
use crate::worker::{self, RetryDelays, Worker};

/// Interval between checks for erasures requested by another process.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between checks for expired data, and for postbacks whose click has arrived.
const RETENTION_INTERVAL: Duration = Duration::from_secs(600);
const WAITING_INTERVAL: Duration = Duration::from_secs(30);
/// Interval between checks of the clock.
const CLOCK_INTERVAL: Duration = Duration::from_secs(60);
/// After a failure.
const BACK_OFF: Duration = Duration::from_secs(10);

/// Retention of personal data in days, 0 for ever; and the bound of the click archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Single clicks.
    pub click_days: u32,
    /// The log of postbacks.
    pub postback_days: u32,
    /// Complete addresses.
    pub address_days: u32,
    /// Most bytes of the click archive; 0 is no limit.
    pub archive_max_bytes: u64,
}

/// Copies outside of the reach of an erasure.
pub const UNREACHED_COPIES: [&str; 3] = [
    "coupond keeps what it has handed over, in case this store is restored from a backup: clicks for clicks.retention_days (30 unless configured otherwise), postbacks as its configuration says (7 days)",
    "backups made before keep it, and so do copies of the store in migration-copies; after restoring one, ask for the erasure again",
    "destination URLs, partner postbacks and exports have carried away what they were made of",
];

/// Normalises an email address for searching.
///
/// # Errors
/// Why it is none.
pub fn parse_email(text: &str) -> Result<String, &'static str> {
    let is_odd = |letter: char| letter.is_whitespace() || letter.is_control();
    match text.trim().split_once('@') {
        _ if text.len() > 320 => Err("has more than 320 bytes"),
        Some((name, domain))
            if !name.is_empty() && !domain.is_empty() && !text.trim().contains(is_odd) =>
        {
            Ok(text.trim().to_ascii_lowercase())
        }
        _ => Err("must be one email address, such as visitor@example.com"),
    }
}

/// Reasons for a failed removal.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// State of the removals.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct PrivacyStatus {
    /// Retention of clicks, in days; 0 is for ever.
    pub click_retention_days: u32,
    /// Retention of the postback log, in days; 0 is for ever.
    pub postback_retention_days: u32,
    /// Days until addresses are truncated; 0 is never.
    pub address_truncation_days: u32,
    /// Most bytes of the click archive; 0 is no limit.
    pub archive_max_bytes: u64,
    /// Clicks removed since the start of the program because the archive reached that bound.
    pub clicks_removed_for_room: u64,
    /// Clicks up to this time, in Unix milliseconds, were removed.
    pub clicks_removed_through_ms: Option<u64>,
    /// Clicks before the day after this time keep their counts in a rebuild.
    pub clicks_changed_through_ms: Option<u64>,
    /// Segments of the click archive that were removed, truncated or erased from since the start of
    /// the program.
    pub segments_done: u64,
    /// Pending erasures.
    pub erasures_unfinished: u64,
    /// End of the last check for expired data, in Unix seconds.
    pub last_pass: Option<i64>,
    /// Reason why nothing is removed by age now: the clock jumped, or has not been checked for a
    /// day.
    pub removal_waits: Option<String>,
    /// Whether the reason is a problem: the clock jumped.
    pub clock_has_jumped: bool,
    /// Error of the last step; the step is repeated.
    pub last_error: Option<String>,
}

/// Handle for requesting erasures and reading the state; clones share it.
#[derive(Clone)]
pub struct PrivacyHandle {
    status: watch::Receiver<PrivacyStatus>,
    asked: Arc<Notify>,
}

impl PrivacyHandle {
    /// The present state.
    #[must_use]
    pub fn status(&self) -> PrivacyStatus {
        self.status.borrow().clone()
    }

    /// Starts a requested erasure at once.
    pub fn wake(&self) {
        self.asked.notify_one();
    }
}

/// Starts the removal task; it ends with `stop`.
#[must_use]
pub fn start(
    store: Store,
    archive: Archive,
    periods: Periods,
    stop: CancellationToken,
) -> PrivacyHandle {
    let worker = PrivacyWorker::new(store, archive, periods);
    let handle = PrivacyHandle { status: worker.status.subscribe(), asked: Arc::default() };
    let asked = Arc::clone(&handle.asked);
    worker::spawn(PrivacySchedule::new(worker, asked), stop);
    handle
}

/// Erases while no coupon-admin runs.
///
/// # Errors
/// When the store or the archive fails; the next start goes on.
pub async fn erase_offline(
    store: Store,
    archive: Archive,
    selector: Selector,
    dry_run: bool,
) -> Result<Option<Erasure>, PrivacyError> {
    let worker = PrivacyWorker::new(
        store,
        archive,
        Periods { click_days: 0, postback_days: 0, address_days: 0, archive_max_bytes: 0 },
    );
    let id = worker.store.write(move |tx| jobs::request(tx, &selector, dry_run)).await?;
    worker.erase_all().await?;
    Ok(worker.store.read(move |connection| jobs::find(connection, id)).await?)
}

/// Resources of the removal task.
struct PrivacyWorker {
    store: Store,
    archive: Archive,
    periods: Periods,
    status: watch::Sender<PrivacyStatus>,
    /// `None` before the first check.
    clock: Mutex<Option<RemovalClock>>,
    began: Instant,
}

/// When the parts of the work are due.
struct PrivacySchedule {
    worker: PrivacyWorker,
    asked: Arc<Notify>,
    next_pass: Instant,
    next_waiting: Instant,
    next_clock: Instant,
}

impl PrivacySchedule {
    fn new(worker: PrivacyWorker, asked: Arc<Notify>) -> PrivacySchedule {
        let now = Instant::now();
        PrivacySchedule { worker, asked, next_pass: now, next_waiting: now, next_clock: now }
    }
}

impl Worker for PrivacySchedule {
    const NAME: &'static str = "erasure and retention";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(BACK_OFF);
    type Error = PrivacyError;

    async fn step(&mut self) -> Result<(), PrivacyError> {
        let now = Instant::now();
        let is_waiting_due = now >= self.next_waiting;
        if is_waiting_due {
            self.next_waiting = now + WAITING_INTERVAL;
        }
        self.worker.erase(is_waiting_due).await?;
        if now >= self.next_clock {
            self.next_clock = now + CLOCK_INTERVAL;
            self.worker.check_clock(self.worker.reading()).await?;
        }
        if now >= self.next_pass {
            self.next_pass = now + RETENTION_INTERVAL;
            self.worker.pass().await?;
        }
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        self.wait_for_retry(POLL_INTERVAL).await;
    }

    /// Returns earlier when an erasure is requested.
    async fn wait_for_retry(&mut self, delay: Duration) {
        let _ = tokio::time::timeout(delay, self.asked.notified()).await;
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        self.worker.update(|status| status.last_error = failure.map(str::to_owned));
    }
}

impl PrivacyWorker {
    fn new(store: Store, archive: Archive, periods: Periods) -> PrivacyWorker {
        let status = watch::Sender::new(PrivacyStatus {
            click_retention_days: periods.click_days,
            postback_retention_days: periods.postback_days,
            address_truncation_days: periods.address_days,
            archive_max_bytes: periods.archive_max_bytes,
            ..PrivacyStatus::default()
        });
        PrivacyWorker {
            store,
            archive,
            periods,
            status,
            clock: Mutex::default(),
            began: Instant::now(),
        }
    }

    fn update(&self, change: impl FnOnce(&mut PrivacyStatus)) {
        self.status.send_modify(change);
    }

    /// Continues all pending erasures as far as possible.
    async fn erase_all(&self) -> Result<(), PrivacyError> {
        self.erase(true).await
    }

    /// Continues erasures, oldest first; those that wait for clicks only if they are due.
    async fn erase(&self, is_waiting_due: bool) -> Result<(), PrivacyError> {
        let unfinished = self.store.read(jobs::unfinished).await?;
        self.update(|status| status.erasures_unfinished = unfinished.len() as u64);
        let mut left = unfinished.len() as u64;
        for job in unfinished {
            if is_waiting_due || job.found.waiting == 0 {
                let stage = erasure::resume(self, job).await?;
                left -= u64::from(stage == Stage::Done);
            }
        }
        self.update(|status| status.erasures_unfinished = left);
        self.show_archive().await
    }

    fn reading(&self) -> ClockReading {
        let unix_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        let running_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        ClockReading { unix_ms, running_ms }
    }

    /// Compares the clock with its last reading, and stores the result.
    async fn check_clock(&self, reading: ClockReading) -> Result<ClockState, PrivacyError> {
        let before = self.store.read(removal_clock::kept).await?;
        let kept = {
            let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            clock.get_or_insert_with(|| RemovalClock::new(before)).read(reading)
        };
        self.store.write(move |tx| removal_clock::keep(tx, kept)).await?;
        let refused = kept.removal_time().err();
        let had_jumped = self.status.borrow().clock_has_jumped;
        match refused {
            Some(refused) if refused.needs_attention() && !had_jumped => {
                tracing::warn!(problem = %refused, "removal for age has stopped");
            }
            None if had_jumped => {
                tracing::info!("removal for age goes on: the clock agrees with itself")
            }
            _ => {}
        }
        self.update(|status| {
            status.clock_has_jumped = refused.is_some_and(|refused| refused.needs_attention());
            status.removal_waits = refused.map(|refused| refused.to_string());
        });
        Ok(kept)
    }

    async fn pass(&self) -> Result<(), PrivacyError> {
        let kept = self.check_clock(self.reading()).await?;
        retention::pass(self, jiff::Timestamp::now(), kept.removal_time().ok()).await?;
        self.update(|status| status.last_pass = Some(jiff::Timestamp::now().as_second()));
        self.show_archive().await
    }

    async fn show_archive(&self) -> Result<(), PrivacyError> {
        let state = self.store.read(crate::store::click_archive::state).await?;
        let some = |ms: u64| (ms > 0).then_some(ms);
        self.update(|status| {
            status.clicks_removed_through_ms = some(state.removed_through_ms);
            status.clicks_changed_through_ms = some(state.changed_through_ms);
        });
        Ok(())
    }

    /// Works on the archive's files, then rests for the same time.
    async fn on_disk_with_rest<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let began = Instant::now();
        let done = self.archive.on_disk(work).await;
        tokio::time::sleep(began.elapsed()).await;
        done
    }

    fn segment_done(&self) {
        self.update(|status| status.segments_done += 1);
    }
}
