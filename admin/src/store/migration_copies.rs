//! Copies of the store before a migration, in `DIR/migration-copies`: the way back to the program
//! before an upgrade.
//!
//! - A copy is made within the transaction that migrates, so the copy is the last state of the
//!   former schema. The migration begins only once the copy is durable and has its name.
//! - One copy stays for each schema: a migration that is killed and repeated makes no second one.
//! - Surplus copies go by their schema number, never by their age: a clock that is wrong removes
//!   nothing too early. The copy just made always stays.
//! - A half copy lies in a temporary folder. The next program that opens the store removes it: the
//!   write lock shows that nobody is writing it.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use super::{FILE_NAME, StoreError, copy};
use crate::disk::free_bytes;
use crate::private_file::{TemporaryFolder, give_to_owner_of, sync_folder_of};

/// Name of the copies' folder in the data folder.
pub(crate) const FOLDER_NAME: &str = "migration-copies";
/// Copies that stay unless the configuration says otherwise.
pub const DEFAULT_KEPT: u32 = 3;
const PREFIX: &str = "admin-schema-";
const SUFFIX: &str = ".db";
const FOLDER_MODE: u32 = 0o750;

/// The copies of one data folder.
#[derive(Debug, Clone)]
pub(super) struct MigrationCopies {
    folder: PathBuf,
    kept: u32,
}

impl MigrationCopies {
    /// The copies of `dir`, of which the last `kept` stay; 0 makes none.
    pub(super) fn new(dir: &Path, kept: u32) -> MigrationCopies {
        MigrationCopies { folder: dir.join(FOLDER_NAME), kept }
    }

    /// Makes the copy of a store with an older schema. The caller has the write lock.
    ///
    /// # Errors
    /// [`StoreError::MigrationCopy`] when the disk has no room or the copy fails.
    pub(super) fn make(&self, found: i64, known: i64, bytes: u64) -> Result<(), StoreError> {
        if self.kept == 0 {
            return Ok(());
        }
        let began = Instant::now();
        let path = self.write(found, bytes).map_err(|reason| StoreError::MigrationCopy {
            found,
            known,
            bytes,
            reason,
        })?;
        tracing::info!(
            copy = %path.display(),
            schema = found,
            new_schema = known,
            bytes,
            ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "store copied before its migration"
        );
        self.remove_surplus(&path, found);
        Ok(())
    }

    fn write(&self, schema: i64, bytes: u64) -> Result<PathBuf, String> {
        let failed = |error: io::Error| format!("{}: {error}", self.folder.display());
        self.make_folder().map_err(failed)?;
        check_room(&self.folder, bytes)?;
        let scratch = TemporaryFolder::within(&self.folder).map_err(failed)?;
        let copied_to = scratch.path().join(FILE_NAME);
        let store = self.folder.with_file_name(FILE_NAME);
        copy::copy_pages(&store, &copied_to).map_err(|error| error.to_string())?;
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let path = self.folder.join(format!("{PREFIX}{schema}-{time}{SUFFIX}"));
        persist(&store, &copied_to, &path).map_err(failed)?;
        Ok(path)
    }

    fn make_folder(&self) -> io::Result<()> {
        if !self.folder.is_dir() {
            DirBuilder::new().mode(FOLDER_MODE).create(&self.folder)?;
            sync_folder_of(&self.folder)?;
        }
        give_to_owner_of(&self.folder.with_file_name(FILE_NAME), &self.folder)
    }

    /// Removes half copies. The caller has the write lock, so no other process is copying.
    pub(super) fn remove_leftovers(&self) {
        for path in entries(&self.folder) {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.starts_with(b".") && name.ends_with(b".tmp") {
                report("half copy of the store removed", &path, std::fs::remove_dir_all(&path));
            }
        }
    }

    /// Removes other copies of the same schema, and those of the lowest schemas beyond the number.
    fn remove_surplus(&self, made: &Path, schema: i64) {
        let mut others: Vec<(i64, PathBuf)> = entries(&self.folder)
            .filter(|path| path != made)
            .filter_map(|path| Some((schema_of(path.file_name()?)?, path)))
            .collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        let (same, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(other, _)| *other == schema);
        let surplus = others.into_iter().skip(self.kept.saturating_sub(1) as usize);
        for (_, path) in same.into_iter().chain(surplus) {
            report("surplus copy of the store removed", &path, std::fs::remove_file(&path));
        }
    }
}

/// A copy that stays costs disk space and nothing else, so its removal may fail.
fn report(event: &str, path: &Path, removed: io::Result<()>) {
    match removed {
        Ok(()) => tracing::info!(path = %path.display(), "{event}"),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "cannot remove a copy of the store");
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).ok().into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// Schema number in the name of a copy; `None` for another file.
fn schema_of(name: &OsStr) -> Option<i64> {
    let name = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    name.split_once('-')?.0.parse().ok()
}

fn check_room(folder: &Path, bytes: u64) -> Result<(), String> {
    // If the system does not say, the copy itself will fail.
    let Some(free) = free_bytes(folder).filter(|free| *free < bytes) else { return Ok(()) };
    Err(format!("{free} bytes are free on the disk of {}", folder.display()))
}

/// Makes the copy durable with the owner and the mode of the store, and gives it its name.
fn persist(store: &Path, copied_to: &Path, path: &Path) -> io::Result<()> {
    let file = File::open(copied_to)?;
    file.set_permissions(std::fs::metadata(store)?.permissions())?;
    give_to_owner_of(store, copied_to)?;
    file.sync_all()?;
    std::fs::rename(copied_to, path)?;
    sync_folder_of(path)
}

#[cfg(test)]
mod tests;
