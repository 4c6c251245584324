//! The data folder as one file, made while the admin runs, and a data folder made of it again.
//!
//! # The file
//!
//! A tar archive, compressed by zstd: `admin.db`, a copy of the store; `archive/….log`, the click
//! archive; and at the end `manifest.json`, with the length and BLAKE3 hash of each. The store is
//! copied before the archive, so the archive holds at least what the store has counted; what it
//! holds beyond is counted when the admin next starts.
//!
//! The file is as secret as the store: it holds the key that signs clicks and the advertisers'
//! signing keys. Only its owner may read it. API keys stand in it as hashes. Absent are `admin.key`,
//! the first key in the clear; the published index, which is made anew; and uploads, which are
//! uploaded again.
//!
//! # After a restore
//!
//! The daemon may serve a later index than the store knows of; publication overtakes it. Clicks that
//! were taken in after the backup are asked for again; what the daemon no longer has is counted as
//! missing. Ids go on at a distance, so that none that was given out since stands for two things.

mod pack;
mod unpack;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::ArchiveError;
use crate::disk::LowDiskSpace;
use crate::store::StoreError;
use crate::store::copy::AdoptError;

pub use pack::{backup, backup_into};
pub use unpack::{Restored, check_finished, restore};

/// The number of the file's form.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// Why there is no backup, or none was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is there already.
    #[error("{} exists already; name another file", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be copied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The click archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file became shorter while it was copied.
    #[error("{} became shorter while it was copied; make the backup again", .0.display())]
    Shrank(PathBuf),
    /// The file is no backup, or not all of one.
    #[error("{} is not a whole backup: {reason}", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What the backup holds is not what was put in.
    #[error("the backup is damaged at {name}: {reason}; nothing was restored")]
    Damaged {
        /// The entry.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store in the backup cannot be used.
    #[error("nothing was restored: {0}")]
    TakeUp(#[from] AdoptError),
    /// The folder has something in it.
    #[error("{} is not empty ({found} is in it); restore into an empty or a new folder", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
        /// What was found first.
        found: String,
    },
    /// An admin serves the folder.
    #[error("a coupon-admin serves {}; stop it first", .0.display())]
    InUse(PathBuf),
    /// What the backup holds would take of the disk's reserve.
    #[error("nothing was restored: {0}")]
    LowDiskSpace(#[from] LowDiskSpace),
    /// A restore did not come to its end.
    #[error("a restore into {} was broken off; run it again", .0.display())]
    Unfinished(PathBuf),
}

impl BackupError {
    fn io<'p>(doing: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> BackupError + 'p {
        move |source| BackupError::Io { doing, path: path.into(), source }
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The store is copied, or checked; so many parts of so many.
    Store(u64, u64),
    /// So many bytes of so many are packed or unpacked.
    Files(u64, u64),
    /// What was unpacked is checked.
    Checking,
}

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// The program that made it.
    program: String,
    /// Of the store.
    schema: i64,
    /// Of the store.
    lineage: String,
    /// When the store was copied, in Unix seconds.
    made_at: i64,
    files: Vec<FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileEntry {
    name: String,
    bytes: u64,
    blake3: String,
}
