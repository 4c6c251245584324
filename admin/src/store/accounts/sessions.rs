//! Rows of sessions.

use rusqlite::{OptionalExtension, Row, ToSql};

use super::Digest;
use super::users::{self, User};
use crate::store::{ReadTx, StoreError, WriteTx};

/// Most sessions of a user; a further one ends the session that was unseen for longest.
const MAX_PER_USER: u32 = 50;

/// A session, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Never reused.
    pub id: u32,
    /// Start, in Unix seconds.
    pub time_created: i64,
    /// Last request, in Unix seconds, exact to a minute.
    pub time_seen: i64,
    /// When the user last gave the password, in Unix seconds.
    pub time_authenticated: i64,
    /// Address of the browser at the start.
    pub address: String,
    /// `User-Agent` of the browser at the start.
    pub user_agent: String,
}

const COLUMNS: &str = "session.id, session.time_created, session.time_seen, \
                       session.time_authenticated, session.address, session.user_agent";

fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        id: row.get(first)?,
        time_created: row.get(first + 1)?,
        time_seen: row.get(first + 2)?,
        time_authenticated: row.get(first + 3)?,
        address: row.get(first + 4)?,
        user_agent: row.get(first + 5)?,
    })
}

/// Finds a session and its user by the secret's hash.
pub fn find(
    connection: &ReadTx<'_>,
    hash: &Digest,
) -> Result<Option<(SessionRow, User)>, StoreError> {
    find_where(connection, "hash", hash)
}

/// Finds a session and its user by the session's id.
pub fn find_by_id(
    connection: &ReadTx<'_>,
    id: u32,
) -> Result<Option<(SessionRow, User)>, StoreError> {
    find_where(connection, "id", &id)
}

fn find_where(
    connection: &ReadTx<'_>,
    column: &str,
    value: &dyn ToSql,
) -> Result<Option<(SessionRow, User)>, StoreError> {
    let sql = format!(
        "SELECT {}, {COLUMNS} FROM user_session AS session JOIN user ON user.id = session.user_id \
         WHERE session.{column} = ?1 AND user.time_deleted = 0",
        users::columns()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement
        .query_row([value], |row| Ok((read(row, users::WIDTH)?, users::read(row)?)))
        .optional()?;
    Ok(found)
}

/// Sessions of a user, the newest first.
pub fn list(connection: &ReadTx<'_>, user_id: u32) -> Result<Vec<SessionRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM user_session AS session WHERE user_id = ?1 ORDER BY id DESC"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([user_id], |row| read(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Inserts a session and returns its id.
pub fn insert(
    tx: &WriteTx<'_>,
    user_id: u32,
    hash: &Digest,
    address: &str,
    user_agent: &str,
) -> Result<u32, StoreError> {
    let sql = "DELETE FROM user_session WHERE id IN (SELECT id FROM user_session WHERE user_id = ?1 \
               ORDER BY time_seen DESC, id DESC LIMIT -1 OFFSET ?2)";
    tx.execute(sql, (user_id, MAX_PER_USER - 1))?;
    let sql = "INSERT INTO user_session (hash, user_id, time_created, time_seen, time_authenticated, \
               address, user_agent) VALUES (?1, ?2, ?3, ?3, ?3, ?4, ?5) RETURNING id";
    let values = (hash, user_id, tx.now(), address, user_agent);
    Ok(tx.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
}

/// Records a request of a session, unless one was recorded in the `interval_s` before.
pub fn touch(tx: &WriteTx<'_>, id: u32, interval_s: i64) -> Result<(), StoreError> {
    let sql = "UPDATE user_session SET time_seen = ?2 WHERE id = ?1 AND time_seen <= ?2 - ?3";
    tx.execute(sql, (id, tx.now(), interval_s))?;
    Ok(())
}

/// Records that the user gave the password again, and replaces the secret. `false` if the session
/// is gone.
pub fn renew(tx: &WriteTx<'_>, id: u32, hash: &Digest) -> Result<bool, StoreError> {
    let sql = "UPDATE user_session SET time_authenticated = ?2, hash = ?3 WHERE id = ?1";
    Ok(tx.execute(sql, (id, tx.now(), hash))? > 0)
}

/// Ends a session of a user; `false` if there is none.
pub fn delete(tx: &WriteTx<'_>, user_id: u32, id: u32) -> Result<bool, StoreError> {
    let sql = "DELETE FROM user_session WHERE id = ?1 AND user_id = ?2";
    Ok(tx.execute(sql, (id, user_id))? > 0)
}

/// Ends the sessions of a user, except one.
pub fn delete_all_but(
    tx: &WriteTx<'_>,
    user_id: u32,
    except: Option<u32>,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM user_session WHERE user_id = ?1 AND id IS NOT ?2";
    tx.execute(sql, (user_id, except))?;
    Ok(())
}
