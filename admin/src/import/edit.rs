//! Adds, edits and removes rows of a staged file, and validates all rows of the same code again.

use std::collections::BTreeMap;

use super::wrong_row::WrongRow;
use super::{put, validate_rows};
use crate::catalog::text::trim_invisible;
use crate::catalog::{BulkRow, COLUMNS, Cells, FieldError, folded_code};
use crate::store::staging::cross_row_checks::Scope;
use crate::store::staging::{self, Intent, ShownRow};
use crate::store::{StagingTx, StoreError};

/// Edits of cells, by column name.
pub type NamedCells = BTreeMap<String, CellEdit>;

/// The edit of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CellEdit {
    /// The new cell, as in a file.
    Set(String),
    /// Replaces each occurrence of a text.
    Replace {
        /// Not empty.
        text: String,
        /// May be empty.
        by: String,
    },
    /// Removes white space and invisible characters around the text.
    Trim,
}

impl CellEdit {
    fn apply(&self, cell: &str) -> String {
        match self {
            CellEdit::Set(text) => text.clone(),
            CellEdit::Replace { text, by } => cell.replace(text, by),
            CellEdit::Trim => trim_invisible(cell).to_owned(),
        }
    }

    /// Whether the edit concerns a cell, also if the cell then has the same text.
    fn concerns(&self, cell: &str) -> bool {
        matches!(self, CellEdit::Set(_)) || self.apply(cell) != cell
    }
}

/// # Errors
/// The names that are not columns.
pub fn check_names(named: &NamedCells) -> Result<(), Vec<FieldError>> {
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
pub fn add(
    connection: &StagingTx<'_>,
    intent: Intent,
    named: &NamedCells,
) -> Result<ShownRow, StoreError> {
    let number = staging::next_number(connection)?;
    let row = ShownRow { number, line: None, cells: Cells::default(), faults: Vec::new() };
    replace(connection, intent, row, named, Vec::new())
}

/// Changes cells of a row; `None` if the row does not exist.
pub fn change(
    connection: &StagingTx<'_>,
    intent: Intent,
    number: u32,
    named: &NamedCells,
) -> Result<Option<ShownRow>, StoreError> {
    let Some(row) = staging::find(connection, number)? else { return Ok(None) };
    let unreadable = remaining_unreadable(connection, intent, number, named)?;
    replace(connection, intent, row, named, unreadable).map(Some)
}

/// Rows above which all rows are validated again, which then costs less.
const MANY_ROWS: usize = 1_000;

/// Changes cells of rows; returns the number of changed rows.
pub fn change_rows(
    connection: &StagingTx<'_>,
    intent: Intent,
    numbers: &[u32],
    named: &NamedCells,
) -> Result<usize, StoreError> {
    let (mut codes, mut changed) = (Vec::new(), 0);
    for number in numbers {
        let Some(row) = staging::find(connection, *number)? else { continue };
        let is_concerned =
            |(column, edit): (&String, &CellEdit)| edit.concerns(row.cells.cell(column));
        if !named.iter().any(is_concerned) {
            continue;
        }
        changed += 1;
        let unreadable = remaining_unreadable(connection, intent, *number, named)?;
        let concerned = put_changed(connection, intent, row, named, unreadable)?;
        if numbers.len() <= MANY_ROWS {
            codes.extend(concerned);
        }
    }
    validate_after(connection, intent, numbers, &codes)?;
    Ok(changed)
}

/// Validates the rows of the codes that the change of some rows concerns.
fn validate_after(
    connection: &StagingTx<'_>,
    intent: Intent,
    numbers: &[u32],
    codes: &[String],
) -> Result<(), StoreError> {
    let scope = if numbers.len() <= MANY_ROWS { Scope::Codes(codes) } else { Scope::All };
    validate_rows(connection, intent, scope)
}

/// The unreadable cells that a request does not mend.
fn remaining_unreadable(
    connection: &StagingTx<'_>,
    intent: Intent,
    number: u32,
    named: &NamedCells,
) -> Result<Vec<FieldError>, StoreError> {
    // An unreadable cell stays invalid until the request sets it. An error without a column
    // concerns the whole row, and stays until the request sets all required cells.
    let mut unreadable = staging::unreadable(connection, number)?;
    let is_whole = super::header::needed(intent.mode).iter().all(|name| named.contains_key(*name));
    unreadable.retain(|cell| match cell.field.as_str() {
        "" => !is_whole,
        column => !named.contains_key(column),
    });
    Ok(unreadable)
}

/// Removes a row; `false` if the row does not exist.
pub fn remove(connection: &StagingTx<'_>, intent: Intent, number: u32) -> Result<bool, StoreError> {
    if staging::find(connection, number)?.is_none() {
        return Ok(false);
    }
    let code = staging::folded(connection, number)?;
    staging::remove(connection, number)?;
    validate_rows(connection, intent, Scope::Codes(&Vec::from_iter(code)))?;
    Ok(true)
}

/// Removes rows.
pub fn remove_rows(
    connection: &StagingTx<'_>,
    intent: Intent,
    numbers: &[u32],
) -> Result<(), StoreError> {
    let mut codes = Vec::new();
    for number in numbers {
        if numbers.len() <= MANY_ROWS {
            codes.extend(staging::folded(connection, *number)?);
        }
        staging::remove(connection, *number)?;
    }
    validate_after(connection, intent, numbers, &codes)
}

fn replace(
    connection: &StagingTx<'_>,
    intent: Intent,
    row: ShownRow,
    named: &NamedCells,
    unreadable: Vec<FieldError>,
) -> Result<ShownRow, StoreError> {
    let number = row.number;
    let codes = put_changed(connection, intent, row, named, unreadable)?;
    validate_rows(connection, intent, Scope::Codes(&codes))?;
    staging::find(connection, number)?.ok_or(StoreError::Aborted)
}

/// Stores a row with changed cells. Returns the codes whose rows have to be validated again.
fn put_changed(
    connection: &StagingTx<'_>,
    intent: Intent,
    mut row: ShownRow,
    named: &NamedCells,
    unreadable: Vec<FieldError>,
) -> Result<Vec<String>, StoreError> {
    for (column, cell) in COLUMNS.iter().zip(&mut row.cells.0) {
        if let Some(edit) = named.get(*column) {
            *cell = edit.apply(cell);
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
    staging::delete_faults(connection, row.number)?;
    put(connection, row.number, row.line, &read)?;
    Ok(codes)
}
