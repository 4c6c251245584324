//! The visit state: counts of caps and converted visitors, from the admin to the daemon.
//!
//! Some rules depend on earlier visits and conversions. The admin knows these of all daemons and
//! sends them as one message ([`PublishedState`]) over the control socket ([`PATH`]); the daemon
//! keeps the last message as a file. The daemon adds its own clicks behind
//! [`PublishedState::counted`], so a message may be late but never counts a click twice.
//!
//! # Bytes, format version 1
//!
//! Numbers are little endian. The header, then the three lists; nothing follows.
//!
//! | offset | size | header field |
//! |---|---|---|
//! | 0 | 8 | magic `CPNSTATE` |
//! | 8 | 2 | format version |
//! | 10 | 2 | zero |
//! | 12 | 4 | network id |
//! | 16 | 16 | lineage |
//! | 32 | 8 | Unix milliseconds at which the admin made it |
//! | 40 | 4 | number of streams |
//! | 44 | 4 | number of cap windows |
//! | 48 | 4 | number of converted visitors |
//! | 52 | 12 | zero |
//! | 64 | 32 | BLAKE3 of the lists |
//! | 96 | 32 | BLAKE3 of the bytes before |
//!
//! | list | order | bytes of an entry |
//! |---|---|---|
//! | streams | ascending | node 2, thread 1, zero 1, incarnation 4, last sequence 8 |
//! | cap windows | ascending (cap, window, start) | cap 4, window 1, reached 1, zero 2, start 8, end 8, clicks 8 |
//! | converted visitors | ascending | hash 8 ([`VisitorKey::hash_with_offer`]) |
//!
//! [`VisitorKey::hash_with_offer`]: crate::visitor_key::VisitorKey::hash_with_offer

mod cap_window;

use std::collections::BTreeMap;

use crate::click::{StreamId, u16_at, u32_at, u64_at};
use crate::snapshot::{HASH_LEN, Header, Lineage, SnapshotError};

pub use cap_window::{CapWindow, WindowBounds};

/// Path of the control API that takes the message, by `POST`.
pub const PATH: &str = "/state";
/// Version of the format.
pub const FORMAT_VERSION: u16 = 1;
/// Most streams. As many as a feed cursor has.
pub const MAX_STREAMS: usize = crate::feed::MAX_CURSOR_ENTRIES;
/// Most windows of caps: 100,000 caps with four windows each.
pub const MAX_CAP_WINDOWS: usize = 400_000;
/// Most converted visitors. The admin sends the newest.
pub const MAX_CONVERTED: usize = 2_000_000;
/// Length of the longest message in bytes.
pub const MAX_BYTES: usize = HEADER_LEN
    + MAX_STREAMS * STREAM_LEN
    + MAX_CAP_WINDOWS * CAP_LEN
    + MAX_CONVERTED * CONVERTED_LEN;

const FILE: &str = "visit state";
const MAGIC: &[u8; 8] = b"CPNSTATE";
const HEADER_LEN: usize = 128;
const LISTS_HASH_AT: usize = 64;
const HEADER_HASH_AT: usize = HEADER_LEN - HASH_LEN;
const STREAM_LEN: usize = 16;
const CAP_LEN: usize = 32;
const CONVERTED_LEN: usize = 8;

/// Counts and converted visitors of a network, as the admin knew them at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedState {
    pub network_id: u32,
    /// The store's history.
    pub lineage: Lineage,
    /// Unix milliseconds at which the admin made it.
    pub made_unix_ms: u64,
    /// For each stream the last sequence whose click [`CapState::clicks`] includes: the feed's cursor
    /// at the moment of the counts. A daemon that starts counts the clicks behind it out of its
    /// log, which keeps them until they are acknowledged; so the admin sends each daemon that it finds
    /// restarted the newest state.
    pub counted: BTreeMap<StreamId, u64>,
    /// By ascending (cap, window, start). The windows of one cap do not overlap.
    pub caps: Vec<CapState>,
    /// Ascending hashes of visitor and offer.
    pub converted: Vec<u64>,
}

/// The count of one cap in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapState {
    pub cap_id: u32,
    pub window: CapWindow,
    pub bounds: WindowBounds,
    /// Unique clicks of all daemons in the window, without bots.
    pub clicks: u64,
    /// Whether a conversion, payout or revenue cap of the window is reached.
    pub is_reached: bool,
}

impl CapState {
    fn order(&self) -> (u32, CapWindow, i64) {
        (self.cap_id, self.window, self.bounds.starts)
    }
}

impl PublishedState {
    /// A state without any count.
    pub fn empty(network_id: u32, lineage: Lineage, made_unix_ms: u64) -> PublishedState {
        let (counted, caps, converted) = Default::default();
        PublishedState { network_id, lineage, made_unix_ms, counted, caps, converted }
    }

    /// The last counted sequence of a stream; 0 for an unknown stream.
    pub fn last_counted(&self, stream: &StreamId) -> u64 {
        self.counted.get(stream).copied().unwrap_or(0)
    }

    /// Whether a visitor with this hash of visitor and offer has converted.
    pub fn has_converted(&self, hash: u64) -> bool {
        self.converted.binary_search(&hash).is_ok()
    }

    /// The bytes of the message.
    ///
    /// # Errors
    /// Where the bytes would not be accepted: lists out of order or too long.
    pub fn encode(&self) -> Result<Vec<u8>, SnapshotError> {
        self.check_lists().map_err(content_error)?;
        let mut lists = Vec::with_capacity(
            self.counted.len() * STREAM_LEN
                + self.caps.len() * CAP_LEN
                + self.converted.len() * CONVERTED_LEN,
        );
        self.counted.iter().for_each(|(stream, last)| encode_stream(stream, *last, &mut lists));
        self.caps.iter().for_each(|cap| cap.encode(&mut lists));
        self.converted.iter().for_each(|hash| lists.extend(hash.to_le_bytes()));
        Ok([&self.encode_header(&lists)[..], &lists].concat())
    }

    fn encode_header(&self, lists: &[u8]) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, MAGIC);
        put(8, &FORMAT_VERSION.to_le_bytes());
        put(12, &self.network_id.to_le_bytes());
        put(16, &self.lineage.0);
        put(32, &self.made_unix_ms.to_le_bytes());
        for (at, len) in
            [(40, self.counted.len()), (44, self.caps.len()), (48, self.converted.len())]
        {
            put(at, &(len as u32).to_le_bytes());
        }
        put(LISTS_HASH_AT, blake3::hash(lists).as_bytes());
        let hash = blake3::hash(&bytes[..HEADER_HASH_AT]);
        bytes[HEADER_HASH_AT..].copy_from_slice(hash.as_bytes());
        bytes
    }

    /// Decodes a message. Accepts exactly the output of [`PublishedState::encode`].
    ///
    /// # Errors
    /// Why the bytes are no visit state.
    pub fn decode(bytes: &[u8]) -> Result<PublishedState, SnapshotError> {
        let header = Header::open(FILE, bytes, HEADER_LEN, MAGIC, FORMAT_VERSION)?;
        let lists = &bytes[HEADER_LEN..];
        let lens = ListLens::read(&header)?;
        let expected = (HEADER_LEN + lens.total_bytes()) as u64;
        if bytes.len() as u64 != expected {
            return Err(SnapshotError::Length { file: FILE, expected, got: bytes.len() as u64 });
        }
        header.check_hash("lists", lists, LISTS_HASH_AT)?;
        let (streams, lists) = lists.split_at(lens.streams * STREAM_LEN);
        let (caps, converted) = lists.split_at(lens.caps * CAP_LEN);
        let state = PublishedState {
            network_id: header.u32(12),
            lineage: Lineage(header.array(16)),
            made_unix_ms: header.u64(32),
            counted: streams.chunks_exact(STREAM_LEN).map(decode_stream).collect(),
            caps: caps
                .chunks_exact(CAP_LEN)
                .map(CapState::decode)
                .collect::<Result<_, _>>()
                .map_err(content_error)?,
            converted: converted.chunks_exact(CONVERTED_LEN).map(|hash| u64_at(hash, 0)).collect(),
        };
        // Also refuses streams out of order and padding other than zero.
        if state.encode()? != bytes {
            return Err(content_error(
                "its fields are out of order or not zero where they must be",
            ));
        }
        Ok(state)
    }

    fn check_lists(&self) -> Result<(), String> {
        for (list, len, max) in [
            ("streams", self.counted.len(), MAX_STREAMS),
            ("cap windows", self.caps.len(), MAX_CAP_WINDOWS),
            ("converted visitors", self.converted.len(), MAX_CONVERTED),
        ] {
            check_len(list, len, max)?;
        }
        if let Some(cap) = self.caps.iter().find(|cap| cap.bounds.starts >= cap.bounds.ends) {
            return Err(format!("a window of cap {} ends before it starts", cap.cap_id));
        }
        let overlap = self.caps.windows(2).find(|pair| {
            let is_same = (pair[0].cap_id, pair[0].window) == (pair[1].cap_id, pair[1].window);
            pair[0].order() >= pair[1].order()
                || is_same && pair[0].bounds.ends > pair[1].bounds.starts
        });
        if let Some(pair) = overlap {
            let cap = pair[1].cap_id;
            return Err(format!("the windows of cap {cap} are out of order or overlap"));
        }
        if !self.converted.is_sorted_by(|one, next| one < next) {
            return Err("its converted visitors are out of order".into());
        }
        Ok(())
    }
}

fn content_error(reason: impl Into<String>) -> SnapshotError {
    SnapshotError::Content { file: FILE, reason: reason.into() }
}

fn check_len(list: &str, len: usize, max: usize) -> Result<(), String> {
    if len > max { Err(format!("it has {len} {list}; {max} are possible")) } else { Ok(()) }
}

/// The lengths of the lists, all within their bounds.
struct ListLens {
    streams: usize,
    caps: usize,
    converted: usize,
}

impl ListLens {
    fn read(header: &Header<'_>) -> Result<ListLens, SnapshotError> {
        let len = |at, list, max| {
            let len = header.u32(at) as usize;
            check_len(list, len, max).map_err(content_error)?;
            Ok(len)
        };
        Ok(ListLens {
            streams: len(40, "streams", MAX_STREAMS)?,
            caps: len(44, "cap windows", MAX_CAP_WINDOWS)?,
            converted: len(48, "converted visitors", MAX_CONVERTED)?,
        })
    }

    fn total_bytes(&self) -> usize {
        self.streams * STREAM_LEN + self.caps * CAP_LEN + self.converted * CONVERTED_LEN
    }
}

fn encode_stream(stream: &StreamId, last: u64, out: &mut Vec<u8>) {
    out.extend(stream.node.to_le_bytes());
    out.extend([stream.thread, 0]);
    out.extend(stream.incarnation.to_le_bytes());
    out.extend(last.to_le_bytes());
}

fn decode_stream(entry: &[u8]) -> (StreamId, u64) {
    let node = u16_at(entry, 0).unwrap_or_default();
    let stream = StreamId { node, incarnation: u32_at(entry, 4), thread: entry[2] };
    (stream, u64_at(entry, 8))
}

impl CapState {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.cap_id.to_le_bytes());
        out.extend([self.window as u8, self.is_reached.into(), 0, 0]);
        out.extend(self.bounds.starts.to_le_bytes());
        out.extend(self.bounds.ends.to_le_bytes());
        out.extend(self.clicks.to_le_bytes());
    }

    fn decode(entry: &[u8]) -> Result<CapState, String> {
        let window = CapWindow::from_number(entry[4])
            .ok_or_else(|| format!("{} is no window of a cap", entry[4]))?;
        let bounds = WindowBounds {
            starts: u64_at(entry, 8).cast_signed(),
            ends: u64_at(entry, 16).cast_signed(),
        };
        Ok(CapState {
            cap_id: u32_at(entry, 0),
            window,
            bounds,
            clicks: u64_at(entry, 24),
            is_reached: entry[5] != 0,
        })
    }
}

#[cfg(test)]
mod tests;
