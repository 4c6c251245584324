//! Lists as users arrange them: columns, saved views, and the view that a list opens with.

use rusqlite::{OptionalExtension, Row};

use crate::catalog::ListName;
use crate::store::{ReadTx, StoreError, WriteTx};

/// A list with filters, order and columns, under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedView {
    /// Never reused.
    pub id: u32,
    /// The user who saved it.
    pub user_id: u32,
    /// Unique among the views of its user and list.
    pub name: String,
    /// Query of the list's address, without columns.
    pub query: String,
    /// Names of columns with commas between; empty: as delivered.
    pub columns: String,
    /// All staff see it.
    pub is_shared: bool,
}

/// A list as one user sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPreference {
    /// Names of columns with commas between; empty: as delivered.
    pub columns: String,
    /// The view that the list opens with.
    pub default_view_id: Option<u32>,
}

const COLUMNS: &str = "id, user_id, name, query, columns, is_shared";

fn read(row: &Row<'_>) -> rusqlite::Result<SavedView> {
    Ok(SavedView {
        id: row.get(0)?,
        user_id: row.get(1)?,
        name: row.get(2)?,
        query: row.get(3)?,
        columns: row.get(4)?,
        is_shared: row.get(5)?,
    })
}

/// Own and shared views of a list, by name.
pub fn list(
    connection: &ReadTx<'_>,
    user_id: u32,
    list: ListName,
) -> Result<Vec<SavedView>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM saved_view WHERE list = ?2 AND (user_id = ?1 OR is_shared = 1) \
         ORDER BY name, id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((user_id, list.as_str()), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Finds a view of a list.
pub fn find(
    connection: &ReadTx<'_>,
    list: ListName,
    id: u32,
) -> Result<Option<SavedView>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM saved_view WHERE id = ?1 AND list = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row((id, list.as_str()), read).optional()?)
}

/// Number of views that a user saved under other names than this one of this list.
pub fn count_others(
    connection: &ReadTx<'_>,
    user_id: u32,
    list: ListName,
    name: &str,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM saved_view WHERE user_id = ?1 AND (list, name) <> (?2, ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row((user_id, list.as_str(), name), |row| row.get(0))?)
}

/// Saves a view in place of the user's view of this name, and returns its id.
pub fn save(tx: &WriteTx<'_>, list: ListName, view: &SavedView) -> Result<u32, StoreError> {
    let sql = "INSERT INTO saved_view (user_id, list, name, query, columns, is_shared, time_created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (user_id, list, name) DO UPDATE \
               SET query = excluded.query, columns = excluded.columns, is_shared = excluded.is_shared \
               RETURNING id";
    let SavedView { user_id, name, query, columns, is_shared, .. } = view;
    let values = (user_id, list.as_str(), name, query, columns, is_shared, tx.now());
    Ok(tx.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
}

/// Deletes a view; lists that opened with it open as delivered.
pub fn delete(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    tx.execute("DELETE FROM saved_view WHERE id = ?1", [id])?;
    Ok(())
}

/// The list as the user arranged it.
pub fn preference(
    connection: &ReadTx<'_>,
    user_id: u32,
    list: ListName,
) -> Result<ListPreference, StoreError> {
    let sql =
        "SELECT columns, default_view_id FROM list_preference WHERE user_id = ?1 AND list = ?2";
    let found = connection.prepare_cached(sql)?.query_row((user_id, list.as_str()), |row| {
        Ok(ListPreference { columns: row.get(0)?, default_view_id: row.get(1)? })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Sets the columns of a list for a user.
pub fn set_columns(
    tx: &WriteTx<'_>,
    user_id: u32,
    list: ListName,
    columns: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO list_preference (user_id, list, columns) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO UPDATE SET columns = excluded.columns";
    tx.execute(sql, (user_id, list.as_str(), columns))?;
    Ok(())
}

/// Sets the view that a list opens with for a user.
pub fn set_default(
    tx: &WriteTx<'_>,
    user_id: u32,
    list: ListName,
    view_id: Option<u32>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO list_preference (user_id, list, default_view_id) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO UPDATE SET default_view_id = excluded.default_view_id";
    tx.execute(sql, (user_id, list.as_str(), view_id))?;
    Ok(())
}

/// Deletes the arrangements of a user. Views that the user shared stay for the others.
pub(super) fn delete_private(tx: &WriteTx<'_>, user_id: u32) -> Result<(), StoreError> {
    tx.execute("DELETE FROM list_preference WHERE user_id = ?1", [user_id])?;
    tx.execute("DELETE FROM saved_view WHERE user_id = ?1 AND is_shared = 0", [user_id])?;
    Ok(())
}
