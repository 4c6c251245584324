//! The way of a postback, from the advertiser to the admin and back: receiver, spool, feed,
//! verdict, answer.
//!
//! A postback is *kept* when the spool thread has appended it durably. Then the admin gets it over
//! the feed, and its verdict is the advertiser's answer; where none comes in time, or nobody can
//! wait any more, the answer is `queued` and the same feed delivers the postback later.
//!
//! Invariants
//! - What is answered with 200 is kept, and stays until the admin has acknowledged it.
//! - Whatever goes wrong here never touches a redirect: serving threads only wait for messages.
//! - Everything is bounded: the bytes in hand before they are durable ([`MemoryBudget`]), the queue to the
//!   spool, the requests that wait for verdicts, the spool's bytes. Beyond the first, second and
//!   last the advertiser is told to come again; beyond the third the answer is `queued` at once.
//! - What a stranger can make us keep is bounded for each address, and nothing of it is kept when the
//!   disk is nearly full.
//!
//! Deliberately absent: any change of what a postback says. Query and body are kept raw, because a
//! signature may cover them; `identification` only looks whether they name something.

mod byte_budget;
mod identification;
mod memory_budget;
mod receiver;

mod spool;
mod spool_id;

mod feed;
mod pending_verdicts;

mod answer;
mod counters;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coupon_serve::Limits;
use coupon_shared::framed_log::FrameReader;
use coupon_shared::postback::SpoolId;
use hyper::Request;
use hyper::body::{Body, Bytes};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::active_alerts::ActiveAlerts;
use crate::config::Config;
use crate::control;
use crate::live_index::LiveIndex;
use crate::removal_clock::RemovalClock;
use byte_budget::ByteBudgets;
use counters::PostbackCounters;
use feed::Feed;
use memory_budget::MemoryBudget;
use pending_verdicts::PendingVerdicts;
use spool::SpoolSetup;

pub use receiver::PostbackReceiver;

/// Postbacks on their way to the spool thread; their bytes are bounded by [`MemoryBudget`].
const QUEUE: usize = 8192;
/// What the admin keeps of a postback that identifies nothing, and more than a sale needs.
const UNIDENTIFIED_BYTES: usize = 2 << 10;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AlertKind {
    Spool,
    SetAside,
    Damage,
    Removal,
    Disk,
}

/// What the spool thread, the feed and the receptions tell each other.
#[derive(Debug)]
struct Shared {
    spool: OnceLock<OpenSpool>,
    /// The next sequence of the spool; 0 while it is not open.
    committed: watch::Sender<u64>,
    /// The last sequence that the admin said it has decided.
    acknowledged: AtomicU64,
    spool_bytes: AtomicU64,
    torn_bytes_cut: AtomicU64,
    counters: PostbackCounters,
    memory: Arc<MemoryBudget>,
    byte_budgets: ByteBudgets,
    /// Less is free on the spool's disk than its reserve.
    is_disk_low: AtomicBool,
    waiting: Arc<PendingVerdicts>,
    alerts: ActiveAlerts<AlertKind>,
}

/// A spool that takes postbacks.
#[derive(Debug)]
struct OpenSpool {
    id: Mutex<SpoolId>,
    /// At its beginning.
    reader: FrameReader,
}

impl Shared {
    fn new(max_waiting: usize, unidentified_bytes_per_minute: u64) -> Shared {
        Shared {
            spool: OnceLock::new(),
            committed: watch::Sender::new(0),
            acknowledged: AtomicU64::new(0),
            spool_bytes: AtomicU64::new(0),
            torn_bytes_cut: AtomicU64::new(0),
            counters: PostbackCounters::default(),
            memory: Arc::default(),
            byte_budgets: ByteBudgets::new(unidentified_bytes_per_minute),
            is_disk_low: AtomicBool::new(false),
            waiting: Arc::new(PendingVerdicts::new(max_waiting)),
            alerts: ActiveAlerts::new("postbacks"),
        }
    }

    fn committed(&self) -> u64 {
        *self.committed.borrow()
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }
}

/// Counts and places of the postbacks at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostbackStatus {
    /// Whether the spool is open.
    pub spool_is_open: bool,
    /// Bytes of the spool.
    pub spool_bytes: u64,
    /// Bytes cut off a torn tail at the start.
    pub torn_bytes_cut: u64,
    /// Postbacks of this run that are kept.
    pub received: u64,
    /// Requests of this run that were refused, by status.
    pub refused: Vec<(u16, u64)>,
    /// Answers of this run, by verdict.
    pub answered: Vec<(&'static str, u64)>,
    /// Requests that wait for a verdict.
    pub waiting: u64,
    /// Postbacks in the spool, of this run and earlier ones, that the admin has decided.
    pub acknowledged: u64,
    /// Postbacks in the spool that it has not.
    pub unacknowledged: u64,
    /// Less is free on the disk than the reserve.
    pub is_disk_low: bool,
}

/// The postbacks of a running daemon. The spool thread ends when the last [`PostbackReceiver`] is dropped.
#[derive(Debug)]
pub struct Postbacks {
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Postbacks {
    /// Starts the spool's thread, which opens the spool, however long that takes.
    pub fn start(
        config: &Config,
        removal_clock: Arc<RemovalClock>,
        index: LiveIndex,
        limits: watch::Receiver<Limits>,
        shutdown: CancellationToken,
    ) -> io::Result<(Postbacks, PostbackReceiver)> {
        // Whoever waits holds a connection, and visitors need some too.
        let half = limits.borrow().max_connections * config.threads / 2;
        let shared = Arc::new(Shared::new(
            config.postbacks.max_waiting.min(half),
            config.postbacks.unidentified_bytes_per_minute,
        ));
        let (queue, incoming) = mpsc::sync_channel(QUEUE);
        let folder = config.data_dir.join("postbacks");
        let setup = SpoolSetup {
            folder: folder.clone(),
            keep: Duration::from_secs(u64::from(config.postbacks.keep_days) * 24 * 3600),
            removal_clock,
            max_bytes: config.postbacks.max_bytes,
            disk_reserve_bytes: config.postbacks.disk_reserve_bytes,
            incoming,
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new().name("postbacks".into());
        let thread = thread.spawn(move || spool::run(setup))?;
        let receiver = PostbackReceiver::new(
            Arc::clone(&shared),
            queue,
            config.node_id,
            index,
            limits,
            shutdown,
        );
        let feed = Arc::new(Feed::new(Arc::clone(&shared), folder));
        Ok((Postbacks { shared, feed, thread: Mutex::new(Some(thread)) }, receiver))
    }

    /// What is wrong now.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.shared.alerts.texts();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.as_ref().is_some_and(JoinHandle::is_finished) {
            problems.push("the thread that keeps postbacks has ended: restart coupond".to_owned());
        }
        problems
    }

    /// Counts and places now.
    pub fn status(&self) -> PostbackStatus {
        let shared = &self.shared;
        let committed = shared.committed();
        let last = committed.saturating_sub(1);
        let oldest = self.feed.oldest().unwrap_or(1);
        let acknowledged = shared.acknowledged().min(last);
        PostbackStatus {
            spool_is_open: committed > 0,
            spool_bytes: shared.spool_bytes.load(Ordering::Acquire),
            torn_bytes_cut: shared.torn_bytes_cut.load(Ordering::Acquire),
            received: shared.counters.received(),
            refused: shared.counters.refused(),
            answered: shared.counters.answered(),
            waiting: shared.waiting.count() as u64,
            acknowledged: (acknowledged + 1).saturating_sub(oldest),
            unacknowledged: last - acknowledged.max(oldest.saturating_sub(1)).min(last),
            is_disk_low: shared.is_disk_low.load(Ordering::Acquire),
        }
    }

    /// Answers `POST /postbacks/feed`.
    pub async fn feed<B>(&self, request: Request<B>) -> control::Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        feed::answer(Arc::clone(&self.feed), request).await
    }

    /// Waits until the spool thread has ended. Call it when the serving threads have, whose
    /// receptions keep it going; nobody waits for an answer then.
    pub fn shutdown(&self, deadline: Duration) {
        let deadline = Instant::now() + deadline;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        if !thread.is_finished() {
            tracing::warn!("the spool hangs in a system call; going without it");
        }
    }
}
