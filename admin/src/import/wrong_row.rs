//! A row of a file: correct, or as typed with its errors.

use crate::catalog::{BulkRow, Cells, FieldError};

pub(super) type Row = Result<BulkRow, Box<WrongRow>>;

/// A row with errors of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrongRow {
    /// The folded code, if readable.
    pub(super) folded: Option<String>,
    pub(super) cells: Cells<String>,
    /// Errors of unreadable cells.
    pub(super) unreadable: Vec<FieldError>,
    /// Errors of cells with invalid values.
    pub(super) own: Vec<FieldError>,
}
