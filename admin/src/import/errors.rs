//! The errors of a staged file as rows: one line for each wrong cell, or the wrong rows with their
//! reasons, which can be mended and uploaded again.

use std::borrow::Cow;
use std::io;

use super::header::REASONS_COLUMN;
use super::layout::alias_place;
use crate::catalog::{COLUMNS, unescape_formula};
use crate::store::staging::{self, ShownRow};
use crate::store::{ReadTx, StoreError};
use crate::table_file::CellWriter;

/// Why the list cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ErrorsError {
    /// The staged file cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output cannot be written.
    #[error("the list of errors cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// # Errors
/// When the rows cannot be read or the list cannot be written.
pub fn write(connection: &ReadTx<'_>, out: &mut impl CellWriter) -> Result<(), ErrorsError> {
    out.header(["row", "line", "column", "error"])?;
    staging::each_fault(connection, u64::from(u32::MAX), |number, line, fault| {
        out.number(number)?;
        out.number(line.map(|line| line.to_string()).unwrap_or_default())?;
        out.text(&fault.field)?;
        out.text(&fault.error)?;
        Ok::<_, ErrorsError>(out.end_row()?)
    })
}

/// # Errors
/// When the rows cannot be read or the list cannot be written.
pub fn write_rows(connection: &ReadTx<'_>, out: &mut impl CellWriter) -> Result<(), ErrorsError> {
    let extra = staging::extra_columns(connection)?;
    for column in COLUMNS {
        out.number(column)?;
    }
    for (_, name) in &extra {
        out.text(&extra_name(name))?;
    }
    out.number(REASONS_COLUMN)?;
    out.end_row()?;
    staging::each_wrong_row(connection, |row| {
        write_fields(out, row)?;
        for (position, _) in &extra {
            out.text(&staging::extra_cell(connection, row.number, *position)?)?;
        }
        Ok::<_, ErrorsError>(write_reasons(out, row)?)
    })
}

/// The name of a column without a field. A name that means a field would take the place of the
/// field's own column when the file is uploaded again.
fn extra_name(name: &str) -> Cow<'_, str> {
    if alias_place(name).is_some() { format!("{name} (left out)").into() } else { name.into() }
}

fn write_fields(out: &mut impl CellWriter, row: &ShownRow) -> io::Result<()> {
    for cell in &row.cells.0 {
        match cell.as_str() {
            // Escaped, it would be a text instead of the sign that clears the field.
            "-" => out.number("-")?,
            // Cells stand here as in a file: the writer escapes again what needs it.
            cell => out.text(unescape_formula(cell))?,
        }
    }
    Ok(())
}

fn write_reasons(out: &mut impl CellWriter, row: &ShownRow) -> io::Result<()> {
    let reasons = row.faults.iter().map(|fault| match fault.field.as_str() {
        "" => fault.error.clone(),
        column => format!("{column}: {}", fault.error),
    });
    out.text(&reasons.collect::<Vec<_>>().join("; "))?;
    out.end_row()
}
