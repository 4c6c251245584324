//! The errors of a staged file as CSV: one line for each wrong cell, or the wrong rows with their
//! reasons, which can be mended and uploaded again.

use std::io::{self, Write};

use super::header::REASONS_COLUMN;
use crate::catalog::{COLUMNS, unescape_formula};
use crate::csv_file::CsvWriter;
use crate::store::staging::{self, ShownRow};
use crate::store::{ReadTx, StoreError};

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
pub fn write(connection: &ReadTx<'_>, out: impl Write) -> Result<(), ErrorsError> {
    let mut out = CsvWriter::begin(out, &["row", "line", "column", "error"])?;
    staging::each_fault(connection, u64::from(u32::MAX), |number, line, fault| {
        out.number(number)?;
        out.number(line.map(|line| line.to_string()).unwrap_or_default())?;
        out.text(&fault.field)?;
        out.text(&fault.error)?;
        out.end_row()?;
        Ok::<_, ErrorsError>(())
    })?;
    out.finish()?;
    Ok(())
}

/// # Errors
/// When the rows cannot be read or the list cannot be written.
pub fn write_rows(connection: &ReadTx<'_>, out: impl Write) -> Result<(), ErrorsError> {
    let columns = Vec::from_iter(COLUMNS.into_iter().chain([REASONS_COLUMN]));
    let mut out = CsvWriter::begin(out, &columns)?;
    staging::each_wrong_row(connection, |row| Ok::<_, ErrorsError>(write_row(&mut out, row)?))?;
    out.finish()?;
    Ok(())
}

fn write_row(out: &mut CsvWriter<impl Write>, row: &ShownRow) -> io::Result<()> {
    for cell in &row.cells.0 {
        match cell.as_str() {
            // Escaped, it would be a text instead of the sign that clears the field.
            "-" => out.number("-")?,
            // Cells stand here as in a file: the writer escapes again what needs it.
            cell => out.text(unescape_formula(cell))?,
        }
    }
    let reasons = row.faults.iter().map(|fault| match fault.field.as_str() {
        "" => fault.error.clone(),
        column => format!("{column}: {}", fault.error),
    });
    out.text(&reasons.collect::<Vec<_>>().join("; "))?;
    out.end_row()
}
