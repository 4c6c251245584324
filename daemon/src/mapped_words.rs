//! A file of 64-bit words, mapped shared, so that its contents survive the process.
//!
//! The `unsafe` is sound for these reasons: the mapping is as long as the file and lives as long as
//! this value; all blocks are allocated before the file is mapped, and no program of ours shortens
//! it; the pages are only accessed as atomics, which every alignment of a page satisfies.
//!
//! Deliberately absent: the meaning of the words.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, fallocate};

const WORD_BYTES: usize = size_of::<AtomicU64>();

#[derive(Debug)]
pub(crate) struct MappedWords {
    map: MmapRaw,
    /// Locked, so that no other process uses the words.
    _file: File,
}

impl MappedWords {
    /// Opens the file if it has this length and begins with these words. Otherwise replaces it by
    /// a file of zeros behind them. `WouldBlock` if a living process uses the file.
    pub(crate) fn open(path: &Path, beginning: &[u64], words: usize) -> io::Result<MappedWords> {
        match MappedWords::open_existing(path, words) {
            Ok(opened) if opened.begins_with(beginning) => return Ok(opened),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            // Absent, of another version, or damaged.
            _ => {}
        }
        MappedWords::create(path, beginning, words)
    }

    fn open_existing(path: &Path, words: usize) -> io::Result<MappedWords> {
        let file = File::options().read(true).write(true).open(path)?;
        file.try_lock()?;
        if file.metadata()?.len() != (words * WORD_BYTES) as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        MappedWords::map(file, words)
    }

    fn create(path: &Path, beginning: &[u64], words: usize) -> io::Result<MappedWords> {
        let new = path.with_extension("new");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let created = MappedWords::create_new(&new, beginning, words).inspect_err(|_| {
            // On a full disk the file would take room that click rings need.
            let _ = std::fs::remove_file(&new);
        })?;
        std::fs::rename(&new, path)?;
        Ok(created)
    }

    fn create_new(path: &Path, beginning: &[u64], words: usize) -> io::Result<MappedWords> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.try_lock()?;
        fallocate(&file, FallocateFlags::empty(), 0, (words * WORD_BYTES) as u64)?;
        let created = MappedWords::map(file, words)?;
        for (word, value) in created.as_words().iter().zip(beginning) {
            word.store(*value, Ordering::Relaxed);
        }
        Ok(created)
    }

    fn map(file: File, words: usize) -> io::Result<MappedWords> {
        let map = MmapOptions::new().len(words * WORD_BYTES).map_raw(&file)?;
        Ok(MappedWords { map, _file: file })
    }

    fn begins_with(&self, beginning: &[u64]) -> bool {
        let words = self.as_words().iter().map(|word| word.load(Ordering::Relaxed));
        words.take(beginning.len()).eq(beginning.iter().copied())
    }

    pub(crate) fn as_words(&self) -> &[AtomicU64] {
        let words = self.map.len() / WORD_BYTES;
        // SAFETY: the mapping has this length and begins at a page; the header says why its pages
        // stay accessible, and that nobody accesses them other than as atomics.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU64>(), words) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_outlive_their_mapping_and_another_beginning_replaces_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words");
        let words = MappedWords::open(&path, &[1, 2], 1024).unwrap();
        words.as_words()[1023].store(7, Ordering::Relaxed);
        let in_use = MappedWords::open(&path, &[1, 2], 1024).unwrap_err();
        assert_eq!(in_use.kind(), io::ErrorKind::WouldBlock);
        drop(words);
        let read = |beginning: &[u64], words| {
            let opened = MappedWords::open(&path, beginning, words).unwrap();
            opened.as_words()[1023].load(Ordering::Relaxed)
        };
        assert_eq!(read(&[1, 2], 1024), 7);
        assert_eq!(read(&[1, 3], 1024), 0, "another version");
        assert_eq!(read(&[1, 3], 2048), 0, "another length");
        std::fs::write(&path, "damaged").unwrap();
        assert_eq!(read(&[1, 3], 1024), 0);
        assert!(!path.with_extension("new").exists());
    }
}
