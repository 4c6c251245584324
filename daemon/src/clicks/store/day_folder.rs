//! One day of the click store: a sled database with one key for each block.
//!
//! A key is the stream and the first sequence, big-endian (node 2, incarnation 4, thread 1,
//! sequence 8 bytes), so that a stream's blocks are adjacent. A value is the block as in the WAL.
//! Writing a block again changes nothing.
//!
//! This module works around known faults of sled 0.34.7: it removes the remains of an interrupted
//! start before opening; it syncs sled's log through its own descriptor, because `flush` returns
//! before the disk has the data; and it catches panics on damaged files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use coupon_shared::click::block::Block;
use coupon_shared::click::{ClickError, StreamId};

const KEY_BYTES: usize = 15;

/// Errors of a day folder.
#[derive(Debug, thiserror::Error)]
pub(super) enum DayError {
    /// The system refused the operation; the folder may be intact.
    #[error("cannot use {}: {source}", path.display())]
    System { path: PathBuf, source: io::Error },
    /// The folder's contents are invalid.
    #[error("{} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    /// A newer program wrote in the folder.
    #[error(
        "{} has clicks of a newer coupond ({source}): run the newer coupond, or move the folder away to go on without them",
        path.display()
    )]
    Newer { path: PathBuf, source: ClickError },
}

/// Blocks of one stream with their first sequences.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) found: Vec<(u64, Vec<u8>)>,
    /// First sequence of the blocks left out, if any.
    pub(super) rest_from: Option<u64>,
}

#[derive(Debug)]
pub(super) struct DayFolder {
    path: PathBuf,
    db: sled::Db,
    is_dirty: bool,
    is_folder_synced: bool,
}

impl DayFolder {
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<DayFolder, DayError> {
        let system = |source| DayError::System { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => {
                DayError::Damaged { path: path.to_owned(), what: "it is not a folder".into() }
            }
            _ => system(source),
        })?;
        remove_interrupted_snapshots(path).map_err(system)?;
        let config =
            sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = call_sled(path, || config.open())?;
        Ok(DayFolder { path: path.to_owned(), db, is_dirty: false, is_folder_synced: false })
    }

    pub(super) fn insert(&mut self, block: &Block<'_>) -> Result<(), DayError> {
        let key = key(block.stream(), block.first_sequence());
        call_sled(&self.path, || self.db.insert(key, block.as_bytes()).map(drop))?;
        self.is_dirty = true;
        Ok(())
    }

    /// Writes a block unless it exists: when a long WAL is followed again, most blocks exist.
    pub(super) fn insert_missing(&mut self, block: &Block<'_>) -> Result<(), DayError> {
        let key = key(block.stream(), block.first_sequence());
        let stored = call_sled(&self.path, || self.db.get(key))?;
        if stored.is_some_and(|stored| stored == block.as_bytes()) {
            return Ok(());
        }
        self.insert(block)
    }

    /// All inserted blocks are on the disk when this returns.
    pub(super) fn sync(&mut self) -> Result<(), DayError> {
        if self.is_dirty {
            call_sled(&self.path, || self.db.flush())?;
            self.sync_files()
                .map_err(|source| DayError::System { path: self.path.clone(), source })?;
            self.is_dirty = false;
        }
        Ok(())
    }

    fn sync_files(&mut self) -> io::Result<()> {
        File::open(self.path.join("db"))?.sync_data()?;
        if !self.is_folder_synced {
            File::open(&self.path)?.sync_all()?;
            crate::durable_file::sync_folder_of(&self.path)?;
            self.is_folder_synced = true;
        }
        Ok(())
    }

    /// The folder's streams, each with its last sequence.
    pub(super) fn streams(&self) -> Result<BTreeMap<StreamId, u64>, DayError> {
        let mut streams = BTreeMap::new();
        let mut from = [0; KEY_BYTES];
        while let Some((found, _)) = self.first_in(from..=[0xff; KEY_BYTES])? {
            let (stream, _) = self.parse_key(&found)?;
            let range = key(stream, 0)..=key(stream, u64::MAX);
            let last = call_sled(&self.path, || self.db.range(range).next_back().transpose())?;
            if let Some((_, value)) = last {
                streams.insert(stream, self.parse_block(&value)?.last_sequence());
            }
            from = key(stream, u64::MAX);
        }
        Ok(streams)
    }

    /// The blocks of a stream that contain any of `sequences`, oldest first, until they exceed
    /// `max_bytes`.
    pub(super) fn read(
        &self,
        stream: StreamId,
        sequences: RangeInclusive<u64>,
        max_bytes: usize,
    ) -> Result<Blocks, DayError> {
        let (from, to) = sequences.into_inner();
        // The block with the first sequence may begin before that sequence.
        let before = key(stream, 0)..=key(stream, from);
        let holding = call_sled(&self.path, || self.db.range(before).next_back().transpose())?;
        let begin = match &holding {
            Some((found, _)) => self.parse_key(found)?.1,
            None => from,
        };
        let mut blocks = Blocks::default();
        let mut entries = self.db.range(key(stream, begin)..=key(stream, to));
        let mut bytes = 0;
        while let Some((_, value)) = call_sled(&self.path, || entries.next().transpose())? {
            let block = self.parse_block(&value)?;
            if block.last_sequence() < from {
                continue;
            }
            if bytes >= max_bytes {
                blocks.rest_from = Some(block.first_sequence());
                break;
            }
            bytes += block.len();
            blocks.found.push((block.first_sequence(), block.as_bytes().to_vec()));
        }
        Ok(blocks)
    }

    fn first_in(
        &self,
        range: RangeInclusive<[u8; KEY_BYTES]>,
    ) -> Result<Option<(sled::IVec, sled::IVec)>, DayError> {
        call_sled(&self.path, || self.db.range(range).next().transpose())
    }

    fn parse_key(&self, bytes: &[u8]) -> Result<(StreamId, u64), DayError> {
        let Ok(key) = <[u8; KEY_BYTES]>::try_from(bytes) else {
            return Err(self.damaged(format!("a key has {} bytes", bytes.len())));
        };
        let number = |from: usize, to: usize| {
            key[from..to].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let stream = StreamId {
            node: number(0, 2) as u16,
            incarnation: number(2, 6) as u32,
            thread: key[6],
        };
        Ok((stream, number(7, KEY_BYTES)))
    }

    fn parse_block<'a>(&self, value: &'a [u8]) -> Result<Block<'a>, DayError> {
        Block::parse(value).map_err(|source| match source.is_of_newer_program() {
            true => DayError::Newer { path: self.path.clone(), source },
            false => self.damaged(source.to_string()),
        })
    }

    fn damaged(&self, what: String) -> DayError {
        DayError::Damaged { path: self.path.clone(), what }
    }
}

fn key(stream: StreamId, first_sequence: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..2].copy_from_slice(&stream.node.to_be_bytes());
    key[2..6].copy_from_slice(&stream.incarnation.to_be_bytes());
    key[6] = stream.thread;
    key[7..].copy_from_slice(&first_sequence.to_be_bytes());
    key
}

/// Removes snapshots of an interrupted start: sled would take them for its newest snapshot and fail
/// to open.
fn remove_interrupted_snapshots(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b"snap.") && name.ends_with(b".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Runs a sled call and turns a panic, which a damaged file can cause, into an error.
fn call_sled<T>(path: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, DayError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(sled::Error::Io(source))) if is_system_error(&source) => {
            Err(DayError::System { path: path.to_owned(), source })
        }
        Ok(Err(error)) => Err(DayError::Damaged { path: path.to_owned(), what: error.to_string() }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let what = format!("the database panicked: {}", text.unwrap_or("no message"));
            Err(DayError::Damaged { path: path.to_owned(), what })
        }
    }
}

/// Whether the error concerns the machine and not the folder's contents.
fn is_system_error(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let is_system_kind = matches!(
        error.kind(),
        Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::FileTooLarge
            | Kind::ReadOnlyFilesystem
            | Kind::PermissionDenied
            | Kind::OutOfMemory
            | Kind::WouldBlock
            | Kind::Interrupted
    );
    let descriptors = matches!(error.raw_os_error(), Some(23 | 24));
    // sled reports a lock held by another process only as text.
    is_system_kind || descriptors || error.to_string().contains("could not acquire lock")
}
