//! Rulesets of offers.

use rusqlite::OptionalExtension;
use rusqlite::types::{Type, Value};

use super::rows::json_column;
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::Ruleset;

/// A ruleset as stored.
#[derive(Debug, Clone)]
pub struct StoredRuleset {
    /// Stays the same for all edits.
    pub id: u32,
    /// Unix seconds.
    pub time_created: i64,
    /// Unix seconds.
    pub time_saved: i64,
    /// The rules.
    pub ruleset: Ruleset,
}

/// Saves an offer's ruleset. An offer for everybody that never had a ruleset gets none.
pub(super) fn save(tx: &WriteTx<'_>, offer_id: u32, ruleset: &Ruleset) -> Result<(), StoreError> {
    let body = match *ruleset == Ruleset::default() {
        true => "{}".into(),
        false => serde_json::to_string(ruleset).map_err(unwritable)?,
    };
    let sql = "UPDATE ruleset SET body = ?2, time_saved = iif(body = ?2, time_saved, ?3) WHERE offer_id = ?1";
    let known = tx.prepare_cached(sql)?.execute((offer_id, &body, tx.now()))?;
    if known == 0 && body != "{}" {
        let sql = "INSERT INTO ruleset (offer_id, body, time_created, time_saved) VALUES (?1, ?2, ?3, ?3)";
        tx.prepare_cached(sql)?.execute((offer_id, &body, tx.now()))?;
    }
    Ok(())
}

/// A ruleset in a column of another object.
pub(super) fn column(ruleset: &Ruleset) -> Value {
    match *ruleset == Ruleset::default() {
        true => Value::Text("{}".into()),
        false => json_column(ruleset),
    }
}

/// The ruleset of an offer, if it ever had one.
pub fn find(connection: &ReadTx<'_>, offer_id: u32) -> Result<Option<StoredRuleset>, StoreError> {
    let sql = "SELECT id, time_created, time_saved, body FROM ruleset WHERE offer_id = ?1";
    let found = connection.prepare_cached(sql)?.query_row([offer_id], |row| {
        let body = row.get_ref(3)?.as_str()?;
        let ruleset = serde_json::from_str(body).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Box::new(error))
        })?;
        Ok(StoredRuleset {
            id: row.get(0)?,
            time_created: row.get(1)?,
            time_saved: row.get(2)?,
            ruleset,
        })
    });
    Ok(found.optional()?)
}

fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
