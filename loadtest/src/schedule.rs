//! Due times of requests, and an alarm with microsecond precision.
//!
//! Request `n` of a run is due `n / rate` seconds after the start, on thread `n mod threads`,
//! whatever happened to earlier requests. Time-outs of event loops have millisecond precision: at
//! 20,000 requests per second they would cause bursts of twenty. A timer descriptor is precise, but
//! setting it and waking up costs about as much as a request, so the thread spins until a near due
//! time instead.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::plan::Plan;

/// Due times of one thread's requests, in order.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    start: Instant,
    rate: f64,
    warmup: Duration,
    end: Duration,
    next_number: u64,
    threads: u64,
}

/// A scheduled request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) number: u64,
    pub(crate) intended: Instant,
    /// False for requests of the warm-up.
    pub(crate) measured: bool,
}

/// A due request, with the time at which the generator noticed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dispatched {
    pub(crate) due: Due,
    pub(crate) at: Instant,
}

impl Schedule {
    pub(crate) fn new(plan: &Plan, thread: usize, start: Instant) -> Self {
        Self {
            start,
            rate: plan.rate,
            warmup: plan.warmup,
            end: plan.warmup + plan.duration,
            next_number: thread as u64,
            threads: plan.threads as u64,
        }
    }

    /// End of the warm-up.
    pub(crate) fn measured_from(&self) -> Instant {
        self.start + self.warmup
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let number = self.next_number;
        let after = Duration::from_nanos((number as f64 * 1e9 / self.rate) as u64);
        if after >= self.end {
            return None;
        }
        self.next_number += self.threads;
        Some(Due { number, intended: self.start + after, measured: after >= self.warmup })
    }
}

/// Number of requests of all threads together, for the progress bar.
pub(crate) fn total_requests(plan: &Plan) -> u64 {
    (plan.rate * (plan.warmup + plan.duration).as_secs_f64()).ceil() as u64
}

/// Shortest wait for which sleeping is worth its cost.
const NEAR: Duration = Duration::from_micros(50);

/// A descriptor that becomes readable when a request is due.
pub(crate) struct Alarm {
    timer: OwnedFd,
    set_for: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { timer: timerfd_create(TimerfdClockId::Monotonic, flags)?, set_for: None })
    }

    /// Sets the alarm to `when`, replacing its former time. Returns false and changes nothing if
    /// `when` is too near for sleeping. Setting the alarm discards an earlier expiry, so the
    /// descriptor is never read.
    pub(crate) fn set_unless_near(&mut self, when: Instant) -> std::io::Result<bool> {
        let left = when.saturating_duration_since(Instant::now());
        if left < NEAR {
            return Ok(false);
        }
        if self.set_for.replace(when) == Some(when) {
            return Ok(true);
        }
        let it_value =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(true)
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan_with;

    fn schedules(rate: f64, warmup_ms: u64, duration_ms: u64, threads: usize) -> Vec<Due> {
        let mut plan = plan_with(&["ANNA1"]);
        plan.rate = rate;
        plan.warmup = Duration::from_millis(warmup_ms);
        plan.duration = Duration::from_millis(duration_ms);
        (plan.threads, plan.connections) = (threads, threads);
        let start = Instant::now();
        let mut all: Vec<Due> =
            (0..threads).flat_map(|thread| Schedule::new(&plan, thread, start)).collect();
        all.sort_by_key(|due| due.number);
        assert_eq!(all.len() as u64, total_requests(&plan));
        all
    }

    #[test]
    fn requests_are_due_at_even_intervals_across_threads() {
        let all = schedules(1000.0, 0, 500, 3);
        assert_eq!(all.len(), 500);
        for pair in all.windows(2) {
            assert_eq!(pair[1].number, pair[0].number + 1);
            assert_eq!(pair[1].intended - pair[0].intended, Duration::from_millis(1));
        }
    }

    #[test]
    fn the_warm_up_comes_first_and_is_not_measured() {
        let all = schedules(100.0, 300, 1000, 1);
        assert_eq!(all.iter().filter(|due| due.measured).count(), 100);
        assert!(all[..30].iter().all(|due| !due.measured) && all.len() == 130);
    }

    #[test]
    fn the_alarm_never_rings_early_and_can_be_set_again() {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut alarm = Alarm::new().unwrap();
        for microseconds in [20_000, 10_000, 30_000, 10_000] {
            let when = Instant::now() + Duration::from_micros(microseconds);
            assert!(alarm.set_unless_near(when).unwrap());
            let soon = Instant::now() + NEAR / 2;
            assert!(!alarm.set_unless_near(soon).unwrap(), "nobody rests for that");
            poll(&mut [PollFd::new(&alarm, PollFlags::IN)], None).unwrap();
            assert!(Instant::now() >= when);
        }
    }
}
