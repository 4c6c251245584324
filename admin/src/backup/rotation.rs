//! Backups in one folder: the next name, and which ones go.
//!
//! Backups go by their number, never by their age: a clock that is wrong removes nothing too early.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

const PREFIX: &str = "coupon-";
const SUFFIX: &str = ".tar.zst";

/// The name of a backup made at `now`, such as `coupon-20261129T221000Z.tar.zst`.
pub fn next_path(folder: &Path, now: Timestamp) -> PathBuf {
    folder.join(format!("{PREFIX}{}{SUFFIX}", now.strftime("%Y%m%dT%H%M%SZ")))
}

/// Removes backups beyond the `keep` last ones by their names, and never `newest`. Files with other
/// names stay. Returns the removed ones.
///
/// # Errors
/// When the folder cannot be read or a file cannot be removed.
pub fn remove_surplus(folder: &Path, newest: &Path, keep: usize) -> io::Result<Vec<PathBuf>> {
    let mut backups = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if is_backup(&path) && path != newest {
            backups.push(path);
        }
    }
    // The names sort by time.
    backups.sort();
    let surplus = (backups.len() + 1).saturating_sub(keep.max(1));
    backups.truncate(surplus);
    for path in &backups {
        std::fs::remove_file(path)?;
    }
    Ok(backups)
}

fn is_backup(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let time = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    time.is_some_and(|time| {
        time.len() == "20261129T221000Z".len()
            && time.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_last_ones_stay_and_the_newest_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let at = |seconds: i64| {
            let path = next_path(folder.path(), Timestamp::from_second(seconds).unwrap());
            std::fs::write(&path, "").unwrap();
            path
        };
        std::fs::write(folder.path().join("coupon-before-the-move.tar.zst"), "").unwrap();
        for day in 1..=4 {
            at(day * 86_400);
        }
        // The clock has been set back: by its name this one is the oldest.
        let newest = at(3600);
        let removed = remove_surplus(folder.path(), &newest, 3).unwrap();
        assert_eq!(removed.len(), 2);
        assert_eq!(
            names(folder.path()),
            [
                "coupon-19700101T010000Z.tar.zst",
                "coupon-19700104T000000Z.tar.zst",
                "coupon-19700105T000000Z.tar.zst",
                "coupon-before-the-move.tar.zst",
            ]
        );
        assert!(remove_surplus(folder.path(), &newest, 3).unwrap().is_empty());
    }
}
