//! Coupon codes as CSV, and templates with an example.
//!
//! An exported file can be uploaded again: into an empty network to add the codes, or over the same
//! codes to update them. Each row becomes the exported object, whatever its texts.

use std::io::{self, Write};

use crate::catalog::{BulkMode, COLUMNS, EXAMPLE_CODE};
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

/// A template: the columns, and an example row that an upload leaves out.
#[must_use]
pub fn template(mode: BulkMode) -> Vec<(&'static str, &'static str)> {
    match mode {
        BulkMode::Add => vec![
            ("offer_id", "1"),
            ("affiliate_id", "1"),
            ("coupon_code", EXAMPLE_CODE),
            ("status", "active"),
            ("start_date", "2026-12-01"),
            ("end_date", "2026-12-31"),
            ("description", "20 % off until New Year"),
            ("is_description_plain_text", "true"),
            ("internal_notes", "The partner never sees this"),
        ],
        BulkMode::Update => {
            let example =
                ["", EXAMPLE_CODE, "", "2", "paused", "", "-", "", "", "Blank keeps; - clears"];
            COLUMNS.into_iter().zip(example).collect()
        }
    }
}

/// A template as CSV. The texts of the examples need no quotes.
#[must_use]
pub fn template_csv(mode: BulkMode) -> String {
    let (columns, cells): (Vec<&str>, Vec<&str>) = template(mode).into_iter().unzip();
    format!("{}\r\n{}\r\n", columns.join(","), cells.join(","))
}
