//! The period of a report page: the parameters `from` and `to` of the address, both inclusive.

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::list::ListQuery;
use crate::catalog;

/// The most days of a list of days, as in a chart.
const MAX_LISTED_DAYS: usize = 366;

/// A period as typed: days, or seconds as in `2026-12-01 14:00:00`. The API checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: String,
    pub(crate) to: String,
    today: Date,
}

/// A period behind a link.
#[derive(Debug)]
pub(crate) struct Preset {
    pub(crate) label: String,
    pub(crate) path: String,
    pub(crate) is_current: bool,
}

impl Period {
    /// The period of the address; without one the last `days` days, today included.
    pub(crate) fn in_query(query: &ListQuery, time_zone: &str, days: i32) -> Period {
        Period::at(query, catalog::today(time_zone), days)
    }

    fn at(query: &ListQuery, today: Date, days: i32) -> Period {
        let (from, to) = (query.value("from"), query.value("to"));
        let (from, to) = match (from.is_empty(), to.is_empty()) {
            (false, false) => (from.to_owned(), to.to_owned()),
            (false, true) => (from.to_owned(), today.to_string()),
            (true, false) => (to.to_owned(), to.to_owned()),
            (true, true) => (back(today, days - 1).to_string(), today.to_string()),
        };
        Period { from, to, today }
    }

    /// The first and the last day; `None` for a period of seconds.
    pub(crate) fn whole_days(&self) -> Option<(Date, Date)> {
        let (first, last) = (self.from.parse().ok()?, self.to.parse().ok()?);
        (self.from.len() == 10 && self.to.len() == 10 && first <= last).then_some((first, last))
    }

    /// The days in order; empty for a period of seconds or of more than [`MAX_LISTED_DAYS`].
    pub(crate) fn days(&self) -> Vec<Date> {
        let Some((first, last)) = self.whole_days() else { return Vec::new() };
        let days: Vec<Date> = first
            .series(1.day())
            .take_while(|day| *day <= last)
            .take(MAX_LISTED_DAYS + 1)
            .collect();
        if days.len() > MAX_LISTED_DAYS { Vec::new() } else { days }
    }

    /// The period of the same length right before this one.
    pub(crate) fn before(&self) -> Option<Period> {
        let (first, last) = self.whole_days()?;
        let days = first.until(last).ok()?.get_days() + 1;
        let (from, to) = (back(first, days).to_string(), back(first, 1).to_string());
        Some(Period { from, to, today: self.today })
    }

    /// Today, yesterday and the last `lengths` days, as addresses of the page.
    pub(crate) fn presets(&self, query: &ListQuery, lengths: &[i32]) -> Vec<Preset> {
        let day = |ago| back(self.today, ago);
        let mut spans =
            vec![("Today".to_owned(), day(0), day(0)), ("Yesterday".to_owned(), day(1), day(1))];
        spans.extend(
            lengths.iter().map(|days| (format!("Last {days} days"), day(days - 1), day(0))),
        );
        let preset = |(label, first, last): (String, Date, Date)| {
            let (from, to) = (first.to_string(), last.to_string());
            Preset {
                label,
                path: query.with_all(&[("from", &from), ("to", &to)]),
                is_current: self.from == from && self.to == to,
            }
        };
        spans.into_iter().map(preset).collect()
    }

    /// The kind of the inputs: a period of seconds does not fit into inputs of days.
    pub(crate) fn input_kind(&self) -> &'static str {
        if self.whole_days().is_some() { "date" } else { "text" }
    }
}

fn back(day: Date, days: i32) -> Date {
    day.checked_sub(days.days()).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn period(query: &str, days: i32) -> Period {
        Period::at(&ListQuery::parse("/console/flex", query), date(2026, 11, 28), days)
    }

    #[test]
    fn an_address_without_a_period_means_the_last_days() {
        let week = period("", 7);
        assert_eq!((week.from.as_str(), week.to.as_str()), ("2026-11-22", "2026-11-28"));
        assert_eq!(week.days().len(), 7);
        assert_eq!(period("from=2026-11-20", 7).to, "2026-11-28");
        assert_eq!(period("to=2026-11-20", 7).from, "2026-11-20");
    }

    #[test]
    fn the_period_before_has_the_same_length() {
        let before = period("from=2026-03-01&to=2026-03-08", 7).before().unwrap();
        assert_eq!((before.from.as_str(), before.to.as_str()), ("2026-02-21", "2026-02-28"));
        assert_eq!(period("from=2026-03-01 10:00:00&to=2026-03-08", 7).before(), None);
        assert_eq!(period("from=2026-03-09&to=2026-03-08", 7).before(), None);
    }

    #[test]
    fn presets_keep_the_rest_of_the_address() {
        let query =
            ListQuery::parse("/console/flex", "by=offer&from=2026-11-27&to=2026-11-27&page=3");
        let presets = Period::at(&query, date(2026, 11, 28), 7).presets(&query, &[7]);
        assert_eq!(presets[2].path, "/console/flex?by=offer&from=2026-11-22&to=2026-11-28");
        let current: Vec<&str> =
            presets.iter().filter(|preset| preset.is_current).map(|p| p.label.as_str()).collect();
        assert_eq!(current, ["Yesterday"]);
    }
}
