//! Coupon codes as CSV, and empty files to fill in.
//!
//! What is written can be uploaded again: into an empty network to add the codes, and over the same
//! codes to update them. No cell is a formula to a spreadsheet; see `catalog::neutralised`.

use std::io::Write;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::catalog::{BulkMode, COLUMNS, neutralised};
use crate::store::rows::Filter;
use crate::store::{StoreError, export};

/// Why the file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be written.
    #[error("cannot write the file: {0}")]
    Write(#[from] csv::Error),
}

/// Writes the codes that meet all filters; answers how many.
///
/// # Errors
/// When the store cannot be read, or the file not be written.
pub fn write(
    connection: &Connection,
    filters: &[Filter],
    out: impl Write,
) -> Result<u64, ExportError> {
    let mut out = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(out);
    out.write_record(COLUMNS)?;
    let mut count = 0;
    export::each_code(connection, filters, |row| {
        for at in 0..COLUMNS.len() {
            match row.get_ref(at).map_err(StoreError::from)? {
                ValueRef::Integer(number) => out.write_field(number.to_string())?,
                other => {
                    let text = other.as_str().map_err(rusqlite::Error::from);
                    let text = text.map_err(StoreError::from)?;
                    out.write_field(neutralised(text).as_bytes())?;
                }
            }
        }
        out.write_record(None::<&[u8]>)?;
        count += 1;
        Ok::<_, ExportError>(())
    })?;
    out.flush().map_err(csv::Error::from)?;
    Ok(count)
}

/// The header of a file to fill in.
#[must_use]
pub fn template(mode: BulkMode) -> String {
    let columns: &[&str] = match mode {
        BulkMode::Add => &[
            "offer_id",
            "affiliate_id",
            "coupon_code",
            "status",
            "start_date",
            "end_date",
            "description",
            "is_description_plain_text",
            "internal_notes",
        ],
        BulkMode::Update => &COLUMNS[..10],
    };
    columns.join(",") + "\r\n"
}
