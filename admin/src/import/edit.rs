//! Single rows of a staged file: added, edited, taken out, and judged again together with whatever
//! has the same code.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{WrongRow, put, validate_rows};
use crate::catalog::{BulkRow, COLUMNS, Cells, FieldError, folded_code};
use crate::store::StoreError;
use crate::store::staging::judge::Scope;
use crate::store::staging::{self, Intent, ShownRow};

/// The cells that a request names.
pub type Named = BTreeMap<String, String>;

/// Says which names are no columns.
///
/// # Errors
/// Those.
pub fn check_names(named: &Named) -> Result<(), Vec<FieldError>> {
    let unknown = named.keys().filter(|name| !COLUMNS.contains(&name.as_str()));
    let unknown: Vec<FieldError> = unknown
        .map(|name| FieldError {
            field: name.clone(),
            error: format!("there is no such column; known: {}", COLUMNS.join(", ")),
        })
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}

/// Adds a row at the end.
///
/// # Errors
/// When SQLite fails.
pub fn add(connection: &Connection, intent: Intent, named: &Named) -> Result<ShownRow, StoreError> {
    let number = staging::next_number(connection)?;
    let row = ShownRow { number, line: None, cells: Cells::default(), faults: Vec::new() };
    replace(connection, intent, row, named, Vec::new())
}

/// Changes cells of a row; `None` when there is no such row.
///
/// # Errors
/// When SQLite fails.
pub fn change(
    connection: &Connection,
    intent: Intent,
    number: u32,
    named: &Named,
) -> Result<Option<ShownRow>, StoreError> {
    let Some(row) = staging::find(connection, number)? else { return Ok(None) };
    // A cell that could not be read is wrong until it is typed anew; one without a column stands
    // for a row that has to be typed anew as a whole.
    let mut unreadable = staging::unreadable(connection, number)?;
    let is_whole = super::header::needed(intent.mode).iter().all(|name| named.contains_key(*name));
    unreadable.retain(|cell| match cell.field.as_str() {
        "" => !is_whole,
        column => !named.contains_key(column),
    });
    replace(connection, intent, row, named, unreadable).map(Some)
}

/// Takes a row out; `false` when there is no such row.
///
/// # Errors
/// When SQLite fails.
pub fn remove(connection: &Connection, intent: Intent, number: u32) -> Result<bool, StoreError> {
    if staging::find(connection, number)?.is_none() {
        return Ok(false);
    }
    let code = staging::folded(connection, number)?;
    staging::remove(connection, number)?;
    validate_rows(connection, intent, Scope::Codes(&Vec::from_iter(code)))?;
    Ok(true)
}

fn replace(
    connection: &Connection,
    intent: Intent,
    mut row: ShownRow,
    named: &Named,
    unreadable: Vec<FieldError>,
) -> Result<ShownRow, StoreError> {
    for (column, cell) in COLUMNS.iter().zip(&mut row.cells.0) {
        if let Some(named) = named.get(*column) {
            cell.clone_from(named);
        }
    }
    let folded = folded_code(intent.mode, &row.cells).map(|folded| folded.as_str().to_owned());
    let mut codes = Vec::from_iter(staging::folded(connection, row.number)?);
    codes.extend(folded.clone());
    let wrong = |own| {
        let (cells, unreadable) = (row.cells.clone(), unreadable.clone());
        Box::new(WrongRow { folded, cells, unreadable, own })
    };
    let read = match BulkRow::read(intent.mode, &row.cells) {
        Ok(read) if unreadable.is_empty() => Ok(read),
        Ok(_) => Err(wrong(Vec::new())),
        Err(own) => Err(wrong(own)),
    };
    staging::forget_faults(connection, row.number)?;
    put(connection, row.number, row.line, &read)?;
    validate_rows(connection, intent, Scope::Codes(&codes))?;
    staging::find(connection, row.number)?.ok_or(StoreError::BrokenOff)
}
