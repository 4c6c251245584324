//! Reads the clicks of earlier runs out of the WAL, where they are once the orphaned rings are
//! drained.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use coupon_shared::click::block::Block;
use coupon_shared::click::{Click, StreamId};
use coupon_shared::framed_log::{FrameReader, FramedLogError};

use super::ClickLog;
use super::log_state::Phase;

const POLL: Duration = Duration::from_millis(2);

impl ClickLog {
    /// Waits until all rings of earlier runs are in the WAL, then passes on each click of an earlier
    /// run behind the last known sequence of its stream. Ends early when the click log ends.
    ///
    /// # Errors
    /// When the WAL cannot be read; clicks before that place were passed on.
    pub(crate) fn read_earlier_clicks(
        &self,
        last_known: impl Fn(&StreamId) -> u64,
        mut each: impl FnMut(StreamId, u64, &Click<'_>),
    ) -> Result<(), FramedLogError> {
        let Some(mut reader) = self.wait_for_earlier_clicks() else { return Ok(()) };
        let end = self.state.committed();
        while reader.next_sequence() < end && self.state.phase() == Phase::Running {
            let frame = match reader.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                // The store thread raises the alert.
                Err(FramedLogError::Damaged { resume_at: Some(next), .. }) => {
                    reader.seek(next);
                    continue;
                }
                Err(FramedLogError::Removed { first, .. }) => {
                    reader.seek(first);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Ok(block) = Block::parse(frame.payload)
                && block.stream().incarnation != self.incarnation()
                && block.last_sequence() > last_known(&block.stream())
            {
                pass_on(&block, last_known(&block.stream()), &mut each);
            }
        }
        Ok(())
    }

    fn wait_for_earlier_clicks(&self) -> Option<FrameReader> {
        while self.state.phase() == Phase::Running {
            let is_drained = self.state.orphaned_drained.load(Ordering::Acquire);
            match self.state.wal_reader().filter(|_| is_drained) {
                Some(reader) => return Some(reader),
                None => thread::sleep(POLL),
            }
        }
        None
    }
}

fn pass_on(block: &Block<'_>, last_known: u64, each: &mut impl FnMut(StreamId, u64, &Click<'_>)) {
    // A block of a newer program, or a damaged one, has its alert elsewhere.
    let Ok(decoded) = block.decode() else { return };
    for (sequence, click) in (block.first_sequence()..).zip(decoded.clicks()) {
        if sequence > last_known {
            each(block.stream(), sequence, &click);
        }
    }
}
