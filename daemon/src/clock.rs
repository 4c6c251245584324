//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds now. A clock before 1970 is as good as no clock.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
