//! Removal of index files without a manifest.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::error::{PublishError, on_disk};
use crate::index_folder::IndexFolder;

/// How long an unreferenced file stays: longer than a daemon needs to open it.
pub(super) const KEEP_UNREFERENCED: Duration = Duration::from_secs(10);
/// Files removed in one round. More than a publication writes, so garbage shrinks; few, because the
/// daemon and the next publication need the folder meanwhile.
pub(super) const MAX_REMOVED_PER_ROUND: usize = 4;

pub(super) struct GarbageFiles {
    /// Unreferenced at the last scan.
    candidates: HashSet<String>,
    pub(super) scanned: Instant,
    /// Unreferenced at two scans, and not removed yet.
    due: Vec<String>,
}

impl GarbageFiles {
    pub(super) fn new() -> GarbageFiles {
        GarbageFiles { candidates: HashSet::new(), scanned: Instant::now(), due: Vec::new() }
    }

    /// Removes a few files, unreferenced at two scans [`KEEP_UNREFERENCED`] apart and not in
    /// `kept`.
    pub(super) async fn remove_old(
        &mut self,
        folder: IndexFolder,
        kept: Vec<String>,
    ) -> Result<(), PublishError> {
        let is_time = self.scanned.elapsed() >= KEEP_UNREFERENCED;
        if self.due.is_empty() && !is_time {
            return Ok(());
        }
        let to_scan = folder.clone();
        let mut unreferenced = on_disk(move || Ok(to_scan.unreferenced()?)).await?;
        unreferenced.retain(|name| !kept.contains(name));
        if self.due.is_empty() {
            self.scanned = Instant::now();
            self.due.extend(self.candidates.drain().filter(|name| unreferenced.remove(name)));
            self.candidates = unreferenced;
        } else {
            // A file may be referenced again by now: content gives the name.
            self.due.retain(|name| unreferenced.contains(name));
        }
        let removed = self.due.split_off(self.due.len().saturating_sub(MAX_REMOVED_PER_ROUND));
        on_disk(move || Ok(removed.iter().try_for_each(|name| folder.remove(name))?)).await
    }
}
