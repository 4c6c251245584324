//! What judging visits needs of the store: the offers' sessions, and visits that became clicks.

use std::collections::{HashMap, HashSet};

use coupon_shared::transaction_id::TransactionId;
use rusqlite::Connection;

use super::StoreError;
use crate::catalog::SessionDefinition;

/// What makes a visitor of an offer, and how long a visit lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// What makes two clicks the same visitor's.
    pub definition: SessionDefinition,
    /// How long a visitor is known after a click.
    pub hours: u32,
}

/// The sessions of all offers, deleted ones included.
///
/// # Errors
/// When SQLite fails.
pub fn sessions(connection: &Connection) -> Result<HashMap<u32, Session>, StoreError> {
    let sql = "SELECT id, session_definition, session_duration FROM offer";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| {
        // Whatever stands in one offer's row, clicks of all are counted.
        let definition = row.get_ref(1)?.as_str()?.parse();
        let definition = definition.unwrap_or(SessionDefinition::IpUserAgent);
        Ok((row.get(0)?, Session { definition, hours: row.get(2)? }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The visits that became clicks because a conversion came from them.
///
/// # Errors
/// When SQLite fails.
pub fn turned(connection: &Connection) -> Result<HashSet<TransactionId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT transaction_id FROM turned_visit")?;
    let rows = statement.query_map([], |row| Ok(TransactionId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
