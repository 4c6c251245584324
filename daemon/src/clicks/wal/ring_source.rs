//! A ring as the click-log thread reads it: a live ring or an orphaned one.

use coupon_shared::click::{ClickError, StreamId};

use crate::clicks::ring::{RingDamage, RingReader};

#[derive(Debug)]
pub(super) struct RingSource {
    ring: RingReader,
    /// Records up to this sequence are already in the WAL.
    logged_before: u64,
    /// Set when no more records can be read until the next release or rewind.
    pub(super) end: Option<RingEnd>,
    unreadable: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RingEnd {
    Empty,
    Damaged(RingDamage),
}

impl RingSource {
    pub(super) fn new(ring: RingReader, logged_before: u64) -> RingSource {
        RingSource { ring, logged_before, end: None, unreadable: 0 }
    }

    pub(super) fn stream(&self) -> StreamId {
        self.ring.stream()
    }

    pub(super) fn ring(&self) -> &RingReader {
        &self.ring
    }

    pub(super) fn unread_bytes(&self) -> u64 {
        self.ring.unread_bytes()
    }

    /// Moves to the next record that is not yet in the WAL; returns its sequence.
    pub(super) fn advance(&mut self) -> Option<u64> {
        while self.end.is_none() {
            match self.ring.advance() {
                Ok(Some(sequence)) if sequence <= self.logged_before => {}
                Ok(Some(sequence)) => return Some(sequence),
                Ok(None) => self.end = Some(RingEnd::Empty),
                Err(damage) => self.end = Some(RingEnd::Damaged(damage)),
            }
        }
        None
    }

    pub(super) fn record(&self) -> &[u8] {
        self.ring.record()
    }

    pub(super) fn count_unreadable(&mut self, sequence: u64, error: &ClickError) {
        tracing::error!(stream = ?self.stream(), sequence, %error, "click in ring unreadable");
        self.unreadable += 1;
    }

    /// Releases the records read, which must be durable. Returns the number of unreadable ones.
    pub(super) fn release(&mut self) -> u64 {
        self.ring.release();
        std::mem::take(&mut self.unreadable)
    }

    /// Goes back to the last release: the records read since then will be read again.
    pub(super) fn rewind(&mut self) {
        self.ring.rewind();
        self.end = None;
        self.unreadable = 0;
    }

    /// Skips the damaged part of a live ring; returns the number of lost records.
    pub(super) fn give_up_unread(&mut self) -> u64 {
        self.ring.give_up_unread()
    }
}
