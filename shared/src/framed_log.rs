//! The framed log: one append-only primitive under the click WAL, the postback spool and the click
//! archive, so that one crash-test suite covers them all.
//!
//! # Bytes (format version 1, all numbers little endian)
//!
//! A log is a folder. Its segments are files named by the sequence number of their first frame,
//! twenty digits with leading zeros and `.log`; sequence numbers begin at 1 and have no holes.
//!
//! ```text
//! segment header, 24 bytes            frame, 16 bytes and the payload
//!  0  8  magic "cpnframe"              0  4  length of the payload, at most 16 MiB
//!  8  4  format version, 1             4  4  CRC-32C of length, sequence and payload
//! 12  8  first sequence                8  8  sequence
//! 20  4  CRC-32C of bytes 0..20       16  …  payload
//! ```
//!
//! Beside the segments lie `lock` (held by the one process that may append) and, for a moment,
//! `….log.new` (a segment being created).
//!
//! # Where a segment ends
//!
//! Every segment but the last ends where the next one begins: at the frame before the next
//! segment's first sequence. What follows that frame is the rest of an append that was rolled back
//! and is ignored; an invalid frame *before* it is damage, reported with file and offset and never
//! skipped silently. The last segment ends at its first invalid frame (the torn-tail rule; a tail
//! of zeros is invalid too): opening cuts the bytes after it and says how many. A last segment
//! whose header was never completed holds no frame and is removed.
//!
//! # Appending
//!
//! [`FramedLog::append_synced`] is one write and one `fdatasync`; only then do the frames exist for
//! readers. A segment is created under another name, synced, renamed, and its folder synced, before
//! it takes a frame. When an append fails, nothing of it is visible and it may be tried again:
//! - the write failed: the segment is cut back to its committed length and goes on;
//! - the cut or the sync failed: the kernel may now hold pages it calls clean that never reached
//!   the disk, so nothing is written to that file again. The next append begins a new segment (of
//!   a new inode, also when the old one held no frame), and the rule above decides where the old
//!   one ended.
//!
//! After a crash the frames of a failed append may be there or not: whoever appends numbers of its
//! own (clicks, postbacks) recognises them by those.
//!
//! Opening syncs the last segment, because after a killed process its frames may be in memory only.
//! It checks every header and the frames of the last two segments; older frames are checked when
//! they are read.
//!
//! # Rewriting
//!
//! Frames are final, with one exception: a [`SegmentRewriter`] replaces a *closed* segment (one that
//! another follows) by a file with the same sequences and other payloads, so that what must be
//! forgotten can be. It is written under another name, read back, synced, renamed over the old one,
//! and the folder synced: a crash leaves the one or the other, whole. A reader that has the old file
//! open goes on in it; one that is sent there again opens the new one. The segment that takes
//! appends is never touched; [`FramedLog::close_segment`] closes it first.
//!
//! Deliberately absent: compression, knowledge of what a payload means, threads, waiting.

mod reader;
mod recovery;
mod rewrite;
mod segment;
mod storage;
mod walk;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use reader::{Frame, FrameReader};
pub use recovery::Recovery;
pub use rewrite::SegmentRewriter;
pub use segment::{FORMAT_VERSION, FRAME_LIMIT};

/// How large a log's parts may grow.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A segment that holds frames is not appended to beyond this length.
    pub segment_bytes: u64,
    /// The longest payload taken, at most [`FRAME_LIMIT`].
    pub max_frame_bytes: u32,
}

/// Why a framed log did not open, take frames or give them.
#[derive(Debug, thiserror::Error)]
pub enum FramedLogError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process appends to this log.
    #[error("{} is in use by another process: stop it, or give this one a folder of its own", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Bytes that were once synced are not what was written.
    #[error(
        "{} is damaged at byte {offset} ({what}): restore the file from a backup, or move it out of the folder and keep it; {}",
        path.display(),
        match resume_at { Some(next) => format!("intact frames go on at sequence {next}"), None => "nothing intact follows".to_owned() }
    )]
    Damaged {
        /// The damaged segment.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
        /// The first sequence of the next segment: a reader may deliberately go on there.
        resume_at: Option<u64>,
    },
    /// The segment was written by a newer program.
    #[error("{} has format version {version}, this program reads up to {FORMAT_VERSION}: run the newer program", path.display())]
    UnsupportedVersion {
        /// The segment.
        path: PathBuf,
        /// Its format version.
        version: u32,
    },
    /// The frames asked for are older than the oldest segment.
    #[error("sequence {wanted} has been removed, the log begins at {first}")]
    Removed {
        /// The sequence asked for.
        wanted: u64,
        /// The first one there is.
        first: u64,
    },
    /// The segment takes appends, or there is none that begins there.
    #[error("no closed segment of {} begins at sequence {first}; close the segment before rewriting it", folder.display())]
    NotClosed {
        /// The log.
        folder: PathBuf,
        /// The sequence named.
        first: u64,
    },
    /// The payload is longer than the log takes.
    #[error("a payload of {bytes} bytes is longer than the {max} this log takes")]
    FrameTooLarge {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        max: u32,
    },
}

impl FramedLogError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FramedLogError {
        let path = path.to_owned();
        move |source| FramedLogError::Io { action, path, source }
    }
}

/// A log open for appending; there is one per folder in all processes.
#[derive(Debug)]
pub struct FramedLog {
    options: Options,
    committed: Arc<Committed>,
    /// The last segment.
    file: File,
    /// The last segment cannot be trusted with another write; see the header.
    must_roll: bool,
    batch: Vec<u8>,
    _lock: File,
}

/// What readers may see, shared with them.
#[derive(Debug)]
struct Committed {
    folder: PathBuf,
    layout: Mutex<Layout>,
    /// Held by the one who rewrites a segment.
    rewriting: Mutex<rewrite::RewriteState>,
}

#[derive(Debug)]
struct Layout {
    /// Never empty; the last one takes appends.
    segments: Vec<Segment>,
    next_sequence: u64,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    first: u64,
    bytes: u64,
}

impl Committed {
    fn layout(&self) -> MutexGuard<'_, Layout> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FramedLog {
    /// Opens the log in `folder`, creating both when they are not there, and repairs a torn tail.
    pub fn open(folder: &Path, options: Options) -> Result<(FramedLog, Recovery), FramedLogError> {
        let opened = recovery::open(folder)?;
        let log = FramedLog {
            options,
            committed: Arc::new(Committed {
                folder: folder.to_owned(),
                layout: Mutex::new(Layout {
                    segments: opened.segments,
                    next_sequence: opened.recovery.next_sequence,
                }),
                rewriting: Mutex::default(),
            }),
            file: opened.last,
            must_roll: false,
            batch: Vec::new(),
            _lock: opened.lock,
        };
        Ok((log, opened.recovery))
    }

    /// Appends all payloads and makes them durable, or none of them; returns their sequences.
    pub fn append_synced(&mut self, payloads: &[&[u8]]) -> Result<Range<u64>, FramedLogError> {
        let first = self.next_sequence();
        let next = first + payloads.len() as u64;
        if payloads.is_empty() {
            return Ok(first..next);
        }
        self.encode_batch(payloads, first)?;
        let mut at = self.last_segment().bytes;
        if self.must_roll || self.is_full(at) {
            self.begin_segment(first)?;
            at = self.last_segment().bytes;
        }
        self.write_and_sync(at)?;

        let mut layout = self.committed.layout();
        layout.next_sequence = next;
        if let Some(last) = layout.segments.last_mut() {
            last.bytes = at + self.batch.len() as u64;
        }
        Ok(first..next)
    }

    /// The sequence the next appended frame gets.
    pub fn next_sequence(&self) -> u64 {
        self.committed.layout().next_sequence
    }

    /// The sequence of the oldest frame kept (or of the next frame, when there is none).
    pub fn first_sequence(&self) -> u64 {
        self.committed.layout().segments[0].first
    }

    /// A reader of committed frames from `from` on, for this or another thread.
    pub fn reader(&self, from: u64) -> Result<FrameReader, FramedLogError> {
        let first = self.first_sequence();
        if from < first {
            return Err(FramedLogError::Removed { wanted: from, first });
        }
        Ok(FrameReader::for_log(self.committed.clone(), from))
    }

    /// The sequences of each closed segment, oldest first.
    pub fn closed_segments(&self) -> Vec<Range<u64>> {
        let layout = self.committed.layout();
        layout.segments.windows(2).map(|pair| pair[0].first..pair[1].first).collect()
    }

    /// A way to rewrite closed segments while this log is appended to.
    pub fn rewriter(&self) -> SegmentRewriter {
        SegmentRewriter::for_log(self.committed.clone(), self.options.max_frame_bytes)
    }

    /// Begins a new segment unless the last one is empty, so that all frames there are can be
    /// removed or rewritten.
    pub fn close_segment(&mut self) -> Result<(), FramedLogError> {
        let next = self.next_sequence();
        if self.last_segment().first == next && !self.must_roll {
            return Ok(());
        }
        self.begin_segment(next)
    }

    /// Removes the segments all of whose frames are older than `sequence`, and returns the bytes
    /// freed. The last segment always stays, so that sequence numbers never start again.
    pub fn remove_segments_before(&mut self, sequence: u64) -> Result<u64, FramedLogError> {
        let folder = &self.committed.folder;
        let mut freed = 0;
        let mut layout = self.committed.layout();
        while layout.segments.len() > 1 && layout.segments[1].first <= sequence {
            let oldest = layout.segments[0];
            let path = segment::path(folder, oldest.first);
            storage::remove(&path).map_err(FramedLogError::io("remove", &path))?;
            layout.segments.remove(0);
            freed += oldest.bytes;
            // One by one, so that no crash leaves a hole between segments.
            storage::sync_folder(folder).map_err(FramedLogError::io("sync", folder))?;
        }
        Ok(freed)
    }

    /// The bytes of all segments.
    pub fn bytes_on_disk(&self) -> u64 {
        self.committed.layout().segments.iter().map(|s| s.bytes).sum()
    }

    fn last_segment(&self) -> Segment {
        let layout = self.committed.layout();
        layout.segments[layout.segments.len() - 1]
    }

    fn is_full(&self, bytes: u64) -> bool {
        bytes > segment::HEADER_BYTES as u64
            && bytes + self.batch.len() as u64 > self.options.segment_bytes
    }

    fn encode_batch(&mut self, payloads: &[&[u8]], first: u64) -> Result<(), FramedLogError> {
        let max = self.options.max_frame_bytes.min(FRAME_LIMIT);
        self.batch.clear();
        for (sequence, payload) in (first..).zip(payloads) {
            if payload.len() > max as usize {
                return Err(FramedLogError::FrameTooLarge { bytes: payload.len(), max });
            }
            segment::push_frame(&mut self.batch, sequence, payload);
        }
        Ok(())
    }

    /// The new segment replaces the last one when that holds no frame (it then has the same name).
    fn begin_segment(&mut self, first: u64) -> Result<(), FramedLogError> {
        // Once the new name may exist, its first sequence bounds the old segment: no going back.
        self.must_roll = true;
        self.file = segment::create(&self.committed.folder, first)?;
        self.must_roll = false;
        let mut layout = self.committed.layout();
        if layout.segments.last().is_some_and(|s| s.first == first) {
            layout.segments.pop();
        }
        layout.segments.push(Segment { first, bytes: segment::HEADER_BYTES as u64 });
        Ok(())
    }

    fn write_and_sync(&mut self, at: u64) -> Result<(), FramedLogError> {
        let path = || segment::path(&self.committed.folder, self.last_segment().first);
        if let Err(source) = storage::write_all_at(&self.file, &self.batch, at) {
            let error = FramedLogError::io("append to", &path())(source);
            self.must_roll = storage::set_len(&self.file, at).is_err();
            return Err(error);
        }
        if let Err(source) = storage::sync_data(&self.file) {
            let error = FramedLogError::io("sync", &path())(source);
            self.must_roll = true;
            // Only to give the space back: where this segment ends no longer depends on its length.
            let _ = storage::set_len(&self.file, at);
            return Err(error);
        }
        Ok(())
    }
}
