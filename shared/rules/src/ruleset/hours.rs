//! Day parting: the hours of the week in which visitors pass.

use rkyv::{Archive, Deserialize, Serialize};

const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;

/// Local hours of the week.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// Zone of the hours, as in the IANA database; `None` for the visitor's own.
    pub zone: Option<String>,
    /// First and last minute of each slot, from Sunday 00:00; ascending, without overlap.
    slots: Vec<(u16, u16)>,
}

/// Part of a day, from a minute to a minute, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// From 0 for Sunday.
    pub day: u8,
    /// From 0 to 1439.
    pub first_minute: u16,
    /// From the first minute to 1439.
    pub last_minute: u16,
}

impl Hours {
    #[must_use]
    pub fn new(zone: Option<String>, slots: &[Slot]) -> Hours {
        let mut slots: Vec<(u16, u16)> = slots
            .iter()
            .map(|slot| {
                let midnight = u16::from(slot.day) * DAY;
                (midnight + slot.first_minute, midnight + slot.last_minute)
            })
            .collect();
        slots.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for (first, last) in slots {
            match joined.last_mut() {
                Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Hours { zone, slots: joined }
    }

    /// Whether the hours are the visitor's.
    #[must_use]
    pub fn are_local(&self) -> bool {
        self.zone.is_none()
    }

    /// Whether a moment in Unix seconds is within the hours, by a clock that is ahead of UTC.
    #[must_use]
    pub fn are_open(&self, unix_seconds: i64, utc_offset: i32) -> bool {
        let minute = minute_of_week(unix_seconds, utc_offset);
        let after = self.slots.partition_point(|(first, _)| *first <= minute);
        after > 0 && minute <= self.slots[after - 1].1
    }

    pub(super) fn check_order(&self) -> Result<(), String> {
        let are_slots = self.slots.iter().all(|(first, last)| first <= last && *last < WEEK);
        let ascend = self.slots.windows(2).all(|pair| pair[0].1 < pair[1].0);
        if are_slots && ascend { Ok(()) } else { Err("its hours are out of order".into()) }
    }
}

/// Minutes since Sunday 00:00 of the local week.
fn minute_of_week(unix_seconds: i64, utc_offset: i32) -> u16 {
    // 1970-01-01 was a Thursday.
    const THURSDAY: i64 = 4 * DAY as i64;
    let local_minutes = unix_seconds.saturating_add(utc_offset.into()).div_euclid(60);
    (local_minutes.saturating_add(THURSDAY)).rem_euclid(WEEK.into()) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-06-15, a Monday, 00:00 UTC.
    const MONDAY: i64 = 1_781_481_600;

    fn monday(first: (u16, u16), last: (u16, u16)) -> Hours {
        let slot = Slot {
            day: 1,
            first_minute: first.0 * 60 + first.1,
            last_minute: last.0 * 60 + last.1,
        };
        Hours::new(Some("UTC".into()), &[slot])
    }

    #[test]
    fn the_last_minute_is_included_to_its_last_second() {
        let hours = monday((9, 0), (16, 59));
        let at = |hour: i64, minute: i64, second: i64| {
            hours.are_open(MONDAY + hour * 3600 + minute * 60 + second, 0)
        };
        assert_eq!(
            (at(8, 59, 59), at(9, 0, 0), at(16, 59, 59), at(17, 0, 0)),
            (false, true, true, false)
        );
    }

    #[test]
    fn the_clock_decides_which_day_it_is() {
        let hours = monday((0, 0), (23, 59));
        for (seconds, offset, expected) in [
            (0, 0, true),
            (-1, 0, false),
            (-3600, 3600, true),
            (0, -3600, false),
            (86_399, 0, true),
            (86_399, 3600, false),
            (7 * 86_400, 0, true),
        ] {
            assert_eq!(hours.are_open(MONDAY + seconds, offset), expected, "{seconds} {offset}");
        }
    }

    #[test]
    fn a_leap_second_is_within_a_slot_or_the_next_and_leaves_no_gap() {
        // 2016-12-31, a Saturday, 23:59:59 UTC. Unix time counts 23:59:60 as the second before or
        // after it.
        const LAST: i64 = 1_483_228_799;
        let day = |day| Hours::new(None, &[Slot { day, first_minute: 0, last_minute: 1439 }]);
        let (saturday, sunday) = (day(6), day(0));
        for (moment, is_saturday) in [(LAST, true), (LAST + 1, false)] {
            assert_eq!(saturday.are_open(moment, 0), is_saturday);
            assert_eq!(sunday.are_open(moment, 0), !is_saturday);
        }
    }

    #[test]
    fn slots_that_meet_leave_no_hole() {
        let whole = |day| Slot { day, first_minute: 0, last_minute: 1439 };
        let hours = Hours::new(None, &(0..7).map(whole).collect::<Vec<_>>());
        assert_eq!(hours.slots, [(0, WEEK - 1)]);
        assert_eq!(hours.check_order(), Ok(()));
        assert!(Hours { zone: None, slots: vec![(5, 4)] }.check_order().is_err());
        assert!(Hours { zone: None, slots: vec![(5, WEEK)] }.check_order().is_err());
    }

    #[test]
    fn moments_before_1970_and_at_the_ends_of_time_have_a_minute_too() {
        for moment in [i64::MIN, -1, i64::MAX] {
            assert!(minute_of_week(moment, -3600) < WEEK);
        }
    }
}
