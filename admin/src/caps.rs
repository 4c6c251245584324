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

pub(crate) mod clicks;
mod usage;

pub use usage::{CapUsage, usage};

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedLimit {
    pub(crate) cap_id: u32,
    owner: CapOwner,
    pub(crate) metric: CapMetric,
    pub(crate) period: CapPeriod,
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
    for period in CapPeriod::ALL {
        if cap.limits.has_conversion_limit_of(period) {
            let sums = sums(&period.window(zone, unix_ms))?;
            let reached = reached_by_conversions(cap, period, &sums).next();
            if reached.is_some() {
                return Ok(reached);
            }
        }
    }
    Ok(None)
}

/// The limits of a period that these sums of conversions reach.
pub(crate) fn reached_by_conversions<'a>(
    cap: &'a Cap,
    period: CapPeriod,
    sums: &'a ConversionUse,
) -> impl Iterator<Item = ReachedLimit> + 'a {
    let metrics = CapMetric::ALL.into_iter().filter(|metric| *metric != CapMetric::Click);
    metrics.filter_map(move |metric| reached(cap, metric, period, usage::amount(sums, metric)))
}

/// The limit of clicks of a period if this count reaches it.
pub(crate) fn reached_by_clicks(cap: &Cap, period: CapPeriod, clicks: u64) -> Option<ReachedLimit> {
    reached(cap, CapMetric::Click, period, Money::from_whole(clicks))
}

fn reached(cap: &Cap, metric: CapMetric, period: CapPeriod, used: Money) -> Option<ReachedLimit> {
    let limit = cap.limits.limit(metric, period)?;
    let (cap_id, owner) = (cap.id, cap.owner);
    let is_reached = used.decimal() >= limit.decimal();
    is_reached.then_some(ReachedLimit { cap_id, owner, metric, period, used, limit })
}
