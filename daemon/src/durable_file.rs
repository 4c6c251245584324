//! Small files that must not be lost or torn: written under another name, synced, renamed. And
//! folders that must not be lost although they cannot be used.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces the file's contents; after a crash it holds the old ones or the new ones.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    write_synced(&mut create(&new)?, contents).inspect_err(|_| {
        // On a full disk it takes room that others need; left behind, it harms nobody.
        let _ = fs::remove_file(&new);
    })?;
    fs::rename(&new, path)?;
    sync_folder_of(path)
}

/// As [`replace`], but on a full disk contents of the same few bytes are written over the old
/// ones, which needs no room: within one sector, that is all or nothing too.
pub(crate) fn replace_few_bytes(path: &Path, contents: &[u8]) -> io::Result<()> {
    const SECTOR_BYTES: usize = 512;
    match replace(path, contents) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            let mut file = File::options().write(true).open(path)?;
            let fits =
                contents.len() <= SECTOR_BYTES && file.metadata()?.len() == contents.len() as u64;
            if fits { write_synced(&mut file, contents) } else { Err(error) }
        }
        done => done,
    }
}

/// Made new, so that nothing that lies there is written into or through.
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

/// The file's contents, `None` when there is no file.
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

/// Renames a folder that cannot be used to `….damaged-N`, and returns that name.
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
