//! Optional civil days: `YYYY-MM-DD`, or `""`.

use coupon_shared::civil_day::Day;
use jiff::civil::{Date, date};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Refusal of a text that is no civil day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a day; write it like 2026-12-31")]
pub struct DayError(String);

/// Reads a day, or `None` from empty text. Only one form is accepted, so 01/02/2026 is never
/// guessed at.
///
/// # Errors
/// When the text has another form, or the calendar has no such day.
pub fn parse(text: &str) -> Result<Option<Date>, DayError> {
    if text.is_empty() {
        return Ok(None);
    }
    let refused = || DayError(text.chars().take(40).collect());
    let has_form = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    if !has_form {
        return Err(refused());
    }
    text.parse().map(Some).map_err(|_| refused())
}

/// The day in the published index.
#[must_use]
pub fn published_day(day: Date) -> Day {
    // Both days are in jiff's range, so the difference is in range.
    let days = day.since(date(1970, 1, 1)).map_or(i64::MAX, |span| i64::from(span.get_days()));
    Day::from_unix_days(days)
}

pub(super) fn serialize<S: Serializer>(
    day: &Option<Date>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match day {
        Some(day) => serializer.collect_str(day),
        None => serializer.serialize_str(""),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Date>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    parse(&text).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_days_in_one_form_are_taken() {
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("2028-02-29").unwrap().unwrap().to_string(), "2028-02-29");
        for wrong in [
            "2026-02-29",
            "2026-13-01",
            "26-01-01",
            "2026-1-1",
            "2026-01-01T00:00",
            "01/02/2026",
            " 2026-01-01",
            "-026-01-01",
        ] {
            assert!(parse(wrong).is_err(), "{wrong} was taken");
        }
    }
}
