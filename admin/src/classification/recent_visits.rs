//! Last visit of each visitor among a number of recent visits.
//!
//! Answers depend on this number of visits only: older ones that are still held are ignored.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Visitors with the times of their last visits.
pub(super) struct RecentVisits {
    reach: u32,
    /// Number of the present visit; it may wrap around.
    visit: u32,
    last: HashMap<u64, Last, RandomState>,
}

/// Last visit of a visitor.
struct Last {
    unix_ms: u64,
    visit: u32,
}

impl RecentVisits {
    pub(super) fn of_last(reach: u32) -> RecentVisits {
        RecentVisits { reach, visit: 0, last: HashMap::default() }
    }

    /// Advances to the next visit of any visitor.
    pub(super) fn next(&mut self) {
        self.visit = self.visit.wrapping_add(1);
    }

    /// Records a visit; returns whether the same visitor came within the window before or, since
    /// the archive is not sorted by time, after.
    pub(super) fn came(&mut self, who: u64, unix_ms: u64, window_ms: u64) -> bool {
        if self.last.len() >= self.room() {
            self.forget();
        }
        let (visit, reach) = (self.visit, self.reach);
        let before = self.last.insert(who, Last { unix_ms, visit });
        before.is_some_and(|last| {
            visit.wrapping_sub(last.visit) <= reach && unix_ms.abs_diff(last.unix_ms) < window_ms
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.last.len()
    }

    /// Half as much again: forgetting scans all entries, so it must be rare.
    fn room(&self) -> usize {
        self.reach as usize + self.reach as usize / 2 + 1
    }

    fn forget(&mut self) {
        let (visit, reach) = (self.visit, self.reach);
        self.last.retain(|_, last| visit.wrapping_sub(last.visit) <= reach);
    }
}
