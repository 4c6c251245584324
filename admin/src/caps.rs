//! Caps in use: how much of each limit is used, and which limits are reached.
//!
//! Conversions and amounts are counted by the store, exactly ([`store::caps`](crate::store::caps)).
//! Unique clicks are counted by the rollups.

use std::fmt;
use std::ops::Range;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::catalog::{CapMetric, CapPeriod, EventType, Money};
use crate::store::StoreError;
use crate::store::caps::{AlertLevel, Cap, CapOwner, ConversionUse};

pub(crate) mod clicks;
mod usage;

pub use usage::{CapUsage, usage};

/// A limit that is reached, or nearly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedLimit {
    pub(crate) cap_id: u32,
    owner: CapOwner,
    is_soft: bool,
    pub(crate) metric: CapMetric,
    pub(crate) period: CapPeriod,
    used: Money,
    limit: Money,
}

impl ReachedLimit {
    /// Whether the limit is used up, or only the part that alerts begin with.
    #[must_use]
    pub(crate) fn level(&self) -> AlertLevel {
        match self.used.decimal() >= self.limit.decimal() {
            true => AlertLevel::Reached,
            false => AlertLevel::Near,
        }
    }

    /// The event about the limit in a window, in Unix milliseconds.
    pub(crate) fn event(&self, window: &Range<u64>) -> (EventType, Value) {
        let event_type = match self.level() {
            AlertLevel::Near => EventType::CapNear,
            AlertLevel::Reached => EventType::CapReached,
        };
        let (field, id) = match self.owner {
            CapOwner::Offer(id) => ("network_offer_id", id),
            CapOwner::Group(id) => ("network_offer_group_id", id),
            CapOwner::Custom(id) => ("network_custom_cap_setting_id", id),
        };
        let data = json!({
            field: id, "metric": self.metric.as_str(), "period": self.period.as_str(),
            "used": self.used, "limit": self.limit,
            "is_soft_cap": self.is_soft,
            "from": window.start / 1_000, "to": window.end / 1_000,
        });
        (event_type, data)
    }
}

impl fmt::Display for ReachedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReachedLimit { cap_id, owner, metric, period, used, limit, .. } = self;
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
    used_by_conversions(cap, period, sums, WHOLE)
}

/// The limits of a period that these sums of conversions use to so many percent.
pub(crate) fn used_by_conversions<'a>(
    cap: &'a Cap,
    period: CapPeriod,
    sums: &'a ConversionUse,
    percentage: u32,
) -> impl Iterator<Item = ReachedLimit> + 'a {
    let metrics = CapMetric::ALL.into_iter().filter(|metric| *metric != CapMetric::Click);
    metrics.filter_map(move |metric| {
        used_limit(cap, metric, period, usage::amount(sums, metric), percentage)
    })
}

/// The limit of clicks of a period if this count uses so many percent.
pub(crate) fn used_by_clicks(
    cap: &Cap,
    period: CapPeriod,
    clicks: u64,
    percentage: u32,
) -> Option<ReachedLimit> {
    used_limit(cap, CapMetric::Click, period, Money::from_whole(clicks), percentage)
}

/// All of a limit, in percent.
pub(crate) const WHOLE: u32 = 100;

fn used_limit(
    cap: &Cap,
    metric: CapMetric,
    period: CapPeriod,
    used: Money,
    percentage: u32,
) -> Option<ReachedLimit> {
    let limit = cap.limits.limit(metric, period)?;
    let Cap { id: cap_id, owner, is_soft, .. } = *cap;
    let is_used =
        used.decimal() * Decimal::from(WHOLE) >= limit.decimal() * Decimal::from(percentage);
    is_used.then_some(ReachedLimit { cap_id, owner, is_soft, metric, period, used, limit })
}
