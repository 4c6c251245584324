//! DiskSpace on the disk of the data folder.
//!
//! A part of it is a reserve: bulk work, whose rows come by the million, is refused before it takes
//! of it, and of what strangers send nothing is kept that identifies nobody. So on a disk that fills up, publication, the intake of clicks and conversions and single
//! edits go on, and the status says that space is low while there is time to act.
//!
//! Deliberately absent: a promise. Others write to the same disk; whoever finds it full is told so
//! by the store, and nothing of his is saved.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

/// How much of a file is read between two looks at the disk.
const LOOK_EVERY: u64 = 256 << 10;
/// What is staged for each of its bytes, and how much of that SQLite holds back before it writes.
const STAGED_PER_BYTE: u64 = 6;
const HELD_BACK: u64 = 128 << 20;

/// The disk that the data folder is on; clones share it.
#[derive(Debug, Clone)]
pub struct Disk {
    dir: Arc<Path>,
    reserve_bytes: u64,
}

/// How full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DiskSpace {
    /// What this program may still write; nothing when the system does not say.
    pub free_bytes: Option<u64>,
    /// What bulk work leaves free.
    pub reserve_bytes: u64,
    /// Whether bulk work is refused.
    pub is_low: bool,
}

/// Why bulk work is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} MiB are free on the disk of the data folder, too few for this beside the {} MiB that are \
     kept for publication, clicks and single edits: free some space, or lower disk_reserve_bytes",
    free_bytes >> 20,
    reserve_bytes >> 20
)]
pub struct LowDiskSpace {
    free_bytes: u64,
    reserve_bytes: u64,
}

impl Disk {
    /// The disk of a data folder, and what of it is a reserve.
    #[must_use]
    pub fn new(dir: &Path, reserve_bytes: u64) -> Disk {
        Disk { dir: dir.into(), reserve_bytes }
    }

    /// How full it is now.
    #[must_use]
    pub fn space(&self) -> DiskSpace {
        let (free_bytes, reserve_bytes) = (self.free_bytes(), self.reserve_bytes);
        let is_low = free_bytes.is_some_and(|free| free < reserve_bytes);
        DiskSpace { free_bytes, reserve_bytes, is_low }
    }

    /// That so many bytes can be written without the reserve.
    ///
    /// # Errors
    /// When they cannot.
    pub fn ensure_free(&self, bytes: u64) -> Result<(), LowDiskSpace> {
        // Where the system does not say, the write itself will.
        let Some(free_bytes) = self.free_bytes() else { return Ok(()) };
        let reserve_bytes = self.reserve_bytes;
        if free_bytes >= reserve_bytes.saturating_add(bytes) {
            Ok(())
        } else {
            Err(LowDiskSpace { free_bytes, reserve_bytes })
        }
    }

    /// Reads as `file` does, and breaks off before the rows that are staged of it take of the reserve.
    pub fn guarded<R: Read>(&self, file: R) -> impl Read + use<R> {
        GuardedReader { file, disk: self.clone(), read: 0, look_at: 0 }
    }

    fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&*self.dir).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

impl From<LowDiskSpace> for io::Error {
    fn from(error: LowDiskSpace) -> io::Error {
        io::Error::new(io::ErrorKind::StorageFull, error)
    }
}

struct GuardedReader<R> {
    file: R,
    disk: Disk,
    read: u64,
    look_at: u64,
}

impl<R: Read> Read for GuardedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read >= self.look_at {
            self.disk.ensure_free(HELD_BACK.min(self.read.saturating_mul(STAGED_PER_BYTE)))?;
            self.look_at = self.read + LOOK_EVERY;
        }
        let read = self.file.read(out)?;
        self.read += read as u64;
        Ok(read)
    }
}
