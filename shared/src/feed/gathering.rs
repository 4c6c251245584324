//! Gathering: consecutive small blocks of a stream become one larger block.
//!
//! A coupond with few visitors makes a block for the few clicks of each commit. On the way to another
//! machine and in the archive each block costs a header, a row of the store and what its values do
//! not share with those of other blocks.

use std::collections::BTreeMap;

use crate::click::block::{Block, BlockBuilder, DecodedBlock};
use crate::click::{ClickError, StreamId};

/// Most bytes of a gathered block, decoded.
pub const MAX_GATHERED_LEN: usize = 64 << 10;

/// Puts the blocks of each stream together. The clicks, their sequences and the order within each
/// stream stay. Large blocks, blocks of an earlier version and what is no block stay byte for byte.
#[must_use]
pub fn gather(blocks: &[u8]) -> Vec<u8> {
    let mut gathering = Gathering::default();
    let mut read_to = 0;
    for block in super::blocks(blocks).map_while(Result::ok) {
        read_to += block.len();
        gathering.add(block);
    }
    let mut out = gathering.finish();
    out.extend_from_slice(&blocks[read_to..]);
    out
}

#[derive(Default)]
struct Gathering<'a> {
    open: BTreeMap<StreamId, OpenBlock<'a>>,
    out: Vec<u8>,
}

/// A block that later ones of its stream may join.
struct OpenBlock<'a> {
    first: Block<'a>,
    last_sequence: u64,
    builder: BlockBuilder,
}

impl<'a> Gathering<'a> {
    fn add(&mut self, block: Block<'a>) {
        let is_small = block.is_of_present_version() && block.decoded_len() <= MAX_GATHERED_LEN / 2;
        let decoded = is_small.then(|| block.decode().ok()).flatten();
        if let Some(decoded) = &decoded
            && self.open.get_mut(&block.stream()).is_some_and(|open| open.takes(&block, decoded))
        {
            return;
        }
        self.close(block.stream());
        match decoded.and_then(|decoded| OpenBlock::new(block, &decoded).ok()) {
            Some(open) => drop(self.open.insert(block.stream(), open)),
            None => self.out.extend_from_slice(block.as_bytes()),
        }
    }

    fn close(&mut self, stream: StreamId) {
        if let Some(open) = self.open.remove(&stream) {
            open.write(&mut self.out);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        for open in std::mem::take(&mut self.open).into_values() {
            open.write(&mut self.out);
        }
        self.out
    }
}

impl<'a> OpenBlock<'a> {
    fn new(first: Block<'a>, decoded: &DecodedBlock) -> Result<OpenBlock<'a>, ClickError> {
        let mut builder = BlockBuilder::new(first.stream(), first.first_sequence());
        builder.push_all(decoded)?;
        Ok(OpenBlock { first, last_sequence: first.last_sequence(), builder })
    }

    /// Adds the next block of the stream, if there is room; returns whether the block was added.
    fn takes(&mut self, block: &Block<'_>, decoded: &DecodedBlock) -> bool {
        let is_next = self.last_sequence.checked_add(1) == Some(block.first_sequence());
        let fits = self.builder.decoded_len() + block.decoded_len() <= MAX_GATHERED_LEN;
        let is_added = is_next && fits && self.builder.push_all(decoded).is_ok();
        if is_added {
            self.last_sequence = block.last_sequence();
        }
        is_added
    }

    fn write(self, out: &mut Vec<u8>) {
        if self.last_sequence == self.first.last_sequence() {
            return out.extend_from_slice(self.first.as_bytes());
        }
        out.extend(self.builder.finish().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::click::tests::sample_head;
    use crate::click::{ClickHead, MAX_RECORD_LEN, Tag, encode_click};

    type Clicks = BTreeMap<(StreamId, u64), Vec<u8>>;

    fn stream(thread: u8) -> StreamId {
        StreamId { node: 3, incarnation: 99, thread }
    }

    fn record(code_id: u32, agent: &[u8]) -> Vec<u8> {
        let mut out = vec![0; MAX_RECORD_LEN];
        let head = ClickHead { code_id, unix_ms: 1000 + u64::from(code_id), ..sample_head() };
        let tags = [(Tag::Sub1, &b"story"[..]), (Tag::UserAgent, agent), (Tag::Sub2, b"")];
        let len = encode_click(&head, b"WiNtEr25", &tags, &mut out);
        out.truncate(len);
        out
    }

    fn block(thread: u8, first_sequence: u64, records: &[Vec<u8>]) -> Vec<u8> {
        let mut builder = BlockBuilder::new(stream(thread), first_sequence);
        for record in records {
            builder.push(record).unwrap();
        }
        builder.finish().unwrap()
    }

    /// Blocks of one click with ascending sequences.
    fn thin_blocks(thread: u8, sequences: std::ops::Range<u64>) -> Vec<Vec<u8>> {
        sequences
            .map(|sequence| block(thread, sequence, &[record(sequence as u32, b"curl/8")]))
            .collect()
    }

    fn parsed(bytes: &[u8]) -> Vec<Block<'_>> {
        super::super::blocks(bytes).map(Result::unwrap).collect()
    }

    /// Each click as text, by its place.
    fn clicks(bytes: &[u8]) -> Clicks {
        let mut clicks = Clicks::new();
        for block in parsed(bytes) {
            let decoded = block.decode().unwrap();
            for (sequence, click) in (block.first_sequence()..).zip(decoded.clicks()) {
                let before = clicks.insert((block.stream(), sequence), format!("{click:?}").into());
                assert_eq!(before, None, "a click stands twice");
            }
        }
        clicks
    }

    #[test]
    fn the_blocks_of_each_stream_become_one_with_the_same_clicks() {
        let (one, other) = (thin_blocks(0, 41..91), thin_blocks(1, 7..57));
        let mixed: Vec<u8> =
            one.iter().zip(&other).flat_map(|(a, b)| [&a[..], b].concat()).collect();
        let gathered = gather(&mixed);
        let blocks = parsed(&gathered);
        let places = blocks.iter().map(|b| (b.stream().thread, b.first_sequence(), b.count()));
        assert_eq!(places.collect::<Vec<_>>(), [(0, 41, 50), (1, 7, 50)]);
        assert_eq!((blocks[0].unix_ms(), blocks[1].unix_ms()), ((1041, 1090), (1007, 1056)));
        assert_eq!(clicks(&gathered), clicks(&mixed));
        assert!(gathered.len() * 4 < mixed.len(), "{} of {} bytes", gathered.len(), mixed.len());
        assert_eq!(gather(&gathered), gathered);
    }

    #[test]
    fn a_gathered_block_is_the_block_that_coupond_would_have_made() {
        let records: Vec<_> = (0..20).map(|id| record(id, b"curl/8")).collect();
        let thin =
            records.iter().zip(5..).flat_map(|(it, at)| block(0, at, std::slice::from_ref(it)));
        assert_eq!(gather(&thin.collect::<Vec<u8>>()), block(0, 5, &records));
    }

    #[test]
    fn a_gap_and_a_full_block_begin_another_one() {
        let with_gap = [thin_blocks(0, 1..4), thin_blocks(0, 9..12)].concat().concat();
        let gathered = gather(&with_gap);
        let places = parsed(&gathered).iter().map(|b| (b.first_sequence(), b.count())).collect();
        assert_eq!(Vec::from_iter::<Vec<_>>(places), [(1, 3), (9, 3)]);
        let long_agent = vec![b'a'; 400];
        let many = |sequence: u64| block(0, sequence, &[record(sequence as u32, &long_agent)]);
        let many: Vec<u8> = (1..400).flat_map(many).collect();
        let gathered = gather(&many);
        let lens: Vec<_> = parsed(&gathered).iter().map(Block::decoded_len).collect();
        assert!(lens.len() > 1 && lens.iter().all(|len| *len <= MAX_GATHERED_LEN), "{lens:?}");
        assert_eq!(clicks(&gathered), clicks(&many));
    }

    #[test]
    fn large_blocks_and_what_is_no_block_stay_as_they_are() {
        let large: Vec<_> =
            (2..400).map(|id| record(id, format!("agent {id}").as_bytes())).collect();
        let large = block(0, 2, &large);
        assert!(Block::parse(&large).unwrap().decoded_len() > MAX_GATHERED_LEN / 2);
        let mut thin = thin_blocks(0, 1..2).concat();
        let expected = [&thin[..], &large].concat();
        assert_eq!(gather(&expected), expected, "the order within the stream stays");
        thin.extend(thin_blocks(0, 2..3).concat());
        let damaged = [&thin[..], b"no block"].concat();
        let gathered = gather(&damaged);
        assert!(gathered.ends_with(b"no block"));
        assert_eq!(clicks(&gathered[..gathered.len() - 8]), clicks(&thin));
        assert_eq!(gather(b""), b"");
    }

    proptest! {
        #[test]
        fn any_blocks_keep_their_clicks(
            cuts in proptest::collection::vec((0u8..3, 1u64..9, 0u64..3, any::<u8>()), 0..40),
        ) {
            let mut next: BTreeMap<u8, u64> = BTreeMap::new();
            let mut all = Vec::new();
            for (thread, count, gap, agent) in cuts {
                let at = next.entry(thread).or_insert(1);
                *at += gap / 2;
                let records: Vec<_> =
                    (0..count).map(|id| record(id as u32, &vec![agent; agent.into()])).collect();
                all.extend(block(thread, *at, &records));
                *at += count;
            }
            let gathered = gather(&all);
            prop_assert_eq!(clicks(&gathered), clicks(&all));
            prop_assert!(gathered.len() <= all.len());
            for thread in 0..3 {
                let firsts: Vec<_> = parsed(&gathered).iter().filter(|b| b.stream().thread == thread)
                    .map(Block::first_sequence).collect();
                prop_assert!(firsts.is_sorted());
            }
        }

        #[test]
        fn any_bytes_stay_where_no_block_is(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(gather(&bytes), bytes);
        }
    }
}
