//! What the serving threads count.
//!
//! Each thread has counters of its own and is their only writer, so counting is a plain load and
//! store, and threads never touch each other's memory. They are summed when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use coupon_shared::decision::Reason;

use crate::response::Reply;

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more. Only the owning thread may call it.
    pub fn add_one(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The number, for anybody.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The answers one thread has given, and why. A cache line of another thread's never mixes in.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct VisitCounters {
    /// Answers by [`Reply`]: see [`VisitCounters::answers`].
    answers: [Count; REPLIES],
    /// Recorded or unlogged clicks, by reason.
    reasons: [Count; Reason::ALL.len()],
    /// Clicks that went into the ring.
    pub logged: Count,
    /// Clicks that the ring had no room for.
    pub unlogged: Count,
    /// Answers that were to wait until their click was durable, and could not.
    pub answered_before_durable: Count,
    /// `HEAD` requests of known codes, which leave no click.
    pub heads: Count,
    /// Visits of codes that nobody has.
    pub unknown_codes: Count,
    /// Visits whose code is none.
    pub malformed_codes: Count,
    /// Visits under a host that is no tracking domain.
    pub unknown_hosts: Count,
}

const REPLIES: usize = 10;
const STATUSES: [u16; REPLIES] = [302, 400, 404, 405, 414, 503, 200, 304, 429, 403];
const LIMITED: usize = 8;

impl VisitCounters {
    /// Counts an answer.
    pub fn count_answer(&self, reply: &Reply) {
        let at = match reply {
            Reply::Redirect(_) | Reply::Fallback(_) => 0,
            Reply::BadRequest => 1,
            Reply::NotFound | Reply::NoSuchFile => 2,
            Reply::MethodNotAllowed => 3,
            Reply::TargetTooLong => 4,
            Reply::NoIndex => 5,
            Reply::Json(_) | Reply::JsonMiss(_) | Reply::Untracked | Reply::RobotsTxt => 6,
            Reply::Script(script) if script.is_known() => 7,
            Reply::Script(_) => 6,
            Reply::TooManyMisses { .. } => LIMITED,
            Reply::OwnRequest => 9,
        };
        self.answers[at].add_one();
    }

    /// Counts a click.
    pub fn count_click(&self, reason: Reason) {
        // The numbers of reasons begin at 1.
        if let Some(count) = self.reasons.get(reason as usize - 1) {
            count.add_one();
        }
    }

    /// Answers by status.
    pub fn answers(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.into_iter().zip(self.answers.iter().map(Count::get))
    }

    /// Answers to addresses that had asked too often for what leads nowhere.
    pub fn limited(&self) -> u64 {
        self.answers[LIMITED].get()
    }

    /// Clicks by reason.
    pub fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.reasons.iter().map(Count::get))
    }
}
