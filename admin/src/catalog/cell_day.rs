//! Days in the cells of bulk files: as spreadsheet programs write them, with the year first, or in
//! the form that the file's sender names.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

/// Characters of a cell that an error repeats.
const SHOWN_CHARACTERS: usize = 40;
const SEPARATORS: [char; 3] = ['/', '.', '-'];

/// Refusal of a cell that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellDayError {
    /// No day of the calendar has this form.
    #[error("`{0}` is not a day; write it like 2026-12-31")]
    NotADay(String),
    /// The year stands last, so day and month could be either.
    #[error(
        "`{0}` does not say which number is the day; write it like 2026-12-31, or upload the file with \
         date_format=dd/mm/yyyy or date_format=mm/dd/yyyy"
    )]
    Ambiguous(String),
    /// The day has a time.
    #[error("`{0}` has a time of day; write the day alone, like 2026-12-31")]
    TimeOfDay(String),
    /// The day is not in the form that the file was uploaded with.
    #[error("`{0}` is not a day in the form {1}")]
    OtherForm(String, DateFormat),
}

/// The form of the days in a file, such as `dd/mm/yyyy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateFormat {
    parts: [DatePart; 3],
    separator: char,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DatePart {
    Day,
    Month,
    /// With four digits.
    Year,
    /// The last two digits of a year after 2000.
    ShortYear,
}

impl DatePart {
    fn name(self) -> &'static str {
        match self {
            DatePart::Day => "dd",
            DatePart::Month => "mm",
            DatePart::Year => "yyyy",
            DatePart::ShortYear => "yy",
        }
    }
}

/// Refusal of a text that is no form of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must name day, month and year once, like dd/mm/yyyy, mm/dd/yyyy, dd.mm.yyyy or d-m-yy")]
pub struct DateFormatError;

impl FromStr for DateFormat {
    type Err = DateFormatError;

    fn from_str(text: &str) -> Result<DateFormat, DateFormatError> {
        let separator = text.chars().find(|sign| SEPARATORS.contains(sign));
        let separator = separator.ok_or(DateFormatError)?;
        let parts: Option<Vec<DatePart>> = text.split(separator).map(date_part).collect();
        let parts: Option<[DatePart; 3]> = parts.and_then(|parts| parts.try_into().ok());
        let parts = parts.ok_or(DateFormatError)?;
        let years = parts.iter().filter(|part| part.name().starts_with('y')).count();
        let is_whole = [DatePart::Day, DatePart::Month].iter().all(|part| parts.contains(part));
        if years == 1 && is_whole {
            Ok(DateFormat { parts, separator })
        } else {
            Err(DateFormatError)
        }
    }
}

fn date_part(name: &str) -> Option<DatePart> {
    match name.to_ascii_lowercase().as_str() {
        "d" | "dd" => Some(DatePart::Day),
        "m" | "mm" => Some(DatePart::Month),
        "yyyy" => Some(DatePart::Year),
        "yy" => Some(DatePart::ShortYear),
        _ => None,
    }
}

impl fmt::Display for DateFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.parts.map(DatePart::name);
        f.write_str(&names.join(self.separator.encode_utf8(&mut [0; 4])))
    }
}

impl DateFormat {
    /// Reads a day in this form, or with the year first.
    ///
    /// # Errors
    /// When the text has another form, or the calendar has no such day.
    pub fn parse(&self, text: &str) -> Result<Option<Date>, CellDayError> {
        let (date, is_day) = split_time(text);
        if !is_day {
            return Err(CellDayError::TimeOfDay(excerpt(text)));
        }
        match self.parse_parts(date) {
            Some(day) => Ok(Some(day)),
            None => parse_cell(text).map_err(|_| CellDayError::OtherForm(excerpt(text), *self)),
        }
    }

    fn parse_parts(&self, date: &str) -> Option<Date> {
        let numbers: Vec<&str> = date.split(self.separator).collect();
        let numbers: [&str; 3] = numbers.try_into().ok()?;
        let (mut day, mut month, mut year) = (0, 0, 0);
        for (part, number) in self.parts.into_iter().zip(numbers) {
            match part {
                DatePart::Day => day = short_number(number)?,
                DatePart::Month => month = short_number(number)?,
                DatePart::Year => year = year_number(number)?,
                DatePart::ShortYear if number.len() == 4 => year = year_number(number)?,
                DatePart::ShortYear => year = 2000 + i16::from(short_number(number)?),
            }
        }
        Date::new(year, month, day).ok()
    }
}

/// Reads a day with the year first, or `None` from an empty cell: `2026-11-30`, `2026/11/30`,
/// `20261130`, each also followed by midnight.
///
/// # Errors
/// When the text has another form, or the calendar has no such day.
pub(super) fn parse_cell(text: &str) -> Result<Option<Date>, CellDayError> {
    if text.is_empty() {
        return Ok(None);
    }
    let (date, is_day) = split_time(text);
    match (parse_year_first(date), is_day) {
        (Some(day), true) => Ok(Some(day)),
        (Some(_), false) => Err(CellDayError::TimeOfDay(excerpt(text))),
        (None, _) if is_year_last(date) => Err(CellDayError::Ambiguous(excerpt(text))),
        (None, _) => Err(CellDayError::NotADay(excerpt(text))),
    }
}

fn parse_year_first(date: &str) -> Option<Date> {
    if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) {
        return Date::new(
            year_number(&date[..4])?,
            short_number(&date[4..6])?,
            short_number(&date[6..])?,
        )
        .ok();
    }
    SEPARATORS.iter().find_map(|separator| {
        let parts: [&str; 3] = date.split(*separator).collect::<Vec<_>>().try_into().ok()?;
        let [year, month, day] = parts;
        Date::new(year_number(year)?, short_number(month)?, short_number(day)?).ok()
    })
}

fn is_year_last(date: &str) -> bool {
    SEPARATORS.iter().any(|separator| {
        let parts: Vec<&str> = date.split(*separator).collect();
        parts.len() == 3
            && parts[..2].iter().all(|part| short_number(part).is_some())
            && parts[2].bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The date, and whether no other time than midnight follows.
fn split_time(text: &str) -> (&str, bool) {
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else { return (text, true) };
    let time = time.trim();
    let time = ["Z", "z", "+00:00"].iter().find_map(|zone| time.strip_suffix(zone)).unwrap_or(time);
    let is_zero = |part: &str| matches!(part, "0" | "00");
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    let parts = whole.split(':').count();
    let is_midnight = (2..=3).contains(&parts)
        && whole.split(':').all(is_zero)
        && fraction.bytes().all(|byte| byte == b'0');
    (date, is_midnight)
}

/// A number of one or two digits.
fn short_number(text: &str) -> Option<i8> {
    let is_short = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_short { text.parse().ok() } else { None }
}

fn year_number(text: &str) -> Option<i16> {
    let is_year = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_year { text.parse().ok() } else { None }
}

fn excerpt(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn days_with_the_year_first_are_taken_in_all_forms_of_spreadsheets() {
        assert_eq!(parse_cell(""), Ok(None));
        for text in [
            "2026-11-03",
            "2026-11-03T00:00:00Z",
            "2026-11-03T00:00:00.000+00:00",
            "2026-11-03 00:00:00",
            "2026-11-03 0:00",
            "20261103",
            "2026/11/03",
            "2026/11/3",
            "2026.11.03",
        ] {
            assert_eq!(parse_cell(text), Ok(Some(date(2026, 11, 3))), "{text}");
        }
    }

    #[test]
    fn a_day_that_could_be_two_or_none_is_refused_with_the_remedy() {
        for (text, remedy) in [
            ("03/04/2026", "date_format=dd/mm/yyyy"),
            ("3.4.26", "date_format="),
            ("31/12/2026 0:00", "date_format="),
            ("2026-11-30T22:00:00Z", "write the day alone"),
            ("2026-02-29", "is not a day"),
            ("2026-13-01", "is not a day"),
            ("46356", "is not a day"),
            ("2026-11", "is not a day"),
            ("soon", "is not a day"),
        ] {
            let error = parse_cell(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn a_named_form_reads_its_days_and_those_with_the_year_first() {
        for (format, text) in [
            ("dd/mm/yyyy", "30/11/2026"),
            ("mm/dd/yyyy", "11/30/2026"),
            ("dd.mm.yyyy", "30.11.2026"),
            ("m/d/yy", "11/30/26"),
            ("D-M-YYYY", "30-11-2026 00:00:00"),
            ("dd/mm/yyyy", "2026-11-30"),
            ("dd/mm/yyyy", "20261130"),
        ] {
            let read: DateFormat = format.parse().unwrap();
            assert_eq!(read.parse(text), Ok(Some(date(2026, 11, 30))), "{text} as {format}");
        }
        let format: DateFormat = "d/m/yyyy".parse().unwrap();
        assert_eq!(format.parse("3/4/2026"), Ok(Some(date(2026, 4, 3))));
        assert_eq!(format.parse(""), Ok(None));
        for text in ["11/30/2026", "30.11.2026", "30/11/2026 12:00", "30/11"] {
            assert!(format.parse(text).is_err(), "{text} was taken");
        }
        let error = format.parse("11/30/2026").unwrap_err().to_string();
        assert!(error.ends_with("in the form dd/mm/yyyy"), "{error}");
    }

    #[test]
    fn a_form_names_day_month_and_year_once() {
        for wrong in
            ["", "dd/mm", "dd/mm/mm", "dd/mm.yyyy", "dd mm yyyy", "dd/mm/yyy", "yy/dd/yyyy"]
        {
            assert!(wrong.parse::<DateFormat>().is_err(), "{wrong} was taken");
        }
    }
}
