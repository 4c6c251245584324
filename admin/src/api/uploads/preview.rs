//! The beginning of a file, before its rows are read.

use serde::Serialize;

use crate::api::answer::Answer;
use crate::catalog::Encoding;
use crate::import::{FileColumn, Preview, Separator};

/// The beginning of a file as the parameters read it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct FilePreview {
    encoding: Encoding,
    delimiter: Separator,
    columns: Vec<PreviewColumn>,
    /// The first rows.
    rows: Vec<PreviewRow>,
    /// Fields that need a column or a value for all rows.
    missing_fields: Vec<&'static str>,
    /// Why the rows cannot be read so; empty if they can.
    problems: Vec<String>,
    /// What is left out, such as columns that no field has.
    warnings: Vec<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PreviewColumn {
    name: String,
    /// Absent where the column has no field.
    field: Option<&'static str>,
    /// Whether it is certain that the column has no field.
    is_ignored: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PreviewRow {
    line: u64,
    /// One for each column.
    cells: Vec<String>,
}

impl Answer for FilePreview {}

impl From<Preview> for FilePreview {
    fn from(preview: Preview) -> FilePreview {
        let column = |column: FileColumn| PreviewColumn {
            field: column.field_name(),
            is_ignored: column.is_ignored,
            name: column.name,
        };
        let rows = preview.rows.into_iter();
        FilePreview {
            encoding: preview.encoding,
            delimiter: preview.separator,
            columns: preview.columns.into_iter().map(column).collect(),
            rows: rows.map(|row| PreviewRow { line: row.line, cells: row.cells }).collect(),
            missing_fields: preview.missing,
            problems: preview.problems,
            warnings: preview.warnings,
        }
    }
}
