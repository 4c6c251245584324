//! The counters of the serving threads.
//!
//! Each thread is the only writer of its counters, so counting is a plain load and store, and
//! threads never write to shared cache lines. The control API adds the threads' counters up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coupon_shared::decision::Reason;
use coupon_watch::{LatencyHistogram, LatencySnapshot};

use crate::response::Reply;

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Only the owning thread may call this.
    pub fn add_one(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Callable from any thread.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The answers and clicks of one thread. Aligned, so that no other thread's counters share a cache
/// line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct VisitCounters {
    /// Answers by [`Reply`]: see [`VisitCounters::answers`].
    answers: [Count; REPLIES],
    /// Recorded or unlogged clicks, by reason.
    reasons: ReasonCounts,
    /// Clicks in the ring.
    pub logged: Count,
    /// Clicks that found the ring full.
    pub unlogged: Count,
    /// Answers sent before their click was durable because the wait was given up.
    pub answered_before_durable: Count,
    /// `HEAD` requests of known codes, which leave no click.
    pub heads: Count,
    /// Visits of unknown codes.
    pub unknown_codes: Count,
    /// Visits whose path is not a valid code.
    pub malformed_codes: Count,
    /// Visits under a host that is not a tracking domain.
    pub unknown_hosts: Count,
    /// How long answers took, by [`Outcome`].
    latencies: [LatencyHistogram; Outcome::ALL.len()],
}

/// The outcomes whose latencies are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Redirect,
    Fallback,
    NotFound,
    /// A reported event, a refused request, a file.
    Other,
}

impl Outcome {
    pub const ALL: [Outcome; 4] =
        [Outcome::Redirect, Outcome::Fallback, Outcome::NotFound, Outcome::Other];

    /// The outcome of an answer.
    pub fn from_reply(reply: &Reply) -> Outcome {
        match reply {
            Reply::Redirect(_) => Outcome::Redirect,
            Reply::Fallback(_) => Outcome::Fallback,
            Reply::NotFound => Outcome::NotFound,
            _ => Outcome::Other,
        }
    }

    /// The value of the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Redirect => "redirect",
            Outcome::Fallback => "fallback",
            Outcome::NotFound => "not_found",
            Outcome::Other => "other",
        }
    }
}

/// Counts by the numbers of reasons, which have gaps.
#[derive(Debug)]
struct ReasonCounts([Count; REASON_NUMBERS]);

/// One more than the highest number of a reason.
const REASON_NUMBERS: usize = {
    let (mut at, mut numbers) = (0, 0);
    while at < Reason::ALL.len() {
        if Reason::ALL[at] as usize >= numbers {
            numbers = Reason::ALL[at] as usize + 1;
        }
        at += 1;
    }
    numbers
};

impl Default for ReasonCounts {
    fn default() -> ReasonCounts {
        ReasonCounts(std::array::from_fn(|_| Count::default()))
    }
}

const REPLIES: usize = 11;
const STATUSES: [u16; REPLIES] = [302, 400, 404, 405, 414, 503, 200, 304, 429, 403, 421];
const LIMITED: usize = 8;

impl VisitCounters {
    pub fn count_answer(&self, reply: &Reply) {
        let at = match reply {
            Reply::Redirect(_) | Reply::Fallback(_) => 0,
            Reply::BadRequest => 1,
            Reply::NotFound | Reply::NoSuchFile => 2,
            Reply::MethodNotAllowed => 3,
            Reply::TargetTooLong => 4,
            Reply::NoIndex | Reply::NotReady => 5,
            Reply::Json(_) | Reply::JsonMiss(_) | Reply::Untracked => 6,
            Reply::RobotsTxt | Reply::Challenge(_) | Reply::Ready => 6,
            Reply::Script(script) if script.is_known() => 7,
            Reply::Script(_) => 6,
            Reply::TooManyMisses { .. } => LIMITED,
            Reply::OwnRequest => 9,
            Reply::Misdirected => 10,
        };
        self.answers[at].add_one();
    }

    pub fn count_click(&self, reason: Reason) {
        if let Some(count) = self.reasons.0.get(reason as usize) {
            count.add_one();
        }
    }

    /// Only the owning thread may call this.
    pub fn add_latency(&self, outcome: Outcome, latency: Duration) {
        self.latencies[outcome as usize].add_as_only_writer(latency);
    }

    /// How long answers of one outcome took.
    pub fn latency(&self, outcome: Outcome) -> LatencySnapshot {
        self.latencies[outcome as usize].snapshot()
    }

    /// Number of answers by status.
    pub fn answers(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.into_iter().zip(self.answers.iter().map(Count::get))
    }

    /// Number of answers to addresses above the limit on misses.
    pub fn limited(&self) -> u64 {
        self.answers[LIMITED].get()
    }

    /// Number of clicks by reason.
    pub fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> {
        let count = |reason: Reason| self.reasons.0.get(reason as usize).map_or(0, Count::get);
        Reason::ALL.into_iter().map(move |reason| (reason, count(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_as_itself() {
        for counted in Reason::ALL {
            let counters = VisitCounters::default();
            counters.count_click(counted);
            let found: Vec<_> = counters.reasons().filter(|(_, count)| *count > 0).collect();
            assert_eq!(found, [(counted, 1)]);
        }
    }
}
