//! What all edited objects have in common as rows: an id, three times, soft deletion, and lists
//! with pages and filters.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::str::FromStr;

use jiff::civil::Date;
use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row, params_from_iter};

use super::{ReadTx, StoreError, WriteTx};

mod filters;

pub use filters::{Compared, DELETED, Filter, FilterError, Filterable, NAME, Operator, Vocabulary};
pub(super) use filters::{conditions, only_deletion};

/// An object and the row around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// Never used again.
    pub id: u32,
    /// As edited.
    pub object: T,
    /// When it came, was last saved, and was deleted (0: it was not), in Unix seconds.
    pub times: Times,
}

/// The three times of a row, in Unix seconds, and its revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Times {
    /// Grows with every change; never the same for two states of a row.
    #[serde(skip)]
    pub revision: u64,
    /// Creation.
    pub time_created: i64,
    /// Last edit.
    pub time_saved: i64,
    /// Soft deletion, or 0.
    pub time_deleted: i64,
}

/// An object that is kept as one row, and perhaps parts in other tables.
pub trait Entity: Sized {
    /// The table.
    const TABLE: &'static str;
    /// What `read` reads, from column [`FIRST`] on.
    const SELECT: &'static str;
    /// Further columns that a restoration sets, such as `, offer_status = 'paused'`.
    const ON_RESTORE: &'static str = "";
    /// What lists can be filtered by.
    const FILTERS: &'static [Filterable];

    /// Reads the object.
    ///
    /// # Errors
    /// When a column does not hold what this program wrote.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self>;
    /// The columns and what they are to hold.
    fn columns(&self) -> Vec<(&'static str, Value)>;
    /// Writes what stands in other tables.
    ///
    /// # Errors
    /// When SQLite fails.
    fn save_parts(&self, _tx: &WriteTx<'_>, _id: u32) -> Result<(), StoreError> {
        Ok(())
    }
    /// Reads what stands in other tables.
    ///
    /// # Errors
    /// When SQLite fails.
    fn load_parts(_connection: &ReadTx<'_>, _rows: &mut [Stored<Self>]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The first column after id and times.
pub const FIRST: usize = 5;
const COMMON: &str = "id, time_created, time_saved, time_deleted, revision";

/// The object with this id, unless it was deleted.
///
/// # Errors
/// When SQLite fails.
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

/// The object with this id, deleted or not.
///
/// # Errors
/// When SQLite fails.
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

/// One page of the objects, and how many there are on all pages: of those that are not deleted,
/// unless a filter asks for the deleted ones.
///
/// # Errors
/// When SQLite fails.
pub fn list<T: Entity>(
    connection: &ReadTx<'_>,
    query: &Query,
) -> Result<Listed<Stored<T>>, StoreError> {
    let select = format!("SELECT {COMMON}, {}", T::SELECT);
    let mut listed = list_rows(connection, &select, T::TABLE, query, read_stored::<T>)?;
    T::load_parts(connection, &mut listed.rows)?;
    Ok(listed)
}

/// Adds a row and answers its id.
///
/// # Errors
/// When SQLite fails.
pub fn insert<T: Entity>(tx: &WriteTx<'_>, object: &T) -> Result<u32, StoreError> {
    let columns = object.columns();
    let (mut names, mut places) = (String::new(), String::new());
    for (index, (name, _)) in columns.iter().enumerate() {
        let _ = write!(names, ", {name}");
        let _ = write!(places, ", ?{}", index + 2);
    }
    let sql = format!(
        "INSERT INTO {} (time_created, time_saved{names}) VALUES (?1, ?1{places}) RETURNING id",
        T::TABLE
    );
    let values = std::iter::once(Value::Integer(tx.now()))
        .chain(columns.into_iter().map(|(_, value)| value));
    let id = tx.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
    object.save_parts(tx, id)?;
    Ok(id)
}

/// Replaces what a row holds.
///
/// # Errors
/// When SQLite fails.
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
///
/// # Errors
/// When SQLite fails.
pub fn delete<T: Entity>(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    let sql = format!("UPDATE {} SET time_saved = ?2, time_deleted = ?2 WHERE id = ?1", T::TABLE);
    tx.prepare_cached(&sql)?.execute((id, tx.now()))?;
    Ok(())
}

/// Takes back that a row was marked as deleted.
///
/// # Errors
/// When SQLite fails.
pub fn restore<T: Entity>(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE {} SET time_saved = ?2, time_deleted = 0{} WHERE id = ?1",
        T::TABLE,
        T::ON_RESTORE
    );
    tx.prepare_cached(&sql)?.execute((id, tx.now()))?;
    Ok(())
}

/// Whether there is such a row and it is not deleted.
///
/// # Errors
/// When SQLite fails.
pub fn exists<T: Entity>(connection: &ReadTx<'_>, id: u32) -> Result<bool, StoreError> {
    let sql = format!("SELECT 1 FROM {} WHERE id = ?1 AND time_deleted = 0", T::TABLE);
    Ok(connection.prepare_cached(&sql)?.exists([id])?)
}

fn read_stored<T: Entity>(row: &Row<'_>) -> rusqlite::Result<Stored<T>> {
    Ok(Stored { id: row.get(0)?, object: T::read(row)?, times: read_times(row, 1)? })
}

/// Three columns, from `at` on, and the one that is called `revision`.
pub(super) fn read_times(row: &Row<'_>, at: usize) -> rusqlite::Result<Times> {
    Ok(Times {
        revision: row.get("revision")?,
        time_created: row.get(at)?,
        time_saved: row.get(at + 1)?,
        time_deleted: row.get(at + 2)?,
    })
}

/// A word of a closed set, or any other text with a form.
pub(super) fn word<T>(row: &Row<'_>, at: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text = row.get_ref(at)?.as_str()?;
    text.parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

/// A civil day, or none.
pub(super) fn day(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Date>> {
    if row.get_ref(at)? == rusqlite::types::ValueRef::Null {
        Ok(None)
    } else {
        word(row, at).map(Some)
    }
}

/// As the column holds it.
pub(super) fn day_text(day: Option<Date>) -> Option<String> {
    day.map(|day| day.to_string())
}

/// Which rows of a list are wanted.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// None: by id, or as the resource sees fit.
    pub sort: Option<Sort>,
    /// None: all rows.
    pub page: Option<Page>,
}

/// The order of a list; rows that are equal in it stand in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// From a [`Filterable`], never from a request.
    pub column: &'static str,
    /// The greatest first.
    pub is_descending: bool,
}

impl Sort {
    /// What stands after `ORDER BY`, in one direction or the other.
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
    /// Rows.
    pub size: u32,
}

/// A page and how many rows there are on all pages.
#[derive(Debug)]
pub struct Listed<T> {
    /// In the order that was asked for.
    pub rows: Vec<T>,
    /// On all pages.
    pub total_count: u64,
}

/// Runs the list of a table that has some ten thousand rows at most: they are counted and sorted.
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
    Ok(Listed { rows, total_count })
}

/// Two texts for each id, by a query that takes one id: names and states for `relationship`.
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
