//! Decides when to commit and how long to sleep.
//!
//! The click-log thread polls the rings, because serving threads send no wake-up for a click. A
//! click is committed at the latest one interval after it came, counted from the last poll that
//! found nothing, so an idle program may poll rarely.
//!
//! If visitors wait for commits, serving threads wake the thread, and it commits at once. A click
//! shortly after a commit waits for others, so that blocks have several clicks under load.

use std::time::{Duration, Instant};

/// Shortest time between two awaited commits.
const GATHER: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct CommitScheduler {
    interval: Duration,
    is_awaited: bool,
    enough_bytes: u64,
    /// The oldest waiting click came after this.
    waiting_since: Option<Instant>,
    last_look: Instant,
    last_commit: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tick {
    Commit,
    /// Poll again after this time, or when woken.
    Look {
        after: Duration,
    },
    /// Poll again after this time, not before.
    Gather {
        rest: Duration,
    },
}

impl CommitScheduler {
    pub(super) fn new(interval: Duration, enough_bytes: u64, now: Instant) -> CommitScheduler {
        let (waiting_since, last_commit) = (None, None);
        let is_awaited = false;
        CommitScheduler {
            interval,
            is_awaited,
            enough_bytes,
            waiting_since,
            last_look: now,
            last_commit,
        }
    }

    /// A scheduler of commits that visitors wait for.
    pub(super) fn awaited(interval: Duration, enough_bytes: u64, now: Instant) -> CommitScheduler {
        CommitScheduler { is_awaited: true, ..CommitScheduler::new(interval, enough_bytes, now) }
    }

    pub(super) fn tick(&mut self, now: Instant, waiting_bytes: u64) -> Tick {
        let last_look = std::mem::replace(&mut self.last_look, now);
        if waiting_bytes == 0 {
            self.waiting_since = None;
            return Tick::Look { after: self.interval / 4 };
        }
        if self.is_awaited && waiting_bytes < self.enough_bytes {
            return self.awaited_tick(now);
        }
        // The click came after the last poll, so the interval is counted from there.
        let since = *self.waiting_since.get_or_insert(last_look);
        let left = self.interval.saturating_sub(now.saturating_duration_since(since));
        // Polls often enough to commit at most 5 % of the interval early.
        let step = self.interval / 20;
        if waiting_bytes >= self.enough_bytes || left <= step {
            self.waiting_since = None;
            self.last_commit = Some(now);
            return Tick::Commit;
        }
        Tick::Look { after: step }
    }

    fn awaited_tick(&mut self, now: Instant) -> Tick {
        let may_come = self.last_commit.map(|last| last + GATHER);
        match may_come.map(|at| at.saturating_duration_since(now)) {
            Some(rest) if !rest.is_zero() => Tick::Gather { rest },
            _ => {
                self.last_commit = Some(now);
                Tick::Commit
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    #[test]
    fn a_click_is_committed_within_the_interval_whenever_it_comes() {
        let start = Instant::now();
        for comes_after_us in (0..300_000).step_by(1_700) {
            let comes = start + Duration::from_micros(comes_after_us);
            let mut scheduler = CommitScheduler::new(INTERVAL, 1000, start);
            let mut now = start;
            let waiting = |now| if now >= comes { 10 } else { 0 };
            while let Tick::Look { after } = scheduler.tick(now, waiting(now)) {
                now += after;
            }
            assert!(now >= comes && now - comes <= INTERVAL, "{:?}", now - comes);
        }
    }

    #[test]
    fn an_awaited_click_is_committed_at_once_and_those_right_after_it_together() {
        let start = Instant::now();
        let mut scheduler = CommitScheduler::awaited(INTERVAL, 1000, start);
        assert_eq!(scheduler.tick(start, 0), Tick::Look { after: INTERVAL / 4 });
        assert_eq!(scheduler.tick(start, 10), Tick::Commit);
        let soon = start + GATHER / 4;
        assert_eq!(scheduler.tick(soon, 10), Tick::Gather { rest: GATHER - GATHER / 4 });
        assert_eq!(scheduler.tick(soon, 1000), Tick::Commit);
        assert_eq!(scheduler.tick(soon + GATHER, 20), Tick::Commit);
    }

    #[test]
    fn enough_bytes_are_committed_at_once() {
        let now = Instant::now();
        let mut scheduler = CommitScheduler::new(INTERVAL, 1000, now);
        assert!(matches!(scheduler.tick(now, 999), Tick::Look { .. }));
        assert_eq!(scheduler.tick(now, 1000), Tick::Commit);
    }
}
