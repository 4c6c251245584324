//! How serving threads learn which clicks are durable, if answers wait for that (`clicks.durable`).
//! Misses, which leave no click, wait for a commit as well.
//!
//! The click-log thread notifies each serving thread once per commit, however many visitors wait. A
//! serving thread requests a commit by unparking the click-log thread, which costs a system call
//! only while that thread sleeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use tokio::sync::Notify;

use super::ring::RingGauge;

/// The channel between the click-log thread and the serving threads.
#[derive(Debug, Default)]
pub(super) struct Commits {
    click_log: OnceLock<Thread>,
    /// One for each serving thread; empty if no answer waits for commits.
    notifies: Vec<Notify>,
    /// One for each serving thread, like `notifies`.
    misses: Vec<MissCounts>,
}

/// The number of a serving thread's misses.
#[derive(Debug, Default)]
struct MissCounts {
    /// All misses so far.
    waiting: AtomicU64,
    /// The misses before the last commit.
    committed: AtomicU64,
}

impl Commits {
    pub(super) fn for_threads(serving_threads: usize) -> Commits {
        let notifies = (0..serving_threads).map(|_| Notify::new()).collect();
        let misses = (0..serving_threads).map(|_| MissCounts::default()).collect();
        Commits { click_log: OnceLock::new(), notifies, misses }
    }

    /// The misses so far of each serving thread; `None` if no miss waits for a commit.
    pub(super) fn misses_waiting(&self) -> Option<Vec<u64>> {
        let counts = self.misses.iter().map(|misses| {
            let waiting = misses.waiting.load(Ordering::Acquire);
            (waiting, waiting > misses.committed.load(Ordering::Relaxed))
        });
        let (waiting, is_due): (Vec<u64>, Vec<bool>) = counts.unzip();
        is_due.contains(&true).then_some(waiting)
    }

    /// Marks these misses as committed.
    pub(super) fn misses_committed(&self, counts: &[u64]) {
        for (misses, count) in self.misses.iter().zip(counts) {
            misses.committed.store(*count, Ordering::Release);
        }
    }

    /// Whether visitors wait for commits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.notifies.is_empty()
    }

    /// Registers the calling thread as the one that commits.
    pub(super) fn register_click_log_thread(&self) {
        self.click_log.get_or_init(thread::current);
    }

    /// Notifies all serving threads of a commit. The rings' counters say how far the commit
    /// reaches.
    pub(super) fn notify(&self) {
        self.notifies.iter().for_each(Notify::notify_one);
    }

    fn request_commit(&self) {
        // Before the thread is registered nothing is lost: its first look at the rings is still to
        // come.
        if let Some(thread) = self.click_log.get() {
            thread.unpark();
        }
    }
}

/// One serving thread's view of commits.
#[derive(Debug)]
pub struct Durability {
    gauge: RingGauge,
    commits: Arc<Commits>,
    thread: usize,
}

impl Durability {
    pub(super) fn new(gauge: RingGauge, commits: Arc<Commits>, thread: usize) -> Durability {
        Durability { gauge, commits, thread }
    }

    /// The sequence of the last durable click in the thread's ring.
    pub fn durable_click(&self) -> u64 {
        self.gauge.durable()
    }

    /// Registers a miss that waits for a commit; returns its number, from 1.
    pub fn add_miss(&self) -> u64 {
        let misses = self.commits.misses.get(self.thread);
        misses.map_or(0, |misses| misses.waiting.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// The number of the last committed miss.
    pub fn durable_miss(&self) -> u64 {
        let misses = self.commits.misses.get(self.thread);
        misses.map_or(u64::MAX, |misses| misses.committed.load(Ordering::Acquire))
    }

    /// Asks the click-log thread to commit soon.
    pub fn request_commit(&self) {
        self.commits.request_commit();
    }

    /// Resolves at a commit; a commit since the last call resolves at once.
    pub async fn next_commit(&self) {
        match self.commits.notifies.get(self.thread) {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }
}
