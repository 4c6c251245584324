//! The system calls that change a log, in one place, so that tests can make the N-th call fail.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Clicks and postbacks are personal data, so only the owner may read them.
const FILE_MODE: u32 = 0o600;

/// Creates a file with a new inode, so that no existing file or link is written.
pub(super) fn create(path: &Path) -> io::Result<File> {
    #[cfg(test)]
    faults::trip()?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)
}

pub(super) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(test)]
    if let Err(error) = faults::trip() {
        file.write_all_at(&bytes[..bytes.len() * 2 / 3], at)?;
        return Err(error);
    }
    file.write_all_at(bytes, at)
}

pub(super) fn sync_data(file: &File) -> io::Result<()> {
    #[cfg(test)]
    faults::trip()?;
    file.sync_data()
}

pub(super) fn set_len(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(test)]
    faults::trip()?;
    file.set_len(bytes)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::trip()?;
    fs::rename(from, to)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::trip()?;
    fs::remove_file(path)
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::trip()?;
    File::open(folder)?.sync_all()
}

/// Simulated failures, per thread: `count` calls fail, beginning with call number `from`.
#[cfg(test)]
pub(super) mod faults {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static CALLS_UNTIL: Cell<Option<(u32, u32)>> = const { Cell::new(None) };
    }

    pub(crate) fn fail(from: u32, count: u32) {
        CALLS_UNTIL.set(Some((from, count)));
    }

    /// Ends the failures; true if all requested failures have happened.
    pub(crate) fn clear() -> bool {
        CALLS_UNTIL.take().is_some_and(|(until, left)| until == 0 && left == 0)
    }

    pub(super) fn trip() -> io::Result<()> {
        match CALLS_UNTIL.get() {
            Some((0, 0)) | None => Ok(()),
            Some((0, left)) => {
                CALLS_UNTIL.set(Some((0, left - 1)));
                Err(io::Error::other("a fault on order"))
            }
            Some((until, left)) => {
                CALLS_UNTIL.set(Some((until - 1, left)));
                Ok(())
            }
        }
    }
}
