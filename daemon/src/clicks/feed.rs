//! The feed: which blocks the admin gets next.
//!
//! The admin says what it has made durable (the cursor) and gets blocks it does not have, oldest
//! first within each stream, straight from the WAL. The cursor is also the acknowledgement: frames
//! at the WAL's beginning that it covers may go.
//!
//! An admin that was restored from a backup asks for clicks that left the WAL long ago; they come
//! from the click store. A block is never given while sequences of its stream between the cursor
//! and the block might still be in the store: the admin would take them for known ever after. So
//! while the store is not open, a stream with such a gap waits, and the others go on. A gap that
//! neither the WAL nor the store can fill is given as it is, and the admin counts it.
//!
//! Memory is bounded by the answer's size.

pub(super) mod route;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use coupon_shared::click::StreamId;
use coupon_shared::click::block::Block;
use coupon_shared::feed::{Cursor, blocks};
use coupon_shared::framed_log::{FrameReader, FramedLogError};

use super::log_state::LogState;
use super::store::HistoryQuestion;

/// How long the store may take to answer; it may be opening a day's folder.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the admin gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FeedAnswer {
    /// Blocks one after the other.
    pub(super) blocks: Vec<u8>,
    /// No stream of an older incarnation can come; 0 while that is not known.
    pub(super) oldest_incarnation: u32,
}

/// Why the feed gives nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    /// The WAL is being opened, or cannot be.
    #[error("the click log is not open yet; /health tells why")]
    NotOpen,
    /// The WAL cannot be read.
    #[error(transparent)]
    Wal(#[from] FramedLogError),
}

/// One for all askers; they take turns.
#[derive(Debug)]
pub(super) struct Feed {
    state: Arc<LogState>,
    history: Sender<HistoryQuestion>,
    incarnation: u32,
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
struct Place {
    /// At the first frame that the cursor did not cover.
    front: Option<FrameReader>,
    cursor: Cursor,
}

/// An answer being put together.
struct Collected<'a> {
    cursor: &'a Cursor,
    /// Last sequences of the blocks collected.
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
    ) -> Feed {
        Feed { state, history, incarnation, place: Mutex::default() }
    }

    /// The blocks after the cursor, without waiting for new ones. At least one block is given when
    /// there is one, whatever `max_bytes` says.
    pub(super) fn collect(
        &self,
        cursor: &Cursor,
        max_bytes: usize,
    ) -> Result<FeedAnswer, FeedError> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut collected = Collected {
            cursor,
            given: HashMap::new(),
            blocks: Vec::new(),
            max_bytes,
            is_full: false,
        };
        self.place_front(&mut place, cursor)?;
        self.walk(&mut place, &mut collected)?;
        if !collected.is_full {
            self.add_what_only_the_store_has(&mut collected);
        }
        Ok(FeedAnswer { blocks: collected.blocks, oldest_incarnation: self.oldest_incarnation() })
    }

    fn place_front(&self, place: &mut Place, cursor: &Cursor) -> Result<(), FeedError> {
        let front = match &mut place.front {
            Some(front) => front,
            None => place.front.insert(self.state.wal_reader().ok_or(FeedError::NotOpen)?),
        };
        let went_back = place.cursor.iter().any(|(stream, last)| cursor.last(&stream) < last);
        let oldest = front.first_sequence()?;
        if went_back || front.next_sequence() < oldest {
            front.seek(oldest);
        }
        place.cursor.clone_from(cursor);
        self.state.cursor().clone_from(cursor);
        Ok(())
    }

    /// Goes from the front to the WAL's end or until the answer is full; moves the front over the
    /// frames that the cursor covers.
    fn walk(&self, place: &mut Place, collected: &mut Collected<'_>) -> Result<(), FeedError> {
        let Some(front) = &mut place.front else { return Ok(()) };
        let mut reader = front.clone();
        let mut covered_to = reader.next_sequence();
        let mut all_covered = true;
        while !collected.is_full {
            let sequence = match reader.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    if let Ok(block) = Block::parse(frame.payload)
                        && !collected.covers(&block)
                    {
                        all_covered = false;
                        self.add(&block, collected);
                    }
                    frame.sequence
                }
                // The store thread tells of it; what follows shows the gap.
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

    fn add(&self, block: &Block<'_>, collected: &mut Collected<'_>) {
        let stream = block.stream();
        let next = collected.known(stream) + 1;
        if block.first_sequence() > next {
            if !self.state.stored().is_known {
                // Nothing more of this stream in this answer: see the header.
                collected.hold_back(stream);
                return;
            }
            let missing = next..=block.first_sequence() - 1;
            if !self.add_history(stream, missing, collected) {
                return collected.hold_back(stream);
            }
        }
        if !collected.is_full && collected.has_room_for(block) {
            collected.push(block);
        }
    }

    fn add_what_only_the_store_has(&self, collected: &mut Collected<'_>) {
        let stored: Vec<(StreamId, u64)> = {
            let stored = self.state.stored();
            let unknown = stored.last.iter().filter(|(s, last)| collected.known(**s) < **last);
            unknown.map(|(stream, last)| (*stream, *last)).collect()
        };
        for (stream, last) in stored {
            let missing = collected.known(stream) + 1..=last;
            if collected.is_full || !self.add_history(stream, missing, collected) {
                return;
            }
        }
    }

    /// Adds what the store has of the missing sequences; false when it could not tell.
    fn add_history(
        &self,
        stream: StreamId,
        missing: std::ops::RangeInclusive<u64>,
        collected: &mut Collected<'_>,
    ) -> bool {
        let max_bytes = collected.max_bytes.saturating_sub(collected.blocks.len()).max(1);
        let (answer, answered) = mpsc::channel();
        let question = HistoryQuestion { stream, sequences: missing, max_bytes, answer };
        if self.history.send(question).is_err() {
            return false;
        }
        let Ok(found) = answered.recv_timeout(HISTORY_TIMEOUT) else {
            return false;
        };
        for block in blocks(&found).flatten() {
            collected.push(&block);
        }
        collected.is_full |= collected.blocks.len() >= collected.max_bytes;
        true
    }

    fn oldest_incarnation(&self) -> u32 {
        let stored = self.state.stored();
        if !stored.is_known {
            return 0;
        }
        let oldest = stored.last.keys().map(|stream| stream.incarnation).min();
        oldest.unwrap_or(self.incarnation).min(self.incarnation)
    }
}

impl Collected<'_> {
    fn known(&self, stream: StreamId) -> u64 {
        let given = self.given.get(&stream).copied().unwrap_or(0);
        given.max(self.cursor.last(&stream))
    }

    fn covers(&self, block: &Block<'_>) -> bool {
        self.known(block.stream()) >= block.last_sequence()
    }

    /// No block of this stream is added any more.
    fn hold_back(&mut self, stream: StreamId) {
        self.given.insert(stream, u64::MAX);
    }

    fn has_room_for(&mut self, block: &Block<'_>) -> bool {
        let fits = self.blocks.is_empty() || self.blocks.len() + block.len() <= self.max_bytes;
        self.is_full |= !fits;
        fits
    }

    fn push(&mut self, block: &Block<'_>) {
        if !self.covers(block) {
            self.blocks.extend_from_slice(block.as_bytes());
            self.given.insert(block.stream(), block.last_sequence());
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
