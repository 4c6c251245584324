//! Rows of users.

use rusqlite::{OptionalExtension, Row};

use crate::catalog::{Caller, Role, UserStatus};
use crate::store::origin::Actor;
use crate::store::rows::{
    Compared, Filterable, Listed, NAME, Query, Times, Vocabulary, list_rows, word,
};
use crate::store::{ReadTx, StoreError, WriteTx, casefolded};

/// Filters of user lists.
pub const FILTERS: &[Filterable] = &[
    Filterable { field: "network_user_id", column: "id", kind: Compared::Number },
    Filterable { field: "login", column: "login", kind: Compared::Text },
    Filterable {
        field: "role",
        column: "role",
        kind: Compared::Word(Vocabulary::from_word_set::<Role>()),
    },
    Filterable {
        field: "network_affiliate_id",
        column: "affiliate_id",
        kind: Compared::OptionalId,
    },
    Filterable {
        field: "user_status",
        column: "status",
        kind: Compared::Word(Vocabulary::from_word_set::<UserStatus>()),
    },
    Filterable { field: "time_last_sign_in", column: "time_last_sign_in", kind: Compared::Time },
];

/// The field for `search`.
pub const SEARCH: Filterable = NAME;

/// A user, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Never reused.
    pub id: u32,
    /// Name in lists and in the audit.
    pub name: String,
    /// The name for signing in, as typed.
    pub login: String,
    /// Permissions.
    pub role: Role,
    /// Partner of a partner's user.
    pub affiliate_id: Option<u32>,
    /// The status as edited.
    pub status: UserStatus,
    /// Not disabled, and not of a deleted partner.
    pub is_active: bool,
    /// The invitation was used.
    pub has_password: bool,
    /// A second factor is in force.
    pub has_totp: bool,
    /// Creation, in Unix seconds.
    pub time_created: i64,
    /// Last change of the row, in Unix seconds.
    pub time_saved: i64,
    /// Last sign-in in Unix seconds, or 0.
    pub time_last_sign_in: i64,
    /// Increases with each change.
    pub revision: u64,
}

impl User {
    /// Times and revision of the row.
    #[must_use]
    pub fn times(&self) -> Times {
        let User { time_created, time_saved, revision, .. } = *self;
        Times { time_created, time_saved, time_deleted: 0, revision }
    }
}

/// The editable columns.
#[derive(Debug, Clone, Copy)]
pub struct UserColumns<'a> {
    /// Name.
    pub name: &'a str,
    /// Name for signing in.
    pub login: &'a str,
    /// Permissions.
    pub role: Role,
    /// Partner of a partner's user.
    pub affiliate_id: Option<u32>,
    /// Status.
    pub status: UserStatus,
}

impl User {
    /// The user as the caller of a request.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller {
            actor: Actor::User(self.id),
            role: self.role,
            affiliate_id: self.affiliate_id,
            advertiser_id: None,
        }
    }
}

/// A user with the secrets that a sign-in is checked against.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub user: User,
    /// PHC string; empty before the invitation is used.
    pub password_hash: String,
}

const COLUMNS: &str = "user.id, user.time_created, user.time_saved, user.time_deleted, user.revision, \
     user.name, user.login, user.role, user.affiliate_id, user.status = 'active' AND NOT EXISTS \
     (SELECT 1 FROM affiliate WHERE affiliate.id = user.affiliate_id AND affiliate.time_deleted <> 0), \
     user.password_hash <> '', user.totp_secret IS NOT NULL, user.time_last_sign_in, user.status";
/// Number of [`COLUMNS`].
pub(super) const WIDTH: usize = 14;

pub(super) fn columns() -> &'static str {
    COLUMNS
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(0)?,
        time_created: row.get(1)?,
        time_saved: row.get(2)?,
        revision: row.get(4)?,
        name: row.get(5)?,
        login: row.get(6)?,
        role: word(row, 7)?,
        affiliate_id: row.get(8)?,
        status: word(row, 13)?,
        is_active: row.get(9)?,
        has_password: row.get(10)?,
        has_totp: row.get(11)?,
        time_last_sign_in: row.get(12)?,
    })
}

/// Finds a user by id, unless deleted.
pub fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<User>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM user WHERE id = ?1 AND time_deleted = 0");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

/// One page of the users who are not deleted.
pub fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<User>, StoreError> {
    list_rows(connection, &format!("SELECT {COLUMNS}"), "user", query, read)
}

/// The id of the user with this login, in any case.
pub fn id_of_login(connection: &ReadTx<'_>, login: &str) -> Result<Option<u32>, StoreError> {
    let sql = "SELECT id FROM user WHERE folded_login = ?1 AND time_deleted = 0";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([casefolded(login)], |row| row.get(0)).optional()?)
}

/// The user with this login, in any case, and the password's hash.
pub fn credentials(
    connection: &ReadTx<'_>,
    login: &str,
) -> Result<Option<Credentials>, StoreError> {
    let Some(id) = id_of_login(connection, login)? else { return Ok(None) };
    credentials_of(connection, id)
}

/// A user with the password's hash.
pub fn credentials_of(connection: &ReadTx<'_>, id: u32) -> Result<Option<Credentials>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS}, password_hash FROM user WHERE id = ?1 AND time_deleted = 0");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([id], |row| {
        Ok(Credentials { user: read(row)?, password_hash: row.get(WIDTH)? })
    });
    Ok(found.optional()?)
}

/// Number of admins who can sign in.
pub fn count_admins(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM user WHERE role = 'admin' AND status = 'active' \
               AND password_hash <> '' AND time_deleted = 0";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Inserts a user without a password, and returns the id.
pub fn insert(tx: &WriteTx<'_>, user: UserColumns<'_>) -> Result<u32, StoreError> {
    let sql = "INSERT INTO user (name, login, folded_login, role, affiliate_id, status, time_created, \
               time_saved) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) RETURNING id";
    let UserColumns { name, login, role, affiliate_id, status } = user;
    let values =
        (name, login, casefolded(login), role.as_str(), affiliate_id, status.as_str(), tx.now());
    Ok(tx.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
}

/// Replaces the editable columns.
pub fn update(tx: &WriteTx<'_>, id: u32, user: UserColumns<'_>) -> Result<(), StoreError> {
    let sql = "UPDATE user SET name = ?2, login = ?3, folded_login = ?4, role = ?5, \
               affiliate_id = ?6, status = ?7, time_saved = ?8 WHERE id = ?1";
    let UserColumns { name, login, role, affiliate_id, status } = user;
    let folded = casefolded(login);
    let values = (id, name, login, folded, role.as_str(), affiliate_id, status.as_str(), tx.now());
    tx.execute(sql, values)?;
    Ok(())
}

/// Sets the password's hash.
pub fn set_password(tx: &WriteTx<'_>, id: u32, password_hash: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE user SET password_hash = ?2 WHERE id = ?1", (id, password_hash))?;
    Ok(())
}

/// Sets the time of the last sign-in to now.
pub fn record_sign_in(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    tx.execute("UPDATE user SET time_last_sign_in = ?2 WHERE id = ?1", (id, tx.now()))?;
    Ok(())
}

/// Deletes a user with all secrets. The row stays for the audit.
pub fn delete(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    for table in ["user_session", "user_link", "user_device", "recovery_code", "preference"] {
        tx.execute(&format!("DELETE FROM {table} WHERE user_id = ?1"), [id])?;
    }
    super::views::delete_private(tx, id)?;
    let sql = "UPDATE user SET password_hash = '', totp_secret = NULL, totp_pending = NULL, \
               time_saved = ?2, time_deleted = ?2 WHERE id = ?1";
    tx.execute(sql, (id, tx.now()))?;
    Ok(())
}
