//! When to commit, and how long to look away.
//!
//! Nobody tells the click-log thread that a click has come; it looks. A click is committed at the
//! latest one interval after it came, counted from the last look that found nothing, so that an
//! idle program may look seldom.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Rhythm {
    interval: Duration,
    enough_bytes: u64,
    /// The oldest waiting click came after this.
    waiting_since: Option<Instant>,
    last_look: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Commit,
    Look { after: Duration },
}

impl Rhythm {
    pub(super) fn new(interval: Duration, enough_bytes: u64, now: Instant) -> Rhythm {
        Rhythm { interval, enough_bytes, waiting_since: None, last_look: now }
    }

    pub(super) fn beat(&mut self, now: Instant, waiting_bytes: u64) -> Beat {
        let last_look = std::mem::replace(&mut self.last_look, now);
        if waiting_bytes == 0 {
            self.waiting_since = None;
            return Beat::Look { after: self.interval / 4 };
        }
        let since = *self.waiting_since.get_or_insert(last_look);
        let left = self.interval.saturating_sub(now.saturating_duration_since(since));
        let step = self.interval / 20;
        if waiting_bytes >= self.enough_bytes || left <= step {
            self.waiting_since = None;
            return Beat::Commit;
        }
        Beat::Look { after: step }
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
            let mut rhythm = Rhythm::new(INTERVAL, 1000, start);
            let mut now = start;
            let waiting = |now| if now >= comes { 10 } else { 0 };
            while let Beat::Look { after } = rhythm.beat(now, waiting(now)) {
                now += after;
            }
            assert!(now >= comes && now - comes <= INTERVAL, "{:?}", now - comes);
        }
    }

    #[test]
    fn enough_bytes_are_committed_at_once() {
        let now = Instant::now();
        let mut rhythm = Rhythm::new(INTERVAL, 1000, now);
        assert!(matches!(rhythm.beat(now, 999), Beat::Look { .. }));
        assert_eq!(rhythm.beat(now, 1000), Beat::Commit);
    }
}
