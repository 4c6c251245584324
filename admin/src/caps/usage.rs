//! The used part of each limit at a moment.

use jiff::tz::TimeZone;

use super::clicks;
use crate::catalog::{CapMetric, CapPeriod, Money};
use crate::store::caps::{self, Cap, ConversionUse};
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
    let mut usages: Vec<CapUsage> = Vec::with_capacity(caps.len());
    let clicks = clicks::unique_clicks(connection, caps, zone, unix_ms)?;
    for (cap, clicks) in caps.iter().zip(clicks) {
        let mut usage = CapUsage { clicks, ..CapUsage::default() };
        for period in CapPeriod::ALL {
            let is_limited = CapMetric::ALL.iter().any(|metric| {
                *metric != CapMetric::Click && cap.limits.limit(*metric, period).is_some()
            });
            if is_limited {
                let window = period.window(zone, unix_ms);
                usage.conversions[period as usize] =
                    caps::read_conversions_in(connection, cap, &window)?;
            }
        }
        usages.push(usage);
    }
    Ok(usages)
}
