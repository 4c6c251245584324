//! Figures, money and times as pages show them.
//! Figures have the decimal mark that the viewer prefers.

use std::borrow::Borrow;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde_json::Value;

use super::appearance;
use crate::attribution::minor_unit::MinorUnit;
use crate::catalog::DecimalMark;

/// The marks between whole and fraction, and between thousands.
fn marks() -> (char, char) {
    match appearance::preferences().decimal_mark {
        DecimalMark::Point => ('.', ','),
        DecimalMark::Comma => (',', '.'),
    }
}

/// A number with the viewer's decimal mark, from a text with a point.
pub(crate) fn decimal(text: &str) -> String {
    let (mark, _) = marks();
    text.replace('.', mark.encode_utf8(&mut [0; 4]))
}

/// A whole number; templates pass the fields of rows by reference.
pub(crate) trait Whole {
    fn value(&self) -> i128;
}

macro_rules! whole {
    ($($number:ty),+) => {
        $(impl Whole for $number {
            fn value(&self) -> i128 {
                *self as i128
            }
        })+
    };
}

whole!(i64, u32, u64, usize);

impl<T: Whole> Whole for &T {
    fn value(&self) -> i128 {
        (*self).value()
    }
}

/// A count with separators: `1,234,567`.
pub(crate) fn count(number: impl Whole) -> String {
    let number = number.value();
    let digits = number.unsigned_abs().to_string();
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(&digits))
}

fn grouped(digits: &str) -> String {
    let (_, thousands) = marks();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(thousands);
        }
        grouped.push(digit);
    }
    grouped
}

/// An amount with separators and its currency: `1,234.50 EUR`. A text that is no amount is shown
/// as it is.
pub(crate) fn money(amount: &str, currency: &str) -> String {
    let Ok(decimal) = amount.parse::<Decimal>() else { return amount.to_owned() };
    // At least the places of the currency; an amount with more is shown whole.
    let places = MinorUnit::for_currency(currency).places().max(decimal.normalize().scale());
    let text = format!("{:.*}", places as usize, decimal.abs());
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |parts| parts);
    let sign = if decimal.is_sign_negative() && !decimal.is_zero() { "-" } else { "" };
    let (mark, _) = marks();
    let fraction = if fraction.is_empty() { String::new() } else { format!("{mark}{fraction}") };
    format!("{sign}{}{fraction} {currency}", grouped(whole)).trim_end().to_owned()
}

/// An amount of the API, which is null where there is none or where currencies are mixed.
pub(crate) fn amount(amount: &Value, currency: &str) -> String {
    match amount {
        Value::Null => "–".into(),
        Value::String(text) => money(text, currency),
        number => money(&number.to_string(), currency),
    }
}

/// A length of time in its two largest units: `2 days 3 h`.
pub(crate) fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (1, hours, _) => format!("1 day {hours} h"),
        (days, hours, _) => format!("{days} days {hours} h"),
    }
}

/// A time in a zone, without seconds: `2026-11-28 14:05`. 0 is no time.
pub(crate) fn time(unix_seconds: impl Borrow<i64>, time_zone: &str) -> String {
    written(*unix_seconds.borrow(), time_zone, "%Y-%m-%d %H:%M")
}

/// A time in a zone, with seconds.
pub(crate) fn time_with_seconds(unix_seconds: impl Borrow<i64>, time_zone: &str) -> String {
    written(*unix_seconds.borrow(), time_zone, "%Y-%m-%d %H:%M:%S")
}

/// A time in UTC, for the title of a time in the network's zone.
pub(crate) fn utc(unix_seconds: impl Borrow<i64>) -> String {
    written(*unix_seconds.borrow(), "UTC", "%Y-%m-%d %H:%M:%S UTC")
}

fn written(unix_seconds: i64, time_zone: &str, form: &str) -> String {
    if unix_seconds == 0 {
        return "–".into();
    }
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    let Ok(time) = Timestamp::from_second(unix_seconds) else { return "–".into() };
    zone.to_datetime(time).strftime(form).to_string()
}

/// A text with invisible characters and changes of direction made visible, so a name cannot look
/// like another.
pub(crate) fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{ad}' | '\u{61c}')
    };
    if !text.chars().any(is_hidden) {
        return text.to_owned();
    }
    let show = |c: char| match c {
        c if is_hidden(c) => format!("\\u{{{:x}}}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(show).collect()
}

/// A number with its noun, which is given in the plural: `1 code`, `2 codes`.
pub(crate) fn counted(number: impl Whole, nouns: &str) -> String {
    let noun = match (number.value(), nouns.strip_suffix("ies"), nouns.strip_suffix('s')) {
        (1, Some(stem), _) => format!("{stem}y"),
        (1, None, Some(stem)) => stem.to_owned(),
        _ => nouns.to_owned(),
    };
    format!("{} {noun}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Preferences;

    #[test]
    fn figures_have_separators() {
        assert_eq!(count(0_u64), "0");
        assert_eq!(count(999_u64), "999");
        assert_eq!(count(1_834_201_u64), "1,834,201");
        assert_eq!(count(-1_000_i64), "-1,000");
        assert_eq!(money("1234.5", "EUR"), "1,234.50 EUR");
        assert_eq!(money("-1234567.50", "USD"), "-1,234,567.50 USD");
        assert_eq!(money("99.9", "USD"), "99.90 USD");
        assert_eq!(money("500", "JPY"), "500 JPY");
        assert_eq!(money("12.345", "KWD"), "12.345 KWD");
    }

    #[tokio::test]
    async fn figures_have_the_viewers_decimal_mark() {
        let written =
            async { (count(1_834_201_u64), money("-1234.5", "EUR"), money("500", "JPY")) };
        let preferences =
            Preferences { decimal_mark: DecimalMark::Comma, ..Preferences::default() };
        let written = appearance::scope(preferences, written).await;
        assert_eq!(written.0, "1.834.201");
        assert_eq!(written.1, "-1.234,50 EUR");
        assert_eq!(written.2, "500 JPY");
    }

    #[test]
    fn lengths_of_time_have_two_units() {
        let texts = [5, 65, 3_600 + 120, 86_400 * 2 + 7_200, -3].map(duration);
        assert_eq!(texts, ["5 s", "1 min 5 s", "1 h 2 min", "2 days 2 h", "0 s"]);
    }

    #[test]
    fn times_are_in_the_networks_zone_also_when_clocks_change() {
        let spring = "2026-03-08T07:30:00Z".parse::<Timestamp>().unwrap().as_second();
        assert_eq!(time(spring, "America/New_York"), "2026-03-08 03:30");
        assert_eq!(time(spring - 3600, "America/New_York"), "2026-03-08 01:30");
        assert_eq!(utc(spring), "2026-03-08 07:30:00 UTC");
        assert_eq!(time(0, "UTC"), "–");
    }

    #[test]
    fn hidden_characters_are_seen() {
        assert_eq!(visible("Insta\u{202e}elytS"), "Insta\\u{202e}elytS");
        assert_eq!(visible("Grüße 日本"), "Grüße 日本");
    }
}
