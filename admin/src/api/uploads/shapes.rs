//! The shapes of uploads and their rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::answer::{Answer, Paging};
use super::super::error::ApiError;
use crate::catalog::{BulkMode, COLUMNS, Cells};
use crate::import::edit::Named;
use crate::store::rows::Page;
use crate::store::staging::{self, Counts};
use crate::store::uploads::Outcome;
use crate::uploads::Counted;

/// An upload.
#[derive(Serialize)]
pub(super) struct Shown {
    upload_id: u32,
    mode: BulkMode,
    allow_reissue: bool,
    /// `staged` or `committed`.
    status: &'static str,
    #[serde(flatten)]
    counts: Counts,
    time_created: i64,
    /// When it is removed.
    time_expires: i64,
    /// What came of the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    committed: Option<Committed>,
}

/// What a commit did.
#[derive(Serialize)]
struct Committed {
    time_committed: i64,
    created: u64,
    updated: u64,
    unchanged: u64,
    skipped: u64,
}

impl Answer for Shown {}

impl From<Counted> for Shown {
    fn from((upload, counts): Counted) -> Shown {
        Shown {
            upload_id: upload.id,
            mode: upload.intent.mode,
            allow_reissue: upload.intent.allow_reissue,
            status: if upload.outcome.is_some() { "committed" } else { "staged" },
            counts,
            time_created: upload.time_created,
            time_expires: upload.time_expires,
            committed: upload.outcome.map(Committed::from),
        }
    }
}

impl From<Outcome> for Committed {
    fn from(outcome: Outcome) -> Committed {
        let Outcome { time_committed, created, updated, unchanged, skipped, .. } = outcome;
        Committed { time_committed, created, updated, unchanged, skipped }
    }
}

/// An upload and a page of its rows.
#[derive(Serialize)]
pub(super) struct ShownRows {
    #[serde(flatten)]
    upload: Shown,
    rows_on_page: Vec<ShownRow>,
    paging: Paging,
}

impl Answer for ShownRows {}

impl ShownRows {
    pub(super) fn new(
        counted: Counted,
        rows: Vec<staging::ShownRow>,
        valid: Option<bool>,
        page: Page,
    ) -> ShownRows {
        let Counts { rows: all, valid: right, invalid } = counted.1;
        let total_count = match valid {
            None => all,
            Some(true) => right,
            Some(false) => invalid,
        };
        ShownRows {
            upload: counted.into(),
            rows_on_page: rows.into_iter().map(ShownRow::from).collect(),
            paging: Paging::new(page, total_count),
        }
    }
}

/// A row and what is wrong with it.
#[derive(Serialize)]
pub(super) struct ShownRow {
    row: u32,
    /// None when it was added later.
    line: Option<u64>,
    /// `valid` or `invalid`.
    verdict: &'static str,
    /// Cells as a file would hold them.
    values: BTreeMap<&'static str, String>,
    errors: Vec<CellError>,
}

/// What is wrong with a cell; with the whole row, where there is no column.
#[derive(Serialize)]
struct CellError {
    column: String,
    error: String,
}

impl Answer for ShownRow {}

impl From<staging::ShownRow> for ShownRow {
    fn from(row: staging::ShownRow) -> ShownRow {
        let Cells(cells) = row.cells;
        let errors = row.faults.into_iter();
        ShownRow {
            row: row.number,
            line: row.line,
            verdict: if errors.len() == 0 { "valid" } else { "invalid" },
            values: COLUMNS.into_iter().zip(cells).collect(),
            errors: errors.map(|e| CellError { column: e.field, error: e.error }).collect(),
        }
    }
}

/// Cells by column, as a file would hold them; numbers and truth values need no quotes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct RowCells(Map<String, Value>);

impl RowCells {
    pub(super) fn named(self) -> Result<Named, ApiError> {
        let mut named = Named::new();
        for (column, value) in self.0 {
            let cell = match value {
                Value::Null => String::new(),
                Value::String(text) if text.contains('\0') => {
                    return Err(ApiError::field(column, "contains a NUL character; remove it"));
                }
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                _ => {
                    return Err(ApiError::field(
                        column,
                        "must be text, a number, or a truth value",
                    ));
                }
            };
            let column = if column == "notes" { "internal_notes".into() } else { column };
            named.insert(column, cell);
        }
        Ok(named)
    }
}
