//! What visitors can bring about at any rate, and is logged in the log only now and then.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::unix_ms;

/// How often it is logged at most.
const TIME_BETWEEN_LOGS_MS: u64 = 60_000;

/// When something was last logged.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    logged_unix_ms: AtomicU64,
}

impl LogThrottle {
    /// Whether to tell it now; then it counts as logged.
    pub(crate) fn is_due(&self) -> bool {
        let (logged, now) = (self.logged_unix_ms.load(Ordering::Relaxed), unix_ms());
        let is_due = is_long_ago(logged, now);
        let swap = || {
            self.logged_unix_ms.compare_exchange(logged, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        is_due && swap().is_ok()
    }

    /// Whether it was logged lately.
    pub(crate) fn is_recent(&self) -> bool {
        !is_long_ago(self.logged_unix_ms.load(Ordering::Relaxed), unix_ms())
    }
}

/// Also where the clock was put back.
fn is_long_ago(logged: u64, now: u64) -> bool {
    logged.abs_diff(now) >= TIME_BETWEEN_LOGS_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_told_again_a_minute_later() {
        let throttle = LogThrottle::default();
        assert!(!throttle.is_recent());
        assert_eq!(
            [throttle.is_due(), throttle.is_due(), throttle.is_recent()],
            [true, false, true]
        );
        throttle.logged_unix_ms.fetch_sub(TIME_BETWEEN_LOGS_MS, Ordering::Relaxed);
        assert_eq!(
            [throttle.is_recent(), throttle.is_due(), throttle.is_due()],
            [false, true, false]
        );
    }
}
