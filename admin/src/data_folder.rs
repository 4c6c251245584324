//! The data folder's lock: one process at a time serves or restores a data folder.
//!
//! Edits of the command line do not need the lock, because the store orders its writers by itself.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::private_file::open_or_create;

/// Name of the lock file in the data folder.
pub(crate) const LOCK_FILE_NAME: &str = "serve.lock";

/// Another process has the lock.
#[derive(Debug, thiserror::Error)]
#[error("another coupon-admin serves {}; stop it, or choose another data folder", .0.display())]
pub(crate) struct FolderTaken(pub(crate) PathBuf);

pub(crate) fn lock_path(dir: &Path) -> PathBuf {
    dir.join(LOCK_FILE_NAME)
}

/// Takes the lock, which is held until the file is closed. Returns `None` if another process has
/// it.
///
/// # Errors
/// When the lock file cannot be opened.
pub(crate) fn try_lock(dir: &Path) -> io::Result<Option<File>> {
    let file = open_or_create(&lock_path(dir))?;
    Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file))
}
