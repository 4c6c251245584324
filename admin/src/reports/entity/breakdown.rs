//! Breakdowns of a report: the properties by which counts are kept apart, and their values.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use crate::catalog::FieldError;
use crate::reports::facet::Facet;
use crate::store::rollups::SLOT_MS;

const MAX_BREAKDOWNS: usize = 10;

/// A property by which counts are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakdown {
    /// A property of clicks and conversions.
    Facet(Facet),
    /// The day in the report's time zone.
    Date,
    /// The hour in the report's time zone.
    Hour,
    /// The currency of the money.
    Currency,
}

/// The breakdowns of every view.
const PLAIN: [Breakdown; 3] = [Breakdown::Date, Breakdown::Hour, Breakdown::Currency];

impl Breakdown {
    /// The name in queries and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Breakdown::Facet(facet) => facet.name(),
            Breakdown::Date => "date",
            Breakdown::Hour => "hour",
            Breakdown::Currency => "currency",
        }
    }

    pub(super) fn facet(self) -> Option<Facet> {
        match self {
            Breakdown::Facet(facet) => Some(facet),
            _ => None,
        }
    }
}

/// Checks names of breakdowns. `facets` are known beside times and currency.
pub(super) fn check(names: &[String], facets: &[Facet]) -> Result<Vec<Breakdown>, Vec<FieldError>> {
    let known: Vec<Breakdown> =
        facets.iter().map(|facet| Breakdown::Facet(*facet)).chain(PLAIN).collect();
    let (mut breakdowns, mut wrong) = (Vec::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        let error = match known.iter().find(|breakdown| breakdown.name() == name) {
            Some(breakdown) if breakdowns.contains(breakdown) => format!("`{name}` stands twice"),
            Some(breakdown) => {
                breakdowns.push(*breakdown);
                continue;
            }
            None => {
                let known: Vec<&str> = known.iter().map(|known| known.name()).collect();
                format!("`{name}` is not known here; known: {}", known.join(", "))
            }
        };
        wrong.push(FieldError { field: format!("columns[{at}].column"), error });
    }
    if names.is_empty() || names.len() > MAX_BREAKDOWNS {
        let error = format!("must have 1 to {MAX_BREAKDOWNS} columns");
        wrong.push(FieldError { field: "columns".into(), error });
    }
    if wrong.is_empty() { Ok(breakdowns) } else { Err(wrong) }
}

/// The value of one breakdown in one row. Times sort in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum GroupKey {
    Date(Date),
    /// The beginning of the hour and the offset from UTC. When clocks go back, two hours look
    /// alike, and only the offset differs.
    Hour(Timestamp, Offset),
    Id(u32),
    Text(Rc<str>),
}

impl GroupKey {
    pub(super) fn is_time(&self) -> bool {
        matches!(self, GroupKey::Date(_) | GroupKey::Hour(..))
    }

    fn date((at, _): (DateTime, Offset)) -> GroupKey {
        GroupKey::Date(at.date())
    }

    fn hour((at, offset): (DateTime, Offset)) -> GroupKey {
        let begins = offset.to_timestamp(at.date().at(at.hour(), 0, 0, 0));
        GroupKey::Hour(begins.unwrap_or_default(), offset)
    }

    /// The value for programs. A day is the Unix time of its midnight in UTC, whatever the zone of
    /// the report.
    pub(super) fn id(&self) -> String {
        match self {
            GroupKey::Id(id) => id.to_string(),
            GroupKey::Date(day) => {
                let midnight = Offset::UTC.to_timestamp(day.at(0, 0, 0, 0));
                midnight.unwrap_or_default().as_second().to_string()
            }
            GroupKey::Hour(begins, offset) => begins.display_with_offset(*offset).to_string(),
            GroupKey::Text(text) => text.to_string(),
        }
    }

    /// The value for people. `names` are the names of ids.
    pub(super) fn label(&self, names: &HashMap<u32, String>) -> String {
        match self {
            GroupKey::Id(id) => names.get(id).cloned().unwrap_or_default(),
            GroupKey::Hour(begins, offset) => {
                let hour = offset.to_datetime(*begins);
                format!("{} {:02}:00", hour.date(), hour.hour())
            }
            GroupKey::Date(day) => day.to_string(),
            GroupKey::Text(_) => self.id(),
        }
    }

    /// The value in files. Hours have their offset from UTC, because a file has no id beside an
    /// hour and two hours look alike when clocks go back.
    pub(super) fn file_label(&self, names: &HashMap<u32, String>) -> String {
        match self {
            GroupKey::Hour(..) => self.id(),
            _ => self.label(names),
        }
    }
}

/// The values of one counted group.
pub(super) struct CountedValues<'a> {
    /// In the order of the breakdowns with ids.
    pub(super) ids: &'a [u32],
    pub(super) slot: u64,
    pub(super) value: &'a Rc<str>,
    pub(super) currency: &'a Rc<str>,
}

/// The key of the group's row.
pub(super) fn group_key(
    breakdowns: &[Breakdown],
    counted: &CountedValues<'_>,
    clock: &mut Clock<'_>,
) -> Vec<GroupKey> {
    let mut ids = counted.ids.iter();
    let key = |breakdown: &Breakdown| match breakdown {
        Breakdown::Facet(facet) if facet.dimension().is_some() => {
            GroupKey::Id(ids.next().copied().unwrap_or(0))
        }
        Breakdown::Facet(_) => GroupKey::Text(Rc::clone(counted.value)),
        Breakdown::Date => GroupKey::date(clock.at(counted.slot)),
        Breakdown::Hour => GroupKey::hour(clock.at(counted.slot)),
        Breakdown::Currency => GroupKey::Text(Rc::clone(counted.currency)),
    };
    breakdowns.iter().map(key).collect()
}

/// The first slot of each day or hour; empty where no breakdown keeps days or hours apart.
pub(super) fn spans(
    breakdowns: &[Breakdown],
    slots: Range<u64>,
    clock: &mut Clock<'_>,
) -> Vec<u64> {
    let key: fn((DateTime, Offset)) -> GroupKey = if breakdowns.contains(&Breakdown::Hour) {
        GroupKey::hour
    } else if breakdowns.contains(&Breakdown::Date) {
        GroupKey::date
    } else {
        return Vec::new();
    };
    let mut last = None;
    let mut begins = |slot: &u64| {
        let key = Some(key(clock.at(*slot)));
        std::mem::replace(&mut last, key.clone()) != key
    };
    slots.filter(|slot| begins(slot)).collect()
}

/// The local time of each quarter hour, computed once.
pub(super) struct Clock<'a> {
    zone: &'a TimeZone,
    slots: HashMap<u64, (DateTime, Offset)>,
}

impl Clock<'_> {
    pub(super) fn new(zone: &TimeZone) -> Clock<'_> {
        Clock { zone, slots: HashMap::new() }
    }

    fn at(&mut self, slot: u64) -> (DateTime, Offset) {
        *self.slots.entry(slot).or_insert_with(|| {
            let at = Timestamp::from_second((slot * SLOT_MS / 1000) as i64).unwrap_or_default();
            let offset = self.zone.to_offset(at);
            (offset.to_datetime(at), offset)
        })
    }
}
