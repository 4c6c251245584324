//! A ring as the click-log thread sees it: one that is being written, or one that was left behind.

use coupon_shared::click::{ClickError, StreamId};

use crate::clicks::ring::{RingDamage, RingReader};

#[derive(Debug)]
pub(super) struct RingSource {
    ring: RingReader,
    /// Records up to this sequence are in the WAL already.
    logged_before: u64,
    /// Nothing more can be read since the last settling.
    pub(super) end: Option<End>,
    unreadable: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
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

    /// Moves to the next record that is not in the WAL yet, and returns its sequence.
    pub(super) fn advance(&mut self) -> Option<u64> {
        while self.end.is_none() {
            match self.ring.advance() {
                Ok(Some(sequence)) if sequence <= self.logged_before => {}
                Ok(Some(sequence)) => return Some(sequence),
                Ok(None) => self.end = Some(End::Empty),
                Err(damage) => self.end = Some(End::Damaged(damage)),
            }
        }
        None
    }

    pub(super) fn record(&self) -> &[u8] {
        self.ring.record()
    }

    pub(super) fn count_unreadable(&mut self, sequence: u64, error: &ClickError) {
        tracing::error!(stream = ?self.stream(), sequence, %error, "a click in a ring is unreadable");
        self.unreadable += 1;
    }

    /// What was read is durable. Returns how many records were unreadable.
    pub(super) fn release(&mut self) -> u64 {
        self.ring.release();
        std::mem::take(&mut self.unreadable)
    }

    /// What was read is not durable; it will be read again.
    pub(super) fn rewind(&mut self) {
        self.ring.rewind();
        self.end = None;
        self.unreadable = 0;
    }

    /// A live ring goes on after damage; returns how many records that cost.
    pub(super) fn give_up_unread(&mut self) -> u64 {
        self.ring.give_up_unread()
    }
}
