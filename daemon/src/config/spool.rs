//! The postback spool: sizes and retention.

use coupon_config::{Keys, bounds};
use coupon_shared::postback::MAX_POSTBACK_BYTES;

/// Bounds of the postback spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Days that postbacks stay after the admin has decided them.
    pub keep_days: u32,
    /// Most bytes of the spool. A full spool removes decided postbacks early and refuses new
    /// postbacks.
    pub max_bytes: u64,
    /// Free bytes to keep on its disk. Below the reserve the spool removes decided postbacks early
    /// and refuses new postbacks without a usable code, click or partner.
    pub disk_reserve_bytes: u64,
    /// Bytes per minute that one address may add with postbacks without a usable code, click or
    /// partner, and with the part of other postbacks above the size of a sale; 0 is no limit.
    pub unidentified_bytes_per_minute: u64,
    /// Requests that wait for the admin's verdict at once; further requests are answered without a
    /// verdict. Never more than half of the connections, so that visitors have the others.
    pub max_waiting: usize,
    /// Answers a rejected or invalid conversion with 204 and no body instead of 200 with the reason,
    /// because some senders take every 200 for an accepted conversion.
    pub answer_rejected_with_204: bool,
}

impl Default for SpoolConfig {
    fn default() -> SpoolConfig {
        SpoolConfig {
            keep_days: 7,
            max_bytes: 4 << 30,
            disk_reserve_bytes: 256 << 20,
            unidentified_bytes_per_minute: 4 << 20,
            max_waiting: 2048,
            answer_rejected_with_204: false,
        }
    }
}

impl SpoolConfig {
    pub(super) fn declare_keys(&mut self, keys: &mut Keys) {
        let days = 0..=bounds::MAX_DAYS;
        keys.declare_number("postbacks.keep_days", &mut self.keep_days, days);
        let bytes = 1 << 20..=bounds::MAX_DISK_BYTES;
        keys.declare_number("postbacks.max_bytes", &mut self.max_bytes, bytes);
        let reserve = 0..=bounds::MAX_DISK_BYTES;
        keys.declare_number("postbacks.disk_reserve_bytes", &mut self.disk_reserve_bytes, reserve);
        let per_minute = &mut self.unidentified_bytes_per_minute;
        // With less than the longest postback per minute, that postback could never be kept.
        let bytes = MAX_POSTBACK_BYTES as u64..=bounds::MAX_DISK_BYTES;
        keys.declare_limit("postbacks.unidentified_bytes_per_minute", per_minute, bytes);
        let requests = 0..=bounds::MAX_REQUESTS as usize;
        keys.declare_number("postbacks.max_waiting", &mut self.max_waiting, requests);
        let rejected = &mut self.answer_rejected_with_204;
        keys.declare_flag("postbacks.answer_rejected_with_204", rejected);
    }
}
