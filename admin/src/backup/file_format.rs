//! Contents of a backup file, and progress through them.

use serde::{Deserialize, Serialize};

/// Version of the file format.
pub(super) const FORMAT: u32 = 1;
pub(super) const MANIFEST: &str = "manifest.json";

/// Progress of a backup or restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The store is being copied: parts done, parts in total.
    Store(u64, u64),
    /// Files are being packed or unpacked: bytes done, bytes in total.
    Files(u64, u64),
    /// The unpacked files are being checked.
    Checking,
}

/// Describes the contents of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// Name and version of the program.
    pub(super) program: String,
    /// Schema version of the store.
    pub(super) schema: i64,
    /// Lineage of the store.
    pub(super) lineage: String,
    /// Time of the store's copy, in Unix seconds.
    pub(super) made_at: i64,
    pub(super) files: Vec<FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) blake3: String,
}
