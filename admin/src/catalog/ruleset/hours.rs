//! Day parting in Everflow's shape.

use coupon_rules::ruleset::hours::{Hours, Slot};
use serde::{Deserialize, Serialize};

use super::Ruleset;
use crate::catalog::problems::Problems;
use crate::catalog::time_zones::zone_name;
use crate::catalog::words::words;

/// A few slots a day.
const MAX_SLOTS: usize = 100;

words! {
    /// The clock of the hours.
    #[derive(Default)]
    DayPartingClock {
        /// Day parting is off.
        #[default]
        Off = "null_value",
        /// The visitor's; the network's if the visitor's zone is unknown.
        Visitor = "user_timezone",
        /// The one of `day_parting_timezone_id`.
        Selected = "selected_timezone",
    }
}

/// A part of a day. Start and end are inclusive: 09:00 to 16:59 and 17:00 to 20:59 leave no hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DaySlot {
    /// From 0 for Sunday to 6.
    pub day_of_week: u8,
    /// From 0 to 23.
    pub start_hour: u8,
    /// From 0 to 59.
    #[serde(default)]
    pub start_minute: u8,
    /// From 0 to 23.
    pub end_hour: u8,
    /// From 0 to 59; the slot ends with this minute.
    #[serde(default)]
    pub end_minute: u8,
}

impl DaySlot {
    fn minutes(self) -> (u16, u16) {
        let minute = |hour: u8, minute: u8| u16::from(hour) * 60 + u16::from(minute);
        (minute(self.start_hour, self.start_minute), minute(self.end_hour, self.end_minute))
    }

    fn check(self) -> Result<(), &'static str> {
        let (start, end) = self.minutes();
        match self {
            DaySlot { day_of_week: 7.., .. } => Err("day_of_week goes from 0 (Sunday) to 6"),
            DaySlot { start_hour: 24.., .. } | DaySlot { end_hour: 24.., .. } => {
                Err("hours go from 0 to 23; a day ends at 23:59")
            }
            DaySlot { start_minute: 60.., .. } | DaySlot { end_minute: 60.., .. } => {
                Err("minutes go from 0 to 59")
            }
            _ if end < start => Err("ends before it starts; split it at midnight"),
            _ => Ok(()),
        }
    }
}

pub(super) fn check(ruleset: &Ruleset, problems: &mut Problems) {
    for (index, slot) in ruleset.days_parting.iter().enumerate() {
        if let Err(error) = slot.check() {
            problems.add(format!("days_parting[{index}]"), error);
        }
    }
    if ruleset.days_parting.len() > MAX_SLOTS {
        problems.add("days_parting", format!("has more than {MAX_SLOTS} slots"));
    }
    if !ruleset.is_use_day_parting {
        return;
    }
    if ruleset.days_parting.is_empty() {
        let error = "is empty, so no visitor could ever pass; set is_use_day_parting to false";
        problems.add("days_parting", error);
    }
    match ruleset.day_parting_apply_to {
        DayPartingClock::Off => {
            problems.add("day_parting_apply_to", "must be user_timezone or selected_timezone");
        }
        DayPartingClock::Selected => {
            problems.take("day_parting_timezone_id", zone_name(ruleset.day_parting_timezone_id));
        }
        DayPartingClock::Visitor => {}
    }
}

/// The hours of a ruleset that was checked.
pub(super) fn rules(ruleset: &Ruleset) -> Hours {
    let zone = match ruleset.day_parting_apply_to {
        DayPartingClock::Selected => zone_name(ruleset.day_parting_timezone_id).ok(),
        _ => None,
    };
    let slots = ruleset.days_parting.iter().filter(|slot| slot.check().is_ok()).map(|slot| {
        let (first_minute, last_minute) = slot.minutes();
        Slot { day: slot.day_of_week, first_minute, last_minute }
    });
    Hours::new(zone.map(Into::into), &slots.collect::<Vec<_>>())
}
