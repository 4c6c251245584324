//! The bounds of each kind of value, the same in both programs.
//!
//! The bounds are far above any sensible setting. They refuse a slipped digit and keep sums of
//! settings far from overflow.

use std::ops::RangeInclusive;

/// Longest time-out: a day, in milliseconds. Far from overflowing a clock.
pub const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;
/// Longest retention in days: a hundred years.
pub const MAX_DAYS: u32 = 36_500;
/// Longest retention or wait in milliseconds: [`MAX_DAYS`].
pub const MAX_PERIOD_MS: u64 = MAX_DAYS as u64 * 24 * 60 * 60 * 1000;
/// Most bytes on a disk: 1 PiB.
pub const MAX_DISK_BYTES: u64 = 1 << 50;
/// Most bytes of one buffer in memory: 1 GiB.
pub const MAX_BUFFER_BYTES: usize = 1 << 30;
/// Most open connections.
pub const MAX_CONNECTIONS: usize = 10_000_000;
/// Bytes of memory of all connections: at least a busy connection for each of 64 threads, at most
/// 1 TiB.
pub const CONNECTION_BYTES: RangeInclusive<u64> = 4 << 20..=1 << 40;
/// Most requests or attempts, at once or in one period.
pub const MAX_REQUESTS: u32 = 1_000_000;
