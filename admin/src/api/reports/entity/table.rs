//! Groups as rows: in order, cut to a page, with names.

use std::cmp::{Ordering, Reverse};
use std::collections::{HashMap, HashSet};
use std::fs::File;

use axum::Json;
use axum::response::{IntoResponse, Response};
use foldhash::fast::RandomState;
use rusqlite::Connection;
use serde::Serialize;

use super::columns::{Cell, Column};
use super::tally::Tally;
use super::{By, Checked, Order};
use crate::api::answer::Paging;
use crate::api::error::ApiError;
use crate::api::reports::MAX_ROWS;
use crate::api::reports::measures::{Currencies, Group, Reporting};
use crate::api::reports::paging::places;
use crate::api::reports::sheet::Sheet;
use crate::store::labels;
use crate::store::rollups::Dimension;

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::api::reports) struct EntityReport<R: utoipa::ToSchema> {
    table: Vec<ReportRow<R>>,
    /// Of everything, also where the table is incomplete or one page of several.
    summary: R,
    /// Those of which there is money.
    currencies: Vec<String>,
    /// There are more rows than the 10,000 that are answered without pages, or a day of a partner had
    /// more values of a sub than the 10,000 that are counted apart; further ones are `(other)`.
    incomplete_results: bool,
    /// Where a page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<Paging>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ReportRow<R> {
    columns: Vec<ReportColumn>,
    reporting: R,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ReportColumn {
    column_type: &'static str,
    id: String,
    label: String,
}

type Rows = Vec<(Vec<Cell>, Group)>;

/// The table as JSON, or all of it as a file.
pub(super) fn answer<R: Reporting>(
    connection: &Connection,
    asked: Checked,
    counted: Tally,
    file: Option<File>,
) -> Result<Response, ApiError> {
    let Tally { mut rows, summary, currencies, is_incomplete } = counted;
    if let Some(at) = asked.columns.iter().position(|column| *column == Column::Currency) {
        rows = without_currencies_of_nothing::<R>(rows, at);
    }
    let with_money = rows.iter().flat_map(|(_, group)| group.currencies::<R>());
    let with_money = currencies.sorted(with_money);
    let total_count = rows.len();
    let is_cut = asked.page.is_none() && file.is_none() && total_count > MAX_ROWS;
    let incomplete_results = is_incomplete || is_cut;
    let shown = match asked.page {
        Some(page) => places(page, total_count),
        None if file.is_none() => 0..MAX_ROWS.min(total_count),
        None => 0..total_count,
    };
    sort::<R>(&mut rows, asked.order, &currencies, shown.end);
    rows.truncate(shown.end);
    rows.drain(..shown.start);
    let names = Names::of(connection, &asked.columns, &rows)?;
    if let Some(file) = file {
        return names.file::<R>(file, &rows, &currencies, is_incomplete);
    }
    let table = rows.iter().map(|(cells, group)| ReportRow {
        columns: names.shown(cells),
        reporting: R::of(&group.sums::<R>(&currencies)),
    });
    Ok(Json(EntityReport {
        table: table.collect(),
        summary: R::of(&summary.sums::<R>(&currencies)),
        currencies: with_money,
        incomplete_results,
        paging: asked.page.map(|page| Paging::new(page, total_count as u64)),
    })
    .into_response())
}

/// Rows by currency, where what has no money is of none, though it was counted of an offer with one.
fn without_currencies_of_nothing<R: Reporting>(rows: Rows, at: usize) -> Rows {
    let mut joined: HashMap<Vec<Cell>, Group, RandomState> = HashMap::default();
    for (mut cells, group) in rows {
        if group.currencies::<R>().next().is_none() {
            cells[at] = Cell::Text("".into());
        }
        joined.entry(cells).or_default().join(&group);
    }
    joined.into_iter().collect()
}

/// Puts the first `wanted` rows in order: as asked; else, and where that is equal, by time, then the
/// most clicks first.
fn sort<R: Reporting>(
    rows: &mut Rows,
    order: Option<Order>,
    currencies: &Currencies,
    wanted: usize,
) {
    let Some(Order { by, is_descending }) = order else {
        // Of a hundred thousand rows a few are shown; the others need no order.
        if wanted < rows.len() {
            rows.select_nth_unstable_by(wanted, usual);
        }
        return rows[..wanted].sort_unstable_by(usual);
    };
    rows.sort_unstable_by(usual);
    match by {
        By::Column(at) => rows.sort_by(|(one, _), (other, _)| {
            let order = one[at].cmp(&other[at]);
            if is_descending { order.reverse() } else { order }
        }),
        By::Measure(at) => {
            let figure = |group: &Group| R::of(&group.sums::<R>(currencies)).figure(at);
            if is_descending {
                rows.sort_by_cached_key(|(_, group)| Reverse(figure(group)));
            } else {
                rows.sort_by_cached_key(|(_, group)| figure(group));
            }
        }
    }
}

fn usual((one, counted): &(Vec<Cell>, Group), (other, beside): &(Vec<Cell>, Group)) -> Ordering {
    fn times(cells: &[Cell]) -> impl Iterator<Item = &Cell> {
        cells.iter().filter(|cell| cell.is_time())
    }
    let by_clicks = || beside.gross().cmp(&counted.gross());
    times(one).cmp(times(other)).then_with(by_clicks).then_with(|| one.cmp(other))
}

/// What the ids in each column are called.
struct Names<'a> {
    columns: &'a [Column],
    names: Vec<HashMap<u32, String>>,
}

impl Names<'_> {
    fn of<'a>(
        connection: &Connection,
        columns: &'a [Column],
        rows: &Rows,
    ) -> Result<Names<'a>, ApiError> {
        let mut names = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let ids = rows.iter().filter_map(|(cells, _)| match cells[at] {
                Cell::Id(id) => Some(id),
                _ => None,
            });
            let ids: Vec<u32> = HashSet::<u32>::from_iter(ids).into_iter().collect();
            names.push(match dimension(*column) {
                Some(dimension) => labels::names(connection, dimension, &ids)?,
                None => HashMap::new(),
            });
        }
        Ok(Names { columns, names })
    }

    fn shown(&self, cells: &[Cell]) -> Vec<ReportColumn> {
        let columns = self.columns.iter().zip(cells).zip(&self.names);
        let shown = columns.map(|((column, cell), names)| ReportColumn {
            column_type: column.name(),
            id: cell.id(),
            label: cell.label(names),
        });
        shown.collect()
    }

    /// Ids and names have columns of their own.
    fn file<R: Reporting>(
        &self,
        file: File,
        rows: &Rows,
        currencies: &Currencies,
        is_incomplete: bool,
    ) -> Result<Response, ApiError> {
        let mut header = Vec::new();
        for column in self.columns {
            header.extend(dimension(*column).map(id_name));
            header.push(column.name());
        }
        header.extend(R::NAMES);
        let mut sheet = Sheet::begin(file, "report.csv", &header)?;
        for (cells, group) in rows {
            let mut line = Vec::new();
            for (cell, names) in cells.iter().zip(&self.names) {
                if let Cell::Id(id) = cell {
                    line.push(id.into());
                }
                line.push((&cell.in_file(names)).into());
            }
            line.extend(R::of(&group.sums::<R>(currencies)).cells());
            sheet.line(line)?;
        }
        sheet.finish(is_incomplete)
    }
}

fn dimension(column: Column) -> Option<Dimension> {
    column.facet()?.dimension()
}

fn id_name(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Offer => "network_offer_id",
        Dimension::Affiliate => "network_affiliate_id",
        Dimension::Advertiser => "network_advertiser_id",
        Dimension::Code => "network_coupon_code_id",
    }
}
