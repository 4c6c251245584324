//! Selects the codes of a list page, and counts the codes on all pages, without scanning a million
//! rows for a page of fifty.
//!
//! Triggers keep counts by offer, partner and status, so these are never counted here. Each sort
//! field has an index in its order, which also holds these three columns, except a bare index
//! ([`is_bare`]). So a page is either a short walk along one index or, if a condition leaves only
//! [`FEW`] rows, a sort of the rows from the condition's index. A walk along a bare index reads the
//! row of each code it passes, so the limit for sorting is higher there. Only a search for a part
//! of a code scans all codes, in the narrowest index with codes.
//!
//! The queries name their indexes: SQLite does not know how many rows have a value and would guess.

use std::fmt::Write as _;

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use crate::store::rows::{self, DELETED, Filter, Operator, Page, Query, Sort};
use crate::store::{ReadTx, StoreError};

/// Number of rows that can be sorted in unnoticeable time.
const FEW: u64 = 20_000;
/// Number of rows to sort rather than walk past along a bare index.
const MANY: u64 = 500_000;
/// Ids per row of `coupon_code_block`, as a power of two.
const BLOCK_BITS: u32 = 12;

/// Ids of a page, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) ids: Vec<u32>,
    pub(super) total_count: u64,
}

pub(super) fn select(connection: &ReadTx<'_>, query: &Query) -> Result<Selected, StoreError> {
    let filters = query.filters.as_slice();
    if filters.iter().any(is_of_deletion) {
        return of_state(connection, query);
    }
    let sort = query.sort.unwrap_or_else(|| default_sort(filters));
    let window = Window::new(query.page);
    if filters.is_empty() && sort.column == "id" {
        return by_blocks(connection, sort, window);
    }
    let narrowest = narrowest(connection, filters)?;
    if let Some((index, rows)) = narrowest
        && rows <= FEW
        && !(sort.column == "id" && filters.iter().all(is_counted))
    {
        return collect(connection, index, filters, sort, window);
    }
    if filters.iter().any(|filter| filter.operator == Operator::Contains) {
        return collect(connection, index_of("folded"), filters, sort, window);
    }
    if filters.iter().all(is_counted) {
        let total = counted(connection, filters)?;
        if let Some((index, rows)) = narrowest
            && is_bare(sort.column)
            && rows <= MANY.min(window.passed(total, counted(connection, &[])?))
        {
            return collect(connection, index, filters, sort, window);
        }
        let index = narrowest
            .map(|(index, _)| index)
            .filter(|_| sort.column == "id")
            .unwrap_or(index_of(sort.column));
        return walk(connection, index, filters, sort, window, total);
    }
    ranged(connection, filters, sort, window, narrowest)
}

/// A prefix search uses the order of codes; other lists use the order of creation.
fn default_sort(filters: &[Filter]) -> Sort {
    let is_prefix = filters.iter().any(|filter| filter.operator == Operator::Prefix);
    Sort { column: if is_prefix { "folded" } else { "id" }, is_descending: false }
}

/// With a range of ids, codes, days or times among the filters.
fn ranged(
    connection: &ReadTx<'_>,
    filters: &[Filter],
    sort: Sort,
    window: Window,
    narrowest: Option<Narrowest>,
) -> Result<Selected, StoreError> {
    let driving = filters.iter().find(|filter| filter.column == sort.column);
    let driving = driving.or_else(|| filters.iter().find(|filter| !is_counted(filter)));
    let driving = driving.map_or("id", |filter| filter.column);
    let mut index = index_of(driving);
    if let Some((narrower, rows)) = narrowest
        && is_bare(driving)
        && rows < count(connection, index, &filters_on(driving, filters))?
    {
        index = narrower;
    }
    let total = count(connection, index, filters)?;
    // If the range covers most codes, a walk along the other order soon meets some.
    let is_rare = total <= counted(connection, &[])? / 2;
    if total <= FEW || sort.column == "id" && is_rare && index != index_of("id") {
        return collect(connection, index, filters, sort, window);
    }
    walk(connection, index_of(sort.column), filters, sort, window, total)
}

/// Both ends of a range, where the query has both.
fn filters_on(column: &str, filters: &[Filter]) -> Vec<Filter> {
    filters.iter().filter(|filter| filter.column == column).cloned().collect()
}

/// Index in the order of a column, then of ids.
fn index_of(column: &str) -> &'static str {
    match column {
        "folded" => "INDEXED BY coupon_code_published",
        "offer_id" => "INDEXED BY coupon_code_by_offer",
        "affiliate_id" => "INDEXED BY coupon_code_by_affiliate",
        "status" => "INDEXED BY coupon_code_by_status",
        "start_date" => "INDEXED BY coupon_code_by_start_date",
        "end_date" => "INDEXED BY coupon_code_by_end_date",
        "time_created" => "INDEXED BY coupon_code_by_time_created",
        "time_saved" => "INDEXED BY coupon_code_by_time_saved",
        _ => "NOT INDEXED",
    }
}

/// Whether the index in the order of a column holds no other column.
fn is_bare(column: &str) -> bool {
    matches!(column, "start_date" | "end_date" | "time_created")
}

/// Whether the kept counts cover a filter.
fn is_counted(filter: &Filter) -> bool {
    filter.operator == Operator::Equal
        && matches!(filter.column, "offer_id" | "affiliate_id" | "status")
}

fn is_unique(filter: &Filter) -> bool {
    filter.operator == Operator::Equal && matches!(filter.column, "id" | "folded")
}

/// An index, and the number of rows that match the filter on its column.
type Narrowest = (&'static str, u64);

/// Index of the filter with the fewest matching rows.
fn narrowest(connection: &ReadTx<'_>, filters: &[Filter]) -> Result<Option<Narrowest>, StoreError> {
    if let Some(unique) = filters.iter().find(|filter| is_unique(filter)) {
        return Ok(Some((index_of(unique.column), 1)));
    }
    let mut narrowest: Option<Narrowest> = None;
    for filter in filters.iter().filter(|filter| is_counted(filter)) {
        let rows = counted(connection, std::slice::from_ref(filter))?;
        if narrowest.is_none_or(|(_, least)| rows < least) {
            narrowest = Some((index_of(filter.column), rows));
        }
    }
    Ok(narrowest)
}

/// Number of rows, from the kept counts.
fn counted(connection: &ReadTx<'_>, filters: &[Filter]) -> Result<u64, StoreError> {
    let mut sql = String::from("SELECT ifnull(sum(codes), 0) FROM coupon_code_count WHERE 1");
    for (place, filter) in (1..).zip(filters) {
        let _ = write!(sql, " AND {} = ifnull(?{place}, 0)", filter.column);
    }
    let values = filters.iter().map(|filter| &filter.value);
    Ok(connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?)
}

fn count(connection: &ReadTx<'_>, index: &str, filters: &[Filter]) -> Result<u64, StoreError> {
    let (condition, values) = rows::conditions("time_deleted = 0", filters);
    let sql = format!("SELECT count(*) FROM coupon_code {index} WHERE {condition}");
    Ok(connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?)
}

/// Reads all matching rows, sorts, and cuts the page.
fn collect(
    connection: &ReadTx<'_>,
    index: &str,
    filters: &[Filter],
    sort: Sort,
    window: Window,
) -> Result<Selected, StoreError> {
    let (condition, values) = rows::conditions("time_deleted = 0", filters);
    let mut sql = format!("SELECT id FROM coupon_code {index} WHERE {condition}");
    if sort.column != "id" {
        let _ = write!(sql, " ORDER BY {}", sort.by(sort.is_descending));
    }
    let mut ids = ids(connection, &sql, values)?;
    if sort.column == "id" {
        ids.sort_unstable();
        if sort.is_descending {
            ids.reverse();
        }
    }
    Ok(window.cut(ids))
}

/// Walks along an index in the page's order, from the nearer end.
fn walk(
    connection: &ReadTx<'_>,
    index: &str,
    filters: &[Filter],
    sort: Sort,
    window: Window,
    total_count: u64,
) -> Result<Selected, StoreError> {
    let Window { from, to } = window.within(total_count);
    let from_end = from > total_count - to;
    let skipped = if from_end { total_count - to } else { from };
    let (condition, values) = rows::conditions("time_deleted = 0", filters);
    let order = sort.by(sort.is_descending != from_end);
    let sql = format!(
        "SELECT id FROM coupon_code {index} WHERE {condition} ORDER BY {order} LIMIT {} OFFSET {skipped}",
        to - from
    );
    let mut ids = ids(connection, &sql, values)?;
    if from_end {
        ids.reverse();
    }
    Ok(Selected { ids, total_count })
}

/// Lists with a filter on deletion. Deleted codes have an index of their own and are sorted; no
/// other index contains them.
fn of_state(connection: &ReadTx<'_>, query: &Query) -> Result<Selected, StoreError> {
    let is_of_deleted =
        |filter: &Filter| is_of_deletion(filter) && filter.operator == Operator::Greater;
    if !query.filters.iter().any(is_of_deleted) {
        let filters = query.filters.iter().filter(|filter| !is_of_deletion(filter)).cloned();
        return select(connection, &Query { filters: filters.collect(), ..query.clone() });
    }
    let sort = query.sort.unwrap_or_else(|| default_sort(&query.filters));
    let (condition, values) = rows::conditions("time_deleted <> 0", &query.filters);
    let sql = format!(
        "SELECT id FROM coupon_code INDEXED BY coupon_code_deleted WHERE {condition} ORDER BY {}",
        sort.by(sort.is_descending)
    );
    Ok(Window::new(query.page).cut(ids(connection, &sql, values)?))
}

fn is_of_deletion(filter: &Filter) -> bool {
    filter.column == DELETED.column
}

/// All codes by id: the counts of blocks give the start of a page.
fn by_blocks(connection: &ReadTx<'_>, sort: Sort, window: Window) -> Result<Selected, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT block, codes FROM coupon_code_block ORDER BY block")?;
    let blocks: Vec<(u32, u64)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let total_count = blocks.iter().map(|(_, codes)| codes).sum();
    let Window { mut from, mut to } = window.within(total_count);
    if sort.is_descending {
        (from, to) = (total_count - to, total_count - from);
    }
    let (mut block, mut before) = (0, 0);
    for (next, codes) in blocks {
        block = next;
        if before + codes > from {
            break;
        }
        before += codes;
    }
    let sql = format!(
        "SELECT id FROM coupon_code WHERE id >= ?1 AND time_deleted = 0 ORDER BY id LIMIT {} OFFSET {}",
        to - from,
        from - before
    );
    let first_id = i64::from(block) << BLOCK_BITS;
    let mut ids = ids(connection, &sql, vec![first_id.into()])?;
    if sort.is_descending {
        ids.reverse();
    }
    Ok(Selected { ids, total_count })
}

fn ids(connection: &ReadTx<'_>, sql: &str, values: Vec<Value>) -> Result<Vec<u32>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map(params_from_iter(values), |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Range of a page within the whole list.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: u64,
    to: u64,
}

impl Window {
    fn new(page: Option<Page>) -> Window {
        let Some(Page { number, size }) = page else { return Window { from: 0, to: u64::MAX } };
        let from = u64::from(number.saturating_sub(1)) * u64::from(size);
        Window { from, to: from + u64::from(size) }
    }

    /// The part of the range that exists.
    fn within(self, total_count: u64) -> Window {
        let from = self.from.min(total_count);
        Window { from, to: self.to.clamp(from, total_count) }
    }

    /// The ids of the range.
    fn cut(self, ids: Vec<u32>) -> Selected {
        let total_count = ids.len() as u64;
        let Window { from, to } = self.within(total_count);
        Selected { ids: ids[from as usize..to as usize].to_vec(), total_count }
    }

    /// Number of codes that a walk to the page passes if matching codes are spread evenly.
    fn passed(self, total_count: u64, codes: u64) -> u64 {
        let Window { from, to } = self.within(total_count);
        to.min(total_count - from) * (codes / total_count.max(1)).max(1)
    }
}

pub(super) mod keyset;

#[cfg(test)]
mod tests;
