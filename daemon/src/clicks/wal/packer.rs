//! Packs the records of rings into blocks.
//!
//! A block aims at a little less than 4 KiB, because the click store handles values of at most 4 KiB
//! well; the compression of personal parts is learnt from earlier blocks. A batch is bounded in
//! bytes and in blocks. A restart relies on the second bound when it looks for records that a
//! killed process had logged (see the parent module).

use coupon_shared::click::block::BlockBuilder;

use super::ring_source::RingSource;

/// Each source can add one more block.
pub(super) const MAX_BATCH_BLOCKS: usize = 512;
const MAX_BATCH_DECODED_BYTES: usize = 2 << 20;
const TARGET_BYTES: f64 = 3600.0;
/// Bounds the memory of a reader.
const MAX_DECODED_BYTES: usize = 128 << 10;
/// Shorter personal parts say little about compression.
const MIN_LEARNT_BYTES: usize = 1000;

#[derive(Debug)]
pub(super) struct Packer {
    /// Bytes of a personal part after compression per byte before.
    ratio: f64,
    max_batch_decoded_bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) blocks: Vec<Vec<u8>>,
    pub(super) bytes: u64,
    decoded_bytes: usize,
}

impl Packer {
    /// `wal_max_bytes` bounds a batch, so that it always fits into an empty WAL.
    pub(super) fn new(wal_max_bytes: u64) -> Packer {
        let share = usize::try_from(wal_max_bytes / 4).unwrap_or(MAX_BATCH_DECODED_BYTES);
        Packer { ratio: 0.5, max_batch_decoded_bytes: share.min(MAX_BATCH_DECODED_BYTES) }
    }

    pub(super) fn pack<'a>(&mut self, sources: impl Iterator<Item = &'a mut RingSource>) -> Batch {
        let mut batch = Batch::default();
        for source in sources {
            self.pack_source(source, &mut batch);
        }
        batch
    }

    fn pack_source(&mut self, source: &mut RingSource, batch: &mut Batch) {
        let stream = source.stream();
        let mut open: Option<BlockBuilder> = None;
        while !self.is_full(batch) {
            let Some(sequence) = source.advance() else {
                break;
            };
            let builder = open.get_or_insert_with(|| BlockBuilder::new(stream, sequence));
            if let Err(error) = builder.push(source.record()) {
                source.count_unreadable(sequence, &error);
                // A block's records are consecutive: the next record begins a new block.
                self.finish(open.take(), batch);
            } else if self.is_block_full(builder) {
                self.finish(open.take(), batch);
            }
        }
        self.finish(open, batch);
    }

    fn is_full(&self, batch: &Batch) -> bool {
        batch.blocks.len() >= MAX_BATCH_BLOCKS
            || batch.decoded_bytes >= self.max_batch_decoded_bytes
    }

    fn is_block_full(&self, builder: &BlockBuilder) -> bool {
        let personal_bytes = builder.personal_len() as f64 * self.ratio;
        builder.main_len() as f64 + personal_bytes >= TARGET_BYTES
            || builder.decoded_len() >= MAX_DECODED_BYTES
    }

    fn finish(&mut self, builder: Option<BlockBuilder>, batch: &mut Batch) {
        let Some(builder) = builder else { return };
        let (main_bytes, personal_bytes) = (builder.main_len(), builder.personal_len());
        let decoded_bytes = builder.decoded_len();
        let Some(block) = builder.finish() else { return };
        if personal_bytes >= MIN_LEARNT_BYTES {
            let compressed_bytes = block.len() - main_bytes;
            self.ratio += (compressed_bytes as f64 / personal_bytes as f64 - self.ratio) / 4.0;
        }
        batch.bytes += block.len() as u64;
        batch.decoded_bytes += decoded_bytes;
        batch.blocks.push(block);
    }
}
