//! Clicks, from the serving thread to the admin: ring, WAL, store, feed.
//!
//! A click is *logged* once its record is in the serving thread's ring: from then on the click
//! survives the process. A click is *durable* once the click-log thread has appended and synced its
//! record to the WAL, at the latest one commit interval later. The store thread copies the WAL into
//! sled, and the admin pulls blocks over the feed; a WAL segment is removed when both have its
//! blocks. A click that finds no room in its ring is *unlogged*. Unlogged clicks are counted in
//! memory that survives the process, too, so that answered = logged + unlogged at any instant.
//!
//! A serving thread never waits here: recording a click needs no system call, no lock and no
//! allocation. With `clicks.durable`, the serving thread is notified of commits and holds answers
//! back until then; it serves other visitors meanwhile. Faults behind the ring (a full disk, a
//! damaged file, an admin away for days) raise an alert and are retried until they end.

mod alert_kind;
mod durability;
mod earlier_clicks;
mod feed;
mod incarnation;
mod log_state;
mod ring;
mod run_ids;
mod store;
mod stored_clicks;
#[cfg(test)]
mod tests;
mod unlogged;
mod wal;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coupon_shared::click::StreamId;
use coupon_shared::node_identity::{self, NodeIdentity};
use hyper::Request;
use hyper::body::{Body, Bytes};
use tokio_util::sync::CancellationToken;

use crate::config::{ClickLogConfig, Config};
use crate::http_answer::HttpAnswer;
use crate::removal_clock::RemovalClock;
use alert_kind::AlertKind;
use feed::Feed;
use log_state::{LogState, Phase};
use ring::{MIN_CAPACITY, RingGauge, RingReader};
use run_ids::NotedRuns;
use store::{StoreBounds, StoreSetup};
use unlogged::UnloggedLedger;
use wal::WalSetup;

pub use durability::Durability;
pub use incarnation::IdentityError;
pub use ring::{Recorded, RingWriter};

/// Errors that keep the click log from starting.
#[derive(Debug, thiserror::Error)]
pub enum ClickLogError {
    /// The data folder has no usable identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A file or folder cannot be created or read.
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A thread cannot be started.
    #[error("cannot start a thread of the click log: {0}")]
    Thread(io::Error),
}

/// Clicks that stay in the rings at shutdown; the next start makes them durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} clicks wait in the rings for the next start")]
pub struct NotDrained {
    pub waiting: u64,
}

/// Counts of the click log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickLogStatus {
    /// Clicks of this run that are logged.
    pub logged: u64,
    /// Clicks of this run that found no room in their ring.
    pub unlogged: u64,
    /// The same of earlier runs over this data folder.
    pub unlogged_before: u64,
    /// Clicks of this run that are durable.
    pub durable: u64,
    /// Clicks lost to damage since the start.
    pub damaged: u64,
    /// Whether the WAL is open.
    pub wal_is_open: bool,
    pub wal_bytes: u64,
    /// Bytes cut off a torn tail at the opening of the WAL.
    pub torn_bytes_cut: u64,
    /// Blocks in the WAL that the click store has not synced yet.
    pub store_lag_blocks: u64,
    /// Blocks in the WAL that the admin has not acknowledged.
    pub feed_lag_blocks: u64,
    /// Whether the click store is open and has caught up.
    pub store_is_open: bool,
    /// Bytes of the click store on its disk, and the most that it may take; 0 is no limit.
    pub store_bytes: u64,
    pub store_max_bytes: u64,
    /// Whether the click store does not grow, because it exceeds a bound.
    pub store_is_paused: bool,
    /// Blocks that the click store left out, and days that it removed, to keep within its bounds,
    /// since the start.
    pub store_blocks_passed_over: u64,
    pub store_days_removed: u64,
    /// Folders of the click store set aside since the start.
    pub store_folders_set_aside: u64,
    /// Most bytes of the WAL.
    pub wal_max_bytes: u64,
    /// Milliseconds since the last commit to the WAL.
    pub commit_age_ms: Option<u64>,
    /// Milliseconds since the admin's last poll.
    pub poll_age_ms: Option<u64>,
}

/// The click log of a running daemon.
///
/// Dropping it stops its threads without a drain: clicks stay in their rings for the next start.
#[derive(Debug)]
pub struct ClickLog {
    identity: NodeIdentity,
    unlogged_before: u64,
    gauges: Vec<RingGauge>,
    state: Arc<LogState>,
    feed: Arc<Feed>,
    removal_clock: Arc<RemovalClock>,
    limits: ClickLogConfig,
    started: Instant,
    threads: Mutex<Threads>,
}

#[derive(Debug, Default)]
struct Threads {
    click_log: Option<JoinHandle<bool>>,
    store: Option<JoinHandle<()>>,
}

impl ClickLog {
    /// Starts a new run: takes the next incarnation and creates a ring for each serving thread.
    /// Threads open the WAL and the store in the background, however long that takes.
    pub fn start(config: &Config) -> Result<(ClickLog, Vec<RingWriter>), ClickLogError> {
        for folder in [&config.data_dir, &config.runtime_dir] {
            std::fs::create_dir_all(folder).map_err(file_error(folder))?;
        }
        let store = incarnation::store_id(&config.data_dir)?;
        let former_nodes = incarnation::former_nodes(&config.data_dir, config.node_id)?;
        let mut runs = NotedRuns::read(&config.data_dir)?;
        let of_rings = ring::read_run_ids(&config.runtime_dir, store);
        runs.take_over(of_rings.map_err(file_error(&config.runtime_dir))?);
        let incarnation = next_incarnation(config, &runs)?;
        // Before the rings exist, so that no click is without the id of its run.
        let run = runs.begin_run(incarnation)?;
        let identity = NodeIdentity {
            node: config.node_id,
            incarnation,
            run,
            store: node_identity::StoreId(store),
            former_nodes,
        };
        let ledger = UnloggedLedger::open(&config.data_dir)
            .map_err(file_error(&config.data_dir.join("unlogged")))?;
        let unlogged_before = ledger.total();
        let removal_clock =
            RemovalClock::open(&config.data_dir).map_err(file_error(&config.data_dir))?;
        let removal_clock = Arc::new(removal_clock);
        // Without waiting threads a commit notifies nobody.
        let awaiting = if config.clicks.durable { config.threads } else { 0 };
        let state = Arc::new(LogState::with_awaiting_threads(awaiting));
        let (writers, readers) = create_rings(config, &identity, &state)?;

        let gauges = readers.iter().map(RingReader::gauge).collect();
        let (history, questions) = mpsc::channel();
        let feed = Arc::new(Feed::new(state.clone(), history, incarnation, runs.into_runs()));
        let wal = WalSetup {
            folder: config.data_dir.join("wal"),
            runtime_dir: config.runtime_dir.clone(),
            store,
            segment_bytes: config.clicks.wal_segment_bytes.min(config.clicks.wal_max_bytes / 4),
            max_bytes: config.clicks.wal_max_bytes,
            commit_interval: config.clicks.commit_interval,
            commit_bytes: config.clicks.commit_bytes as u64,
            rings: readers,
            ledger,
            state: state.clone(),
        };
        let store = StoreSetup {
            folder: config.data_dir.join("clicks"),
            cache_bytes: config.clicks.sled_cache_bytes,
            retention_days: config.clicks.retention_days,
            bounds: StoreBounds {
                max_bytes: config.clicks.store_max_bytes,
                reserve_bytes: config.clicks.disk_reserve_bytes,
            },
            removal_clock: Arc::clone(&removal_clock),
            state: state.clone(),
            questions,
        };
        let log = ClickLog {
            identity,
            unlogged_before,
            gauges,
            state,
            feed,
            removal_clock,
            limits: config.clicks.clone(),
            started: Instant::now(),
            threads: Mutex::default(),
        };
        log.start_threads(wal, store).map_err(ClickLogError::Thread)?;
        Ok((log, writers))
    }

    fn start_threads(&self, wal: WalSetup, store: StoreSetup) -> io::Result<()> {
        let mut threads = self.threads();
        let click_log = thread::Builder::new().name("click-log".into());
        threads.click_log = Some(click_log.spawn(move || wal::run(wal))?);
        let click_store = thread::Builder::new().name("click-store".into());
        threads.store = Some(click_store.spawn(move || store::run(store))?);
        Ok(())
    }

    /// The serving thread's view of commits; `None` unless answers wait for durable clicks.
    pub fn durability(&self, thread: usize) -> Option<Durability> {
        let commits = &self.state.commits;
        let gauge = self.gauges.get(thread).filter(|_| commits.is_awaited())?;
        Some(Durability::new(gauge.clone(), Arc::clone(commits), thread))
    }

    /// The number of this run.
    pub fn incarnation(&self) -> u32 {
        self.identity.incarnation
    }

    /// Node, run and data folder of the clicks.
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// The oldest incarnation that an answer of the feed can hold; 0 while that is unknown.
    pub(crate) fn oldest_incarnation(&self) -> u32 {
        self.feed.oldest_incarnation()
    }

    /// The clock by which old clicks and postbacks are removed.
    pub fn removal_clock(&self) -> Arc<RemovalClock> {
        Arc::clone(&self.removal_clock)
    }

    /// The texts of the active alerts.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.state.alerts.texts();
        problems.extend(self.removal_clock.problem());
        problems.extend(self.admin_silence());
        let threads = self.threads();
        let died = |is_over: Option<bool>| is_over == Some(true);
        if self.state.phase() == Phase::Running
            && (died(threads.click_log.as_ref().map(JoinHandle::is_finished))
                || died(threads.store.as_ref().map(JoinHandle::is_finished)))
        {
            let problem = "a thread of the click log has died: restart coupond; no click in the rings is lost";
            problems.push(problem.to_owned());
        }
        problems
    }

    /// A problem if the admin has not polled for long: clicks and sales then wait here.
    fn admin_silence(&self) -> Option<String> {
        let longest = self.limits.admin_silence_minutes;
        let silence_ms = self.state.last_poll.age_ms();
        let silence_ms = silence_ms.unwrap_or(self.started.elapsed().as_millis() as u64);
        let minutes = silence_ms / 60_000;
        (longest > 0 && minutes >= u64::from(longest)).then(|| {
            format!(
                "coupon-admin has fetched no clicks for {minutes} minutes: start it, or look into its \
                 log; redirects go on, and clicks wait here"
            )
        })
    }

    pub fn status(&self) -> ClickLogStatus {
        let state = &self.state;
        let sum = |count: fn(&RingGauge) -> u64| self.gauges.iter().map(count).sum::<u64>();
        let committed = state.committed();
        let lag_behind =
            |place: u64| if committed == 0 { 0 } else { committed.saturating_sub(place) };
        ClickLogStatus {
            logged: sum(RingGauge::logged),
            unlogged: sum(RingGauge::unlogged),
            unlogged_before: self.unlogged_before,
            durable: sum(RingGauge::durable),
            damaged: state.damaged_records.load(Ordering::Acquire),
            wal_is_open: committed > 0,
            wal_bytes: state.wal_bytes.load(Ordering::Acquire),
            torn_bytes_cut: state.torn_bytes_cut.load(Ordering::Acquire),
            store_lag_blocks: lag_behind(state.synced.load(Ordering::Acquire)),
            feed_lag_blocks: lag_behind(state.acknowledged.load(Ordering::Acquire)),
            store_is_open: state.stored().is_known,
            store_bytes: state.store_bytes.load(Ordering::Acquire),
            store_max_bytes: self.limits.store_max_bytes,
            store_is_paused: state.store_is_paused.load(Ordering::Acquire),
            store_blocks_passed_over: state.store_passed_over.load(Ordering::Acquire),
            store_days_removed: state.store_days_removed.load(Ordering::Acquire),
            store_folders_set_aside: state.folders_set_aside.load(Ordering::Acquire),
            wal_max_bytes: self.limits.wal_max_bytes,
            commit_age_ms: state.last_commit.age_ms(),
            poll_age_ms: state.last_poll.age_ms(),
        }
    }

    /// Metrics: name, help text, value.
    pub fn gauges(&self) -> Vec<(&'static str, &'static str, u64)> {
        let status = self.status();
        vec![
            ("clicks_durable", "Clicks of this run that are durable", status.durable),
            (
                "clicks_unlogged_before",
                "Clicks of earlier runs that were not logged",
                status.unlogged_before,
            ),
            ("clicks_damaged", "Clicks lost to damage since the start", status.damaged),
            ("click_wal_open", "Whether the click WAL takes clicks", status.wal_is_open.into()),
            ("click_wal_bytes", "Bytes of the click WAL", status.wal_bytes),
            (
                "click_wal_torn_bytes",
                "Bytes cut off a torn tail at the start",
                status.torn_bytes_cut,
            ),
            ("click_store_open", "Whether the click store keeps up", status.store_is_open.into()),
            (
                "click_store_lag_blocks",
                "Blocks not in the click store yet",
                status.store_lag_blocks,
            ),
            ("click_store_bytes", "Bytes of the click store on its disk", status.store_bytes),
            (
                "click_store_paused",
                "Whether the click store does not grow, because of clicks.store_max_bytes or \
                 clicks.disk_reserve_bytes",
                status.store_is_paused.into(),
            ),
            (
                "click_store_folders_set_aside",
                "Damaged folders of the click store since the start",
                status.store_folders_set_aside,
            ),
            ("click_feed_lag_blocks", "Blocks not at the admin yet", status.feed_lag_blocks),
        ]
    }

    /// Answers `POST /clicks/feed`.
    pub async fn feed<B>(&self, request: Request<B>, stopping: CancellationToken) -> HttpAnswer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        feed::route::answer(Arc::clone(&self.feed), request, stopping).await
    }

    /// Makes every click durable and removes the rings. Call it after the serving threads have
    /// ended and dropped their writers: a ring with a living writer stays.
    pub fn shutdown(&self, deadline: Duration) -> Result<(), NotDrained> {
        let deadline = Instant::now() + deadline;
        self.state.request_shutdown(Phase::Draining);
        let mut threads = std::mem::take(&mut *self.threads());
        let is_durable = threads.click_log.take_if(|thread| ends_before(thread, deadline));
        let is_durable = is_durable.is_some_and(|thread| thread.join().unwrap_or(false));
        drop(threads.store.take_if(|thread| ends_before(thread, deadline)));
        self.state.request_shutdown(Phase::Abandoned);
        // A thread that has not ended by now hangs in a system call; the process exits without it.
        let last_moment = Instant::now() + Duration::from_millis(500);
        drop(threads.click_log.take_if(|thread| ends_before(thread, last_moment)));
        drop(threads.store.take_if(|thread| ends_before(thread, last_moment)));
        if is_durable {
            return Ok(());
        }
        let status = self.status();
        Err(NotDrained { waiting: status.logged.saturating_sub(status.durable) })
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClickLog {
    fn drop(&mut self) {
        self.state.request_shutdown(Phase::Abandoned);
        let threads = std::mem::take(&mut *self.threads());
        if let Some(thread) = threads.click_log {
            thread.thread().unpark();
            // The result of a thread that panicked is ignored.
            drop(thread.join());
        }
        if let Some(thread) = threads.store {
            drop(thread.join());
        }
    }
}

/// Skips numbers that rings in the runtime folder have: another data folder may have used them.
fn next_incarnation(config: &Config, runs: &NotedRuns) -> Result<u32, ClickLogError> {
    // At least the time, so that a new data folder does not repeat the numbers of a lost one.
    let at_least = unix_seconds().max(runs.next_incarnation());
    loop {
        let incarnation = incarnation::next_incarnation(&config.data_dir, at_least)?;
        let is_used = ring::is_used(&config.runtime_dir, incarnation);
        if !is_used.map_err(file_error(&config.runtime_dir))? {
            return Ok(incarnation);
        }
    }
}

/// Creates rings of the configured size, or smaller if the runtime folder lacks room: after a kill
/// it still holds the rings of the previous run, and only a running daemon empties them.
fn create_rings(
    config: &Config,
    identity: &NodeIdentity,
    state: &LogState,
) -> Result<(Vec<RingWriter>, Vec<RingReader>), ClickLogError> {
    let wanted = config.clicks.ring_bytes;
    let mut bytes = wanted;
    let rings = loop {
        match create_rings_of(bytes, config, identity) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && bytes > MIN_CAPACITY => {
                // Smaller rings are better than no redirects; an alert says so.
                bytes /= 2;
            }
            rings => break rings.map_err(file_error(&config.runtime_dir))?,
        }
    };
    if bytes < wanted {
        let text = format!(
            "click rings have {bytes} bytes instead of {wanted}, because {} is full: free some space \
             there, then restart coupond",
            config.runtime_dir.display()
        );
        state.alerts.raise(AlertKind::SmallRings, text);
    }
    Ok(rings.into_iter().unzip())
}

/// Creates all rings or none.
fn create_rings_of(
    bytes: usize,
    config: &Config,
    identity: &NodeIdentity,
) -> io::Result<Vec<(RingWriter, RingReader)>> {
    let NodeIdentity { node, incarnation, run, store, .. } = *identity;
    let mut rings: Vec<(RingWriter, RingReader)> = Vec::with_capacity(config.threads);
    for thread in 0..config.threads as u8 {
        let stream = StreamId { node, incarnation, thread };
        match ring::create(&config.runtime_dir, store.0, stream, run, bytes) {
            Ok(ring) => rings.push(ring),
            Err(error) => {
                for (_, reader) in &rings {
                    std::fs::remove_file(reader.path())?;
                }
                return Err(error);
            }
        }
    }
    Ok(rings)
}

fn ends_before<T>(thread: &JoinHandle<T>, deadline: Instant) -> bool {
    while !thread.is_finished() && Instant::now() < deadline {
        thread.thread().unpark();
        thread::sleep(Duration::from_millis(2));
    }
    thread.is_finished()
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> ClickLogError {
    let path = path.to_owned();
    move |source| ClickLogError::File { path, source }
}

fn unix_seconds() -> u64 {
    // A clock before 1970 counts as 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
