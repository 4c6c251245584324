//! Coupon codes as files, and templates with an example.
//!
//! An exported file can be uploaded again: into an empty network to add the codes, or over the same
//! codes to update them. Each row becomes the exported object, whatever its texts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use crate::catalog::{BulkMode, COLUMNS, EXAMPLE_CODE, TrackingLink, tracking_link};
use crate::store::export::{self, ExportCell};
use crate::store::rollups::Dimension;
use crate::store::rows::Filter;
use crate::store::{ReadTx, StoreError, coupon_codes, labels};
use crate::table_file::CellWriter;

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

/// What a file says about a code beside its fields. An upload leaves these columns out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportDetails {
    /// The names of offer and partner.
    pub names: bool,
    /// The tracking link.
    pub links: bool,
}

/// Columns of [`ExportDetails`].
const NAME_COLUMNS: [&str; 2] = ["offer_name", "affiliate_name"];
const LINK_COLUMN: &str = "tracking_link";

/// Writes the codes that match all filters; returns their number.
///
/// # Errors
/// When the store cannot be read, or the file not be written.
pub fn write(
    connection: &ReadTx<'_>,
    filters: &[Filter],
    details: ExportDetails,
    out: &mut impl CellWriter,
) -> Result<u64, ExportError> {
    let names = NAME_COLUMNS.into_iter().filter(|_| details.names);
    let links = Some(LINK_COLUMN).filter(|_| details.links);
    out.header(COLUMNS.into_iter().chain(names).chain(links))?;
    let mut names = Names::default();
    let mut count = 0;
    export::each_code(connection, filters, |cells| {
        for cell in cells {
            match cell {
                ExportCell::Number(number) => out.number(number)?,
                ExportCell::Text(text) => out.text(text)?,
            }
        }
        let [id, _, offer, partner, ..] = cells.map(|cell| cell.id());
        if details.names {
            out.text(names.find(connection, Dimension::Offer, offer)?)?;
            out.text(names.find(connection, Dimension::Affiliate, partner)?)?;
        }
        if details.links {
            out.text(&link(connection, id)?)?;
        }
        out.end_row()?;
        count += 1;
        Ok::<_, ExportError>(())
    })?;
    Ok(count)
}

/// Names of offers and partners, each read once.
#[derive(Default)]
struct Names(HashMap<(Dimension, u32), String>);

impl Names {
    /// Empty for no id.
    fn find(
        &mut self,
        connection: &ReadTx<'_>,
        dimension: Dimension,
        id: Option<u32>,
    ) -> Result<&str, StoreError> {
        let Some(id) = id else { return Ok("") };
        match self.0.entry((dimension, id)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let name = labels::names(connection, dimension, &[id])?.remove(&id);
                Ok(unknown.insert(name.unwrap_or_default()))
            }
        }
    }
}

/// Empty for a code without a link.
fn link(connection: &ReadTx<'_>, id: Option<u32>) -> Result<String, StoreError> {
    let found = id.map(|id| coupon_codes::find(connection, id)).transpose()?.flatten();
    let link = found.map(|row| {
        let code = &row.stored.object;
        tracking_link(TrackingLink {
            base_url: row.base_url.as_deref(),
            code: &code.coupon_code,
            offer_id: code.network_offer_id,
            is_on_several_offers: row.is_on_several_offers,
            state: row.link_state,
        })
    });
    Ok(link.unwrap_or_default())
}

/// The columns of a template, and an example row that an upload leaves out. The cells need neither
/// quotes nor escapes.
fn template(mode: BulkMode) -> Vec<(&'static str, &'static str)> {
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

/// Writes a template.
///
/// # Errors
/// When the file cannot be written.
pub fn write_template(mode: BulkMode, out: &mut impl CellWriter) -> io::Result<()> {
    let template = template(mode);
    out.header(template.iter().map(|(column, _)| *column))?;
    for (_, cell) in template {
        out.number(cell)?;
    }
    out.end_row()
}
