//! How serving threads learn that their clicks are durable, where answers wait for that
//! (`clicks.durable`). Misses, which leave no click, wait for a commit as well.
//!
//! The click-log thread tells each serving thread of a commit once, however many visitors wait. A
//! serving thread tells the click-log thread that somebody waits, which is a system call only while
//! that one sleeps because there was nothing to do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use tokio::sync::Notify;

use super::ring::RingGauge;

/// Who is notifies of commits, and by whom.
#[derive(Debug, Default)]
pub(super) struct Commits {
    click_log: OnceLock<Thread>,
    /// One for each serving thread; none where no answer waits.
    notifies: Vec<Notify>,
    /// Of each serving thread, as [`Commits::told`].
    misses: Vec<MissCounts>,
}

/// A serving thread's misses, counted.
#[derive(Debug, Default)]
struct MissCounts {
    /// All so far.
    waiting: AtomicU64,
    /// Those that a commit came after.
    committed: AtomicU64,
}

impl Commits {
    pub(super) fn for_threads(serving_threads: usize) -> Commits {
        let notifies = (0..serving_threads).map(|_| Notify::new()).collect();
        let misses = (0..serving_threads).map(|_| MissCounts::default()).collect();
        Commits { click_log: OnceLock::new(), notifies, misses }
    }

    /// Of each serving thread the misses so far, if a commit is due for any.
    pub(super) fn misses_waiting(&self) -> Option<Vec<u64>> {
        let counts = self.misses.iter().map(|misses| {
            let waiting = misses.waiting.load(Ordering::Acquire);
            (waiting, waiting > misses.committed.load(Ordering::Relaxed))
        });
        let (waiting, is_due): (Vec<u64>, Vec<bool>) = counts.unzip();
        is_due.contains(&true).then_some(waiting)
    }

    /// A commit came after these.
    pub(super) fn misses_committed(&self, counts: &[u64]) {
        for (misses, count) in self.misses.iter().zip(counts) {
            misses.committed.store(*count, Ordering::Release);
        }
    }

    /// Whether visitors wait for commits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.notifies.is_empty()
    }

    /// This is the click-log thread.
    pub(super) fn register_click_log_thread(&self) {
        self.click_log.get_or_init(thread::current);
    }

    /// There was one, and the rings' counts tell how far it reaches.
    pub(super) fn notify(&self) {
        self.notifies.iter().for_each(Notify::notify_one);
    }

    fn request_commit(&self) {
        // Not there yet: its first look is still to come.
        if let Some(thread) = self.click_log.get() {
            thread.unpark();
        }
    }
}

/// One serving thread's view of what is durable.
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

    /// The sequence of the last click of this thread's ring that is durable.
    pub fn durable_click(&self) -> u64 {
        self.gauge.durable()
    }

    /// One more miss waits; returns its number, from 1.
    pub fn add_miss(&self) -> u64 {
        let misses = self.commits.misses.get(self.thread);
        misses.map_or(0, |misses| misses.waiting.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// The number of the last miss that a commit came after.
    pub fn durable_miss(&self) -> u64 {
        let misses = self.commits.misses.get(self.thread);
        misses.map_or(u64::MAX, |misses| misses.committed.load(Ordering::Acquire))
    }

    /// Somebody waits: commit soon.
    pub fn request_commit(&self) {
        self.commits.request_commit();
    }

    /// Resolves when there was a commit since it resolved last.
    pub async fn next_commit(&self) {
        match self.commits.notifies.get(self.thread) {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }
}
