//! Common parts of all edited objects as rows: id, three times, soft deletion, and lists with pages
//! and filters.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::str::FromStr;

use jiff::civil::Date;
use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ReadTx, StoreError, WriteTx};

mod filters;

pub(super) use filters::{Bound, conditions, conditions_beside, only_deletion};
pub use filters::{
    Compared, DELETED, Filter, FilterError, FilterTextError, Filterable, NAME, Operator,
    Vocabulary, parse_filter,
};

/// An object with its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// Never reused.
    pub id: u32,
    /// The editable fields.
    pub object: T,
    /// Times of creation, last edit and deletion (0 for none), in Unix seconds.
    pub times: Times,
}

/// The three times of a row, in Unix seconds, and its revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Times {
    /// Increases with each change; two states of a row never share a revision.
    #[serde(skip)]
    pub revision: u64,
    /// Creation.
    pub time_created: i64,
    /// Last edit.
    pub time_saved: i64,
    /// Soft deletion, or 0.
    pub time_deleted: i64,
}

/// An object stored as one row, possibly with parts in other tables.
pub trait Entity: Sized {
    /// The table.
    const TABLE: &'static str;
    /// Columns of `read`, from column [`FIRST`] on.
    const SELECT: &'static str;
    /// Further columns that a restore sets, such as `, offer_status = 'paused'`.
    const ON_RESTORE: &'static str = "";
    /// Filters of lists.
    const FILTERS: &'static [Filterable];

    /// Reads the object.
    ///
    /// # Errors
    /// When a column does not hold what this program wrote.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self>;
    /// Columns with their values.
    fn columns(&self) -> Vec<(&'static str, Value)>;
    /// Writes the parts in other tables.
    fn save_parts(&self, _tx: &WriteTx<'_>, _id: u32) -> Result<(), StoreError> {
        Ok(())
    }
    /// Reads the parts in other tables.
    fn load_parts(_connection: &ReadTx<'_>, _rows: &mut [Stored<Self>]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// First column after id and times.
pub const FIRST: usize = 5;
const COMMON: &str = "id, time_created, time_saved, time_deleted, revision";

/// Finds an object by id, unless deleted.
pub fn find<T: Entity>(connection: &ReadTx<'_>, id: u32) -> Result<Option<Stored<T>>, StoreError> {
    let sql = format!(
        "SELECT {COMMON}, {} FROM {} WHERE id = ?1 AND time_deleted = 0",
        T::SELECT,
        T::TABLE
    );
    let row = connection.prepare_cached(&sql)?.query_row([id], read_stored::<T>).optional()?;
    let mut rows: Vec<Stored<T>> = row.into_iter().collect();
    T::load_parts(connection, &mut rows)?;
    Ok(rows.pop())
}

/// Finds an object by id, deleted or not.
pub fn find_including_deleted<T: Entity>(
    connection: &ReadTx<'_>,
    id: u32,
) -> Result<Option<Stored<T>>, StoreError> {
    let sql = format!("SELECT {COMMON}, {} FROM {} WHERE id = ?1", T::SELECT, T::TABLE);
    let row = connection.prepare_cached(&sql)?.query_row([id], read_stored::<T>).optional()?;
    let mut rows: Vec<Stored<T>> = row.into_iter().collect();
    T::load_parts(connection, &mut rows)?;
    Ok(rows.pop())
}

/// One page of the objects, and the number on all pages. Deleted objects are listed only if a
/// filter selects them.
pub fn list<T: Entity>(
    connection: &ReadTx<'_>,
    query: &Query,
) -> Result<Listed<Stored<T>>, StoreError> {
    let mut listed = list_without_parts(connection, query)?;
    T::load_parts(connection, &mut listed.rows)?;
    Ok(listed)
}

/// Like [`list`], without the parts in other tables.
pub(super) fn list_without_parts<T: Entity>(
    connection: &ReadTx<'_>,
    query: &Query,
) -> Result<Listed<Stored<T>>, StoreError> {
    let select = format!("SELECT {COMMON}, {}", T::SELECT);
    list_rows(connection, &select, T::TABLE, query, read_stored::<T>)
}

/// Inserts a row and returns its id.
pub fn insert<T: Entity>(tx: &WriteTx<'_>, object: &T) -> Result<u32, StoreError> {
    insert_row(tx, None, object)
}

/// Inserts a row under an id that no row has, deleted ones included. Later rows get higher ids.
pub fn insert_with_id<T: Entity>(tx: &WriteTx<'_>, id: u32, object: &T) -> Result<(), StoreError> {
    insert_row(tx, Some(id), object).map(drop)
}

fn insert_row<T: Entity>(tx: &WriteTx<'_>, id: Option<u32>, object: &T) -> Result<u32, StoreError> {
    let columns = object.columns();
    let (mut names, mut places) = (String::new(), String::new());
    for (index, (name, _)) in columns.iter().enumerate() {
        let _ = write!(names, ", {name}");
        let _ = write!(places, ", ?{}", index + 3);
    }
    // SQLite gives the next id in the place of NULL.
    let sql = format!(
        "INSERT INTO {} (id, time_created, time_saved{names}) VALUES (?1, ?2, ?2{places}) \
         RETURNING id",
        T::TABLE
    );
    let values = [id.map_or(Value::Null, Value::from), Value::Integer(tx.now())];
    let values = values.into_iter().chain(columns.into_iter().map(|(_, value)| value));
    let id = tx.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
    object.save_parts(tx, id)?;
    Ok(id)
}

/// Replaces the fields of a row.
pub fn update<T: Entity>(tx: &WriteTx<'_>, id: u32, object: &T) -> Result<(), StoreError> {
    let columns = object.columns();
    let mut set = String::new();
    for (index, (name, _)) in columns.iter().enumerate() {
        let _ = write!(set, ", {name} = ?{}", index + 3);
    }
    let sql = format!("UPDATE {} SET time_saved = ?2{set} WHERE id = ?1", T::TABLE);
    let values = [Value::Integer(id.into()), Value::Integer(tx.now())];
    let values = values.into_iter().chain(columns.into_iter().map(|(_, value)| value));
    tx.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    object.save_parts(tx, id)
}

/// Marks a row as deleted.
pub fn delete<T: Entity>(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    let sql = format!("UPDATE {} SET time_saved = ?2, time_deleted = ?2 WHERE id = ?1", T::TABLE);
    tx.prepare_cached(&sql)?.execute((id, tx.now()))?;
    Ok(())
}

/// Removes the deletion mark of a row.
pub fn restore<T: Entity>(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE {} SET time_saved = ?2, time_deleted = 0{} WHERE id = ?1",
        T::TABLE,
        T::ON_RESTORE
    );
    tx.prepare_cached(&sql)?.execute((id, tx.now()))?;
    Ok(())
}

/// Whether the row exists and is not deleted.
pub fn exists<T: Entity>(connection: &ReadTx<'_>, id: u32) -> Result<bool, StoreError> {
    let sql = format!("SELECT 1 FROM {} WHERE id = ?1 AND time_deleted = 0", T::TABLE);
    Ok(connection.prepare_cached(&sql)?.exists([id])?)
}

fn read_stored<T: Entity>(row: &Row<'_>) -> rusqlite::Result<Stored<T>> {
    Ok(Stored { id: row.get(0)?, object: T::read(row)?, times: read_times(row, 1)? })
}

/// Reads three columns from `at` on, and the column named `revision`.
pub(super) fn read_times(row: &Row<'_>, at: usize) -> rusqlite::Result<Times> {
    Ok(Times {
        revision: row.get("revision")?,
        time_created: row.get(at)?,
        time_saved: row.get(at + 1)?,
        time_deleted: row.get(at + 2)?,
    })
}

/// Reads a word of a closed set, or another text with a fixed form.
pub(super) fn word<T>(row: &Row<'_>, at: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text = row.get_ref(at)?.as_str()?;
    text.parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

/// Reads a JSON text.
pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(at)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

/// A value as a JSON text.
pub(super) fn json_column<T: Serialize>(value: &T) -> Value {
    // The columns refuse NULL.
    serde_json::to_string(value).map_or(Value::Null, Value::Text)
}

/// Reads a civil day or `None`.
pub(super) fn day(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Date>> {
    if row.get_ref(at)? == rusqlite::types::ValueRef::Null {
        Ok(None)
    } else {
        word(row, at).map(Some)
    }
}

/// A day as stored.
pub(super) fn day_text(day: Option<Date>) -> Option<String> {
    day.map(|day| day.to_string())
}

/// An id as stored; 0 is none.
pub(super) fn optional_id(id: u32) -> Value {
    if id == 0 { Value::Null } else { Value::Integer(id.into()) }
}

/// Filters, order and page of a list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// `None`: by id, or the default of the resource.
    pub sort: Option<Sort>,
    /// `None`: all rows, or those of `keyset`.
    pub page: Option<Page>,
    /// A page before or behind a row, for lists with cursors.
    pub keyset: Option<Keyset>,
}

/// Order of a list; equal rows are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// From a [`Filterable`], never from a request.
    pub(super) column: &'static str,
    /// Greatest first.
    pub is_descending: bool,
}

impl Sort {
    /// The `ORDER BY` expression, in either direction.
    pub(super) fn by(self, is_descending: bool) -> String {
        let (column, direction) = (self.column, if is_descending { " DESC" } else { "" });
        if column == "id" {
            format!("id{direction}")
        } else {
            format!("{column}{direction}, id{direction}")
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// Rows per page.
    pub size: u32,
}

/// A page of a list by its neighbours, which takes as long anywhere in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyset {
    /// The side of `row` on which the page lies.
    pub direction: Direction,
    /// The row beside the page. `None`: the beginning of the list, or its end.
    pub row: Option<RowPlace>,
    /// Rows per page.
    pub size: u32,
}

/// A side of a row in the order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Rows that follow.
    After,
    /// Rows that come before.
    Before,
}

/// The place of a row in a list. It stays when the row is changed or deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPlace {
    /// The column that the list is sorted by, from a [`Filterable`].
    pub(super) column: &'static str,
    /// The row's value of it.
    pub(super) value: Value,
    /// Rows with equal values are ordered by id.
    pub(super) id: u32,
}

impl Eq for RowPlace {}

impl RowPlace {
    /// Writes the place as a cursor: id, field and value.
    #[must_use]
    pub fn to_cursor(&self, fields: &[Filterable]) -> String {
        let field = fields.iter().find(|field| field.column == self.column);
        let value = match &self.value {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            // An id of nothing is 0 in requests, and a day that is not set is empty.
            _ if field.is_some_and(|field| matches!(field.kind, Compared::OptionalId)) => {
                "0".into()
            }
            _ => String::new(),
        };
        format!("{}:{}:{value}", self.id, field.map_or("", |field| field.field))
    }

    /// Reads a cursor; `None` if it is none of a list with these fields.
    #[must_use]
    pub fn parse(cursor: &str, fields: &[Filterable]) -> Option<RowPlace> {
        let (id, rest) = cursor.split_once(':')?;
        let (name, value) = rest.split_once(':')?;
        let field = fields.iter().find(|field| field.field == name)?;
        let value = field.filter(Operator::Equal, value).ok()?.value;
        Some(RowPlace { column: field.column, value, id: id.parse().ok()? })
    }

    /// The ascending order of the list.
    #[must_use]
    pub fn sort(&self) -> Sort {
        Sort { column: self.column, is_descending: false }
    }

    /// Whether the place is one in a list of this order.
    #[must_use]
    pub fn is_sorted_by(&self, sort: Sort) -> bool {
        self.column == sort.column
    }
}

/// The rows beside which the pages next to this one lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysetEnds {
    /// `None` on the first page.
    pub before: Option<RowPlace>,
    /// `None` on the last page.
    pub after: Option<RowPlace>,
    /// Whether the list has no more rows than its total count.
    pub is_total_exact: bool,
}

/// A page, and the number of rows on all pages.
#[derive(Debug)]
pub struct Listed<T> {
    /// In the requested order.
    pub rows: Vec<T>,
    /// On all pages.
    pub total_count: u64,
    /// For a page by its neighbours.
    pub ends: Option<KeysetEnds>,
}

impl<T> Listed<T> {
    /// A page by its number.
    #[must_use]
    pub fn new(rows: Vec<T>, total_count: u64) -> Listed<T> {
        Listed { rows, total_count, ends: None }
    }
}

/// Lists a table of at most some ten thousand rows, by counting and sorting.
pub(super) fn list_rows<T>(
    connection: &ReadTx<'_>,
    select: &str,
    table: &str,
    query: &Query,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Listed<T>, StoreError> {
    let (condition, values) = conditions(only_deletion(&query.filters), &query.filters);
    let count = format!("SELECT count(*) FROM {table} WHERE {condition}");
    let total_count = connection
        .prepare_cached(&count)?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let page = query.page.unwrap_or(Page { number: 1, size: u32::MAX });
    let offset = u64::from(page.number.saturating_sub(1)) * u64::from(page.size);
    let order = query.sort.map_or_else(|| "id".into(), |sort| sort.by(sort.is_descending));
    let rows = format!(
        "{select} FROM {table} WHERE {condition} ORDER BY {order} LIMIT {} OFFSET {offset}",
        page.size
    );
    let mut statement = connection.prepare_cached(&rows)?;
    let rows = statement.query_map(params_from_iter(&values), read)?.collect::<Result<_, _>>()?;
    Ok(Listed::new(rows, total_count))
}

/// Two texts per id, by a query for one id: names and states for `relationship`.
pub(super) fn labels(
    connection: &ReadTx<'_>,
    sql: &str,
    ids: &[u32],
) -> Result<HashMap<u32, (String, String)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = HashMap::new();
    for id in ids {
        if let Entry::Vacant(place) = found.entry(*id)
            && let Some(label) =
                statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?
        {
            place.insert(label);
        }
    }
    Ok(found)
}
