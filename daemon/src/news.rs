//! What visitors can bring about at any rate, and is told in the log only now and then.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::unix_ms;

/// How often it is told at most.
const TIME_BETWEEN_NEWS_MS: u64 = 60_000;

/// When something was last told.
#[derive(Debug, Default)]
pub(crate) struct News {
    told_unix_ms: AtomicU64,
}

impl News {
    /// Whether to tell it now; then it counts as told.
    pub(crate) fn is_due(&self) -> bool {
        let (told, now) = (self.told_unix_ms.load(Ordering::Relaxed), unix_ms());
        let is_due = is_long_ago(told, now);
        let swap =
            || self.told_unix_ms.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed);
        is_due && swap().is_ok()
    }

    /// Whether it was told lately.
    pub(crate) fn is_recent(&self) -> bool {
        !is_long_ago(self.told_unix_ms.load(Ordering::Relaxed), unix_ms())
    }
}

/// Also where the clock was put back.
fn is_long_ago(told: u64, now: u64) -> bool {
    told.abs_diff(now) >= TIME_BETWEEN_NEWS_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_told_again_a_minute_later() {
        let news = News::default();
        assert!(!news.is_recent());
        assert_eq!([news.is_due(), news.is_due(), news.is_recent()], [true, false, true]);
        news.told_unix_ms.fetch_sub(TIME_BETWEEN_NEWS_MS, Ordering::Relaxed);
        assert_eq!([news.is_recent(), news.is_due(), news.is_due()], [false, true, false]);
    }
}
