//! Estimates disk and memory of both programs from the size of a network.
//!
//! The bytes of each unit are measured: `admin/tests/end_to_end/sizing.rs` makes a small network with
//! the real programs and holds each figure of the estimate to a tolerance. Memory of codes is
//! measured with a million codes ([loadtest/README.md]).
//!
//! [loadtest/README.md]: ../../loadtest/README.md

use serde::Serialize;

/// Bytes of a click in the WAL, and in the archive, which takes the same blocks. Visitors of many
/// browsers at some thousand clicks a second; fewer clicks make smaller blocks, which compress less.
const BLOCK_BYTES_PER_CLICK: u64 = 75;
/// Bytes of a click in the click store.
const STORE_BYTES_PER_CLICK: u64 = 120;
/// Bytes of the click store for each day, however few clicks.
const STORE_BYTES_PER_DAY: u64 = 500_000;
/// Bytes of a click in the database: its part of block positions and rollups.
const DATABASE_BYTES_PER_CLICK: u64 = 40;
/// Bytes of a code in the database, with its indexes.
const DATABASE_BYTES_PER_CODE: u64 = 255;
/// Bytes of a code of eight random letters in one index file.
const INDEX_BYTES_PER_CODE: u64 = 25;
/// Bytes of a conversion in the database, with its postback and its event.
const DATABASE_BYTES_PER_CONVERSION: u64 = 2_600;
/// Bytes of a postback in coupond's spool.
const SPOOL_BYTES_PER_POSTBACK: u64 = 180;
/// Bytes of an empty database.
const DATABASE_BASE_BYTES: u64 = 800_000;
/// Memory of a code in coupond: goal 3 of the load tests.
const MEMORY_BYTES_PER_CODE: u64 = 35;
/// Memory of coupond without codes, with the caches and rings of its defaults.
const DAEMON_BASE_MEMORY_BYTES: u64 = 120 << 20;
/// Memory of coupon-admin at rest; the most while it rebuilds the base of 12,000,000 codes.
const ADMIN_MEMORY_BYTES: u64 = 150 << 20;
const ADMIN_MEMORY_BYTES_PER_CODE: u64 = 25;

/// Days that the click store keeps (`clicks.retention_days`).
const STORE_DAYS: u64 = 30;
/// Days that the spool keeps decided postbacks (`postbacks.keep_days`).
const SPOOL_DAYS: u64 = 7;

/// The size of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NetworkSize {
    pub codes: u64,
    pub clicks_per_day: u64,
    pub conversions_per_day: u64,
    /// Days that single clicks are kept, and days of conversions to count.
    pub keep_days: u64,
}

/// Disk and memory of both programs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SizeEstimate {
    pub network: NetworkSize,
    pub coupond: DaemonSize,
    pub coupon_admin: AdminSize,
}

/// Disk and memory of coupond, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DaemonSize {
    /// Clicks of a day in the WAL: one day's absence of coupon-admin.
    pub wal_bytes_per_day: u64,
    pub click_store_bytes: u64,
    pub postback_spool_bytes: u64,
    pub memory_bytes: u64,
}

/// Disk and memory of coupon-admin, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AdminSize {
    pub database_bytes: u64,
    pub archive_bytes: u64,
    /// The published index; merging needs as much again for a while.
    pub index_bytes: u64,
    pub memory_bytes: u64,
}

/// Estimates what a network of this size takes.
#[must_use]
pub fn estimate(network: NetworkSize) -> SizeEstimate {
    let NetworkSize { codes, clicks_per_day, conversions_per_day, keep_days } = network;
    let days_in_store = keep_days.min(STORE_DAYS);
    let (clicks, conversions) =
        (clicks_per_day.saturating_mul(keep_days), conversions_per_day.saturating_mul(keep_days));
    let total = |parts: &[(u64, u64)]| {
        let bytes = parts.iter().map(|(count, bytes)| count.saturating_mul(*bytes));
        bytes.fold(0, u64::saturating_add)
    };
    SizeEstimate {
        network,
        coupond: DaemonSize {
            wal_bytes_per_day: total(&[(clicks_per_day, BLOCK_BYTES_PER_CLICK)]),
            click_store_bytes: total(&[
                (clicks_per_day.saturating_mul(days_in_store), STORE_BYTES_PER_CLICK),
                (days_in_store, STORE_BYTES_PER_DAY),
            ]),
            postback_spool_bytes: total(&[(
                conversions_per_day.saturating_mul(keep_days.min(SPOOL_DAYS)),
                SPOOL_BYTES_PER_POSTBACK,
            )]),
            // Twice, because the former index stays until the last visitor has left it.
            memory_bytes: total(&[
                (codes, 2 * MEMORY_BYTES_PER_CODE),
                (1, DAEMON_BASE_MEMORY_BYTES),
            ]),
        },
        coupon_admin: AdminSize {
            database_bytes: total(&[
                (1, DATABASE_BASE_BYTES),
                (codes, DATABASE_BYTES_PER_CODE),
                (clicks, DATABASE_BYTES_PER_CLICK),
                (conversions, DATABASE_BYTES_PER_CONVERSION),
            ]),
            archive_bytes: total(&[(clicks, BLOCK_BYTES_PER_CLICK)]),
            index_bytes: total(&[(codes, INDEX_BYTES_PER_CODE)]),
            memory_bytes: total(&[(codes, ADMIN_MEMORY_BYTES_PER_CODE), (1, ADMIN_MEMORY_BYTES)]),
        },
    }
}

impl SizeEstimate {
    /// Bytes on coupond's disk, with a day of the WAL.
    #[must_use]
    pub fn daemon_disk_bytes(&self) -> u64 {
        let DaemonSize { wal_bytes_per_day, click_store_bytes, postback_spool_bytes, .. } =
            self.coupond;
        wal_bytes_per_day.saturating_add(click_store_bytes).saturating_add(postback_spool_bytes)
    }

    /// Bytes on coupon-admin's disk, with room for a merge of the index and a copy of the database
    /// before a migration.
    #[must_use]
    pub fn admin_disk_bytes(&self) -> u64 {
        let AdminSize { database_bytes, archive_bytes, index_bytes, .. } = self.coupon_admin;
        let twice = database_bytes.saturating_add(index_bytes).saturating_mul(2);
        twice.saturating_add(archive_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_codes(codes: u64) -> SizeEstimate {
        estimate(NetworkSize { codes, clicks_per_day: 10, conversions_per_day: 1, keep_days: 90 })
    }

    #[test]
    fn the_click_store_and_the_spool_keep_their_own_days_and_nothing_overflows() {
        let of_days = |keep_days| {
            let network =
                NetworkSize { codes: 0, clicks_per_day: 1, conversions_per_day: 1, keep_days };
            estimate(network)
        };
        let (month, year) = (of_days(30), of_days(365));
        assert_eq!(month.coupond, year.coupond);
        assert!(year.coupon_admin.archive_bytes > 10 * month.coupon_admin.archive_bytes);
        let largest = NetworkSize {
            codes: u64::MAX,
            clicks_per_day: u64::MAX,
            conversions_per_day: u64::MAX,
            keep_days: u64::MAX,
        };
        assert_eq!(estimate(largest).admin_disk_bytes(), u64::MAX);
        assert_eq!(estimate(largest).daemon_disk_bytes(), u64::MAX);
    }

    #[test]
    fn codes_cost_memory_of_both_programs_and_no_clicks() {
        let (few, many) = (of_codes(1_000), of_codes(1_001_000));
        let more = many.coupond.memory_bytes - few.coupond.memory_bytes;
        assert_eq!(more, 2 * MEMORY_BYTES_PER_CODE * 1_000_000);
        assert_eq!(few.coupond.click_store_bytes, many.coupond.click_store_bytes);
        assert_eq!(few.coupon_admin.archive_bytes, many.coupon_admin.archive_bytes);
        assert!(many.coupon_admin.index_bytes > few.coupon_admin.index_bytes);
    }
}
