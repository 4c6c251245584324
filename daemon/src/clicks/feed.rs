//! The feed: selects the next blocks for the admin.
//!
//! The admin sends a cursor: the last sequence of each stream that is durable at the admin. The
//! feed answers with blocks behind the cursor, in order within each stream, straight from the WAL.
//! The cursor is also the acknowledgement: frames at the WAL's beginning that the cursor covers may
//! be removed. Entries of the cursor that name another run than this folder's acknowledge nothing: a
//! copy of the folder, or its original, numbered that run's clicks alike.
//!
//! An admin restored from a backup sends a cursor from before the WAL's beginning; the missing
//! blocks come from the click store. The feed never sends a block while the store might still hold
//! sequences between the cursor and that block: the admin would count those sequences as known from
//! then on. So while the store is not open, a stream with such a gap waits, and other streams
//! continue. The same holds while the WAL has blocks that only a newer coupond can read. If neither WAL nor store can fill a gap, the feed sends the blocks behind it, and the
//! admin counts the gap.
//!
//! The size of an answer bounds the memory.

pub(super) mod route;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use coupon_shared::click::StreamId;
use coupon_shared::click::block::Block;
use coupon_shared::feed::{Cursor, FeedQuestion, MAX_RUNS_PER_ANSWER, RunIds, blocks};
use coupon_shared::framed_log::{FrameReader, FramedLogError};
use jiff::civil::Date;

use super::log_state::LogState;
use super::store::HistoryQuestion;

/// Longest wait for the store, which may have to open a day's folder.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(10);

/// The answer to one poll of the admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FeedAnswer {
    /// Blocks, one after another.
    pub(super) blocks: Vec<u8>,
    /// No older incarnation can appear in any later answer; 0 while the store's contents are
    /// unknown.
    pub(super) oldest_incarnation: u32,
    /// The runs of the blocks.
    pub(super) runs: RunIds,
}

/// Errors that keep the feed from answering.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    /// The WAL is still being opened, or cannot be opened.
    #[error("the click log is not open yet; /health says why")]
    NotOpen,
    /// The WAL cannot be read.
    #[error(transparent)]
    Wal(#[from] FramedLogError),
}

/// The feed's state, shared by all requests; the mutex makes requests take turns.
#[derive(Debug)]
pub(super) struct Feed {
    state: Arc<LogState>,
    history: Sender<HistoryQuestion>,
    incarnation: u32,
    /// The runs of the data folder.
    runs: RunIds,
    position: Mutex<FeedPosition>,
}

#[derive(Debug, Default)]
struct FeedPosition {
    /// At the first frame that the last cursor does not cover.
    front: Option<FrameReader>,
    cursor: Cursor,
}

/// An answer under construction.
struct AnswerBuilder<'a> {
    cursor: &'a Cursor,
    /// Streams with one block in an answer.
    refused: &'a BTreeSet<StreamId>,
    noted_runs: &'a RunIds,
    runs: RunIds,
    /// The last sequence of each stream in `blocks`.
    given: HashMap<StreamId, u64>,
    blocks: Vec<u8>,
    max_bytes: usize,
    is_full: bool,
}

impl Feed {
    pub(super) fn new(
        state: Arc<LogState>,
        history: Sender<HistoryQuestion>,
        incarnation: u32,
        runs: RunIds,
    ) -> Feed {
        Feed { state, history, incarnation, runs, position: Mutex::default() }
    }

    /// Collects the blocks behind the cursor without waiting for new ones. Returns at least one
    /// block if there is one, even if that exceeds `max_bytes`.
    pub(super) fn collect(
        &self,
        question: &FeedQuestion,
        max_bytes: usize,
    ) -> Result<FeedAnswer, FeedError> {
        let cursor = &self.own_part(question);
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let mut builder = AnswerBuilder {
            cursor,
            refused: &question.refused,
            noted_runs: &self.runs,
            runs: RunIds::new(),
            given: HashMap::new(),
            blocks: Vec::new(),
            max_bytes,
            is_full: false,
        };
        self.position_front(&mut position, cursor)?;
        self.walk(&mut position, &mut builder)?;
        if !builder.is_full {
            self.add_what_only_the_store_has(&mut builder);
        }
        let AnswerBuilder { blocks, runs, .. } = builder;
        Ok(FeedAnswer { blocks, runs, oldest_incarnation: self.oldest_incarnation() })
    }

    /// The cursor without the streams of other runs.
    fn own_part(&self, question: &FeedQuestion) -> Cursor {
        let mut cursor = question.cursor.clone();
        let own = |stream: &StreamId| self.runs.get(&stream.incarnation);
        cursor
            .retain(|stream| question.runs.get(stream).is_none_or(|run| own(stream) == Some(run)));
        cursor
    }

    fn position_front(
        &self,
        position: &mut FeedPosition,
        cursor: &Cursor,
    ) -> Result<(), FeedError> {
        let front = match &mut position.front {
            Some(front) => front,
            None => position.front.insert(self.state.wal_reader().ok_or(FeedError::NotOpen)?),
        };
        let went_back = position.cursor.iter().any(|(stream, last)| cursor.last(&stream) < last);
        let oldest = front.first_sequence()?;
        if went_back || front.next_sequence() < oldest {
            front.seek(oldest);
        }
        position.cursor.clone_from(cursor);
        self.state.cursor().clone_from(cursor);
        Ok(())
    }

    /// Reads from the front until the WAL's end or until the answer is full, and moves the front
    /// past the frames that the cursor covers.
    fn walk(
        &self,
        position: &mut FeedPosition,
        builder: &mut AnswerBuilder<'_>,
    ) -> Result<(), FeedError> {
        let Some(front) = &mut position.front else { return Ok(()) };
        let mut reader = front.clone();
        let mut covered_to = reader.next_sequence();
        let mut all_covered = true;
        while !builder.is_full {
            let sequence = match reader.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    if let Ok(block) = Block::parse(frame.payload)
                        && !builder.covers(&block)
                    {
                        all_covered = false;
                        self.add(&block, builder);
                    }
                    frame.sequence
                }
                // The store thread raises the alert; later blocks show the gap.
                Err(FramedLogError::Damaged { resume_at: Some(next), .. }) => {
                    reader.seek(next);
                    next - 1
                }
                Err(FramedLogError::Removed { first, .. }) => {
                    reader.seek(first);
                    first - 1
                }
                Err(error) => return Err(error.into()),
            };
            if all_covered {
                covered_to = sequence + 1;
            }
        }
        advance(front, covered_to)?;
        self.state.acknowledged.store(covered_to, Ordering::Release);
        Ok(())
    }

    fn add(&self, block: &Block<'_>, builder: &mut AnswerBuilder<'_>) {
        let stream = block.stream();
        let next = builder.known(stream) + 1;
        if block.first_sequence() > next {
            if !self.state.history_is_known() {
                // The module header says why the answer must not contain later blocks of this
                // stream.
                builder.hold_back(stream);
                return;
            }
            let missing = next..=block.first_sequence() - 1;
            if !self.add_history(stream, missing, builder) {
                return builder.hold_back(stream);
            }
        }
        if !builder.is_full && builder.has_room_for(block) {
            builder.push(block);
        }
    }

    fn add_what_only_the_store_has(&self, builder: &mut AnswerBuilder<'_>) {
        let stored: Vec<(StreamId, u64)> = {
            let stored = self.state.stored();
            let unknown = stored.last.iter().filter(|(s, last)| builder.known(**s) < **last);
            unknown.map(|(stream, last)| (*stream, *last)).collect()
        };
        for (stream, last) in stored {
            let missing = builder.known(stream) + 1..=last;
            if builder.is_full || !self.add_history(stream, missing, builder) {
                return;
            }
        }
    }

    /// Adds the store's blocks for the missing sequences; false if the store did not answer.
    fn add_history(
        &self,
        stream: StreamId,
        missing: RangeInclusive<u64>,
        builder: &mut AnswerBuilder<'_>,
    ) -> bool {
        if !builder.has_room_for_run(stream) {
            return true;
        }
        let room = builder.max_bytes.saturating_sub(builder.blocks.len());
        let max_bytes = if builder.refused.contains(&stream) { 1 } else { room.max(1) };
        let found = self.read_history(stream, missing, Date::MIN, max_bytes);
        let Some(found) = found else { return false };
        for block in blocks(&found).flatten() {
            builder.push(&block);
        }
        builder.is_full |= builder.blocks.len() >= builder.max_bytes;
        true
    }

    /// The stored blocks of a stream that hold any of the sequences and begin on this day or later;
    /// `None` if the store does not answer.
    pub(super) fn read_history(
        &self,
        stream: StreamId,
        sequences: RangeInclusive<u64>,
        from_day: Date,
        max_bytes: usize,
    ) -> Option<Vec<u8>> {
        let (answer, answered) = mpsc::channel();
        let question = HistoryQuestion { stream, sequences, max_bytes, from_day, answer };
        self.history.send(question).ok()?;
        answered.recv_timeout(HISTORY_TIMEOUT).ok()
    }

    pub(super) fn oldest_incarnation(&self) -> u32 {
        if !self.state.history_is_known() {
            return 0;
        }
        let oldest = self.state.stored().oldest_incarnation();
        oldest.unwrap_or(self.incarnation).min(self.incarnation)
    }
}

impl AnswerBuilder<'_> {
    fn known(&self, stream: StreamId) -> u64 {
        let given = self.given.get(&stream).copied().unwrap_or(0);
        given.max(self.cursor.last(&stream))
    }

    fn covers(&self, block: &Block<'_>) -> bool {
        self.known(block.stream()) >= block.last_sequence()
    }

    /// Keeps further blocks of a stream out of this answer.
    fn hold_back(&mut self, stream: StreamId) {
        self.given.insert(stream, u64::MAX);
    }

    fn has_room_for(&mut self, block: &Block<'_>) -> bool {
        let fits = self.blocks.is_empty() || self.blocks.len() + block.len() <= self.max_bytes;
        self.is_full |= !fits;
        fits && self.has_room_for_run(block.stream())
    }

    /// Ends the answer before a run that its header has no room for.
    fn has_room_for_run(&mut self, stream: StreamId) -> bool {
        let incarnation = &stream.incarnation;
        let is_stated =
            !self.noted_runs.contains_key(incarnation) || self.runs.contains_key(incarnation);
        let fits = is_stated || self.runs.len() < MAX_RUNS_PER_ANSWER;
        self.is_full |= !fits;
        fits
    }

    fn push(&mut self, block: &Block<'_>) {
        if self.covers(block) {
            return;
        }
        let stream = block.stream();
        self.blocks.extend_from_slice(block.as_bytes());
        self.given.insert(stream, block.last_sequence());
        let run = self.noted_runs.get_key_value(&stream.incarnation);
        self.runs.extend(run.map(|(incarnation, run)| (*incarnation, *run)));
        if self.refused.contains(&stream) {
            self.hold_back(stream);
        }
    }
}

fn advance(front: &mut FrameReader, to: u64) -> Result<(), FramedLogError> {
    while front.next_sequence() < to {
        match front.next_frame() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(FramedLogError::Damaged { resume_at: Some(next), .. }) => front.seek(next),
            Err(FramedLogError::Removed { first, .. }) => front.seek(first),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
