//! The highest values of each kind, the same in both programs.
//!
//! They are far above any sensible setting. Their purpose is to refuse a slipped digit and to keep
//! sums of settings far from overflow.

/// Longest time-out: a day, in milliseconds. Far from overflowing a clock.
pub const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;
/// Most days for which something is kept: a hundred years.
pub const MAX_DAYS: u32 = 36_500;
/// Longest period for which something is kept or waited for: [`MAX_DAYS`], in milliseconds.
pub const MAX_PERIOD_MS: u64 = MAX_DAYS as u64 * 24 * 60 * 60 * 1000;
/// Most bytes on a disk: 1 PiB.
pub const MAX_DISK_BYTES: u64 = 1 << 50;
/// Most bytes of one buffer in memory: 1 GiB.
pub const MAX_BUFFER_BYTES: usize = 1 << 30;
/// Most open connections.
pub const MAX_CONNECTIONS: usize = 10_000_000;
/// Most requests or attempts, at once or in one period.
pub const MAX_REQUESTS: u32 = 1_000_000;
