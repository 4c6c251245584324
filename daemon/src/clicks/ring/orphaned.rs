//! Orphaned rings: the rings of earlier runs in the runtime folder.
//!
//! A ring of this store is drained and then removed. A ring of another store and a damaged ring are
//! set aside under another name and reported; a ring of a living process stays untouched. Only
//! unfinished files, which were never used, are deleted here.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use coupon_shared::click::StreamId;
use coupon_shared::feed::RunIds;

use super::mapping::{CONSTANTS_BYTES, Consumer, Mapping};
use super::{Identity, RingReader, StoreId, decode_constants};

/// A file with the name of a ring.
#[derive(Debug)]
pub(crate) enum OrphanedRing {
    /// A ring of this store, to be drained.
    Ours(Box<RingReader>),
    /// A ring that this store cannot use; renamed.
    SetAside {
        /// The new name.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// A ring of a living process; untouched.
    InUse { path: PathBuf },
}

pub(super) fn file_name(stream: StreamId) -> String {
    format!("ring-{}-{}", stream.incarnation, stream.thread)
}

/// Whether the runtime folder has a ring of this incarnation, of any store.
pub(crate) fn is_used(runtime_dir: &Path, incarnation: u32) -> io::Result<bool> {
    let beginning = format!("ring-{incarnation}-");
    for entry in fs::read_dir(runtime_dir)? {
        if entry?.file_name().as_encoded_bytes().starts_with(beginning.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The run ids in the rings of this store.
pub(crate) fn read_run_ids(runtime_dir: &Path, store: StoreId) -> io::Result<RunIds> {
    let mut runs = RunIds::new();
    for entry in fs::read_dir(runtime_dir)? {
        let entry = entry?;
        let is_ring = matches!(classify_name(&entry.path(), store), FileKind::Ring);
        if !is_ring || !entry.file_type()?.is_file() {
            continue;
        }
        let mut constants = [0; CONSTANTS_BYTES];
        // A ring that cannot be read is set aside, or reported, where it is opened.
        let read = File::open(entry.path()).and_then(|mut ring| ring.read_exact(&mut constants));
        if let (Ok(()), Ok((identity, _))) = (read, decode_constants(&constants))
            && identity.store == store
        {
            runs.extend(identity.run.map(|run| (identity.stream.incarnation, run)));
        }
    }
    Ok(runs)
}

/// Scans the runtime folder. Rings of this store come in the order of their streams.
pub(crate) fn find_orphaned_rings(
    runtime_dir: &Path,
    store: StoreId,
) -> io::Result<Vec<OrphanedRing>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(runtime_dir)? {
        let entry = entry?;
        // Opening a folder fails and reading a pipe blocks; neither is a ring.
        if !entry.file_type()?.is_file() {
            continue;
        }
        let path = entry.path();
        match classify_name(&path, store) {
            FileKind::Ring => found.push(open_orphan(path, store)?),
            FileKind::Unfinished => remove_unless_in_use(&path)?,
            FileKind::Other => {}
        }
    }
    found.sort_by_key(|orphaned| match orphaned {
        OrphanedRing::Ours(ring) => Some(ring.stream()),
        _ => None,
    });
    Ok(found)
}

enum FileKind {
    Ring,
    Unfinished,
    Other,
}

/// A ring that another store set aside is ours again if its name carries our id.
fn classify_name(path: &Path, store: StoreId) -> FileKind {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (stem, suffix) = name.split_once('.').unwrap_or((name, ""));
    let numbers = stem.strip_prefix("ring-").and_then(|rest| rest.split_once('-'));
    let is_ring = numbers.is_some_and(|(incarnation, thread)| {
        incarnation.parse::<u32>().is_ok() && thread.parse::<u8>().is_ok()
    });
    match suffix {
        "" if is_ring => FileKind::Ring,
        "new" if is_ring => FileKind::Unfinished,
        _ if is_ring && suffix == foreign_suffix(store) => FileKind::Ring,
        _ => FileKind::Other,
    }
}

fn foreign_suffix(store: StoreId) -> String {
    format!("of-store-{:032x}", u128::from_be_bytes(store))
}

fn open_orphan(path: PathBuf, store: StoreId) -> io::Result<OrphanedRing> {
    let mut file = File::options().read(true).write(true).open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(OrphanedRing::InUse { path }),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut constants = [0; CONSTANTS_BYTES];
    let decoded = match file.read_exact(&mut constants) {
        Ok(()) => decode_constants(&constants),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err("it ends within its constants".into())
        }
        Err(error) => return Err(error),
    };
    drop(file);
    match decoded {
        Ok((identity, _)) if identity.store != store => {
            let why = "it belongs to another data folder".into();
            Ok(OrphanedRing::SetAside {
                path: set_aside(&path, &foreign_suffix(identity.store))?,
                why,
            })
        }
        Ok((identity, capacity)) => adopt(path, identity, capacity),
        Err(why) => Ok(OrphanedRing::SetAside { path: set_aside(&path, "damaged")?, why }),
    }
}

fn adopt(path: PathBuf, identity: Identity, capacity: u64) -> io::Result<OrphanedRing> {
    let mapping = match Mapping::open(&path) {
        Ok(mapping) => mapping,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let path = set_aside(&path, "damaged")?;
            return Ok(OrphanedRing::SetAside { path, why: error.to_string() });
        }
        Err(error) => return Err(error),
    };
    if mapping.capacity() as u64 != capacity {
        let why = format!("it has {} bytes, but its header says {capacity}", mapping.capacity());
        drop(mapping);
        return Ok(OrphanedRing::SetAside { path: set_aside(&path, "damaged")?, why });
    }
    let consumer = Consumer::of_orphan(mapping);
    Ok(OrphanedRing::Ours(Box::new(RingReader::new(consumer, identity.stream, path))))
}

/// Renames a ring without replacing another file; returns the new name.
pub(crate) fn set_aside(path: &Path, suffix: &str) -> io::Result<PathBuf> {
    let mut number = 0;
    let aside = loop {
        let extension = if number == 0 { suffix.into() } else { format!("{suffix}-{number}") };
        let aside = path.with_extension(extension);
        if !aside.try_exists()? {
            break aside;
        }
        number += 1;
    };
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn remove_unless_in_use(path: &Path) -> io::Result<()> {
    match File::options().write(true).open(path)?.try_lock() {
        Ok(()) => fs::remove_file(path),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
