//! The used part of each limit at a moment.

use std::ops::Range;

use jiff::tz::TimeZone;

use super::clicks::ClickCounters;
use crate::catalog::{CapMetric, CapPeriod, Money};
use crate::store::caps::{self, Cap, ConversionUse};
use crate::store::rollups::SLOT_MS;
use crate::store::{ReadTx, StoreError};

/// The used part of each metric and period, whether limited or not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CapUsage {
    conversions: [ConversionUse; 4],
    clicks: [u64; 4],
}

impl CapUsage {
    /// The used amount or count.
    #[must_use]
    pub fn used(&self, metric: CapMetric, period: CapPeriod) -> Money {
        match metric {
            CapMetric::Click => Money::from_whole(self.clicks[period as usize]),
            other => amount(&self.conversions[period as usize], other),
        }
    }
}

/// The amount or count of a metric of conversions.
pub(super) fn amount(sums: &ConversionUse, metric: CapMetric) -> Money {
    match metric {
        CapMetric::Conversion | CapMetric::Click => {
            Money::from_whole(u64::try_from(sums.conversions).unwrap_or_default())
        }
        CapMetric::Payout => Money::from_millionths(sums.payout),
        CapMetric::Revenue => Money::from_millionths(sums.revenue),
    }
}

/// The usage of caps in the windows around a moment, in the order of the caps. Counts are read for
/// limited metrics and periods only; the others stay zero.
pub fn usage(
    connection: &ReadTx<'_>,
    caps: &[Cap],
    zone: &TimeZone,
    unix_ms: u64,
) -> Result<Vec<CapUsage>, StoreError> {
    let mut usages = clicks(connection, caps, zone, unix_ms)?;
    for (cap, usage) in caps.iter().zip(&mut usages) {
        for period in CapPeriod::ALL {
            if cap.limits.has_conversion_limit_of(period) {
                let window = period.window(zone, unix_ms);
                usage.conversions[period as usize] =
                    caps::read_conversions_in(connection, cap, &window)?;
            }
        }
    }
    Ok(usages)
}

fn clicks(
    connection: &ReadTx<'_>,
    caps: &[Cap],
    zone: &TimeZone,
    unix_ms: u64,
) -> Result<Vec<CapUsage>, StoreError> {
    let limited = |period: &CapPeriod| caps.iter().any(|cap| cap.limits.click(*period) != 0);
    let periods: Vec<CapPeriod> = CapPeriod::ALL.into_iter().filter(limited).collect();
    let windows: Vec<Range<u64>> =
        periods.iter().map(|period| period.window(zone, unix_ms)).collect();
    let end = CapPeriod::Daily.window(zone, unix_ms).end.div_ceil(SLOT_MS);
    let counters = ClickCounters::new(connection, caps)?;
    let counted = counters.count(connection, &windows, 0..end)?;
    let usage = |sums: Vec<i64>| {
        let mut usage = CapUsage::default();
        for (period, sum) in periods.iter().zip(sums) {
            usage.clicks[*period as usize] = u64::try_from(sum).unwrap_or_default();
        }
        usage
    };
    Ok(counted.into_iter().map(usage).collect())
}
