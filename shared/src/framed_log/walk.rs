//! Walks the frames of one segment's file, front to back, up to the first invalid frame.
//!
//! A walk never reads beyond its limit, so it holds no byte that was not committed. It allocates at
//! most the longest frame and a read-ahead.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::format::{FRAME_HEADER_BYTES, FRAME_LIMIT, FrameHeader, HEADER_BYTES};

const READ_AHEAD_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct FrameWalk {
    file: Arc<File>,
    /// Position of the next frame, and its expected sequence.
    offset: u64,
    sequence: u64,
    /// Bytes of the file from `offset` on are at `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
}

pub(super) enum WalkStep {
    /// The payload's range, for [`FrameWalk::payload`].
    Frame(Range<usize>),
    /// The walk stands exactly at the limit.
    End,
    /// No valid frame of the expected sequence begins here.
    Invalid(&'static str),
}

/// A clone has the same position and an empty buffer, so cloning is cheap.
impl Clone for FrameWalk {
    fn clone(&self) -> FrameWalk {
        FrameWalk {
            file: self.file.clone(),
            offset: self.offset,
            sequence: self.sequence,
            buffer: Vec::new(),
            start: 0,
        }
    }
}

impl FrameWalk {
    pub(super) fn new(file: Arc<File>, first: u64) -> FrameWalk {
        FrameWalk {
            file,
            offset: HEADER_BYTES as u64,
            sequence: first,
            buffer: Vec::new(),
            start: 0,
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn payload(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    /// Drops the read-ahead; needed where the file may have changed since.
    pub(super) fn forget_buffered(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }

    pub(super) fn step(&mut self, limit: u64) -> io::Result<WalkStep> {
        if self.offset == limit {
            return Ok(WalkStep::End);
        }
        if !self.fill(FRAME_HEADER_BYTES, limit)? {
            return Ok(WalkStep::Invalid("the file ends within a frame's header"));
        }
        let header: [u8; FRAME_HEADER_BYTES] = std::array::from_fn(|i| self.buffer[self.start + i]);
        let header = FrameHeader::decode(&header);
        if header.payload_bytes > FRAME_LIMIT {
            return Ok(WalkStep::Invalid("a frame's length is impossible"));
        }
        let frame_bytes = FRAME_HEADER_BYTES + header.payload_bytes as usize;
        if !self.fill(frame_bytes, limit)? {
            return Ok(WalkStep::Invalid("the file ends within a frame"));
        }
        let place = self.start + FRAME_HEADER_BYTES..self.start + frame_bytes;
        if !header.matches(&self.buffer[place.clone()]) {
            return Ok(WalkStep::Invalid("a frame's checksum does not match"));
        }
        if header.sequence != self.sequence {
            return Ok(WalkStep::Invalid("a frame's sequence does not follow"));
        }
        self.start += frame_bytes;
        self.offset += frame_bytes as u64;
        self.sequence += 1;
        Ok(WalkStep::Frame(place))
    }

    /// Buffers `wanted` bytes from `offset` on; false where the limit or the file's end comes
    /// first.
    fn fill(&mut self, wanted: usize, limit: u64) -> io::Result<bool> {
        if self.buffer.len() - self.start >= wanted {
            return Ok(true);
        }
        let left = limit.saturating_sub(self.offset);
        if left < wanted as u64 {
            return Ok(false);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let mut have = self.buffer.len();
        let target = (wanted.max(READ_AHEAD_BYTES) as u64).min(left) as usize;
        self.buffer.resize(target.max(have), 0);
        while have < wanted {
            match self.file.read_at(&mut self.buffer[have..], self.offset + have as u64) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.truncate(have);
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(have);
        Ok(have >= wanted)
    }
}
