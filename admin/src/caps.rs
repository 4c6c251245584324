//! Caps in use: how much of each limit is used, and which limits are reached.
//!
//! Conversions and amounts are counted by the store, exactly ([`store::caps`](crate::store::caps)).
//! Unique clicks are counted by the rollups.

use std::fmt;
use std::ops::Range;

use jiff::tz::TimeZone;

use crate::catalog::{CapMetric, CapPeriod, Money};
use crate::store::StoreError;
use crate::store::caps::{Cap, CapOwner, ConversionUse};

mod clicks;
mod usage;

pub use usage::{CapUsage, usage};

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedLimit {
    cap_id: u32,
    owner: CapOwner,
    metric: CapMetric,
    period: CapPeriod,
    used: Money,
    limit: Money,
}

impl fmt::Display for ReachedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReachedLimit { cap_id, owner, metric, period, used, limit } = self;
        let owner = match owner {
            CapOwner::Offer(id) => format!("offer {id}"),
            CapOwner::Group(id) => format!("offer group {id}"),
            CapOwner::Custom(id) => format!("custom cap {id}"),
        };
        let (metric, period) = (metric.as_str(), period.as_str());
        write!(f, "{period} {metric} cap of {owner} (cap {cap_id}): {used} of {limit}")
    }
}

/// The first limit of conversions or amounts that is reached before the conversion of this time.
pub(crate) fn reached_limit(
    cap: &Cap,
    zone: &TimeZone,
    unix_ms: u64,
    mut sums: impl FnMut(&Range<u64>) -> Result<ConversionUse, StoreError>,
) -> Result<Option<ReachedLimit>, StoreError> {
    for (metric, period, limit) in cap.limits.limited() {
        if metric == CapMetric::Click {
            continue;
        }
        let used = usage::amount(&sums(&period.window(zone, unix_ms))?, metric);
        if used.decimal() >= limit.decimal() {
            let (cap_id, owner) = (cap.id, cap.owner);
            return Ok(Some(ReachedLimit { cap_id, owner, metric, period, used, limit }));
        }
    }
    Ok(None)
}
