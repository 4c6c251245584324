//! The clicks on disk after coupond has stopped, counted block by block in the click log, so lost
//! and repeated clicks show.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use coupon_shared::click::StreamId;
use coupon_shared::click::block::Block;
use coupon_shared::framed_log::FrameReader;
use serde::Serialize;

/// The clicks of a data folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct LoggedClicks {
    /// Distinct clicks in the WAL.
    pub(super) clicks: u64,
    /// Missing sequence numbers.
    pub(super) missing: u64,
    /// Repeated clicks.
    pub(super) repeated: u64,
    /// Bytes of the WAL.
    pub(super) wal_bytes: u64,
    /// Bytes of the click store.
    pub(super) store_bytes: u64,
}

impl LoggedClicks {
    pub(super) fn count_in(data: &Path) -> anyhow::Result<LoggedClicks> {
        let wal = data.join("wal");
        let mut kept = LoggedClicks {
            wal_bytes: bytes_in(&wal)?,
            store_bytes: bytes_in(&data.join("clicks"))?,
            ..LoggedClicks::default()
        };
        let mut frames = FrameReader::open(&wal, 1)?;
        let mut last = BTreeMap::new();
        while let Some(frame) = frames.next_frame()? {
            let block = Block::parse(frame.payload)
                .with_context(|| format!("frame {} of the click log", frame.sequence))?;
            kept.count(&mut last, &block);
        }
        Ok(kept)
    }

    /// Sequences of a stream begin at 1 and ascend.
    fn count(&mut self, last: &mut BTreeMap<StreamId, u64>, block: &Block<'_>) {
        let last = last.entry(block.stream()).or_default();
        let (first, to) = (block.first_sequence(), block.last_sequence());
        self.missing += first.saturating_sub(*last + 1);
        let new = to.saturating_sub((*last).max(first - 1));
        self.clicks += new;
        self.repeated += u64::from(block.count()) - new;
        *last = to.max(*last);
    }
}

fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { bytes_in(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coupon_shared::click::block::BlockBuilder;
    use coupon_shared::click::{ClickHead, MAX_RECORD_LEN, VisitKind, encode_click};
    use coupon_shared::decision::Reason;
    use coupon_shared::framed_log::{FramedLog, Options};
    use coupon_shared::transaction_id::TransactionId;

    fn block(thread: u8, first_sequence: u64, clicks: u64) -> Vec<u8> {
        let head = ClickHead {
            transaction_id: TransactionId([1; 16]),
            unix_ms: 1_781_524_800_000,
            generation: 1,
            code_id: 1,
            offer_id: 1,
            partner_id: 1,
            advertiser_id: 1,
            reason: Reason::Redirected,
            kind: VisitKind::Click,
            rule: 0,
        };
        let mut record = [0; MAX_RECORD_LEN];
        encode_click(&head, b"ANNA20", &[], &mut record);
        let stream = StreamId { node: 0, incarnation: 1, thread };
        let mut builder = BlockBuilder::new(stream, first_sequence);
        for _ in 0..clicks {
            builder.push(&record).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn a_click_that_is_missing_or_there_twice_is_noticed() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("clicks")).unwrap();
        let options = Options { segment_bytes: 1 << 20, max_frame_bytes: 1 << 20 };
        let (mut log, _) = FramedLog::open(&data.path().join("wal"), options).unwrap();
        for (thread, first, clicks) in [(0, 1, 5), (1, 1, 3), (0, 6, 4), (0, 8, 4), (1, 6, 1)] {
            log.append_synced(&[&block(thread, first, clicks)]).unwrap();
        }
        drop(log);
        let kept = LoggedClicks::count_in(data.path()).unwrap();
        // Thread 0 has 1 to 11, with 8 and 9 twice; thread 1 has 1 to 3 and 6.
        assert_eq!((kept.clicks, kept.missing, kept.repeated), (15, 2, 2));
        assert!(kept.wal_bytes > 500, "{kept:?}");
    }
}
