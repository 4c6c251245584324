//! Numbers of regions, cities and mobile networks, given once.

use rusqlite::OptionalExtension;
use rusqlite::types::Type;

use super::rows::json_column;
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::ruleset::numbered::NumberedValue;

/// Finds the value of a number.
pub(crate) fn find<V: NumberedValue>(
    connection: &ReadTx<'_>,
    id: u32,
) -> Result<Option<V>, StoreError> {
    let sql = "SELECT body FROM target_value WHERE kind = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((V::KIND, id), |row| read::<V>(row.get_ref(0)?.as_str()?));
    Ok(found.optional()?.map(|value| value.with_id(id)))
}

/// Finds the number of a value. A value whose name was not known before is not found.
pub(crate) fn find_id<V: NumberedValue>(
    connection: &ReadTx<'_>,
    value: &V,
) -> Result<Option<u32>, StoreError> {
    let known = find_by_key(connection, value)?;
    let has_label = |known: &V| !known.label().is_empty() || value.label().is_empty();
    Ok(known.filter(has_label).map(|known| known.id()))
}

/// The number of a value, a new one if the value has none yet.
pub(crate) fn find_or_add<V: NumberedValue>(
    tx: &WriteTx<'_>,
    value: &V,
) -> Result<u32, StoreError> {
    if let Some(id) = find_id(tx, value)? {
        return Ok(id);
    }
    let sql = "INSERT INTO target_value (kind, key, body) VALUES (?1, ?2, ?3) \
               ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body RETURNING id";
    let body = json_column(&value.clone().with_id(0));
    Ok(tx.prepare_cached(sql)?.query_row((V::KIND, value.key(), body), |row| row.get(0))?)
}

fn find_by_key<V: NumberedValue>(
    connection: &ReadTx<'_>,
    value: &V,
) -> Result<Option<V>, StoreError> {
    let sql = "SELECT id, body FROM target_value WHERE kind = ?1 AND key = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((V::KIND, value.key()), |row| {
        Ok(read::<V>(row.get_ref(1)?.as_str()?)?.with_id(row.get(0)?))
    });
    Ok(found.optional()?)
}

fn read<V: NumberedValue>(body: &str) -> rusqlite::Result<V> {
    serde_json::from_str(body)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}
