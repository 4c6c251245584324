//! Errors of backups and restores.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::ArchiveError;
use crate::disk::LowDiskSpace;
use crate::store::StoreError;
use crate::store::copy::AdoptError;

/// Why a backup or restore failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file exists already.
    #[error("{} exists already; name another file", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The store cannot be copied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The click archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file became shorter during the copy.
    #[error("{} became shorter while it was copied; make the backup again", .0.display())]
    Shrank(PathBuf),
    /// The file is not a complete backup.
    #[error("{} is not a whole backup: {reason}", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// The defect.
        reason: String,
    },
    /// The backup is damaged.
    #[error("the backup is damaged at {name}: {reason}; nothing was restored")]
    Damaged {
        /// The entry.
        name: String,
        /// The defect.
        reason: String,
    },
    /// The store in the backup cannot be used.
    #[error("nothing was restored: {0}")]
    TakeUp(#[from] AdoptError),
    /// The folder is not empty.
    #[error("{} is not empty ({found} is in it); restore into an empty or a new folder", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
        /// Name of a file in the folder.
        found: String,
    },
    /// The user of the restore lacks the permission to write.
    #[error(
        "nothing was restored: the user with uid {uid} cannot write to {}, which belongs to {owner}; run \
         the restore as this owner or as root, or name another folder with --data", path.display()
    )]
    Denied {
        /// The user of the restore.
        uid: u32,
        /// The folder or file that cannot be written.
        path: PathBuf,
        /// Its owner.
        owner: String,
    },
    /// An admin serves the folder.
    #[error("a coupon-admin serves {}; stop it first", .0.display())]
    InUse(PathBuf),
    /// The restored files would not leave the disk's reserve free.
    #[error("nothing was restored: {0}")]
    LowDiskSpace(#[from] LowDiskSpace),
    /// A restore did not complete.
    #[error("a restore into {} was broken off; run it again", .0.display())]
    Unfinished(PathBuf),
}

impl BackupError {
    pub(super) fn io<'p>(
        doing: &'static str,
        path: &'p Path,
    ) -> impl FnOnce(io::Error) -> BackupError + 'p {
        move |source| BackupError::Io { doing, path: path.into(), source }
    }
}
