//! The period of a report page: two days of the network's zone, from the address, with presets.

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};

use super::list::ListQuery;
use super::viewer::Viewer;
use crate::catalog;

/// A period of whole days, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Days {
    pub(crate) from: Date,
    pub(crate) to: Date,
}

/// A period that users choose often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preset {
    pub(crate) label: &'static str,
    pub(crate) days: Days,
}

/// Days of a report without a period in its address, today included.
const DEFAULT_DAYS: i32 = 7;

impl Days {
    /// The period of a page's address; the last seven days where the address names none or one
    /// that is no period.
    pub(crate) fn in_query(query: &ListQuery, viewer: &Viewer) -> Days {
        let today = catalog::today(viewer.time_zone());
        let day = |name: &str| query.value(name).parse::<Date>().ok();
        match (day("from"), day("to")) {
            (Some(from), Some(to)) if from <= to => Days { from, to },
            (Some(from), None) if from <= today => Days { from, to: today },
            _ => Days::last(today, DEFAULT_DAYS),
        }
    }

    /// This many days up to and with `today`.
    pub(crate) fn last(today: Date, days: i32) -> Days {
        let before: Span = (days - 1).days();
        Days { from: today.checked_sub(before).unwrap_or(today), to: today }
    }

    /// The periods that a page offers.
    pub(crate) fn presets(viewer: &Viewer) -> Vec<Preset> {
        let today = catalog::today(viewer.time_zone());
        let yesterday = today.yesterday().unwrap_or(today);
        let preset = |label, days| Preset { label, days };
        vec![
            preset("Today", Days { from: today, to: today }),
            preset("Yesterday", Days { from: yesterday, to: yesterday }),
            preset("7 days", Days::last(today, 7)),
            preset("30 days", Days::last(today, 30)),
            preset("This month", Days { from: today.first_of_month(), to: today }),
        ]
    }

    /// The address of the same page with this period.
    pub(crate) fn on(&self, query: &ListQuery) -> String {
        query.with_all(&[("from", &self.from.to_string()), ("to", &self.to.to_string())])
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_period_ends_today_and_counts_today() {
        assert_eq!(
            Days::last(date(2026, 3, 2), 7),
            Days { from: date(2026, 2, 24), to: date(2026, 3, 2) }
        );
        let query = ListQuery::parse("/portal/reports", "by=date&from=2026-01-01&to=2026-01-02");
        let days = Days { from: date(2026, 3, 1), to: date(2026, 3, 2) };
        assert_eq!(days.on(&query), "/portal/reports?by=date&from=2026-03-01&to=2026-03-02");
    }
}
