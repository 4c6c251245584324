//! Standing conversions by the identifiers under which they were recorded, independent of later
//! changes of their code, offer or event. Few conversions of one order stand, however often it is
//! sent.

use coupon_shared::transaction_id::TransactionId;
use rusqlite::{Params, Row};

use crate::attribution::dedup_key::DedupKey;
use crate::attribution::evidence::RecordedConversion;
use crate::catalog::FoldedKey;
use crate::store::{ReadTx, StoreError};

/// Most rows of one order or click.
const MOST: usize = 100;

const COLUMNS: &str = "number, key, offer_id, advertiser_id, event_id, event_name, folded_code, \
                       order_id, transaction_id";
/// As in the indexes.
const STANDS: &str = "key IS NOT NULL AND (status IN ('approved', 'pending') OR error_code = 9)";

/// Conversions of an advertiser with this order id.
pub fn find_by_order(
    connection: &ReadTx<'_>,
    order_id: &str,
    advertiser_id: u32,
) -> Result<Vec<RecordedConversion>, StoreError> {
    let by = "INDEXED BY conversion_recorded_order WHERE order_id = ?1 AND order_id <> '' \
              AND advertiser_id = ?2";
    find(connection, by, (order_id, advertiser_id))
}

/// Conversions with this order id, under a code that may be deleted.
pub fn find_by_order_and_code(
    connection: &ReadTx<'_>,
    order_id: &str,
    code: &FoldedKey,
) -> Result<Vec<RecordedConversion>, StoreError> {
    let by = "INDEXED BY conversion_recorded_order WHERE order_id = ?1 AND order_id <> '' \
              AND folded_code = ?2";
    find(connection, by, (order_id, code.as_str()))
}

/// Conversions of this click, base conversions first.
pub fn find_by_click(
    connection: &ReadTx<'_>,
    id: &TransactionId,
) -> Result<Vec<RecordedConversion>, StoreError> {
    let by = "INDEXED BY conversion_recorded_click WHERE transaction_id = ?1 \
              AND transaction_id <> ''";
    find(connection, by, [id.to_string()])
}

fn find(
    connection: &ReadTx<'_>,
    by: &str,
    parameters: impl Params,
) -> Result<Vec<RecordedConversion>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM conversion {by} AND {STANDS} ORDER BY event_id, number LIMIT {MOST}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(parameters, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<RecordedConversion> {
    let transaction_id: String = row.get(8)?;
    Ok(RecordedConversion {
        number: row.get(0)?,
        key: DedupKey(row.get(1)?),
        offer_id: row.get(2)?,
        advertiser_id: row.get(3)?,
        event_id: row.get(4)?,
        event_name: row.get(5)?,
        folded_code: row.get(6)?,
        order_id: row.get(7)?,
        transaction_id: transaction_id.parse().ok(),
    })
}
