//! Pages before or behind a row: any page takes as long as the first one, because nothing is counted
//! or passed over on the way to it.
//!
//! The rows come first. The number of all rows follows from the kept counts or, where these do not
//! say it, from a count that stops at [`COUNTED`], in a search at [`COUNTED_IN_SEARCH`].

use rusqlite::types::Value;

use super::{
    FEW, MANY, Narrowest, counted, default_sort, ids, index_of, is_bare, is_counted,
    is_of_deletion, narrowest,
};
use crate::store::rows::{
    Bound, Direction, Filter, Keyset, KeysetEnds, Operator, Query, RowPlace, Sort,
    conditions_beside,
};
use crate::store::{ReadTx, StoreError};

/// Rows at which a count stops.
const COUNTED: u64 = 10_000;
/// The same in a search for a part of a code, which passes many codes for each that it finds.
const COUNTED_IN_SEARCH: u64 = 1_000;
/// Codes at the beginning of a list that tell whether a search soon finds enough along its order.
const SAMPLED: u32 = 100_000;

/// Ids of a page, in order, and the places where the pages beside it begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeysetPage {
    pub(crate) ids: Vec<u32>,
    pub(crate) total_count: u64,
    pub(crate) ends: KeysetEnds,
}

/// The filters and the order of a list, with what the query has to know about them.
struct List<'q> {
    filters: Vec<&'q Filter>,
    sort: Sort,
    /// The column of cursors: that of the requested order.
    column: &'static str,
    is_of_deleted: bool,
}

/// How the rows of a list are found.
struct Plan {
    /// The index that the page is read from.
    index: &'static str,
    /// The index that rows are counted in.
    count_index: &'static str,
    total: Option<u64>,
}

pub(crate) fn select(
    connection: &ReadTx<'_>,
    query: &Query,
    keyset: &Keyset,
) -> Result<KeysetPage, StoreError> {
    let list = List::new(query);
    let plan = list.plan(connection, keyset.size)?;
    let limit = keyset.size as usize + 1;
    let mut ids = list.read(connection, plan.index, keyset, limit)?;
    let has_more = ids.len() == limit;
    ids.truncate(keyset.size as usize);
    let is_whole = !has_more && keyset.row.is_none();
    let total = plan.total.or(is_whole.then_some(ids.len() as u64));
    let most = list.most_counted();
    let total = total.map_or_else(|| list.count(connection, plan.count_index, most), Ok)?;
    // Rows lie in the direction of reading if more were read, and on the other side if the page
    // does not begin at an end of the list.
    let (mut has_before, mut has_after) = (keyset.row.is_some(), has_more);
    if keyset.direction == Direction::Before {
        ids.reverse();
        std::mem::swap(&mut has_before, &mut has_after);
    }
    let row_place = |id: Option<&u32>, is_wanted: bool| match id.filter(|_| is_wanted) {
        Some(id) => list.read_place(connection, *id).map(Some),
        None => Ok(None),
    };
    let ends = KeysetEnds {
        before: row_place(ids.first(), has_before)?,
        after: row_place(ids.last(), has_after)?,
        is_total_exact: total <= most || plan.total.is_some(),
    };
    let total_count = if ends.is_total_exact { total } else { most };
    Ok(KeysetPage { ids, total_count, ends })
}

impl<'q> List<'q> {
    fn new(query: &'q Query) -> List<'q> {
        let is_of_deleted =
            |filter: &&Filter| is_of_deletion(filter) && filter.operator == Operator::Greater;
        let wanted = query.sort.unwrap_or_else(|| default_sort(&query.filters));
        let is_equal =
            |filter: &Filter| filter.column == wanted.column && filter.operator == Operator::Equal;
        // If all rows have the same value, their order is that of the ids.
        let has_one_value = query.filters.iter().any(is_equal);
        let sort = if has_one_value { Sort { column: "id", ..wanted } } else { wanted };
        List {
            filters: query.filters.iter().filter(|filter| !is_of_deletion(filter)).collect(),
            sort,
            column: wanted.column,
            is_of_deleted: query.filters.iter().any(|filter| is_of_deleted(&filter)),
        }
    }

    fn plan(&self, connection: &ReadTx<'_>, size: u32) -> Result<Plan, StoreError> {
        let through = |index| Plan { index, count_index: index, total: None };
        if self.is_of_deleted {
            return Ok(through("INDEXED BY coupon_code_deleted"));
        }
        let own = index_of(self.sort.column);
        let filters: Vec<Filter> = self.filters.iter().map(|filter| (*filter).clone()).collect();
        let is_counted = filters.iter().all(is_counted);
        let total = if is_counted { Some(counted(connection, &filters)?) } else { None };
        let narrowest = narrowest(connection, &filters)?;
        if let Some((index, rows)) = narrowest
            && (rows <= FEW || self.is_sorted_through(narrowest, total, size, connection)?)
        {
            return Ok(Plan { total, ..through(index) });
        }
        if is_counted {
            let by_id = narrowest.filter(|_| self.sort.column == "id");
            return Ok(Plan { total, ..through(by_id.map_or(own, |(index, _)| index)) });
        }
        self.ranged(connection, own, narrowest, size)
    }

    fn most_counted(&self) -> u64 {
        if self.is_search() { COUNTED_IN_SEARCH } else { COUNTED }
    }

    fn is_search(&self) -> bool {
        self.filters.iter().any(|filter| filter.operator == Operator::Contains)
    }

    /// Whether the rows of the narrowest filter are sorted, rather than a walk along a bare index
    /// reading the row of each code that it passes.
    fn is_sorted_through(
        &self,
        narrowest: Option<Narrowest>,
        total: Option<u64>,
        size: u32,
        connection: &ReadTx<'_>,
    ) -> Result<bool, StoreError> {
        let (Some((_, rows)), Some(total)) = (narrowest, total) else { return Ok(false) };
        if !is_bare(self.sort.column) {
            return Ok(false);
        }
        let passed = u64::from(size) * (counted(connection, &[])? / total.max(1)).max(1);
        Ok(rows <= MANY.min(passed))
    }

    /// With a part of a code, or a range of ids, codes, days or times among the filters. If few rows
    /// match, they are sorted; if many match, a walk along the order soon meets enough of them.
    fn ranged(
        &self,
        connection: &ReadTx<'_>,
        own: &'static str,
        narrowest: Option<Narrowest>,
        size: u32,
    ) -> Result<Plan, StoreError> {
        let is_contained = |filter: &&&Filter| filter.operator == Operator::Contains;
        let of_sort = |filter: &&&Filter| filter.column == self.sort.column;
        let is_range = |filter: &&&Filter| !is_counted(filter);
        let driving = self.filters.iter().find(is_contained);
        let driving = driving.or_else(|| self.filters.iter().find(of_sort));
        let driving = driving.or_else(|| self.filters.iter().find(is_range));
        let mut index = index_of(driving.map_or("id", |filter| filter.column));
        if index == own {
            return Ok(Plan { index, count_index: index, total: None });
        }
        if self.is_search() && self.is_frequent(connection, own, size)? {
            return Ok(Plan { index: own, count_index: index, total: None });
        }
        // Sorting by ids needs no look at the rows.
        let few = if self.sort.column == "id" { MANY } else { FEW };
        if let Some((narrower, rows)) = narrowest
            && rows <= few
        {
            index = narrower;
        }
        let rows = self.count(connection, index, few)?;
        let total = (rows <= few).then_some(rows);
        let read_from = if rows <= few { index } else { own };
        Ok(Plan { index: read_from, count_index: index, total })
    }

    /// Whether the beginning of the list has a page of matching rows, so that a walk along its
    /// order soon meets enough of them everywhere.
    fn is_frequent(
        &self,
        connection: &ReadTx<'_>,
        own: &str,
        size: u32,
    ) -> Result<bool, StoreError> {
        let mut values = Vec::new();
        let condition = conditions_beside("1", &self.filters, None, &mut values);
        let (base, order) = (self.base(), self.sort.by(self.sort.is_descending));
        let sql = format!(
            "SELECT count(*) FROM (SELECT * FROM coupon_code {own} WHERE {base} ORDER BY {order} \
             LIMIT {SAMPLED}) WHERE {condition}"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let found: u64 =
            statement.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
        Ok(found > size.into())
    }

    /// Rows of a page in the direction of reading, at most `limit`.
    fn read(
        &self,
        connection: &ReadTx<'_>,
        index: &str,
        keyset: &Keyset,
        limit: usize,
    ) -> Result<Vec<u32>, StoreError> {
        let is_back = keyset.direction == Direction::Before;
        let is_descending = self.sort.is_descending != is_back;
        let order = self.sort.by(is_descending);
        let mut found = Vec::new();
        for (segment, mut values) in self.segments(keyset.row.as_ref(), is_descending) {
            let beside = if segment.is_empty() { None } else { Some(self.bound(is_descending)) };
            let first = format!("{}{segment}", self.base());
            let condition = conditions_beside(&first, &self.filters, beside, &mut values);
            let sql = format!(
                "SELECT id FROM coupon_code {index} WHERE {condition} ORDER BY {order} LIMIT {}",
                limit - found.len()
            );
            found.extend(ids(connection, &sql, values)?);
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    /// Conditions that select the rows behind a row in the direction of reading, each with its
    /// values, in the order of reading: rows with the same value, then the others. Rows without a
    /// value come before all others, and compare as neither smaller nor greater.
    ///
    /// One comparison of pairs would say the same, but SQLite seeks by the first column of the pair
    /// only, and many rows may have one value.
    fn segments(
        &self,
        behind: Option<&RowPlace>,
        is_descending: bool,
    ) -> Vec<(String, Vec<Value>)> {
        let Some(RowPlace { value, id, .. }) = behind else {
            return vec![(String::new(), Vec::new())];
        };
        let (column, id) = (self.sort.column, Value::from(*id));
        let sign = if is_descending { '<' } else { '>' };
        if column == "id" {
            return vec![(format!(" AND id {sign} ?1"), vec![id])];
        }
        let same = format!(" AND {column} IS ?1 AND id {sign} ?2");
        let mut segments = vec![(same, vec![value.clone(), id])];
        let is_without = *value == Value::Null;
        if !is_without {
            segments.push((format!(" AND {column} {sign} ?1"), vec![value.clone()]));
        } else if !is_descending {
            segments.push((format!(" AND {column} >= ?1"), vec![least(column)]));
        }
        if is_descending && !is_without && is_nullable(column) {
            segments.push((format!(" AND {column} IS NULL"), Vec::new()));
        }
        segments
    }

    /// The bound that a condition on a row's place sets on the sort column.
    fn bound(&self, is_descending: bool) -> (&'static str, Bound) {
        (self.sort.column, if is_descending { Bound::Upper } else { Bound::Lower })
    }

    fn base(&self) -> &'static str {
        if self.is_of_deleted { "time_deleted <> 0" } else { "time_deleted = 0" }
    }

    /// Number of rows, or one more than `most`.
    fn count(&self, connection: &ReadTx<'_>, index: &str, most: u64) -> Result<u64, StoreError> {
        let mut values = Vec::new();
        let condition = conditions_beside(self.base(), &self.filters, None, &mut values);
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM coupon_code {index} WHERE {condition} LIMIT {})",
            most + 1
        );
        let mut statement = connection.prepare_cached(&sql)?;
        Ok(statement.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?)
    }

    fn read_place(&self, connection: &ReadTx<'_>, id: u32) -> Result<RowPlace, StoreError> {
        let sql = format!("SELECT {} FROM coupon_code WHERE id = ?1", self.column);
        let value = connection.prepare_cached(&sql)?.query_row([id], |row| row.get(0))?;
        Ok(RowPlace { column: self.column, value, id })
    }
}

fn is_nullable(column: &str) -> bool {
    matches!(column, "affiliate_id" | "start_date" | "end_date")
}

/// A value not above any value of a column that may be NULL.
fn least(column: &str) -> Value {
    if column == "affiliate_id" { 0.into() } else { String::new().into() }
}
