//! Coupon codes as CSV, and empty templates.
//!
//! An exported file can be uploaded again: into an empty network to add the codes, or over the same
//! codes to update them. Each row becomes the exported object, whatever its texts.

use std::io::{self, Write};

use crate::catalog::{BulkMode, COLUMNS};
use crate::csv_file::CsvWriter;
use crate::store::export::{self, ExportCell};
use crate::store::rows::Filter;
use crate::store::{ReadTx, StoreError};

/// Reasons why the file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Writes the codes that match all filters; returns their number.
///
/// # Errors
/// When the store cannot be read, or the file not be written.
pub fn write(
    connection: &ReadTx<'_>,
    filters: &[Filter],
    out: impl Write,
) -> Result<u64, ExportError> {
    let mut out = CsvWriter::begin(out, &COLUMNS)?;
    let mut count = 0;
    export::each_code(connection, filters, |cells| {
        for cell in cells {
            match cell {
                ExportCell::Number(number) => out.number(number)?,
                ExportCell::Text(text) => out.text(text)?,
            }
        }
        out.end_row()?;
        count += 1;
        Ok::<_, ExportError>(())
    })?;
    out.finish()?;
    Ok(count)
}

/// Header of a template.
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
