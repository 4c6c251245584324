//! The clicks of one edge that coupon-admin has not acknowledged.

use std::collections::VecDeque;

use coupon_shared::click::StreamId;
use coupon_shared::feed::Cursor;

/// Blocks of all streams, oldest first.
#[derive(Debug, Default)]
pub(super) struct ClickQueue {
    blocks: VecDeque<QueuedBlock>,
}

#[derive(Debug)]
struct QueuedBlock {
    stream: StreamId,
    last_sequence: u64,
    bytes: Vec<u8>,
}

impl ClickQueue {
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn push(&mut self, stream: StreamId, last_sequence: u64, bytes: Vec<u8>) {
        self.blocks.push_back(QueuedBlock { stream, last_sequence, bytes });
    }

    /// Removes the blocks that a cursor acknowledges, and returns the others one after the other.
    /// The last one may exceed `max_bytes`, as in coupond's answers.
    pub(super) fn blocks_after(&mut self, cursor: &Cursor, max_bytes: usize) -> Vec<u8> {
        self.blocks.retain(|block| block.last_sequence > cursor.last(&block.stream));
        let mut answer = Vec::new();
        for block in &self.blocks {
            if answer.len() >= max_bytes {
                break;
            }
            answer.extend_from_slice(&block.bytes);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn stream(thread: u8) -> StreamId {
        StreamId { node: 1, incarnation: 1, thread }
    }

    #[test]
    fn a_cursor_removes_whole_blocks_of_its_streams_alone() {
        let mut queue = ClickQueue::default();
        for (thread, last, byte) in [(0, 3, b'a'), (1, 2, b'b'), (0, 6, b'c')] {
            queue.push(stream(thread), last, vec![byte; 2]);
        }
        assert_eq!(queue.blocks_after(&Cursor::default(), 100), b"aabbcc");
        let mut cursor = Cursor::default();
        cursor.advance(stream(0), 5);
        assert_eq!(queue.blocks_after(&cursor, 100), b"bbcc", "a block is not given in part");
        assert_eq!(queue.blocks_after(&cursor, 1), b"bb");
        cursor.advance(stream(0), 6);
        cursor.advance(stream(1), 2);
        assert_eq!((queue.blocks_after(&cursor, 100), queue.len()), (vec![], 0));
    }
}
