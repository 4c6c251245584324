//! Limits log lines that visitors can cause at any rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Shortest time between two lines.
const TIME_BETWEEN_LOGS_MS: u64 = 60_000;

/// The time of the last line.
#[derive(Debug, Default)]
pub struct LogThrottle {
    logged_unix_ms: AtomicU64,
}

impl LogThrottle {
    /// Whether to log now; if so, the time counts as that of the last line.
    pub fn is_due(&self) -> bool {
        let (logged, now) = (self.logged_unix_ms.load(Ordering::Relaxed), unix_ms());
        let is_due = is_long_ago(logged, now);
        let swap = || {
            self.logged_unix_ms.compare_exchange(logged, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        is_due && swap().is_ok()
    }

    /// Whether the last line is less than a minute old.
    pub fn is_recent(&self) -> bool {
        !is_long_ago(self.logged_unix_ms.load(Ordering::Relaxed), unix_ms())
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// The difference in either direction, because the clock may have been set back.
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
