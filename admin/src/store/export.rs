//! Coupon codes for export, by id.

use rusqlite::types::ValueRef;
use rusqlite::{Row, params_from_iter};

use super::rows::{Filter, conditions};
use super::{ReadTx, StoreError};
use crate::catalog::COLUMNS;

/// Columns of a file, in order; missing values are empty text.
const SELECT: &str = "id, code, offer_id, ifnull(affiliate_id, ''), status, ifnull(start_date, ''), ifnull(end_date, ''), \
    description, iif(is_description_plain_text, 'true', 'false'), internal_notes, iif(conversion_only, 'true', 'false')";

/// One cell of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportCell<'a> {
    /// A number, which a file holds without quotes.
    Number(i64),
    /// Text.
    Text(&'a str),
}

impl ExportCell<'_> {
    /// The id of a cell; `None` for a text.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        match self {
            ExportCell::Number(number) => u32::try_from(*number).ok(),
            ExportCell::Text(_) => None,
        }
    }
}

/// Calls `each` with the cells of every code that is not deleted and meets all filters.
///
/// # Errors
/// The error of `each`.
pub fn each_code<E: From<StoreError>>(
    connection: &ReadTx<'_>,
    filters: &[Filter],
    mut each: impl FnMut(&[ExportCell<'_>; COLUMNS.len()]) -> Result<(), E>,
) -> Result<(), E> {
    let (condition, values) = conditions("time_deleted = 0", filters);
    let sql = format!("SELECT {SELECT} FROM coupon_code WHERE {condition} ORDER BY id");
    let mut statement = connection.prepare(&sql).map_err(StoreError::from)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(StoreError::from)?;
    while let Some(row) = rows.next().map_err(StoreError::from)? {
        each(&cells(row).map_err(StoreError::from)?)?;
    }
    Ok(())
}

fn cells<'r>(row: &'r Row<'_>) -> rusqlite::Result<[ExportCell<'r>; COLUMNS.len()]> {
    let mut cells = [ExportCell::Number(0); COLUMNS.len()];
    for (at, cell) in cells.iter_mut().enumerate() {
        *cell = match row.get_ref(at)? {
            ValueRef::Integer(number) => ExportCell::Number(number),
            other => ExportCell::Text(other.as_str()?),
        };
    }
    Ok(cells)
}
