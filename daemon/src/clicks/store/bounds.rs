//! The bounds of the click store on its disk: most bytes of its own, and a reserve of the disk.
//!
//! The store is a copy of what WAL and archive have, so it gives way to them: beyond a bound the
//! store removes its oldest days, and where none is removable it stops growing. The WAL goes on.
//!
//! Removal for room asks no clock. Days go in the order of their last block in the WAL, and only
//! days that the admin has acknowledged: a clock that is wrong loses no click.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two checks a full load writes a few MiB.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const BYTES_PER_BLOCK: u64 = 512;

/// The bounds as configured; 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::clicks) struct StoreBounds {
    /// Most bytes of the store.
    pub(in crate::clicks) max_bytes: u64,
    /// Bytes of the disk that stay free.
    pub(in crate::clicks) reserve_bytes: u64,
}

/// A bound that the store exceeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Excess {
    Store { max_bytes: u64 },
    Disk { reserve_bytes: u64, folder: PathBuf },
}

impl Excess {
    pub(super) fn problem(&self) -> String {
        match self {
            Excess::Store { max_bytes } => format!(
                "the click store has reached clicks.store_max_bytes ({max_bytes}) with clicks that \
                 coupon-admin does not have yet, or with those of the present day: it does not grow; \
                 start coupon-admin, or raise clicks.store_max_bytes"
            ),
            Excess::Disk { reserve_bytes, folder } => format!(
                "less than clicks.disk_reserve_bytes ({reserve_bytes}) is free on the disk of {}: \
                 the click store gives up its oldest days and does not grow, clicks still go to \
                 the WAL and to coupon-admin; free some space",
                folder.display()
            ),
        }
    }
}

/// Watches the bounds.
pub(super) struct BoundsWatch {
    bounds: StoreBounds,
    folder: PathBuf,
    checked: Option<Instant>,
    /// Whether blocks are passed over.
    pub(super) is_paused: bool,
}

impl BoundsWatch {
    pub(super) fn new(bounds: StoreBounds, folder: PathBuf) -> BoundsWatch {
        BoundsWatch { bounds, folder, checked: None, is_paused: false }
    }

    /// Whether the next check is due; the caller then checks.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.checked.is_none_or(|checked| checked.elapsed() >= CHECK_INTERVAL);
        if is_due {
            self.checked = Some(Instant::now());
        }
        is_due
    }

    /// Bytes of the store on its disk.
    pub(super) fn store_bytes(&self) -> io::Result<u64> {
        bytes_on_disk(&self.folder)
    }

    /// The exceeded bound of a store of so many bytes.
    pub(super) fn excess(&self, store_bytes: u64) -> Option<Excess> {
        let StoreBounds { max_bytes, reserve_bytes } = self.bounds;
        // Above the reserve by an eighth before the store grows again, so that it does not alternate.
        let margin = if self.is_paused { reserve_bytes / 8 } else { 0 };
        let wanted = reserve_bytes.saturating_add(margin);
        // If the system does not say, writes fail by themselves.
        let free = free_bytes(&self.folder).unwrap_or(u64::MAX);
        if free < wanted {
            return Some(Excess::Disk { reserve_bytes, folder: self.folder.clone() });
        }
        (max_bytes > 0 && store_bytes > max_bytes).then_some(Excess::Store { max_bytes })
    }
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Bytes that the files of a folder take on their disk.
pub(super) fn bytes_on_disk(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata().and_then(|found| match found.is_dir() {
            true => bytes_on_disk(&entry.path()),
            false => Ok(found.blocks() * BYTES_PER_BLOCK),
        });
        match found {
            Ok(found) => bytes += found,
            // sled replaces its snapshots.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
