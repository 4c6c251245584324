//! Counts of unique clicks, of which those before the present day are kept.

use std::ops::Range;

use super::build::PresentWindow;
use crate::caps::clicks::ClickCounters;
use crate::store::caps::Cap;
use crate::store::rollups::SLOT_MS;
use crate::store::{ReadTx, StoreError, blocks, bot_list};

const DAY_MS: u64 = 86_400_000;

/// Counts between two states.
#[derive(Default)]
pub(super) struct ClickCounts {
    settled: Option<SettledCounts>,
}

/// Counts of the days before the present one.
struct SettledCounts {
    inputs: CountInputs,
    /// The last frame of the archive at the time of the count.
    last_frame: Option<u64>,
    /// By cap and window.
    sums: Vec<Vec<i64>>,
}

/// All that the counts depend on, beside the clicks.
#[derive(PartialEq, Eq)]
struct CountInputs {
    counters: ClickCounters,
    windows: Vec<Range<u64>>,
    /// End of the counted quarter hours.
    end: u64,
    bot_list: u64,
}

impl ClickCounts {
    /// The unique clicks of each cap in each window.
    pub(super) fn count(
        &mut self,
        connection: &ReadTx<'_>,
        caps: &[Cap],
        windows: &[PresentWindow],
        now_ms: u64,
    ) -> Result<Vec<Vec<u64>>, StoreError> {
        let inputs = CountInputs {
            counters: ClickCounters::new(connection, caps)?,
            windows: windows.iter().map(|present| present.window.clone()).collect(),
            end: now_ms / DAY_MS * DAY_MS / SLOT_MS,
            bot_list: bot_list::version_in_force(connection)?,
        };
        let settled = match self.settled.take().filter(|known| known.inputs == inputs) {
            Some(known) => known.recounted_after_late_clicks(connection)?,
            None => SettledCounts::count(connection, inputs)?,
        };
        let CountInputs { counters, windows, end, .. } = &settled.inputs;
        // Visitors' clocks do not matter, but those of daemons may be ahead.
        let present = *end..(now_ms + DAY_MS) / SLOT_MS;
        let mut sums = counters.count(connection, windows, present)?;
        for (sums, settled) in sums.iter_mut().zip(&settled.sums) {
            sums.iter_mut().zip(settled).for_each(|(sum, settled)| *sum += settled);
        }
        self.settled = Some(settled);
        let count = |sum: i64| u64::try_from(sum).unwrap_or_default();
        Ok(sums.into_iter().map(|sums| sums.into_iter().map(count).collect()).collect())
    }
}

impl SettledCounts {
    fn count(connection: &ReadTx<'_>, inputs: CountInputs) -> Result<SettledCounts, StoreError> {
        let sums = inputs.counters.count(connection, &inputs.windows, 0..inputs.end)?;
        let last_frame = blocks::last(connection)?.map(|block| block.archive_sequence);
        Ok(SettledCounts { inputs, last_frame, sums })
    }

    /// Counts again if clicks of the counted days arrived since.
    fn recounted_after_late_clicks(
        self,
        connection: &ReadTx<'_>,
    ) -> Result<SettledCounts, StoreError> {
        let earliest_ms = blocks::earliest_after(connection, self.last_frame)?;
        if earliest_ms.is_some_and(|earliest_ms| earliest_ms / SLOT_MS < self.inputs.end) {
            return SettledCounts::count(connection, self.inputs);
        }
        let last_frame = blocks::last(connection)?.map(|block| block.archive_sequence);
        Ok(SettledCounts { last_frame, ..self })
    }
}
