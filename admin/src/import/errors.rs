//! Everything that is wrong with a staged file, as CSV: one line for each wrong cell.

use std::io::Write;

use rusqlite::Connection;

use crate::catalog::neutralised;
use crate::store::{StoreError, staging};

/// Why the list could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ErrorsError {
    /// The staged file could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list could not be written.
    #[error("cannot write the list of errors: {0}")]
    Write(#[from] csv::Error),
}

/// Writes the list.
///
/// # Errors
/// When the rows cannot be read, or the list not be written.
pub fn write(connection: &Connection, out: impl Write) -> Result<(), ErrorsError> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(["row", "line", "column", "error"])?;
    staging::each_fault(connection, u64::from(u32::MAX), |number, line, fault| {
        let line = line.map(|line| line.to_string()).unwrap_or_default();
        out.write_record([&number.to_string(), &line, &fault.field, &*neutralised(&fault.error)])?;
        Ok::<_, ErrorsError>(())
    })?;
    out.flush().map_err(csv::Error::from)?;
    Ok(())
}
