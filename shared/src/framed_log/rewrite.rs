//! Replaces a closed segment by one with the same sequences and other payloads.
//!
//! One rewrite runs at a time, beside appends and readers; the log's lock is held for the rename
//! only. Nothing is written before the first changed payload, so a rewrite without changes costs a
//! read.
//!
//! If the folder's sync fails after a rename, the next call syncs the folder, even if that call
//! changes nothing. So a caller that retries until there is no error knows that the old bytes
//! cannot return.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::error::FramedLogError;
use super::format::{self, FRAME_LIMIT};
use super::layout::{Committed, RewriteState};
use super::walk::{FrameWalk, WalkStep};
use super::{segment, storage};

/// Least number of bytes per write.
const CHUNK_BYTES: usize = 1 << 20;

/// Rewrites closed segments of a log to which this process appends.
#[derive(Debug, Clone)]
pub struct SegmentRewriter {
    committed: Arc<Committed>,
    max_frame_bytes: u32,
}

impl SegmentRewriter {
    pub(super) fn for_log(committed: Arc<Committed>, max_frame_bytes: u32) -> SegmentRewriter {
        SegmentRewriter { committed, max_frame_bytes: max_frame_bytes.min(FRAME_LIMIT) }
    }

    /// Rewrites the closed segment that begins at `first`. `change` gets each sequence and payload,
    /// and returns the new payload, or `None` to keep the old one. Returns the number of changed
    /// payloads, all durable.
    ///
    /// # Errors
    /// The segment is not closed or is damaged, or `change` or the system fails. Then either the
    /// old or the new segment is there, whole.
    pub fn rewrite<E: From<FramedLogError>>(
        &self,
        first: u64,
        mut change: impl FnMut(u64, &[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<u64, E> {
        let mut state = self.lock_rewriting();
        self.sync_folder(&mut state)?;
        let old = OldSegment::open(&self.committed, first)?;
        let mut new = NewSegment::beside(&old, self.max_frame_bytes);
        let mut walk = old.walk();
        while walk.sequence() < old.sequences.end {
            let (sequence, offset) = (walk.sequence(), walk.offset());
            let place = old.step(&mut walk)?;
            let payload = walk.payload(place);
            match change(sequence, payload)? {
                Some(changed) => new.replace(&old, offset, sequence, &changed)?,
                None => new.keep(sequence, payload)?,
            }
        }
        if new.changed > 0 {
            let bytes = new.complete(&old)?;
            self.replace_segment(&old, &mut new, bytes, &mut state)?;
        }
        Ok(new.changed)
    }

    fn lock_rewriting(&self) -> MutexGuard<'_, RewriteState> {
        self.committed.rewriting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace_segment(
        &self,
        old: &OldSegment,
        new: &mut NewSegment,
        bytes: u64,
        state: &mut RewriteState,
    ) -> Result<(), FramedLogError> {
        {
            let mut layout = self.committed.layout();
            let kept = layout.segments.iter_mut().find(|kept| kept.first == old.sequences.start);
            // Removed meanwhile, so nothing is left to replace.
            let Some(kept) = kept else { return Ok(()) };
            storage::rename(&new.path, &old.path)
                .map_err(FramedLogError::io("rename", &new.path))?;
            kept.bytes = bytes;
            new.file = None;
        }
        state.is_folder_unsynced = true;
        self.sync_folder(state)
    }

    fn sync_folder(&self, state: &mut RewriteState) -> Result<(), FramedLogError> {
        if state.is_folder_unsynced {
            let folder = &self.committed.folder;
            storage::sync_folder(folder).map_err(FramedLogError::io("sync", folder))?;
            state.is_folder_unsynced = false;
        }
        Ok(())
    }
}

struct OldSegment {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
    sequences: Range<u64>,
}

impl OldSegment {
    fn open(committed: &Committed, first: u64) -> Result<OldSegment, FramedLogError> {
        let folder = &committed.folder;
        let following = {
            let layout = committed.layout();
            let closed = layout.segments.windows(2).find(|pair| pair[0].first == first);
            closed.map(|pair| pair[1].first)
        };
        let Some(following) = following else {
            return Err(FramedLogError::NotClosed { folder: folder.clone(), first });
        };
        let path = segment::path(folder, first);
        let file = segment::open(folder, first, Some(following), false)?;
        let bytes = file.metadata().map_err(FramedLogError::io("read", &path))?.len();
        Ok(OldSegment { path, file: Arc::new(file), bytes, sequences: first..following })
    }

    fn walk(&self) -> FrameWalk {
        FrameWalk::new(self.file.clone(), self.sequences.start)
    }

    fn step(&self, walk: &mut FrameWalk) -> Result<Range<usize>, FramedLogError> {
        let step = walk.step(self.bytes).map_err(FramedLogError::io("read", &self.path))?;
        let what = match step {
            WalkStep::Frame(place) => return Ok(place),
            WalkStep::End => "the segment ends before the next one begins",
            WalkStep::Invalid(what) => what,
        };
        Err(FramedLogError::Damaged {
            path: self.path.clone(),
            offset: walk.offset(),
            what,
            resume_at: Some(self.sequences.end),
        })
    }
}

/// The file that replaces a segment; removed unless the replacement succeeds.
struct NewSegment {
    path: PathBuf,
    max_frame_bytes: u32,
    /// Created at the first change.
    file: Option<File>,
    written: u64,
    waiting: Vec<u8>,
    changed: u64,
}

impl NewSegment {
    fn beside(old: &OldSegment, max_frame_bytes: u32) -> NewSegment {
        NewSegment {
            path: old.path.with_extension("log.new"),
            max_frame_bytes,
            file: None,
            written: 0,
            waiting: Vec::new(),
            changed: 0,
        }
    }

    fn keep(&mut self, sequence: u64, payload: &[u8]) -> Result<(), FramedLogError> {
        if self.file.is_some() { self.push(sequence, payload) } else { Ok(()) }
    }

    /// `offset` is the position of the frame in the old file.
    fn replace(
        &mut self,
        old: &OldSegment,
        offset: u64,
        sequence: u64,
        payload: &[u8],
    ) -> Result<(), FramedLogError> {
        if payload.len() > self.max_frame_bytes as usize {
            let (bytes, max) = (payload.len(), self.max_frame_bytes);
            return Err(FramedLogError::FrameTooLarge { bytes, max });
        }
        if self.file.is_none() {
            self.begin(old, offset)?;
        }
        self.changed += 1;
        self.push(sequence, payload)
    }

    /// Creates the file and copies the old file's unchanged beginning.
    fn begin(&mut self, old: &OldSegment, until: u64) -> Result<(), FramedLogError> {
        let created = storage::create(&self.path);
        self.file = Some(created.map_err(FramedLogError::io("create", &self.path))?);
        let mut at = 0;
        while at < until {
            let length = (until - at).min(CHUNK_BYTES as u64) as usize;
            self.waiting.resize(length, 0);
            let read = old.file.read_exact_at(&mut self.waiting, at);
            read.map_err(FramedLogError::io("read", &old.path))?;
            self.write()?;
            at += length as u64;
        }
        Ok(())
    }

    fn push(&mut self, sequence: u64, payload: &[u8]) -> Result<(), FramedLogError> {
        format::push_frame(&mut self.waiting, sequence, payload);
        if self.waiting.len() >= CHUNK_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), FramedLogError> {
        let Some(file) = &self.file else { return Ok(()) };
        storage::write_all_at(file, &self.waiting, self.written)
            .map_err(FramedLogError::io("write", &self.path))?;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Makes the file durable and reads it back; returns its length.
    fn complete(&mut self, old: &OldSegment) -> Result<u64, FramedLogError> {
        self.write()?;
        let Some(file) = &self.file else { return Ok(0) };
        storage::sync_data(file).map_err(FramedLogError::io("sync", &self.path))?;
        let again = File::open(&self.path).map_err(FramedLogError::io("open", &self.path))?;
        let mut walk = FrameWalk::new(Arc::new(again), old.sequences.start);
        loop {
            let step = walk.step(self.written).map_err(FramedLogError::io("read", &self.path))?;
            match step {
                WalkStep::Frame(_) => {}
                WalkStep::End if walk.sequence() == old.sequences.end => return Ok(self.written),
                WalkStep::End | WalkStep::Invalid(_) => {
                    return Err(self.readback_error(walk.offset()));
                }
            }
        }
    }

    fn readback_error(&self, offset: u64) -> FramedLogError {
        FramedLogError::Damaged {
            path: self.path.clone(),
            offset,
            what: "what was written does not read back; the old segment stays",
            resume_at: None,
        }
    }
}

impl Drop for NewSegment {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Opening the log removes a file that stays here.
            let _ = storage::remove(&self.path);
        }
    }
}
