//! The current time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds; a clock before 1970 counts as 1970.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
