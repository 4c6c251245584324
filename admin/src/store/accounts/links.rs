//! Rows of one-time links.

use rusqlite::OptionalExtension;

use super::Digest;
use crate::catalog::words::words;
use crate::store::rows::word;
use crate::store::{ReadTx, StoreError, WriteTx};

words! {
    /// The purpose of a one-time link.
    LinkPurpose {
        /// The first admin chooses name, login and password.
        Setup = "setup",
        /// An invited user chooses a password.
        Invite = "invite",
        /// A user chooses a new password.
        Reset = "reset",
    }
}

/// A link, without its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRow {
    /// Purpose.
    pub purpose: LinkPurpose,
    /// The user; none for a setup link.
    pub user_id: Option<u32>,
    /// End of validity, in Unix seconds.
    pub time_expires: i64,
}

/// Finds a link by the secret's hash.
pub fn find(connection: &ReadTx<'_>, hash: &Digest) -> Result<Option<LinkRow>, StoreError> {
    let sql = "SELECT purpose, user_id, time_expires FROM user_link WHERE hash = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([hash], |row| {
        Ok(LinkRow { purpose: word(row, 0)?, user_id: row.get(1)?, time_expires: row.get(2)? })
    });
    Ok(found.optional()?)
}

/// Inserts a link. It replaces the earlier links of the user; a setup link replaces the earlier
/// setup links.
pub fn insert(tx: &WriteTx<'_>, hash: &Digest, link: LinkRow) -> Result<(), StoreError> {
    delete_of_user(tx, link.user_id)?;
    let sql = "INSERT INTO user_link (hash, purpose, user_id, time_created, time_expires) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let LinkRow { purpose, user_id, time_expires } = link;
    tx.execute(sql, (hash, purpose.as_str(), user_id, tx.now(), time_expires))?;
    Ok(())
}

/// Removes the links of a user; without a user, the setup links.
pub fn delete_of_user(tx: &WriteTx<'_>, user_id: Option<u32>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM user_link WHERE user_id IS ?1", [user_id])?;
    Ok(())
}
