//! Opens a folder: takes the lock, finds the segments, and finds the end of the log.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::error::FramedLogError;
use super::format::{FIRST_SEQUENCE, HEADER_BYTES};
use super::layout::Segment;
use super::walk::{FrameWalk, WalkStep};
use super::{segment, storage};

/// Findings and repairs of an opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes behind the last valid frame that were cut: the rest of an unacknowledged append.
    pub torn_bytes_cut: u64,
    /// Whether a last segment without a complete header was removed.
    pub torn_segment_removed: bool,
    /// The oldest sequence.
    pub first_sequence: u64,
    /// The sequence of the next appended frame.
    pub next_sequence: u64,
}

pub(super) struct Opened {
    pub(super) segments: Vec<Segment>,
    pub(super) last: File,
    pub(super) lock: File,
    pub(super) recovery: Recovery,
}

pub(super) fn open(folder: &Path) -> Result<Opened, FramedLogError> {
    fs::create_dir_all(folder).map_err(FramedLogError::io("create", folder))?;
    let lock = lock(folder)?;
    remove_unfinished(folder).map_err(FramedLogError::io("clean up", folder))?;
    let mut firsts = segment::list(folder).map_err(FramedLogError::io("list", folder))?;

    let torn = remove_torn_segment(folder, &mut firsts)?;
    if firsts.is_empty() {
        let first = torn.map_or(FIRST_SEQUENCE, |torn| torn.first);
        segment::create(folder, first)?;
        firsts.push(first);
    }
    check_headers(folder, &firsts)?;
    check_second_to_last(folder, &firsts)?;
    let tail = cut_torn_tail(folder, firsts[firsts.len() - 1])?;
    if torn.is_some_and(|torn| torn.first > tail.next_sequence) {
        return Err(FramedLogError::Damaged {
            path: segment::path(folder, firsts[firsts.len() - 1]),
            offset: tail.bytes,
            what: "frames are missing before the next segment",
            resume_at: None,
        });
    }
    storage::sync_folder(folder).map_err(FramedLogError::io("sync", folder))?;

    Ok(Opened {
        recovery: Recovery {
            torn_bytes_cut: tail.cut_bytes + torn.map_or(0, |torn| torn.bytes),
            torn_segment_removed: torn.is_some(),
            first_sequence: firsts[0],
            next_sequence: tail.next_sequence,
        },
        segments: measure(folder, &firsts)?,
        last: tail.file,
        lock,
    })
}

fn lock(folder: &Path) -> Result<File, FramedLogError> {
    let path = folder.join("lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(FramedLogError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FramedLogError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(FramedLogError::io("lock", &path)(source)),
    }
}

fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().ends_with(b".log.new") {
            storage::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes the last segment if its header was never completed. Such a segment holds no frame,
/// because a segment takes frames only after its header is durable.
fn remove_torn_segment(
    folder: &Path,
    firsts: &mut Vec<u64>,
) -> Result<Option<Segment>, FramedLogError> {
    let Some(&first) = firsts.last() else {
        return Ok(None);
    };
    let path = segment::path(folder, first);
    let bytes = fs::metadata(&path).map_err(FramedLogError::io("read", &path))?.len();
    let torn = bytes < HEADER_BYTES as u64
        || is_all_zero(&path).map_err(FramedLogError::io("read", &path))?;
    if !torn {
        return Ok(None);
    }
    storage::remove(&path).map_err(FramedLogError::io("remove", &path))?;
    firsts.pop();
    Ok(Some(Segment { first, bytes }))
}

fn is_all_zero(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut chunk = [0; 4096];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(true),
            read if chunk[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

fn check_headers(folder: &Path, firsts: &[u64]) -> Result<(), FramedLogError> {
    for (at, first) in firsts.iter().enumerate() {
        segment::open(folder, *first, firsts.get(at + 1).copied(), false)?;
    }
    Ok(())
}

/// Checks the frames of the segment before the last: it took appends until recently, so a crash
/// could have damaged it. Its frames must lead up to the last segment.
fn check_second_to_last(folder: &Path, firsts: &[u64]) -> Result<(), FramedLogError> {
    let [.., first, following] = *firsts else {
        return Ok(());
    };
    let path = segment::path(folder, first);
    let file = segment::open(folder, first, Some(following), false)?;
    let bytes = file.metadata().map_err(FramedLogError::io("read", &path))?.len();
    let mut walk = FrameWalk::new(Arc::new(file), first);
    while walk.sequence() < following {
        let what = match walk.step(bytes).map_err(FramedLogError::io("read", &path))? {
            WalkStep::Frame(_) => continue,
            WalkStep::End => "the segment ends before the next one begins",
            WalkStep::Invalid(what) => what,
        };
        return Err(FramedLogError::Damaged {
            path,
            offset: walk.offset(),
            what,
            resume_at: Some(following),
        });
    }
    Ok(())
}

struct Tail {
    file: File,
    bytes: u64,
    cut_bytes: u64,
    next_sequence: u64,
}

fn cut_torn_tail(folder: &Path, first: u64) -> Result<Tail, FramedLogError> {
    let path = segment::path(folder, first);
    let file = Arc::new(segment::open(folder, first, None, true)?);
    let bytes = file.metadata().map_err(FramedLogError::io("read", &path))?.len();
    let mut walk = FrameWalk::new(file.clone(), first);
    while let WalkStep::Frame(_) = walk.step(bytes).map_err(FramedLogError::io("read", &path))? {}
    let (end, next_sequence) = (walk.offset(), walk.sequence());
    drop(walk);
    if end < bytes {
        storage::set_len(&file, end).map_err(FramedLogError::io("cut", &path))?;
    }
    storage::sync_data(&file).map_err(FramedLogError::io("sync", &path))?;
    let file = file.try_clone().map_err(FramedLogError::io("open", &path))?;
    Ok(Tail { file, bytes: end, cut_bytes: bytes - end, next_sequence })
}

fn measure(folder: &Path, firsts: &[u64]) -> Result<Vec<Segment>, FramedLogError> {
    let measure_one = |&first: &u64| {
        let path = segment::path(folder, first);
        let bytes = fs::metadata(&path).map_err(FramedLogError::io("read", &path))?.len();
        Ok(Segment { first, bytes })
    };
    firsts.iter().map(measure_one).collect()
}
