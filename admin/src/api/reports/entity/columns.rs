//! What a report is broken down by, and what stands there.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use serde::Deserialize;

use crate::api::reports::facet::Facet;
use crate::catalog::FieldError;
use crate::store::rollups::SLOT_MS;

const MAX_COLUMNS: usize = 10;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::reports) struct ColumnRequest {
    #[schema(example = "coupon_code")]
    column: String,
}

/// What a report is broken down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Of(Facet),
    Date,
    Hour,
    Currency,
}

const PLAIN: [Column; 3] = [Column::Date, Column::Hour, Column::Currency];

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Column::Of(facet) => facet.name(),
            Column::Date => "date",
            Column::Hour => "hour",
            Column::Currency => "currency",
        }
    }

    pub(super) fn facet(self) -> Option<Facet> {
        match self {
            Column::Of(facet) => Some(facet),
            _ => None,
        }
    }
}

/// The columns of a request, of which these are known beside times and currency.
pub(super) fn check(
    requested: &[ColumnRequest],
    facets: &[Facet],
) -> Result<Vec<Column>, Vec<FieldError>> {
    let known: Vec<Column> = facets.iter().map(|facet| Column::Of(*facet)).chain(PLAIN).collect();
    let (mut columns, mut wrong) = (Vec::new(), Vec::new());
    for (at, ColumnRequest { column: name }) in requested.iter().enumerate() {
        let error = match known.iter().find(|column| column.name() == name) {
            Some(column) if columns.contains(column) => format!("`{name}` stands twice"),
            Some(column) => {
                columns.push(*column);
                continue;
            }
            None => {
                let names: Vec<&str> = known.iter().map(|column| column.name()).collect();
                format!("`{name}` is not known here; known: {}", names.join(", "))
            }
        };
        wrong.push(FieldError { field: format!("columns[{at}].column"), error });
    }
    if requested.is_empty() || requested.len() > MAX_COLUMNS {
        let error = format!("must have 1 to {MAX_COLUMNS} columns");
        wrong.push(FieldError { field: "columns".into(), error });
    }
    if wrong.is_empty() { Ok(columns) } else { Err(wrong) }
}

/// What stands in one column of one row. Times sort in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Cell {
    Date(Date),
    /// The hour's beginning, and how far the clock was ahead of UTC then: an hour that clocks show
    /// twice is two.
    Hour(Timestamp, Offset),
    Id(u32),
    Text(Rc<str>),
}

impl Cell {
    pub(super) fn is_time(&self) -> bool {
        matches!(self, Cell::Date(_) | Cell::Hour(..))
    }

    /// Where it begins, by the clock then.
    fn date((at, _): (DateTime, Offset)) -> Cell {
        Cell::Date(at.date())
    }

    fn hour((at, offset): (DateTime, Offset)) -> Cell {
        let begins = offset.to_timestamp(at.date().at(at.hour(), 0, 0, 0));
        Cell::Hour(begins.unwrap_or_default(), offset)
    }

    /// As a machine reads it.
    pub(super) fn id(&self) -> String {
        match self {
            Cell::Id(id) => id.to_string(),
            Cell::Date(day) => day.to_string(),
            Cell::Hour(begins, offset) => begins.display_with_offset(*offset).to_string(),
            Cell::Text(text) => text.to_string(),
        }
    }

    /// As a person reads it.
    pub(super) fn label(&self, names: &HashMap<u32, String>) -> String {
        match self {
            Cell::Id(id) => names.get(id).cloned().unwrap_or_default(),
            Cell::Hour(begins, offset) => {
                let hour = offset.to_datetime(*begins);
                format!("{} {:02}:00", hour.date(), hour.hour())
            }
            Cell::Date(_) | Cell::Text(_) => self.id(),
        }
    }

    /// As a file has it, where no id stands beside it: an hour with its offset from UTC, because the
    /// clocks show one hour twice on the day when they go back.
    pub(super) fn in_file(&self, names: &HashMap<u32, String>) -> String {
        match self {
            Cell::Hour(..) => self.id(),
            _ => self.label(names),
        }
    }
}

/// What one counted group has in the columns.
pub(super) struct Counted<'a> {
    /// In the order of the columns that have ids.
    pub(super) ids: &'a [u32],
    pub(super) slot: u64,
    pub(super) value: &'a Rc<str>,
    pub(super) currency: &'a Rc<str>,
}

/// The row that it belongs to.
pub(super) fn cells(columns: &[Column], counted: &Counted<'_>, clock: &mut Clock<'_>) -> Vec<Cell> {
    let mut ids = counted.ids.iter();
    let cell = |column: &Column| match column {
        Column::Of(facet) if facet.dimension().is_some() => {
            Cell::Id(ids.next().copied().unwrap_or(0))
        }
        Column::Of(_) => Cell::Text(Rc::clone(counted.value)),
        Column::Date => Cell::date(clock.at(counted.slot)),
        Column::Hour => Cell::hour(clock.at(counted.slot)),
        Column::Currency => Cell::Text(Rc::clone(counted.currency)),
    };
    columns.iter().map(cell).collect()
}

/// Where the days or hours begin that the columns keep apart.
pub(super) fn spans(columns: &[Column], slots: Range<u64>, clock: &mut Clock<'_>) -> Vec<u64> {
    let cell: fn((DateTime, Offset)) -> Cell = if columns.contains(&Column::Hour) {
        Cell::hour
    } else if columns.contains(&Column::Date) {
        Cell::date
    } else {
        return Vec::new();
    };
    let mut last = None;
    let mut begins = |slot: &u64| {
        let cell = Some(cell(clock.at(*slot)));
        std::mem::replace(&mut last, cell.clone()) != cell
    };
    slots.filter(|slot| begins(slot)).collect()
}

/// What clocks show in each quarter hour.
pub(super) struct Clock<'a> {
    zone: &'a TimeZone,
    slots: HashMap<u64, (DateTime, Offset)>,
}

impl Clock<'_> {
    pub(super) fn of(zone: &TimeZone) -> Clock<'_> {
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
