//! Free space on the disk of the data folder.
//!
//! A part of the disk is a reserve. Bulk work, with millions of rows, is refused before it takes of
//! the reserve, and postbacks that identify nothing are not kept. So on a disk that fills up,
//! publication, ingest of clicks and conversions, and single edits go on, and the status reports
//! low space while there is time to act.
//!
//! Deliberately absent: a guarantee. Other programs write to the same disk; a write to a full disk
//! gets an error from the store and saves nothing.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

/// Bytes of a file between two checks of the disk.
const LOOK_EVERY: u64 = 256 << 10;
/// Staged bytes per byte of a file, including pages that SQLite holds back before writing.
const STAGED_PER_BYTE: u64 = 6;
const HELD_BACK: u64 = 128 << 20;

/// The disk of the data folder; clones share it.
#[derive(Debug, Clone)]
pub struct Disk {
    dir: Arc<Path>,
    reserve_bytes: u64,
}

/// Free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DiskSpace {
    /// Bytes that this program may still write; null if the system does not say.
    pub free_bytes: Option<u64>,
    /// Bytes that bulk work leaves free.
    pub reserve_bytes: u64,
    /// Whether bulk work is refused.
    pub is_low: bool,
}

/// Reason for refusing bulk work.
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
    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// The disk of a data folder, with its reserve.
    #[must_use]
    pub fn new(dir: &Path, reserve_bytes: u64) -> Disk {
        Disk { dir: dir.into(), reserve_bytes }
    }

    /// The present free space.
    #[must_use]
    pub fn space(&self) -> DiskSpace {
        let (free_bytes, reserve_bytes) = (self.free_bytes(), self.reserve_bytes);
        let is_low = free_bytes.is_some_and(|free| free < reserve_bytes);
        DiskSpace { free_bytes, reserve_bytes, is_low }
    }

    /// Checks that so many bytes fit without the reserve.
    ///
    /// # Errors
    /// When they cannot.
    pub fn ensure_free(&self, bytes: u64) -> Result<(), LowDiskSpace> {
        // If the system does not say, the write itself will fail.
        let Some(free_bytes) = self.free_bytes() else { return Ok(()) };
        let reserve_bytes = self.reserve_bytes;
        if free_bytes >= reserve_bytes.saturating_add(bytes) {
            Ok(())
        } else {
            Err(LowDiskSpace { free_bytes, reserve_bytes })
        }
    }

    /// Reads like `file`, and fails before its staged rows take of the reserve.
    pub fn guarded<R: Read>(&self, file: R) -> impl Read + use<R> {
        GuardedReader { file, disk: self.clone(), read: 0, look_at: 0 }
    }

    fn free_bytes(&self) -> Option<u64> {
        free_bytes(&self.dir)
    }
}

/// Bytes that this program may still write to a folder's disk; `None` if the system does not say.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
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
