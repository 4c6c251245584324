//! An upload and its rows as the API answers them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::catalog::{BulkMode, COLUMNS};
use crate::console::format;
use crate::console::list::Paging;
use crate::console::words;

/// An upload.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Upload {
    pub(super) upload_id: u32,
    pub(super) mode: BulkMode,
    pub(super) allow_reissue: bool,
    status: String,
    pub(super) rows: u64,
    pub(super) valid: u64,
    pub(super) invalid: u64,
    warnings: Vec<String>,
    pub(super) time_created: i64,
    pub(super) time_expires: i64,
    pub(super) saving: Option<Saving>,
    pub(super) committed: Option<Outcome>,
}

/// The progress of saving.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Saving {
    phase: String,
    pub(super) rows_written: u64,
}

impl Saving {
    /// The progress in words.
    pub(super) fn sentence(&self, upload: &Upload) -> String {
        match self.phase.as_str() {
            "waiting" => "Waits until another upload is saved.".into(),
            "checking" => "The rows are checked once more.".into(),
            "writing" => {
                let written = format::count(self.rows_written);
                format!("{written} of {} rows are written.", format::count(upload.rows))
            }
            _ => "All rows are written. They are being made live.".into(),
        }
    }
}

/// The result of saving an upload.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Outcome {
    pub(super) network_job_id: u32,
    pub(super) time_committed: i64,
    created: u64,
    updated: u64,
    unchanged: u64,
    skipped: u64,
}

impl Upload {
    pub(super) fn is_add(&self) -> bool {
        self.mode == BulkMode::Add
    }

    pub(super) fn is_saving(&self) -> bool {
        self.status == "saving"
    }

    /// Whether it is not said yet how to read the file.
    pub(super) fn is_unread(&self) -> bool {
        self.status == "unread"
    }

    /// Whether rows can be changed.
    pub(super) fn is_staged(&self) -> bool {
        self.status == "staged"
    }

    /// The name of the page that took the file.
    pub(super) fn kind(&self) -> &'static str {
        if self.is_add() { "Bulk Add" } else { "Bulk Update" }
    }

    /// Class and word of the state.
    pub(super) fn state(&self) -> (&'static str, &'static str) {
        match self.status.as_str() {
            "committed" => ("good", "Saved"),
            "saving" => ("wait", "Being saved"),
            "unread" => ("wait", "To be read"),
            _ if self.invalid > 0 => ("bad", "Has wrong rows"),
            _ if self.rows == 0 => ("off", "Empty"),
            _ => ("wait", "Ready to save"),
        }
    }

    /// What saving the right rows does, as a button says it.
    pub(super) fn consequence(&self) -> String {
        let (verb, rows) = (if self.is_add() { "Create" } else { "Change" }, self.valid);
        let codes = if rows == 1 { "code" } else { "codes" };
        let whole = format!("{verb} {} {codes}", format::count(rows));
        match self.invalid {
            0 => whole,
            1 => format!("{whole}, leave out the wrong row"),
            wrong => format!("{whole}, leave out the {} wrong rows", format::count(wrong)),
        }
    }

    /// What was left out of the file. The names of columns are the file's words.
    pub(super) fn warnings(&self) -> Vec<String> {
        let sentence = |warning: &String| words::capitalised(&warning.replace('`', "\"")) + ".";
        self.warnings.iter().map(sentence).collect()
    }

    /// The columns of the grid. A file that adds codes has no ids.
    pub(super) fn columns(&self) -> Vec<&'static str> {
        let is_shown = |column: &&str| !(self.is_add() && *column == "coupon_code_id");
        COLUMNS.into_iter().filter(is_shown).collect()
    }
}

impl Outcome {
    /// The numbers in words.
    pub(super) fn sentence(&self) -> String {
        let parts = [
            (self.created, "created"),
            (self.updated, "changed"),
            (self.unchanged, "already as wanted"),
            (self.skipped, "left out as wrong"),
        ];
        let parts = parts.iter().filter(|(rows, _)| *rows > 0);
        let said: Vec<String> =
            parts.map(|(rows, what)| format!("{} {what}", format::count(*rows))).collect();
        if said.is_empty() { "nothing to change".into() } else { said.join(", ") }
    }
}

/// An upload with a page of its rows.
#[derive(Debug, Deserialize)]
pub(super) struct UploadRows {
    #[serde(flatten)]
    pub(super) upload: Upload,
    rows_on_page: Vec<StagedRow>,
    pub(super) paging: Paging,
}

#[derive(Debug, Deserialize)]
struct StagedRow {
    row: u32,
    line: Option<u64>,
    values: BTreeMap<String, String>,
    errors: Vec<CellError>,
}

#[derive(Debug, Deserialize)]
struct CellError {
    column: String,
    error: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorGroups {
    errors: Vec<ErrorGroup>,
}

impl ErrorGroups {
    pub(super) fn most_frequent(mut self, most: usize) -> Vec<ErrorGroup> {
        self.errors.truncate(most);
        self.errors
    }
}

/// An error of several rows.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorGroup {
    /// Empty for an error of whole rows.
    pub(super) column: String,
    pub(super) error: String,
    rows: u64,
}

impl ErrorGroup {
    pub(super) fn label(&self) -> String {
        words::label(&self.column)
    }

    /// The number of rows in words.
    pub(super) fn rows(&self) -> String {
        if self.rows == 1 { "1 row".into() } else { format!("{} rows", format::count(self.rows)) }
    }

    /// The filters of the list of these rows.
    pub(super) fn filters(&self) -> [String; 2] {
        [format!("column={}", self.column), format!("error={}", self.error)]
    }

    /// The error in words.
    pub(super) fn sentence(&self) -> String {
        ErrorGroup::sentence_of(&self.column, &self.error)
    }

    pub(super) fn sentence_of(column: &str, error: &str) -> String {
        let error = words::plain(error);
        match column {
            "" => words::capitalised(&error),
            column => format!("{}: {error}", words::label(column)),
        }
    }
}

/// A row of the grid.
#[derive(Debug)]
pub(super) struct GridRow {
    pub(super) number: u32,
    /// The line of the file; empty for a row that was added on the page.
    pub(super) line: String,
    pub(super) cells: Vec<GridCell>,
    /// Errors of the whole row.
    pub(super) errors: Vec<String>,
    pub(super) is_right: bool,
}

/// A cell of the grid.
#[derive(Debug)]
pub(super) struct GridCell {
    /// The id of the input.
    pub(super) id: String,
    pub(super) column: &'static str,
    pub(super) label: String,
    pub(super) value: String,
    pub(super) errors: Vec<String>,
}

/// Whether cells of the column may have several lines.
pub(super) fn is_long(column: &str) -> bool {
    matches!(column, "description" | "internal_notes")
}

impl GridCell {
    pub(super) fn is_long(&self) -> bool {
        is_long(self.column)
    }
}

impl UploadRows {
    pub(super) fn grid(&self) -> Vec<GridRow> {
        let columns = self.upload.columns();
        self.rows_on_page.iter().map(|row| row.in_grid(&columns)).collect()
    }
}

impl StagedRow {
    fn in_grid(&self, columns: &[&'static str]) -> GridRow {
        let errors_of = |column: Option<&str>| -> Vec<String> {
            // An error of a column that the grid does not show stands at the row.
            let is_here = |error: &&CellError| match column {
                Some(column) => error.column == column,
                None => !columns.contains(&error.column.as_str()),
            };
            let errors = self.errors.iter().filter(is_here);
            errors.map(|error| words::plain(&error.error)).collect()
        };
        let cell = |column: &&'static str| GridCell {
            id: format!("cell-{}-{column}", self.row),
            column,
            label: words::label(column),
            value: self.values.get(*column).cloned().unwrap_or_default(),
            errors: errors_of(Some(column)),
        };
        GridRow {
            number: self.row,
            line: self.line.map(|line| line.to_string()).unwrap_or_default(),
            cells: columns.iter().map(cell).collect(),
            errors: errors_of(None),
            is_right: self.errors.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn upload(over: serde_json::Value) -> UploadRows {
        let mut base = json!({
            "upload_id": 7, "mode": "add", "allow_reissue": false, "status": "staged", "rows": 1000,
            "valid": 970, "invalid": 30, "warnings": [], "time_created": 1, "time_expires": 2,
            "rows_on_page": [], "paging": {"page": 1, "page_size": 50, "total_count": 30},
        });
        base.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        serde_json::from_value(base).unwrap()
    }

    #[test]
    fn a_button_says_what_saving_does_in_numbers() {
        let said = |over| upload(over).upload.consequence();
        assert_eq!(said(json!({})), "Create 970 codes, leave out the 30 wrong rows");
        assert_eq!(said(json!({"valid": 1000, "invalid": 0})), "Create 1,000 codes");
        let one = json!({"mode": "update", "valid": 1, "invalid": 1});
        assert_eq!(said(one), "Change 1 code, leave out the wrong row");
        let saved = json!({"network_job_id": 1, "time_committed": 3, "created": 0, "updated": 2, "unchanged": 1_200,
                           "skipped": 0});
        let saved: Outcome = serde_json::from_value(saved).unwrap();
        assert_eq!(saved.sentence(), "2 changed, 1,200 already as wanted");
    }

    #[test]
    fn errors_stand_at_their_cells_and_those_of_the_row_beside_it() {
        let rows = json!([{
            "row": 3, "line": 4, "verdict": "invalid", "values": {"affiliate_id": "77"},
            "errors": [{"column": "affiliate_id", "error": "there is no affiliate 77"},
                       {"column": "", "error": "has 3 cells; the header has 4"}],
        }]);
        let grid = upload(json!({"rows_on_page": rows})).grid();
        let row = &grid[0];
        let partner = row.cells.iter().find(|cell| cell.column == "affiliate_id").unwrap();
        assert_eq!((partner.label.as_str(), partner.value.as_str()), ("Partner", "77"));
        assert_eq!(partner.errors, ["there is no partner 77"]);
        assert_eq!(row.errors, ["has 3 cells; the header has 4"]);
        assert!(!row.is_right);
        assert!(row.cells.iter().all(|cell| cell.column != "coupon_code_id"));
    }
}
