//! Caps: limits on the conversions, payout, revenue and unique clicks of a period.
//!
//! A limit of 0 is no limit. A count reaches a limit when it is as large as the limit; so the
//! conversion that carries an amount over its limit still stands.

use std::ops::Range;

use coupon_shared::visit_state::{CapWindow, WindowBounds};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::money::Money;
use super::problems::Problems;
use super::words::words;

/// The largest limit.
const LARGEST: u64 = 1_000_000_000_000;

words! {
    /// The answer to a visit that a check of an offer refuses.
    RefusalAction {
        /// The visit ends like each refused visit.
        Block = "block" | "unknown" | "null_value",
        /// The visit goes to another offer.
        FailTraffic = "fail_traffic",
    }
}

/// A period of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CapPeriod {
    /// From midnight to midnight in the network's zone.
    Daily,
    /// From Monday to Sunday.
    Weekly,
    /// A calendar month.
    Monthly,
    /// All time.
    Global,
}

impl CapPeriod {
    /// All periods, in the order of [`CapLimits`].
    pub const ALL: [CapPeriod; 4] =
        [CapPeriod::Daily, CapPeriod::Weekly, CapPeriod::Monthly, CapPeriod::Global];

    /// The first part of a field's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CapPeriod::Daily => "daily",
            CapPeriod::Weekly => "weekly",
            CapPeriod::Monthly => "monthly",
            CapPeriod::Global => "global",
        }
    }

    /// The period in messages to the daemon, which works out windows in the same way.
    #[must_use]
    pub fn cap_window(self) -> CapWindow {
        match self {
            CapPeriod::Daily => CapWindow::Daily,
            CapPeriod::Weekly => CapWindow::Weekly,
            CapPeriod::Monthly => CapWindow::Monthly,
            CapPeriod::Global => CapWindow::Global,
        }
    }

    /// The window around a time, in Unix seconds.
    #[must_use]
    pub fn bounds(self, zone: &TimeZone, unix_ms: u64) -> WindowBounds {
        let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
        self.cap_window().bounds_at(seconds, |at| offset_at(zone, at))
    }

    /// The window around a time, in Unix milliseconds. The end of all time fits SQLite's integers.
    #[must_use]
    pub fn window(self, zone: &TimeZone, unix_ms: u64) -> Range<u64> {
        let WindowBounds { starts, ends } = self.bounds(zone, unix_ms);
        let ms = |seconds: i64| seconds.saturating_mul(1000).max(0).unsigned_abs();
        ms(starts)..ms(ends)
    }
}

/// Seconds by which the zone is ahead of UTC.
fn offset_at(zone: &TimeZone, unix_seconds: i64) -> i32 {
    Timestamp::from_second(unix_seconds).map_or(0, |at| zone.to_offset(at).seconds())
}

/// A counted value with limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CapMetric {
    /// Base conversions, approved and pending.
    Conversion,
    /// Their payout.
    Payout,
    /// Their revenue.
    Revenue,
    /// Unique clicks, without bots.
    Click,
}

impl CapMetric {
    /// All metrics.
    pub const ALL: [CapMetric; 4] =
        [CapMetric::Conversion, CapMetric::Payout, CapMetric::Revenue, CapMetric::Click];

    /// The middle part of a field's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CapMetric::Conversion => "conversion",
            CapMetric::Payout => "payout",
            CapMetric::Revenue => "revenue",
            CapMetric::Click => "click",
        }
    }
}

/// The limits of a cap, each with one value for each of [`CapPeriod::ALL`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CapLimits {
    /// Base conversions.
    pub conversion: [u64; 4],
    /// Payout.
    pub payout: [Money; 4],
    /// Revenue.
    pub revenue: [Money; 4],
    /// Unique clicks.
    pub click: [u64; 4],
}

impl CapLimits {
    /// The limit; `None` for no limit.
    #[must_use]
    pub fn limit(&self, metric: CapMetric, period: CapPeriod) -> Option<Money> {
        let at = period as usize;
        let limit = match metric {
            CapMetric::Conversion => count_as_amount(self.conversion[at]),
            CapMetric::Payout => self.payout[at],
            CapMetric::Revenue => self.revenue[at],
            CapMetric::Click => count_as_amount(self.click[at]),
        };
        Some(limit).filter(|limit| !limit.decimal().is_zero())
    }

    /// The metrics and periods with a limit.
    pub fn limited(&self) -> impl Iterator<Item = (CapMetric, CapPeriod, Money)> {
        let pairs = CapMetric::ALL
            .into_iter()
            .flat_map(|metric| CapPeriod::ALL.into_iter().map(move |period| (metric, period)));
        pairs.filter_map(|(metric, period)| {
            self.limit(metric, period).map(|limit| (metric, period, limit))
        })
    }

    /// Whether conversions, payout or revenue have a limit.
    #[must_use]
    pub fn has_conversion_limits(&self) -> bool {
        self.limited().any(|(metric, ..)| metric != CapMetric::Click)
    }

    /// Whether conversions, payout or revenue of a period have a limit.
    #[must_use]
    pub fn has_conversion_limit_of(&self, period: CapPeriod) -> bool {
        self.limited().any(|(metric, of, _)| metric != CapMetric::Click && of == period)
    }

    /// The limit of unique clicks of a period; 0 is no limit.
    #[must_use]
    pub fn click(&self, period: CapPeriod) -> u64 {
        self.click[period as usize]
    }

    /// Whether clicks have a limit.
    #[must_use]
    pub fn has_click_limits(&self) -> bool {
        self.click != [0; 4]
    }

    /// Adds the wrong limits, by the names of their fields.
    pub(super) fn check(&self, problems: &mut Problems) {
        for (metric, period, limit) in self.limited() {
            let field = cap_field(metric, period);
            if limit.is_negative() {
                problems.add(field, "must not be below zero");
            } else if limit.decimal() > LARGEST.into() {
                problems.add(field, format!("must be at most {LARGEST}"));
            }
        }
    }
}

/// A count as an amount; larger counts than every limit become one such count.
fn count_as_amount(count: u64) -> Money {
    Money::from_whole(count.min(LARGEST + 1))
}

/// The name of a limit's field, such as `daily_click_cap`.
#[must_use]
pub fn cap_field(metric: CapMetric, period: CapPeriod) -> String {
    format!("{}_{}_cap", period.as_str(), metric.as_str())
}

/// The limits of an object that has the sixteen fields.
macro_rules! has_cap_fields {
    ($type:ty) => {
        impl $type {
            /// The limits, apart from whether they hold.
            #[must_use]
            pub fn limits(&self) -> $crate::catalog::CapLimits {
                $crate::catalog::CapLimits {
                    conversion: [
                        self.daily_conversion_cap,
                        self.weekly_conversion_cap,
                        self.monthly_conversion_cap,
                        self.global_conversion_cap,
                    ],
                    payout: [
                        self.daily_payout_cap,
                        self.weekly_payout_cap,
                        self.monthly_payout_cap,
                        self.global_payout_cap,
                    ],
                    revenue: [
                        self.daily_revenue_cap,
                        self.weekly_revenue_cap,
                        self.monthly_revenue_cap,
                        self.global_revenue_cap,
                    ],
                    click: [
                        self.daily_click_cap,
                        self.weekly_click_cap,
                        self.monthly_click_cap,
                        self.global_click_cap,
                    ],
                }
            }

            pub(crate) fn set_limits(&mut self, limits: &$crate::catalog::CapLimits) {
                [
                    self.daily_conversion_cap,
                    self.weekly_conversion_cap,
                    self.monthly_conversion_cap,
                    self.global_conversion_cap,
                ] = limits.conversion;
                [
                    self.daily_payout_cap,
                    self.weekly_payout_cap,
                    self.monthly_payout_cap,
                    self.global_payout_cap,
                ] = limits.payout;
                [
                    self.daily_revenue_cap,
                    self.weekly_revenue_cap,
                    self.monthly_revenue_cap,
                    self.global_revenue_cap,
                ] = limits.revenue;
                [
                    self.daily_click_cap,
                    self.weekly_click_cap,
                    self.monthly_click_cap,
                    self.global_click_cap,
                ] = limits.click;
            }
        }
    };
}
pub(super) use has_cap_fields;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_millisecond() as u64
    }

    #[test]
    fn windows_begin_at_local_midnight_and_weeks_on_monday() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        // A Sunday evening in UTC, already Monday in Berlin.
        let at = ms("2026-11-29T23:30:00Z");
        let expected = [
            (CapPeriod::Daily, "2026-11-29T23:00:00Z", "2026-11-30T23:00:00Z"),
            (CapPeriod::Weekly, "2026-11-29T23:00:00Z", "2026-12-06T23:00:00Z"),
            (CapPeriod::Monthly, "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"),
        ];
        for (period, from, to) in expected {
            assert_eq!(period.window(&berlin, at), ms(from)..ms(to), "{period:?}");
        }
        assert_eq!(CapPeriod::Global.window(&berlin, at), 0..i64::MAX as u64);
    }

    #[test]
    fn a_day_of_changing_clocks_has_23_or_25_hours() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let hours = |at| {
            let window = CapPeriod::Daily.window(&berlin, ms(at));
            (window.end - window.start) / 3_600_000
        };
        assert_eq!(hours("2026-03-29T12:00:00Z"), 23);
        assert_eq!(hours("2026-10-25T12:00:00Z"), 25);
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let limits = CapLimits { click: [0, 0, 7, 0], ..CapLimits::default() };
        assert!(limits.has_click_limits() && !limits.has_conversion_limits());
        let limited: Vec<_> = limits.limited().collect();
        assert_eq!(limited, [(CapMetric::Click, CapPeriod::Monthly, Money::from_whole(7))]);
    }
}
