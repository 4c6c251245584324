//! The windows in which caps count, in the network's zone.

/// A window. The numbers are part of the state's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CapWindow {
    /// A civil day.
    Daily = 1,
    /// Monday to Sunday.
    Weekly = 2,
    /// A calendar month.
    Monthly = 3,
    /// All time.
    Global = 4,
}

/// The moments between which a window counts, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowBounds {
    /// The first second.
    pub starts: i64,
    /// The second after the last; `i64::MAX` for a window without end.
    pub ends: i64,
}

impl WindowBounds {
    /// All time.
    pub const ALWAYS: WindowBounds = WindowBounds { starts: i64::MIN, ends: i64::MAX };

    #[inline]
    #[must_use]
    pub fn contain(&self, unix_seconds: i64) -> bool {
        self.starts <= unix_seconds && unix_seconds < self.ends
    }
}

const SECONDS_PER_DAY: i64 = 86_400;
/// 1970-01-01 was a Thursday: three days after a Monday.
const MONDAY_BEFORE_UNIX_DAYS: i64 = 3;

impl CapWindow {
    /// Every window, in the order of their numbers.
    pub const ALL: [CapWindow; 4] = [Self::Daily, Self::Weekly, Self::Monthly, Self::Global];

    pub(super) fn from_number(number: u8) -> Option<CapWindow> {
        Self::ALL.into_iter().find(|window| *window as u8 == number)
    }

    /// The window of this kind at a moment in Unix seconds. `offset_at` gives the seconds by which
    /// the network's zone is ahead of UTC. A day begins at its first second, also where the clocks
    /// leave midnight out.
    #[must_use]
    pub fn bounds_at(self, unix_seconds: i64, offset_at: impl Fn(i64) -> i32) -> WindowBounds {
        let local = unix_seconds.saturating_add(offset_at(unix_seconds).into());
        let today = local.div_euclid(SECONDS_PER_DAY);
        let (first, after) = match self {
            CapWindow::Daily => (today, today + 1),
            CapWindow::Weekly => {
                let monday = today - (today + MONDAY_BEFORE_UNIX_DAYS).rem_euclid(7);
                (monday, monday + 7)
            }
            CapWindow::Monthly => month_around(today),
            CapWindow::Global => return WindowBounds::ALWAYS,
        };
        WindowBounds {
            starts: first_second(first, &offset_at),
            ends: first_second(after, &offset_at),
        }
    }
}

/// The first second of a day after 1970-01-01.
fn first_second(day: i64, offset_at: impl Fn(i64) -> i32) -> i64 {
    let midnight = day.saturating_mul(SECONDS_PER_DAY);
    let offset = |moment: i64| i64::from(offset_at(moment));
    let local = |moment: i64| moment.saturating_add(offset(moment));
    // Only one change of the offset lies within two days.
    let [early, late] = [-SECONDS_PER_DAY, SECONDS_PER_DAY]
        .map(|away| midnight.saturating_sub(offset(midnight.saturating_add(away))));
    let (mut before, mut at) = (early.min(late), early.max(late));
    if let Some(moment) = [before, at].into_iter().find(|moment| local(*moment) == midnight) {
        return moment;
    }
    // The clocks skip midnight: the day begins at the change.
    while before + 1 < at {
        let middle = before + (at - before) / 2;
        if local(middle) < midnight { before = middle } else { at = middle }
    }
    at
}

/// The first day of the month of a day, and of the month after. Days count from 1970-01-01.
fn month_around(day: i64) -> (i64, i64) {
    let (year, month) = civil_month(day);
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    (first_of_month(year, month), first_of_month(next.0, next.1))
}

const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const UNIX_DAYS_AFTER_YEAR_0: i64 = 719_468;

// Both conversions count years from March, so that the leap day is the last of its year, in eras of
// 400 years, which repeat exactly. The constant 153 spreads the 30 and 31 days of five months.

fn civil_month(day: i64) -> (i64, i64) {
    let day = day + UNIX_DAYS_AFTER_YEAR_0;
    let era = day.div_euclid(DAYS_PER_ERA);
    let day_of_era = day.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_after_march = (5 * day_of_year + 2) / 153;
    let month = (months_after_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month)
}

fn first_of_month(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - UNIX_DAYS_AFTER_YEAR_0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = SECONDS_PER_DAY;
    /// 2026-03-29 00:00 UTC, a Sunday; Berlin's clocks go forward at 01:00 UTC.
    const SPRING: i64 = 1_774_742_400;
    /// 2026-10-25 00:00 UTC, a Sunday; Berlin's clocks go back at 01:00 UTC.
    const AUTUMN: i64 = 1_792_886_400;

    fn berlin(moment: i64) -> i32 {
        let is_summer = (SPRING + HOUR..AUTUMN + HOUR).contains(&moment);
        if is_summer { 7200 } else { 3600 }
    }

    fn bounds(window: CapWindow, moment: i64) -> (i64, i64) {
        let bounds = window.bounds_at(moment, berlin);
        (bounds.starts, bounds.ends)
    }

    #[test]
    fn days_of_clock_changes_have_23_and_25_hours() {
        let spring = (SPRING - HOUR, SPRING + 22 * HOUR);
        assert_eq!(bounds(CapWindow::Daily, SPRING), spring);
        assert_eq!(bounds(CapWindow::Daily, SPRING + 22 * HOUR - 1), spring);
        let autumn = (AUTUMN - 2 * HOUR, AUTUMN + 23 * HOUR);
        assert_eq!(bounds(CapWindow::Daily, AUTUMN - 2 * HOUR), autumn);
        assert_eq!(bounds(CapWindow::Daily, AUTUMN + 23 * HOUR - 1), autumn);
    }

    #[test]
    fn a_day_with_a_leap_second_ends_with_the_unix_day() {
        // 2016-12-31 had 86,401 seconds in UTC; Unix time repeats one of them.
        let midnight = 1_483_228_800;
        let utc = |_| 0;
        for (moment, starts) in [(midnight - 1, midnight - DAY), (midnight, midnight)] {
            let day = CapWindow::Daily.bounds_at(moment, utc);
            assert_eq!((day.starts, day.ends), (starts, starts + DAY));
        }
    }

    #[test]
    fn a_week_begins_on_monday_and_a_month_on_its_first_day() {
        // The Sunday ends the week from Monday, March 23, to the Monday after.
        let week = (SPRING - 6 * DAY - HOUR, SPRING + 22 * HOUR);
        assert_eq!(bounds(CapWindow::Weekly, SPRING), week);
        assert_eq!(bounds(CapWindow::Weekly, week.0), week);
        assert_ne!(bounds(CapWindow::Weekly, week.1), week);
        let march = (SPRING - 28 * DAY - HOUR, SPRING + 3 * DAY - 2 * HOUR);
        assert_eq!(bounds(CapWindow::Monthly, SPRING), march);
        assert_eq!(bounds(CapWindow::Global, SPRING), (i64::MIN, i64::MAX));
    }

    #[test]
    fn a_day_without_midnight_begins_at_the_change() {
        // The clocks go from 24:00 to 01:00, as in Cairo.
        let midnight = 100 * DAY - 2 * HOUR;
        let cairo = |moment| if moment < midnight { 7200 } else { 10_800 };
        let day = CapWindow::Daily.bounds_at(midnight, cairo);
        assert_eq!((day.starts, day.ends), (midnight, midnight + 23 * HOUR));
        let before = CapWindow::Daily.bounds_at(midnight - 1, cairo);
        assert_eq!(before.ends, midnight);
    }

    proptest! {
        #[test]
        fn windows_follow_each_other_without_gaps(
            moment in -10_000_000_000_i64..100_000_000_000,
            offset in -14 * 3600..14 * 3600_i32,
            change in -10_000_000_000_i64..100_000_000_000,
            is_near in any::<bool>(),
        ) {
            let change = if is_near { moment + change % 90_000 } else { change };
            let zone = |at: i64| if at < change { offset } else { offset + 3600 };
            for window in [CapWindow::Daily, CapWindow::Weekly, CapWindow::Monthly] {
                let bounds = window.bounds_at(moment, zone);
                prop_assert!(bounds.contain(moment), "{:?} {:?}", window, bounds);
                let next = window.bounds_at(bounds.ends, zone);
                prop_assert_eq!(next.starts, bounds.ends);
                prop_assert_eq!(window.bounds_at(bounds.ends - 1, zone), bounds);
            }
        }

        #[test]
        fn a_month_has_28_to_31_days_and_begins_on_a_first(day in -800_000_i64..800_000) {
            let (first, after) = month_around(day);
            prop_assert!((28..=31).contains(&(after - first)));
            prop_assert!((first..after).contains(&day));
            prop_assert_eq!(civil_month(first), civil_month(after - 1));
            prop_assert_ne!(civil_month(first), civil_month(first - 1));
        }
    }
}
