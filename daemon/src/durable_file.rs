//! Small files that must be neither lost nor torn: written under another name, synced, renamed.
//! Also sets unusable folders aside.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces the file's contents; after a crash the file holds either the old or the new contents.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    write_synced(&mut create(&new)?, contents).inspect_err(|_| {
        // On a full disk the file would take room that others need; if this fails, the file does no
        // harm.
        let _ = fs::remove_file(&new);
    })?;
    fs::rename(&new, path)?;
    sync_folder_of(path)
}

/// Like [`replace`], but on a full disk contents of unchanged length are written over the old ones,
/// which needs no room: within one sector that is atomic, too.
pub(crate) fn replace_few_bytes(path: &Path, contents: &[u8]) -> io::Result<()> {
    const SECTOR_BYTES: usize = 512;
    match contents.len() <= SECTOR_BYTES {
        true => replace_sectors(path, contents),
        false => replace(path, contents),
    }
}

/// The same for any length. After a crash on a full disk the file may hold old and new bytes mixed.
pub(crate) fn replace_sectors(path: &Path, contents: &[u8]) -> io::Result<()> {
    match replace(path, contents) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            overwrite(path, contents, error)
        }
        done => done,
    }
}

fn overwrite(path: &Path, contents: &[u8], error: io::Error) -> io::Result<()> {
    let Ok(mut file) = File::options().write(true).open(path) else { return Err(error) };
    let fits = file.metadata()?.len() == contents.len() as u64;
    if fits { write_synced(&mut file, contents) } else { Err(error) }
}

/// Removes any existing file first, so that the contents are never written through a link.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(path)
}

fn write_synced(file: &mut File, contents: &[u8]) -> io::Result<()> {
    file.write_all(contents)?;
    file.sync_all()
}

/// The file's contents; `None` if there is no file.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(contents) => Ok(Some(String::from_utf8_lossy(&contents).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Renames an unusable folder to `….damaged-N`; returns the new name.
pub(crate) fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut number = 1;
    loop {
        let aside = folder.with_file_name(format!("{name}.damaged-{number}"));
        if !aside.try_exists()? {
            fs::rename(folder, &aside)?;
            sync_folder_of(&aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}
