//! Reads frames in order, across segments, while the log takes appends and loses old segments.
//!
//! A reader from [`FramedLog::reader`](super::FramedLog::reader) sees a frame only when the frame
//! is durable. A reader that opened the folder itself (another process) has no such watermark: it
//! ends at the first invalid frame of the last segment, and may see frames of an append that is
//! about to fail.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FramedLogError;
use super::format::FIRST_SEQUENCE;
use super::layout::{Committed, Segment};
use super::segment;
use super::walk::{FrameWalk, WalkStep};

/// One frame of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub sequence: u64,
    pub payload: &'a [u8],
}

/// A position in a log, moving forward. A clone starts at the same position and moves on its own.
#[derive(Debug, Clone)]
pub struct FrameReader {
    origin: FrameOrigin,
    next: u64,
    open: Option<OpenSegment>,
}

#[derive(Debug, Clone)]
enum FrameOrigin {
    Log(Arc<Committed>),
    Folder(PathBuf),
}

#[derive(Debug, Clone)]
struct OpenSegment {
    extent: Extent,
    walk: FrameWalk,
    /// Distinguishes the file from a later one of the same name.
    inode: u64,
}

/// The known readable part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    first: u64,
    limit: u64,
    following: Option<u64>,
}

impl FrameReader {
    /// A reader of a log to which another process appends.
    pub fn open(folder: &Path, from: u64) -> Result<FrameReader, FramedLogError> {
        let reader =
            FrameReader { origin: FrameOrigin::Folder(folder.to_owned()), next: from, open: None };
        reader.origin.extent(from)?;
        Ok(reader)
    }

    pub(super) fn for_log(committed: Arc<Committed>, from: u64) -> FrameReader {
        FrameReader { origin: FrameOrigin::Log(committed), next: from, open: None }
    }

    /// The sequence of the next frame.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The oldest sequence at present.
    pub fn first_sequence(&self) -> Result<u64, FramedLogError> {
        match &self.origin {
            FrameOrigin::Log(committed) => Ok(committed.layout().segments[0].first),
            FrameOrigin::Folder(folder) => {
                let firsts = segment::list(folder).map_err(FramedLogError::io("list", folder))?;
                Ok(firsts.first().copied().unwrap_or(FIRST_SEQUENCE))
            }
        }
    }

    /// The sequence behind the log's last durable frame; `None` for a log of another process, which
    /// has no such watermark.
    pub fn durable_end(&self) -> Option<u64> {
        match &self.origin {
            FrameOrigin::Log(committed) => Some(committed.layout().next_sequence),
            FrameOrigin::Folder(_) => None,
        }
    }

    /// Moves to another sequence. A removed one shows at the next [`FrameReader::next_frame`].
    pub fn seek(&mut self, to: u64) {
        self.next = to;
        self.open = None;
    }

    /// The next frame, or `None` where it does not exist yet; the caller may ask again later.
    ///
    /// After [`FramedLogError::Damaged`] the reader stays in place. To continue beyond the damage
    /// is a decision of the caller, who opens a reader at the error's `resume_at`.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FramedLogError> {
        let mut stuck = "";
        let place = loop {
            if let Some(open) = self.open.as_mut().filter(|open| open.extent.holds(self.next)) {
                match open.walk.step(open.extent.limit) {
                    Ok(WalkStep::Frame(place)) => break place,
                    Ok(WalkStep::End) => stuck = "the segment ends before the next one begins",
                    Ok(WalkStep::Invalid(what)) => stuck = what,
                    Err(source) => return Err(self.unreadable(source)),
                }
            }
            match self.origin.extent(self.next)? {
                None => return Ok(None),
                Some(extent) => {
                    if !self.open_next(extent, stuck)? {
                        return Ok(None);
                    }
                }
            }
        };
        let sequence = self.next;
        self.next += 1;
        let payload = match &self.open {
            Some(open) => open.walk.payload(place),
            None => &[],
        };
        Ok(Some(Frame { sequence, payload }))
    }

    /// Applies the latest extent of the next frame's segment; false where nothing has changed and
    /// the segment is undamaged.
    fn open_next(&mut self, extent: Extent, stuck: &'static str) -> Result<bool, FramedLogError> {
        let is_open = self.open.as_ref().is_some_and(|open| open.extent.first == extent.first);
        let is_current = is_open && !self.was_replaced()?;
        if let Some(open) = self.open.as_mut().filter(|_| is_current) {
            if open.extent != extent {
                open.extent = extent;
                open.walk.forget_buffered();
                return Ok(true);
            }
            open.walk.forget_buffered();
            let offset = open.walk.offset();
            return match self.origin {
                FrameOrigin::Folder(_) if extent.following.is_none() => Ok(false),
                _ => Err(self.origin.damaged(extent, offset, stuck)),
            };
        }
        self.open = self.origin.open_at(extent, self.next)?;
        match &self.open {
            Some(open) if open.walk.sequence() < self.next => {
                self.open = None;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// Whether the open segment's name now belongs to another file, after a rewrite or a new
    /// beginning.
    fn was_replaced(&self) -> Result<bool, FramedLogError> {
        let Some(open) = &self.open else { return Ok(false) };
        let path = segment::path(self.origin.folder(), open.extent.first);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.ino() != open.inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FramedLogError::io("read", &path)(error)),
        }
    }

    fn unreadable(&self, source: io::Error) -> FramedLogError {
        let first = self.open.as_ref().map_or(0, |open| open.extent.first);
        FramedLogError::io("read", &segment::path(self.origin.folder(), first))(source)
    }
}

impl Extent {
    fn holds(&self, sequence: u64) -> bool {
        self.following.is_none_or(|following| sequence < following)
    }
}

impl FrameOrigin {
    fn folder(&self) -> &Path {
        match self {
            FrameOrigin::Log(committed) => &committed.folder,
            FrameOrigin::Folder(folder) => folder,
        }
    }

    /// The segment with `sequence`, or `None` for a sequence that is not written yet.
    fn extent(&self, sequence: u64) -> Result<Option<Extent>, FramedLogError> {
        match self {
            FrameOrigin::Log(committed) => {
                let layout = committed.layout();
                let written = sequence < layout.next_sequence;
                let extent = find(&layout.segments, sequence)?;
                Ok(extent.filter(|_| written))
            }
            FrameOrigin::Folder(folder) => {
                let firsts = segment::list(folder).map_err(FramedLogError::io("list", folder))?;
                let segments: Vec<Segment> =
                    firsts.into_iter().map(|first| Segment { first, bytes: 0 }).collect();
                let Some(extent) = find(&segments, sequence)? else {
                    return Ok(None);
                };
                let path = segment::path(folder, extent.first);
                let limit = match std::fs::metadata(&path) {
                    Ok(metadata) => metadata.len(),
                    // Removed since it was listed; the next call finds its successor.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(FramedLogError::io("read", &path)(error)),
                };
                Ok(Some(Extent { limit, ..extent }))
            }
        }
    }

    /// Opens the segment at `sequence`; `None` where it was removed meanwhile. Another process's
    /// log may end earlier: then the walk is at its end.
    fn open_at(
        &self,
        extent: Extent,
        sequence: u64,
    ) -> Result<Option<OpenSegment>, FramedLogError> {
        let file = match segment::open(self.folder(), extent.first, extent.following, false) {
            Err(FramedLogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            opened => opened?,
        };
        let path = || segment::path(self.folder(), extent.first);
        let metadata =
            file.metadata().map_err(|error| FramedLogError::io("read", &path())(error))?;
        // A closed segment may have been rewritten since its extent was read. Its frames, not its
        // length, determine its end.
        let limit = if extent.following.is_some() { metadata.len() } else { extent.limit };
        let (extent, inode) = (Extent { limit, ..extent }, metadata.ino());
        let mut walk = FrameWalk::new(Arc::new(file), extent.first);
        while walk.sequence() < sequence {
            let what = match walk.step(extent.limit) {
                Ok(WalkStep::Frame(_)) => continue,
                Ok(WalkStep::End) => "the segment ends before the frame asked for",
                Ok(WalkStep::Invalid(what)) => what,
                Err(source) => return Err(FramedLogError::io("read", &path())(source)),
            };
            if matches!(self, FrameOrigin::Folder(_)) && extent.following.is_none() {
                break;
            }
            return Err(self.damaged(extent, walk.offset(), what));
        }
        Ok(Some(OpenSegment { extent, walk, inode }))
    }

    fn damaged(&self, extent: Extent, offset: u64, what: &'static str) -> FramedLogError {
        FramedLogError::Damaged {
            path: segment::path(self.folder(), extent.first),
            offset,
            what,
            resume_at: extent.following,
        }
    }
}

fn find(segments: &[Segment], sequence: u64) -> Result<Option<Extent>, FramedLogError> {
    let after = segments.partition_point(|segment| segment.first <= sequence);
    match (after, segments.first()) {
        (_, None) => Ok(None),
        (0, Some(oldest)) => Err(FramedLogError::Removed { wanted: sequence, first: oldest.first }),
        _ => Ok(Some(Extent {
            first: segments[after - 1].first,
            limit: segments[after - 1].bytes,
            following: segments.get(after).map(|segment| segment.first),
        })),
    }
}
