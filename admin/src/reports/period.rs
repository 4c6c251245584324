//! The period of a report, in a time zone.
//!
//! A day means the whole day. `from` and `to` are both part of the period, to the second.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::catalog::time_zones::zone_name;
use crate::catalog::{FieldError, Problems};
use crate::store::rollups::SLOT_MS;

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 86_400_000;

/// A period as typed.
#[derive(Debug, Clone, Default)]
pub struct PeriodQuery {
    /// The first day or second: `2026-12-01` or `2026-12-01 00:00:00`.
    pub from: String,
    /// The last day or second, inclusive.
    pub to: String,
    /// An IANA name. Without a name and a `timezone_id` the network's zone applies.
    pub timezone: Option<String>,
    /// Everflow's number for a zone, as far as numbers are published.
    pub timezone_id: Option<u32>,
}

/// A period in Unix milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Period {
    pub(super) from_ms: u64,
    /// Exclusive.
    pub(super) to_ms: u64,
    pub(super) zone: TimeZone,
}

impl Period {
    /// Everything from a time on.
    pub(super) fn since(from_ms: u64) -> Period {
        // SQLite's integers are signed.
        Period { from_ms, to_ms: i64::MAX.unsigned_abs(), zone: TimeZone::UTC }
    }
}

impl PeriodQuery {
    /// The period in Unix time. `network_zone` applies where the query names no zone.
    pub(super) fn resolve(&self, network_zone: &str) -> Result<Period, Vec<FieldError>> {
        let mut problems = Problems::default();
        let zone = self.zone(network_zone);
        let zone = zone.map_err(|(field, error)| problems.add(field, error)).ok();
        let from = problems.take("from", Edge::parse(&self.from));
        let to = problems.take("to", Edge::parse(&self.to));
        if let (Some(zone), Some(from), Some(to)) = (zone, from, to) {
            let from_ms = problems.take("from", from.first_ms(&zone));
            let to_ms = problems.take("to", to.end_ms(&zone));
            if let (Some(from_ms), Some(to_ms)) = (from_ms, to_ms) {
                if from_ms < to_ms {
                    problems.finish()?;
                    return Ok(Period { from_ms, to_ms, zone });
                }
                problems.add("to", "is before from");
            }
        }
        match problems.finish() {
            Err(fields) => Err(fields),
            Ok(()) => Err(Vec::new()),
        }
    }

    /// The last second of a day, or a second, in Unix milliseconds, at most now.
    ///
    /// # Errors
    /// When the text is no time, the zone is unknown, or the time is still to come.
    pub fn end_of(
        text: &str,
        timezone_id: Option<u32>,
        network_zone: &str,
    ) -> Result<u64, FieldError> {
        let error = |field: &str, error: String| FieldError { field: field.into(), error };
        let query = PeriodQuery { timezone_id, ..PeriodQuery::default() };
        let zone = query.zone(network_zone).map_err(|(field, why)| error(field, why))?;
        let edge = Edge::parse(text).map_err(|why| error("date", why.to_string()))?;
        let first_ms = edge.first_ms(&zone).map_err(|why| error("date", why.to_string()))?;
        let end_ms = edge.end_ms(&zone).map_err(|why| error("date", why.to_string()))?;
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        if first_ms > now_ms {
            return Err(error("date", "is still to come".into()));
        }
        Ok((end_ms - SECOND_MS).min(now_ms))
    }

    fn zone(&self, network_zone: &str) -> Result<TimeZone, (&'static str, String)> {
        let (field, name) = match (&self.timezone, self.timezone_id) {
            (Some(name), _) => ("timezone", name.as_str()),
            (None, Some(id)) => {
                ("timezone_id", zone_name(id).map_err(|error| ("timezone_id", error))?)
            }
            (None, None) => ("timezone", network_zone),
        };
        let unknown = |_| (field, format!("`{name}` is no time zone; write it like Europe/Berlin"));
        TimeZone::get(name).map_err(unknown)
    }
}

impl Period {
    pub(super) fn is_longer_than_days(&self, days: u64) -> bool {
        // One hour more, for the day on which the clocks go back.
        self.to_ms - self.from_ms > days * DAY_MS + DAY_MS / 24
    }

    /// The quarter hours of the period. A `to` on a quarter hour ends the period there, like a `to`
    /// one second earlier.
    pub(super) fn slots(&self) -> Result<std::ops::Range<u64>, FieldError> {
        let whole = |field: &str, ms: u64| match ms.is_multiple_of(SLOT_MS) {
            true => Ok(ms / SLOT_MS),
            false => Err(FieldError {
                field: field.into(),
                error: "must be a day, or a time on a quarter of an hour".into(),
            }),
        };
        let end =
            if self.to_ms % SLOT_MS == SECOND_MS { self.to_ms - SECOND_MS } else { self.to_ms };
        Ok(whole("from", self.from_ms)?..whole("to", end)?)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a time; write 2026-12-31 or 2026-12-31 23:59:59")]
struct NotATime(String);

/// One end of a period, as written.
#[derive(Debug, Clone, Copy)]
enum Edge {
    Day(Date),
    Second(DateTime),
}

impl Edge {
    fn parse(text: &str) -> Result<Edge, NotATime> {
        let no_time = || NotATime(text.chars().take(40).collect());
        // Other forms are refused, because 01/02/2026 and zone suffixes would be guesses.
        let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        match form.as_str() {
            "0000-00-00" => text.parse().map(Edge::Day).map_err(|_| no_time()),
            "0000-00-00 00:00:00"
            | "0000-00-00T00:00:00"
            | "0000-00-00 00:00"
            | "0000-00-00T00:00" => text.parse().map(Edge::Second).map_err(|_| no_time()),
            _ => Err(no_time()),
        }
    }

    fn first_ms(self, zone: &TimeZone) -> Result<u64, jiff::Error> {
        match self {
            Edge::Day(day) => unix_ms(day.to_zoned_datetime(zone.clone())?.timestamp()),
            Edge::Second(second) => unix_ms(second.to_zoned_datetime(zone.clone())?.timestamp()),
        }
    }

    /// The end of the day or second.
    fn end_ms(self, zone: &TimeZone) -> Result<u64, jiff::Error> {
        match self {
            Edge::Day(day) => Edge::Day(day.checked_add(1.day())?).first_ms(zone),
            Edge::Second(_) => Ok(self.first_ms(zone)? + SECOND_MS),
        }
    }
}

fn unix_ms(at: Timestamp) -> Result<u64, jiff::Error> {
    // No click or conversion is older than 1970.
    Ok(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(from: &str, to: &str, zone: &str) -> PeriodQuery {
        PeriodQuery {
            from: from.into(),
            to: to.into(),
            timezone: Some(zone.into()),
            timezone_id: None,
        }
    }

    fn wrong_fields(query: &PeriodQuery) -> Vec<String> {
        query.resolve("UTC").unwrap_err().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn a_day_is_all_of_it_in_its_zone() {
        let hours = |from: &str, to: &str, zone: &str| {
            let period = query(from, to, zone).resolve("UTC").unwrap();
            let slots = period.slots().unwrap();
            (period.from_ms / 1000, (slots.end - slots.start) as f64 / 4.0)
        };
        assert_eq!(hours("2026-06-15", "2026-06-15", "UTC"), (1_781_481_600, 24.0));
        assert_eq!(hours("2026-06-15", "2026-06-16", "Asia/Kathmandu"), (1_781_460_900, 48.0));
        assert_eq!(hours("2026-03-29", "2026-03-29", "Europe/Berlin").1, 23.0);
        assert_eq!(hours("2026-10-25", "2026-10-25", "Europe/Berlin").1, 25.0);
        assert_eq!(hours("2026-10-04", "2026-10-04", "Australia/Lord_Howe").1, 23.5);
    }

    #[test]
    fn a_period_of_quarter_hours_ends_on_one_or_a_second_before() {
        let slots = |to: &str| query("2026-06-15 10:00", to, "UTC").resolve("UTC").unwrap().slots();
        let hour = slots("2026-06-15 10:59:59").unwrap();
        assert_eq!(hour.end - hour.start, 4);
        assert_eq!(slots("2026-06-15T11:00:00").unwrap(), hour);
        assert_eq!(slots("2026-06-15 11:05:00").unwrap_err().field, "to");
    }

    #[test]
    fn wrong_times_and_zones_are_named() {
        assert_eq!(wrong_fields(&query("2026-02-30", "yesterday", "UTC")), ["from", "to"]);
        assert_eq!(wrong_fields(&query("2026-02-01Z", "01/02/2026", "UTC")), ["from", "to"]);
        assert_eq!(wrong_fields(&query("2026-02-02", "2026-02-01", "UTC")), ["to"]);
        assert_eq!(wrong_fields(&query("2026-02-01", "2026-02-01", "Mars/Olympus")), ["timezone"]);
        let numbered = |id| PeriodQuery {
            timezone: None,
            timezone_id: Some(id),
            ..query("2026-02-01", "2026-02-01", "")
        };
        assert_eq!(wrong_fields(&numbered(100)), ["timezone_id"]);
        for (id, name) in [(56, "Europe/Berlin"), (90, "America/Los_Angeles")] {
            let zone = numbered(id).resolve("Asia/Kolkata").unwrap().zone;
            assert_eq!(zone, TimeZone::get(name).unwrap(), "{id}");
        }
        let first_hour = numbered(67).resolve("Asia/Kolkata").unwrap().from_ms;
        assert_eq!(first_hour, 1_769_904_000_000, "67 is UTC");
    }
}
