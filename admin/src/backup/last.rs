//! The last backup of a data folder, for the status.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::private_file::{NewFile, give_to_owner_of};

/// The last backup of a data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LastBackup {
    /// When it was made, in Unix seconds.
    pub made_at: i64,
    /// Bytes of the backup.
    pub bytes: u64,
}

fn file(dir: &Path) -> PathBuf {
    dir.join("last-backup.json")
}

/// The last backup that was made of a data folder; `None` if none was.
pub fn last_backup(dir: &Path) -> Option<LastBackup> {
    let text = std::fs::read(file(dir)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Notes a backup of a data folder.
///
/// # Errors
/// When the file cannot be written.
pub fn note_backup(dir: &Path, backup: &LastBackup) -> io::Result<()> {
    let path = file(dir);
    let new = NewFile::beside(&path)?;
    serde_json::to_writer(new.file(), backup)?;
    new.replace()?;
    // The command may run as root.
    give_to_owner_of(dir, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_backup_is_known_to_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last_backup(dir.path()), None);
        for bytes in [7, 8] {
            let backup = LastBackup { made_at: 1_700_000_000, bytes };
            note_backup(dir.path(), &backup).unwrap();
            assert_eq!(last_backup(dir.path()), Some(backup));
        }
        std::fs::write(file(dir.path()), "half").unwrap();
        assert_eq!(last_backup(dir.path()), None);
    }
}
