//! Names for reports, also of deleted objects.

use std::collections::{BTreeSet, HashMap};

use super::rollups::Dimension;
use super::{ReadTx, StoreError, rows};
use crate::catalog::FoldedKey;

/// Names of ids in a dimension; for coupon codes the code as typed. Unknown ids have no entry.
pub fn names(
    connection: &ReadTx<'_>,
    dimension: Dimension,
    ids: &[u32],
) -> Result<HashMap<u32, String>, StoreError> {
    let sql = match dimension {
        Dimension::Code => "SELECT code, status FROM coupon_code WHERE id = ?1",
        Dimension::Offer => "SELECT name, offer_status FROM offer WHERE id = ?1",
        Dimension::Affiliate => "SELECT name, account_status FROM affiliate WHERE id = ?1",
        Dimension::Advertiser => "SELECT name, account_status FROM advertiser WHERE id = ?1",
    };
    let labels = rows::labels(connection, sql, ids)?;
    Ok(labels.into_iter().map(|(id, (name, _status))| (id, name)).collect())
}

/// Ids of all rows, deleted ones included, that have or had one of these codes.
pub fn ids_of_codes<'a>(
    connection: &ReadTx<'_>,
    codes: impl IntoIterator<Item = &'a FoldedKey>,
) -> Result<BTreeSet<u32>, StoreError> {
    let codes: BTreeSet<&str> = codes.into_iter().map(FoldedKey::as_str).collect();
    if codes.is_empty() {
        return Ok(BTreeSet::new());
    }
    // No index holds deleted rows; a report may scan the table once.
    let sql = "SELECT id FROM coupon_code WHERE folded IN (SELECT value FROM json_each(?1))";
    let codes = serde_json::Value::from_iter(codes).to_string();
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map([codes], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}
