//! The current time, and the age of an event.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds; a clock before 1970 counts as 1970.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The last time at which something happened.
#[derive(Debug, Default)]
pub(crate) struct LastTime(AtomicU64);

impl LastTime {
    pub(crate) fn mark(&self) {
        self.0.store(unix_ms(), Ordering::Relaxed);
    }

    /// Milliseconds since then; `None` before the first time.
    pub(crate) fn age_ms(&self) -> Option<u64> {
        let at = self.0.load(Ordering::Relaxed);
        (at > 0).then(|| unix_ms().saturating_sub(at))
    }
}
