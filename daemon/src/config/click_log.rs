//! The click log: its durability, and the sizes of ring, write-ahead log and click store.

use std::time::Duration;

use coupon_config::{Keys, bounds};

/// Least bound of the click store: sled takes half a MiB for each day, however few clicks it has.
const MIN_STORE_BYTES: u64 = 1 << 20;

/// Bounds and commit interval of the click log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickLogConfig {
    /// Whether a visitor is answered only after the click is on disk.
    pub durable: bool,
    /// Memory of one serving thread's ring.
    pub ring_bytes: usize,
    /// Longest time between a click and its commit to disk.
    pub commit_interval: Duration,
    /// Pending bytes that cause an earlier commit.
    pub commit_bytes: usize,
    /// Bytes of one segment of the write-ahead log.
    pub wal_segment_bytes: u64,
    /// Most bytes of the write-ahead log; new clicks beyond it are counted as unlogged.
    pub wal_max_bytes: u64,
    /// Memory of the click store's cache.
    pub sled_cache_bytes: u64,
    /// Days that the click store keeps.
    pub retention_days: u32,
    /// Most bytes of the click store; 0 for no limit.
    pub store_max_bytes: u64,
    /// Free bytes of the disk below which the click store removes its oldest days and does not grow.
    pub disk_reserve_bytes: u64,
    /// Minutes without a poll of the admin after which health is degraded; 0 for never.
    pub admin_silence_minutes: u32,
}

impl Default for ClickLogConfig {
    fn default() -> ClickLogConfig {
        ClickLogConfig {
            durable: false,
            ring_bytes: 4 << 20,
            commit_interval: Duration::from_millis(100),
            commit_bytes: 256 << 10,
            wal_segment_bytes: 64 << 20,
            wal_max_bytes: 8 << 30,
            sled_cache_bytes: 32 << 20,
            retention_days: 30,
            store_max_bytes: 0,
            disk_reserve_bytes: 256 << 20,
            admin_silence_minutes: 5,
        }
    }
}

impl ClickLogConfig {
    pub(super) fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_flag("clicks.durable", &mut self.durable);
        let ring = 64 << 10..=bounds::MAX_BUFFER_BYTES;
        keys.declare_number("clicks.ring_bytes", &mut self.ring_bytes, ring);
        keys.declare_timeout("clicks.commit_interval_ms", &mut self.commit_interval);
        keys.declare_number("clicks.commit_bytes", &mut self.commit_bytes, 4 << 10..=64 << 20);
        let segment = 1 << 20..=4 << 30;
        keys.declare_number("clicks.wal_segment_bytes", &mut self.wal_segment_bytes, segment);
        let wal = 1 << 20..=bounds::MAX_DISK_BYTES;
        keys.declare_number("clicks.wal_max_bytes", &mut self.wal_max_bytes, wal);
        let cache = 1 << 20..=1 << 40;
        keys.declare_number("clicks.sled_cache_bytes", &mut self.sled_cache_bytes, cache);
        let days = 1..=bounds::MAX_DAYS;
        keys.declare_number("clicks.retention_days", &mut self.retention_days, days);
        let store = MIN_STORE_BYTES..=bounds::MAX_DISK_BYTES;
        keys.declare_limit("clicks.store_max_bytes", &mut self.store_max_bytes, store);
        let reserve = 0..=bounds::MAX_DISK_BYTES;
        keys.declare_number("clicks.disk_reserve_bytes", &mut self.disk_reserve_bytes, reserve);
        let minutes = &mut self.admin_silence_minutes;
        keys.declare_limit("clicks.admin_silence_minutes", minutes, 1..=bounds::MAX_DAYS);
    }
}
