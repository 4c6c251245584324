//! Lists the errors of a staged file as CSV, one line for each invalid cell.

use std::io::{self, Write};

use crate::csv_file::CsvWriter;
use crate::store::{ReadTx, StoreError, staging};

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
