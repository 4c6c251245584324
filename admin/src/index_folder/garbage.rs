//! Removal of index files without a manifest.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Files removed at once. More than a publication writes, so garbage shrinks; few, because the
/// daemon and the next publication need the folder meanwhile.
pub(crate) const MAX_REMOVED_AT_ONCE: usize = 4;

/// Selects the files to remove: a file goes after it was unreferenced at two scans.
pub(crate) struct GarbageFiles {
    /// Time between two scans: longer than a daemon needs to open a file.
    interval: Duration,
    /// Unreferenced at the last scan.
    candidates: HashSet<String>,
    pub(crate) scanned: Instant,
    /// Unreferenced at two scans, and not removed yet.
    due: Vec<String>,
}

impl GarbageFiles {
    pub(crate) fn new(interval: Duration) -> GarbageFiles {
        let (candidates, due) = (HashSet::new(), Vec::new());
        GarbageFiles { interval, candidates, scanned: Instant::now(), due }
    }

    /// Whether the folder is to be scanned now.
    pub(crate) fn is_scan_due(&self) -> bool {
        !self.due.is_empty() || self.scanned.elapsed() >= self.interval
    }

    /// Takes the unreferenced files of a scan; returns a few files to remove now.
    pub(crate) fn take_scan(&mut self, mut unreferenced: HashSet<String>) -> Vec<String> {
        if self.due.is_empty() {
            self.scanned = Instant::now();
            self.due.extend(self.candidates.drain().filter(|name| unreferenced.remove(name)));
            self.candidates = unreferenced;
        } else {
            // A file may be referenced again by now: content gives the name.
            self.due.retain(|name| unreferenced.contains(name));
        }
        self.due.split_off(self.due.len().saturating_sub(MAX_REMOVED_AT_ONCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_file_goes_at_the_second_scan_unless_it_is_referenced_again() {
        let mut garbage = GarbageFiles::new(Duration::ZERO);
        assert!(garbage.is_scan_due());
        assert!(garbage.take_scan(files(&["old", "again"])).is_empty());
        assert_eq!(garbage.take_scan(files(&["old", "new"])), ["old"]);
        assert_eq!(garbage.take_scan(files(&["new"])), ["new"]);
        assert!(!GarbageFiles::new(Duration::from_secs(60)).is_scan_due());
    }
}
