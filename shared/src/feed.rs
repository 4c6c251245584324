//! The feed: how click blocks travel from a daemon to the admin.
//!
//! The admin asks with a **cursor**: for each stream, the last sequence that is durable at the
//! admin. The cursor is also the acknowledgement: a daemon may delete every record that it covers.
//! The answer is a series of blocks, each with its own length, oldest first within each stream.
//! Repeats are harmless, because the admin ignores known sequences.
//!
//! Two runs can have one incarnation, where a data folder was copied. So an answer states the run
//! id of each incarnation in its blocks, and a question the run that each stream was archived from.
//! A daemon passes over the entries of other runs: they acknowledge nothing of its own.
//!
//! # Bytes of a cursor, version 1
//!
//! Little endian: magic `CPNC`, version (1), zero (3), number of entries (4); then for each entry,
//! by ascending stream: node (2), thread (1), zero (1), incarnation (4), last sequence (8).
//!
//! # Bytes of a question, version 2
//!
//! As a cursor, but the version is 2, the zero of an entry is 1 for a refused stream, and the run id
//! (16) follows the last sequence: zero where it is not known. A daemon that states no run id knows
//! only version 1. Entries with neither a sequence nor a refusal do not occur.

pub mod gathering;

use crate::click::StreamId;
use crate::click::block::Block;
use crate::click::{ClickError, u16_at, u32_at, u64_at};
use crate::node_identity::RunId;
use std::collections::{BTreeMap, BTreeSet};

/// Most entries of a cursor. The daemon sends its oldest incarnation with each answer, so that the
/// admin can drop older entries and stay below this bound.
pub const MAX_CURSOR_ENTRIES: usize = 65_536;

/// Answer header with the oldest incarnation that the daemon still holds.
pub const OLDEST_INCARNATION_HEADER: &str = "x-coupond-oldest-incarnation";

/// Answer header with the runs of the answer's blocks: incarnation and run id with a colon between
/// them, by ascending incarnation, with commas. Incarnations from before run ids are left out.
pub const RUN_IDS_HEADER: &str = "x-coupond-run-ids";

/// Header of a question over a network: the agent on the edge may gather the blocks of the answer
/// ([`gather`](gathering::gather)). A coupond passes over the header.
pub const GATHER_HEADER: &str = "x-coupond-gather";

/// Header of a gathered answer: its length before. The length of the question is compared with this
/// one, to know whether the coupond has more.
pub const UNGATHERED_BYTES_HEADER: &str = "x-coupond-ungathered-bytes";

/// Most incarnations with a run id in one answer: the header stays below 3 KiB.
pub const MAX_RUNS_PER_ANSWER: usize = 64;

/// Most bytes of a question.
pub const MAX_QUESTION_BYTES: usize = HEADER_LEN + MAX_CURSOR_ENTRIES * QUESTION_ENTRY_LEN;

/// The run of each incarnation, where it has a run id.
pub type RunIds = BTreeMap<u32, RunId>;

const MAGIC: &[u8; 4] = b"CPNC";
const VERSION: u8 = 1;
const QUESTION_VERSION: u8 = 2;
const HEADER_LEN: usize = 12;
const ENTRY_LEN: usize = 16;
const QUESTION_ENTRY_LEN: usize = ENTRY_LEN + 16;
/// Instead of the run id of a stream whose run is not known.
const NO_RUN: [u8; 16] = [0; 16];

/// For each stream the last sequence that is durable at the admin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    last: BTreeMap<StreamId, u64>,
}

impl Cursor {
    /// The last durable sequence of a stream; 0 for an unknown stream.
    pub fn last(&self, stream: &StreamId) -> u64 {
        self.last.get(stream).copied().unwrap_or(0)
    }

    /// Moves a stream forward, never back.
    pub fn advance(&mut self, stream: StreamId, sequence: u64) {
        let last = self.last.entry(stream).or_default();
        *last = (*last).max(sequence);
    }

    /// Removes the streams of incarnations before `oldest`.
    pub fn remove_incarnations_before(&mut self, oldest: u32) {
        self.last.retain(|stream, _| stream.incarnation >= oldest);
    }

    /// The streams of these nodes from the incarnation `oldest` on.
    pub fn of_nodes(&self, nodes: impl Iterator<Item = u16>, oldest: u32) -> Cursor {
        let streams = nodes.flat_map(|node| {
            let from = StreamId { node, incarnation: oldest, thread: 0 };
            let to = StreamId { node, incarnation: u32::MAX, thread: u8::MAX };
            self.last.range(from..=to).map(|(stream, last)| (*stream, *last))
        });
        Cursor { last: streams.collect() }
    }

    /// Removes the streams for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&StreamId) -> bool) {
        self.last.retain(|stream, _| keep(stream));
    }

    /// Removes the streams of the oldest incarnations until `most` streams are left.
    pub fn keep_newest(&mut self, most: usize) {
        let excess = self.last.len().saturating_sub(most);
        let mut streams: Vec<StreamId> = self.last.keys().copied().collect();
        streams.sort_by_key(|stream| stream.incarnation);
        streams.truncate(excess);
        for stream in &streams {
            self.last.remove(stream);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (StreamId, u64)> {
        self.last.iter().map(|(stream, last)| (*stream, *last))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = header(VERSION, self.last.len(), ENTRY_LEN);
        for (stream, last) in &self.last {
            push_entry(&mut bytes, *stream, false, *last);
        }
        bytes
    }

    /// Decodes a cursor. Accepts exactly the output of [`Cursor::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CursorError> {
        let last =
            entries(bytes, VERSION, ENTRY_LEN)?.map(|entry| (stream_of(entry), u64_at(entry, 8)));
        let cursor = Self { last: last.collect() };
        if cursor.encode() == bytes { Ok(cursor) } else { Err(CursorError::Order) }
    }
}

/// A question for the clicks behind a cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedQuestion {
    pub cursor: Cursor,
    /// The run that each stream of the cursor was archived from, where it is known.
    pub runs: BTreeMap<StreamId, RunId>,
    /// Streams whose last answered block the admin refused. A daemon gives only the next block of
    /// each, so that they leave room for other streams.
    pub refused: BTreeSet<StreamId>,
}

impl From<Cursor> for FeedQuestion {
    fn from(cursor: Cursor) -> FeedQuestion {
        FeedQuestion { cursor, ..FeedQuestion::default() }
    }
}

impl FeedQuestion {
    /// The bytes for a daemon that states its run id; other daemons know only [`Cursor::encode`].
    pub fn encode(&self) -> Vec<u8> {
        let known = self.cursor.iter().filter(|(_, last)| *last > 0).map(|(stream, _)| stream);
        let streams: BTreeSet<StreamId> = known.chain(self.refused.iter().copied()).collect();
        let mut bytes = header(QUESTION_VERSION, streams.len(), QUESTION_ENTRY_LEN);
        for stream in streams {
            let last = self.cursor.last(&stream);
            push_entry(&mut bytes, stream, self.refused.contains(&stream), last);
            bytes.extend_from_slice(&self.runs.get(&stream).map_or(NO_RUN, |run| run.0));
        }
        bytes
    }

    /// Decodes a question, or a cursor, which is a question without runs.
    pub fn decode(bytes: &[u8]) -> Result<FeedQuestion, CursorError> {
        if bytes.get(4) != Some(&QUESTION_VERSION) {
            return Cursor::decode(bytes).map(FeedQuestion::from);
        }
        let mut question = FeedQuestion::default();
        for entry in entries(bytes, QUESTION_VERSION, QUESTION_ENTRY_LEN)? {
            let (stream, last) = (stream_of(entry), u64_at(entry, 8));
            if last > 0 {
                question.cursor.advance(stream, last);
            }
            if entry[3] == 1 {
                question.refused.insert(stream);
            }
            let run = <[u8; 16]>::try_from(&entry[ENTRY_LEN..]).unwrap_or(NO_RUN);
            if run != NO_RUN {
                question.runs.insert(stream, RunId(run));
            }
        }
        if question.encode() == bytes { Ok(question) } else { Err(CursorError::Order) }
    }
}

/// The value of [`RUN_IDS_HEADER`].
pub fn encode_run_ids(runs: &RunIds) -> String {
    let runs: Vec<String> =
        runs.iter().map(|(incarnation, run)| format!("{incarnation}:{run}")).collect();
    runs.join(",")
}

/// Reads the value of [`RUN_IDS_HEADER`]; `None` if it has another form or too many runs.
pub fn decode_run_ids(value: &str) -> Option<RunIds> {
    let runs = value.split(',').filter(|_| !value.is_empty()).map(|text| {
        let (incarnation, run) = text.split_once(':')?;
        Some((incarnation.parse().ok()?, run.parse().ok()?))
    });
    let runs: RunIds = runs.collect::<Option<_>>()?;
    (runs.len() <= MAX_RUNS_PER_ANSWER && encode_run_ids(&runs) == value).then_some(runs)
}

fn header(version: u8, count: usize, entry_len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + count * entry_len);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[version, 0, 0, 0]);
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
    bytes
}

fn push_entry(bytes: &mut Vec<u8>, stream: StreamId, is_refused: bool, last: u64) {
    bytes.extend_from_slice(&stream.node.to_le_bytes());
    bytes.extend_from_slice(&[stream.thread, is_refused.into()]);
    bytes.extend_from_slice(&stream.incarnation.to_le_bytes());
    bytes.extend_from_slice(&last.to_le_bytes());
}

/// Checks magic, version and length; returns the bytes of each entry.
fn entries(
    bytes: &[u8],
    version: u8,
    entry_len: usize,
) -> Result<std::slice::ChunksExact<'_, u8>, CursorError> {
    let header = bytes.get(..HEADER_LEN).ok_or(CursorError::Length { got: bytes.len() })?;
    if &header[..4] != MAGIC || header[4] != version {
        return Err(CursorError::Version);
    }
    let count = u32_at(header, 8) as usize;
    let entries = &bytes[HEADER_LEN..];
    if count > MAX_CURSOR_ENTRIES || entries.len() != count * entry_len {
        return Err(CursorError::Length { got: bytes.len() });
    }
    Ok(entries.chunks_exact(entry_len))
}

fn stream_of(entry: &[u8]) -> StreamId {
    let node = u16_at(entry, 0).unwrap_or_default();
    StreamId { node, incarnation: u32_at(entry, 4), thread: entry[2] }
}

/// Why bytes are not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// The length does not match the number of entries, or there are too many.
    #[error("a cursor of {got} bytes is cut or has more than {MAX_CURSOR_ENTRIES} entries")]
    Length {
        /// Its length.
        got: usize,
    },
    /// Streams are out of order or repeated, or reserved bytes are not zero.
    #[error("a cursor's streams must ascend, each once, with nothing between them")]
    Order,
    /// Wrong magic or version.
    #[error("this is no feed cursor of version {VERSION} or {QUESTION_VERSION}")]
    Version,
}

/// Splits an answer into its blocks. Ends after the first error.
pub fn blocks(answer: &[u8]) -> impl Iterator<Item = Result<Block<'_>, ClickError>> {
    let mut rest = answer;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let block = Block::parse(rest);
        rest = block.as_ref().map_or(&[][..], |block| &rest[block.len()..]);
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::click::block::{BLOCK_HEADER_LEN, BlockBuilder};
    use crate::click::tests::sample_head;
    use crate::click::{MAX_RECORD_LEN, encode_click};
    use proptest::prelude::*;

    fn stream(incarnation: u32, thread: u8) -> StreamId {
        StreamId { node: 1, incarnation, thread }
    }

    #[test]
    fn a_cursor_only_moves_forward_and_reads_back() {
        let mut cursor = Cursor::default();
        cursor.advance(stream(7, 0), 5);
        cursor.advance(stream(7, 0), 3);
        cursor.advance(stream(8, 1), 9);
        assert_eq!([cursor.last(&stream(7, 0)), cursor.last(&stream(9, 0))], [5, 0]);
        assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor.clone()));
        cursor.remove_incarnations_before(8);
        assert_eq!(cursor.iter().collect::<Vec<_>>(), [(stream(8, 1), 9)]);
    }

    #[test]
    fn a_cursor_is_cut_to_the_nodes_and_runs_of_a_daemon() {
        let mut cursor = Cursor::default();
        for node in 0..4 {
            for incarnation in [7, 8] {
                cursor.advance(StreamId { node, incarnation, thread: 3 }, 5);
            }
        }
        let streams = |cursor: &Cursor| -> Vec<_> {
            cursor.iter().map(|(stream, _)| (stream.node, stream.incarnation)).collect()
        };
        let mut own = cursor.of_nodes([2, 0].into_iter(), 7);
        assert_eq!(streams(&own), [(0, 7), (0, 8), (2, 7), (2, 8)]);
        assert_eq!(streams(&cursor.of_nodes([2].into_iter(), 8)), [(2, 8)]);
        own.keep_newest(3);
        assert_eq!(streams(&own), [(0, 8), (2, 7), (2, 8)]);
    }

    #[test]
    fn a_question_reads_back_and_a_cursor_is_a_question_without_runs() {
        let mut question = FeedQuestion::default();
        question.cursor.advance(stream(7, 0), 5);
        question.cursor.advance(stream(8, 0), 6);
        assert_eq!(FeedQuestion::decode(&question.cursor.encode()), Ok(question.clone()));
        question.runs.insert(stream(8, 0), RunId([3; 16]));
        question.refused.extend([stream(8, 0), stream(9, 1)]);
        let bytes = question.encode();
        assert_eq!(FeedQuestion::decode(&bytes), Ok(question));
        assert_eq!(Cursor::decode(&bytes), Err(CursorError::Version), "by an older daemon");
        let mut most = FeedQuestion::default();
        (1..=65_536).for_each(|at| most.cursor.advance(stream(at, 0), 1));
        assert_eq!(most.encode().len(), MAX_QUESTION_BYTES);
    }

    #[test]
    fn run_ids_read_back_and_no_other_text_does() {
        let runs = |count| -> RunIds {
            (1..=count).map(|at| (u32::MAX - at, RunId([at as u8; 16]))).collect()
        };
        for count in [0, 1, 64] {
            let value = encode_run_ids(&runs(count));
            assert!(value.len() < 3 << 10);
            assert_eq!(decode_run_ids(&value), Some(runs(count)));
        }
        assert_eq!(decode_run_ids(&encode_run_ids(&runs(65))), None);
        let one = encode_run_ids(&runs(1));
        for wrong in
            ["1", "1:", ",", &format!("+{one}"), &one[..one.len() - 1], &format!("{one},{one}")]
        {
            assert_eq!(decode_run_ids(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_taken_apart_into_its_blocks() {
        let mut record = [0; MAX_RECORD_LEN];
        encode_click(&sample_head(), b"abc", &[], &mut record);
        let mut answer = Vec::new();
        for first in [1, 2] {
            let mut builder = BlockBuilder::new(stream(1, 0), first);
            builder.push(&record).unwrap();
            answer.extend(builder.finish().unwrap());
        }
        let firsts: Vec<_> = blocks(&answer).map(|b| b.unwrap().first_sequence()).collect();
        assert_eq!(firsts, [1, 2]);
        answer.pop();
        assert_eq!(blocks(&answer).map(|b| b.is_ok()).collect::<Vec<_>>(), [true, false]);
    }

    proptest! {
        #[test]
        fn reading_any_bytes_as_a_cursor_never_panics(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..100)
        ) {
            for version in [VERSION, QUESTION_VERSION] {
                if bytes.len() > 8 {
                    bytes[..4].copy_from_slice(MAGIC);
                    bytes[4] = version;
                }
                if let Ok(cursor) = Cursor::decode(&bytes) {
                    prop_assert_eq!(cursor.encode(), bytes.clone());
                }
                if let Ok(question) = FeedQuestion::decode(&bytes) {
                    let is_question = bytes[4] == QUESTION_VERSION;
                    prop_assert!(!is_question || question.encode() == bytes);
                }
            }
        }

        #[test]
        fn any_cursor_reads_back_and_no_changed_order_does(
            streams in proptest::collection::btree_map(any::<(u16, u32, u8)>(), any::<u64>(), 2..20),
        ) {
            let mut cursor = Cursor::default();
            for ((node, incarnation, thread), last) in streams {
                cursor.advance(StreamId { node, incarnation, thread }, last);
            }
            let mut bytes = cursor.encode();
            prop_assert_eq!(Cursor::decode(&bytes), Ok(cursor));
            let (first, second) = bytes[HEADER_LEN..].split_at_mut(ENTRY_LEN);
            first.swap_with_slice(&mut second[..ENTRY_LEN]);
            prop_assert_eq!(Cursor::decode(&bytes), Err(CursorError::Order));
        }

        #[test]
        fn an_answer_of_any_bytes_comes_to_its_end(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            if bytes.len() > 8 {
                bytes[..4].copy_from_slice(b"CLKB");
            }
            prop_assert!(blocks(&bytes).count() <= 1 + bytes.len() / BLOCK_HEADER_LEN);
        }
    }
}
