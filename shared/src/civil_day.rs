//! Civil days of the network's time zone, as two bytes.
//!
//! Validity is compared in whole days of the network's zone, so a change of the zone or of its
//! daylight-saving rules rewrites no record: only the catalog's offsets change.

/// A civil day, counted from 2000-01-01 (day 0) to 2179-06-06 (day 65,535).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub u16);

const SECONDS_PER_DAY: i64 = 86_400;
/// Days from 1970-01-01 to 2000-01-01.
pub const UNIX_DAYS_OF_DAY_0: i64 = 10_957;

impl Day {
    /// Stands for "no start date" in a record.
    pub const FIRST: Day = Day(0);
    /// Stands for "no end date" in a record.
    pub const LAST: Day = Day(u16::MAX);

    /// The day that is `days` after 1970-01-01. Days outside the range become its first or last
    /// day, which compare with every possible today as the true days would.
    pub fn from_unix_days(days: i64) -> Self {
        let days = days.saturating_sub(UNIX_DAYS_OF_DAY_0);
        Self(days.clamp(0, i64::from(u16::MAX)) as u16)
    }

    /// The day at a moment, on clocks that are `utc_offset_seconds` ahead of UTC.
    pub fn at(unix_seconds: i64, utc_offset_seconds: i32) -> Self {
        let local = unix_seconds.saturating_add(i64::from(utc_offset_seconds));
        Self::from_unix_days(local.div_euclid(SECONDS_PER_DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_local_midnight() {
        let new_year_2025_utc = 1_735_689_600;
        let day = Day::at(new_year_2025_utc, 0);
        assert_eq!(day, Day(9132));
        assert_eq!(Day::at(new_year_2025_utc - 1, 0), Day(9131));
        assert_eq!(Day::at(new_year_2025_utc - 1, 3600), day);
        assert_eq!(Day::at(new_year_2025_utc, -5 * 3600), Day(9131));
    }

    #[test]
    fn days_outside_the_range_become_its_ends() {
        assert_eq!(Day::from_unix_days(-5), Day::FIRST);
        assert_eq!(Day::from_unix_days(i64::MAX), Day::LAST);
        assert_eq!(Day::at(i64::MIN, -1), Day::FIRST);
    }
}
