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
//! Every segment but the last ends at the frame before the next segment's first sequence. Bytes
//! behind that frame are the rest of an append that was rolled back and are ignored; an invalid
//! frame *before* it is damage, reported with file and offset and never skipped silently. The last
//! segment ends at its first invalid frame (the torn-tail rule; a tail of zeros is invalid too):
//! opening cuts the bytes behind and reports their number. A last segment with an incomplete header
//! holds no frame and is removed.
//!
//! # Appending
//!
//! [`FramedLog::append_synced`] is one write and one `fdatasync`; only then do the frames exist for
//! readers. A segment is created under another name, synced, renamed, and its folder synced, before
//! it takes a frame. After a failed append nothing of the append is visible, and the caller may
//! retry:
//! - the write failed: the segment is cut back to its committed length and goes on;
//! - the cut or the sync failed: the kernel may now hold pages it calls clean that never reached
//!   the disk, so nothing is written to that file again. The next append begins a new segment (of
//!   a new inode, also when the old one held no frame), and the rule above decides where the old
//!   one ended.
//!
//! After a crash the frames of a failed append may exist or not. Clicks and postbacks carry numbers
//! of their own, by which their writers recognise repeats.
//!
//! Opening syncs the last segment, because after a killed process its frames may be in memory only.
//! Opening also checks every header and the frames of the last two segments; older frames are
//! checked by their readers.
//!
//! # Rewriting
//!
//! Frames are final, with one exception: a [`SegmentRewriter`] replaces a *closed* segment (one
//! that another follows) by a file with the same sequences and other payloads, so that personal
//! data can be erased. The new file is written under another name, read back, synced, renamed over
//! the old file, and the folder synced: a crash leaves either file whole. A reader with the old
//! file open continues in the old file; a later seek into the segment opens the new file. The
//! segment that takes appends is never rewritten; [`FramedLog::close_segment`] closes it first.
//!
//! Deliberately absent: compression, knowledge of what a payload means, threads, waiting.

mod error;
mod format;
mod layout;
mod storage;

mod segment;
mod walk;

mod recovery;

mod reader;
mod rewrite;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use layout::{Committed, Layout, Segment};

pub use error::FramedLogError;
pub use format::{FORMAT_VERSION, FRAME_LIMIT};
pub use reader::{Frame, FrameReader};
pub use recovery::Recovery;
pub use rewrite::SegmentRewriter;

/// Sizes of the parts of a log.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Length at which a segment with frames takes no further append.
    pub segment_bytes: u64,
    /// Longest accepted payload, at most [`FRAME_LIMIT`].
    pub max_frame_bytes: u32,
}

/// A log open for appending; at most one per folder, over all processes.
#[derive(Debug)]
pub struct FramedLog {
    options: Options,
    committed: Arc<Committed>,
    /// The last segment.
    file: File,
    /// Whether the last segment must take no further write; see the module header.
    must_roll: bool,
    batch: Vec<u8>,
    _lock: File,
}

impl FramedLog {
    /// Opens the log in `folder`, creating folder and log where absent, and repairs a torn tail.
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

    /// The sequence of the next appended frame.
    pub fn next_sequence(&self) -> u64 {
        self.committed.layout().next_sequence
    }

    /// The sequence of the oldest frame (of the next frame, in an empty log).
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

    /// A rewriter of closed segments, usable while this log takes appends.
    pub fn rewriter(&self) -> SegmentRewriter {
        SegmentRewriter::for_log(self.committed.clone(), self.options.max_frame_bytes)
    }

    /// Begins a new segment unless the last one is empty, so that every present frame can be
    /// removed or rewritten.
    pub fn close_segment(&mut self) -> Result<(), FramedLogError> {
        let next = self.next_sequence();
        if self.last_segment().first == next && !self.must_roll {
            return Ok(());
        }
        self.begin_segment(next)
    }

    /// Removes the segments with only frames before `sequence`, and returns the freed bytes. The
    /// last segment always stays, so that sequence numbers never start again.
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
        bytes > format::HEADER_BYTES as u64
            && bytes + self.batch.len() as u64 > self.options.segment_bytes
    }

    fn encode_batch(&mut self, payloads: &[&[u8]], first: u64) -> Result<(), FramedLogError> {
        let max = self.options.max_frame_bytes.min(FRAME_LIMIT);
        self.batch.clear();
        for (sequence, payload) in (first..).zip(payloads) {
            if payload.len() > max as usize {
                return Err(FramedLogError::FrameTooLarge { bytes: payload.len(), max });
            }
            format::push_frame(&mut self.batch, sequence, payload);
        }
        Ok(())
    }

    /// Begins a segment. Replaces the last one if it holds no frame, because both have the same
    /// name.
    fn begin_segment(&mut self, first: u64) -> Result<(), FramedLogError> {
        // Once the new name may exist, its first sequence bounds the old segment: no going back.
        self.must_roll = true;
        self.file = segment::create(&self.committed.folder, first)?;
        self.must_roll = false;
        let mut layout = self.committed.layout();
        if layout.segments.last().is_some_and(|s| s.first == first) {
            layout.segments.pop();
        }
        layout.segments.push(Segment { first, bytes: format::HEADER_BYTES as u64 });
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
            // Only frees the space: the end of this segment no longer depends on its length.
            let _ = storage::set_len(&self.file, at);
            return Err(error);
        }
        Ok(())
    }
}
