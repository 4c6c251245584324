//! When somebody came last, among the last so many visits.
//!
//! What is answered depends on those visits alone: also where older ones are still held, they are
//! not looked at.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Who came when.
pub(super) struct RecentVisits {
    reach: u32,
    /// The number of the visit that is looked at; it may wrap around.
    visit: u32,
    last: HashMap<u64, Last, RandomState>,
}

/// The last time that somebody came.
struct Last {
    unix_ms: u64,
    visit: u32,
}

impl RecentVisits {
    pub(super) fn of_last(reach: u32) -> RecentVisits {
        RecentVisits { reach, visit: 0, last: HashMap::default() }
    }

    /// Goes on to the next visit, whoever's it is.
    pub(super) fn next(&mut self) {
        self.visit = self.visit.wrapping_add(1);
    }

    /// Notes who came, and answers whether he came within the window before, or, where the archive
    /// is not in the order of time, after.
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

    /// Half as much again: forgetting walks through all, and must not be for a few.
    fn room(&self) -> usize {
        self.reach as usize + self.reach as usize / 2 + 1
    }

    fn forget(&mut self) {
        let (visit, reach) = (self.visit, self.reach);
        self.last.retain(|_, last| visit.wrapping_sub(last.visit) <= reach);
    }
}
