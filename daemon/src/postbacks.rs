//! Postbacks, from the advertiser to the admin and back: receiver, spool, feed, verdict, answer.
//!
//! A postback is *kept* once the spool thread has appended it durably. The feed then delivers the
//! postback to the admin, and the admin's verdict becomes the answer to the advertiser. If no
//! verdict comes in time, or too many requests wait already, the answer is `queued`, and the feed
//! delivers the postback later.
//!
//! Invariants
//! - A postback answered with 200 is kept, and stays until the admin has acknowledged it.
//! - No fault here affects a redirect: serving threads only wait for messages.
//! - Everything is bounded: the bytes of postbacks on their way to the disk ([`memory_budget`]),
//!   the queue to the spool, the requests waiting for verdicts, the spool's bytes. Above the first,
//!   second and last bound the advertiser is told to retry; above the third the answer is `queued`
//!   at once.
//! - The bytes kept for an unidentified sender are bounded for each address; no such byte is kept
//!   while the disk is nearly full.
//!
//! Deliberately absent: any change to a postback's contents. Query and body are kept raw, because a
//! signature may cover them; `identification` only looks for a known code, click or partner.

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
mod state;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use coupon_serve::Limits;
use hyper::Request;
use hyper::body::{Body, Bytes};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::http_answer::HttpAnswer;
use crate::live_index::LiveIndex;
use crate::removal_clock::RemovalClock;
use feed::Feed;
use spool::SpoolSetup;
use state::PostbackState;

pub use receiver::PostbackReceiver;

/// Postbacks on their way to the spool thread; [`memory_budget`] bounds their bytes.
const QUEUE: usize = 8192;

/// Counts of the postbacks at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostbackStatus {
    /// Whether the spool is open.
    pub spool_is_open: bool,
    pub spool_bytes: u64,
    /// Bytes cut off a torn tail at the opening of the spool.
    pub torn_bytes_cut: u64,
    /// Postbacks kept by this run.
    pub received: u64,
    /// Requests of this run that were refused, by status.
    pub refused: Vec<(u16, u64)>,
    /// Number of refusals in this run, by status.
    pub answered: Vec<(&'static str, u64)>,
    /// Requests that wait for a verdict.
    pub waiting: u64,
    /// Requests waiting for a verdict.
    pub acknowledged: u64,
    /// Postbacks in the spool that the admin has not decided.
    pub unacknowledged: u64,
    /// Whether less is free on the disk than the reserve.
    pub is_disk_low: bool,
    /// Milliseconds since the admin's last poll.
    pub poll_age_ms: Option<u64>,
    /// Most bytes of the spool.
    pub max_bytes: u64,
    /// Most requests that may wait for a verdict.
    pub max_waiting: u64,
}

/// The postbacks of a running daemon. The spool thread ends when the last [`PostbackReceiver`] is
/// dropped.
#[derive(Debug)]
pub struct Postbacks {
    shared: Arc<PostbackState>,
    feed: Arc<Feed>,
    thread: Mutex<Option<JoinHandle<()>>>,
    max_bytes: u64,
}

impl Postbacks {
    /// Starts the spool's thread, which opens the spool in the background, however long that takes.
    pub fn start(
        config: &Config,
        removal_clock: Arc<RemovalClock>,
        index: LiveIndex,
        limits: watch::Receiver<Limits>,
        shutdown: CancellationToken,
    ) -> io::Result<(Postbacks, PostbackReceiver)> {
        // Each waiting request holds a connection, and visitors need some too.
        let half = limits.borrow().max_connections * config.threads / 2;
        let shared = Arc::new(PostbackState::new(
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
        let receiver =
            PostbackReceiver::new(Arc::clone(&shared), queue, config, index, limits, shutdown);
        let feed = Arc::new(Feed::new(Arc::clone(&shared), folder));
        let max_bytes = config.postbacks.max_bytes;
        Ok((Postbacks { shared, feed, thread: Mutex::new(Some(thread)), max_bytes }, receiver))
    }

    /// The texts of the active alerts.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.shared.alerts.texts();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.as_ref().is_some_and(JoinHandle::is_finished) {
            problems.push("the thread that keeps postbacks has ended: restart coupond".to_owned());
        }
        problems
    }

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
            poll_age_ms: shared.last_poll.age_ms(),
            max_bytes: self.max_bytes,
            max_waiting: shared.waiting.limit() as u64,
        }
    }

    /// Answers `POST /postbacks/feed`.
    pub async fn feed<B>(&self, request: Request<B>, stopping: CancellationToken) -> HttpAnswer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        feed::answer(Arc::clone(&self.feed), request, stopping).await
    }

    /// Waits until the spool thread has ended. Call it after the serving threads have ended,
    /// because their receivers keep the spool thread running.
    pub fn shutdown(&self, deadline: Duration) {
        let deadline = Instant::now() + deadline;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        if !thread.is_finished() {
            tracing::warn!(
                "spool thread still in a system call at the deadline; exiting without it"
            );
        }
    }
}
