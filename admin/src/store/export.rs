//! Coupon codes for a file, in the order of their ids.

use rusqlite::{Connection, Row, params_from_iter};

use super::StoreError;
use super::rows::{Filter, conditions};
use crate::catalog::COLUMNS;

/// The columns of a file, in its order; nothing is empty text.
const SELECT: &str = "id, code, offer_id, ifnull(affiliate_id, ''), status, ifnull(start_date, ''), ifnull(end_date, ''), \
    description, iif(is_description_plain_text, 'true', 'false'), internal_notes, iif(conversion_only, 'true', 'false')";

/// Goes over the codes that are not deleted and meet all filters.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_code<E: From<StoreError>>(
    connection: &Connection,
    filters: &[Filter],
    mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let (condition, values) = conditions("time_deleted = 0", filters);
    let sql = format!("SELECT {SELECT} FROM coupon_code WHERE {condition} ORDER BY id");
    let mut statement = connection.prepare(&sql).map_err(StoreError::from)?;
    debug_assert_eq!(statement.column_count(), COLUMNS.len());
    let mut rows = statement.query(params_from_iter(values)).map_err(StoreError::from)?;
    while let Some(row) = rows.next().map_err(StoreError::from)? {
        each(row)?;
    }
    Ok(())
}
