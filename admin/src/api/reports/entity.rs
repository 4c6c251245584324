//! `POST /v1/networks/reporting/entity`: clicks counted by what the columns name.

use std::collections::HashMap;
use std::ops::Range;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::MAX_ROWS;
use super::facet::Facet;
use super::filters::{Filters, Query};
use super::period::{Period, When};
use crate::api::error::ApiError;
use crate::api::request;
use crate::catalog::FieldError;
use crate::store::rollups::{self, Dimension, Family, Measures as Counts, Question, SLOT_MS};
use crate::store::{Store, labels, settings};

/// More are not even counted: sorting them to answer a few would only take memory.
const MAX_GROUPS: usize = 500_000;
const MAX_COLUMNS: usize = 6;
const FACETS: [Facet; 4] = [Facet::Offer, Facet::Affiliate, Facet::Advertiser, Facet::CouponCode];

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct EntityRequest {
    #[serde(flatten)]
    when: When,
    columns: Vec<ColumnRequest>,
    #[serde(default)]
    query: Query,
}

#[derive(Deserialize, utoipa::ToSchema)]
struct ColumnRequest {
    column: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct EntityReport {
    table: Vec<ReportRow>,
    /// Of everything, also where the table is incomplete.
    summary: Measures,
    incomplete_results: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ReportRow {
    columns: Vec<ReportColumn>,
    reporting: Measures,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ReportColumn {
    column_type: &'static str,
    id: String,
    label: String,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Measures {
    total_click: i64,
    gross_click: i64,
    invalid_click: i64,
    bot_click: i64,
}

impl From<Counts> for Measures {
    fn from(counts: Counts) -> Measures {
        Measures {
            total_click: counts.total(),
            gross_click: counts.gross,
            invalid_click: counts.invalid,
            bot_click: counts.bot,
        }
    }
}

/// Counts clicks by offer, partner, advertiser, code, date or hour.
#[utoipa::path(post, path = "/reporting/entity", request_body = EntityRequest, responses((status = 200, body = EntityReport)))]
pub(super) async fn report(
    State(store): State<Store>,
    request::Json(request): request::Json<EntityRequest>,
) -> Result<Json<EntityReport>, ApiError> {
    let answer = store.read(move |connection| {
        let settings = settings::read(connection)?.settings;
        let mut wrong = Vec::new();
        let mut keep = |fields: Vec<FieldError>| wrong.extend(fields);
        let columns = columns(&request.columns).map_err(&mut keep).ok();
        let filters = request.query.filters(&FACETS).map_err(&mut keep).ok();
        let period = request.when.period(&settings.time_zone).map_err(&mut keep).ok();
        let (Some(columns), Some(filters), Some(period)) = (columns, filters, period) else {
            return Err(ApiError::fields(wrong));
        };
        count(connection, &columns, &filters, &period)
    });
    Ok(Json(answer.await?))
}

/// What a report is broken down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Of(Dimension),
    Date,
    Hour,
}

impl Column {
    fn named(name: &str) -> Option<Column> {
        match name {
            "date" => Some(Column::Date),
            "hour" => Some(Column::Hour),
            _ => FACETS.iter().find(|facet| facet.name() == name)?.dimension().map(Column::Of),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Column::Of(Dimension::Offer) => "offer",
            Column::Of(Dimension::Affiliate) => "affiliate",
            Column::Of(Dimension::Advertiser) => "advertiser",
            Column::Of(Dimension::Code) => "coupon_code",
            Column::Date => "date",
            Column::Hour => "hour",
        }
    }
}

fn columns(requested: &[ColumnRequest]) -> Result<Vec<Column>, Vec<FieldError>> {
    let (mut columns, mut wrong) = (Vec::new(), Vec::new());
    for (at, ColumnRequest { column: name }) in requested.iter().enumerate() {
        let error = match Column::named(name) {
            Some(column) if columns.contains(&column) => format!("`{name}` stands twice"),
            Some(column) => {
                columns.push(column);
                continue;
            }
            None => format!(
                "`{name}` is not known; known: offer, affiliate, advertiser, coupon_code, date, hour"
            ),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Cell {
    Date(Date),
    /// The hour's beginning, and how far the clock was ahead of UTC then: an hour that clocks show
    /// twice is two.
    Hour(Timestamp, Offset),
    Id(u32),
}

fn count(
    connection: &Connection,
    columns: &[Column],
    filters: &Filters,
    period: &Period,
) -> Result<EntityReport, ApiError> {
    let by: Vec<Dimension> = columns
        .iter()
        .filter_map(|column| match column {
            Column::Of(dimension) => Some(*dimension),
            _ => None,
        })
        .collect();
    let mut clock = Clock { zone: &period.zone, slots: HashMap::new() };
    let slots = period.slots().map_err(|error| ApiError::fields(vec![error]))?;
    let question = Question {
        spans: spans(columns, slots.clone(), &mut clock),
        slots,
        family: Family::Base,
        filters: filters.resolve(connection)?.ids()?,
        by,
    };
    let mut groups: HashMap<Vec<Cell>, Counts> = HashMap::new();
    let mut summary = Counts::default();
    rollups::ask(connection, &question, |slot, ids, _, _, counts| {
        summary += *counts;
        let cells = cells(columns, ids, || clock.at(slot));
        if groups.len() < MAX_GROUPS || groups.contains_key(&cells) {
            *groups.entry(cells).or_default() += *counts;
        }
    })?;
    if groups.len() >= MAX_GROUPS {
        let error = format!(
            "give {MAX_GROUPS} rows or more: ask for fewer columns, a shorter period, or with filters"
        );
        return Err(ApiError::field("columns", error));
    }
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_cached_key(sort_key);
    let incomplete_results = rows.len() > MAX_ROWS;
    rows.truncate(MAX_ROWS);
    let table = render(connection, columns, rows)?;
    Ok(EntityReport { table, summary: summary.into(), incomplete_results })
}

/// Where the days or hours begin that the columns keep apart.
fn spans(columns: &[Column], slots: Range<u64>, clock: &mut Clock<'_>) -> Vec<u64> {
    let finest = columns.iter().find(|column| **column == Column::Hour);
    let finest = finest.or_else(|| columns.iter().find(|column| **column == Column::Date));
    let Some(finest) = finest else { return Vec::new() };
    let mut last = None;
    let mut begins = |slot: &u64| {
        let cell = cells(&[*finest], &[], || clock.at(*slot)).pop();
        std::mem::replace(&mut last, cell) != cell
    };
    slots.filter(|slot| begins(slot)).collect()
}

fn cells(
    columns: &[Column],
    ids: &[u32],
    mut time: impl FnMut() -> (DateTime, Offset),
) -> Vec<Cell> {
    let mut ids = ids.iter();
    let cell = |column: &Column| match column {
        Column::Of(_) => Cell::Id(ids.next().copied().unwrap_or(0)),
        Column::Date => Cell::Date(time().0.date()),
        Column::Hour => {
            let (at, offset) = time();
            let begins = offset.to_timestamp(at.date().at(at.hour(), 0, 0, 0));
            Cell::Hour(begins.unwrap_or_default(), offset)
        }
    };
    columns.iter().map(cell).collect()
}

/// What clocks show in each quarter hour.
struct Clock<'a> {
    zone: &'a TimeZone,
    slots: HashMap<u64, (DateTime, Offset)>,
}

impl Clock<'_> {
    fn at(&mut self, slot: u64) -> (DateTime, Offset) {
        *self.slots.entry(slot).or_insert_with(|| {
            let at = Timestamp::from_second((slot * SLOT_MS / 1000) as i64).unwrap_or_default();
            let offset = self.zone.to_offset(at);
            (offset.to_datetime(at), offset)
        })
    }
}

/// By time, then the most clicks first.
fn sort_key((cells, counts): &(Vec<Cell>, Counts)) -> impl Ord + use<> {
    let (ids, times): (Vec<Cell>, Vec<Cell>) =
        cells.iter().partition(|cell| matches!(cell, Cell::Id(_)));
    (times, std::cmp::Reverse(counts.gross), ids)
}

fn render(
    connection: &Connection,
    columns: &[Column],
    rows: Vec<(Vec<Cell>, Counts)>,
) -> Result<Vec<ReportRow>, ApiError> {
    let mut names = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let ids = rows.iter().filter_map(|(cells, _)| match cells[at] {
            Cell::Id(id) => Some(id),
            _ => None,
        });
        names.push(match column {
            Column::Of(dimension) => {
                labels::names(connection, *dimension, &ids.collect::<Vec<_>>())?
            }
            _ => HashMap::new(),
        });
    }
    let row = |(cells, counts): (Vec<Cell>, Counts)| ReportRow {
        columns: columns
            .iter()
            .zip(&cells)
            .zip(&names)
            .map(|((column, cell), names)| shown(*column, *cell, names))
            .collect(),
        reporting: counts.into(),
    };
    Ok(rows.into_iter().map(row).collect())
}

fn shown(column: Column, cell: Cell, names: &HashMap<u32, String>) -> ReportColumn {
    let (id, label) = match cell {
        Cell::Id(id) => (id.to_string(), names.get(&id).cloned().unwrap_or_default()),
        Cell::Date(day) => (day.to_string(), day.to_string()),
        Cell::Hour(begins, offset) => {
            let hour = offset.to_datetime(begins);
            let label = format!("{} {:02}:00", hour.date(), hour.hour());
            (begins.display_with_offset(offset).to_string(), label)
        }
    };
    ReportColumn { column_type: column.name(), id, label }
}
