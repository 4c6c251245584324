//! Small files that must not be lost or torn: written under another name, synced, renamed. And
//! folders that must not be lost although they cannot be used.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces the file's contents; after a crash it holds the old ones or the new ones.
pub(super) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder_of(path)
}

/// The file's contents, `None` when there is no file.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(contents) => Ok(Some(String::from_utf8_lossy(&contents).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Renames a folder that cannot be used to `….damaged-N`, and returns that name.
pub(super) fn set_aside(folder: &Path) -> io::Result<PathBuf> {
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
