//! The header of a file: the field of each column, and the cells that rows must have.

use csv::ByteRecord;

use super::layout::{ColumnChoice, Layout, field_place};
use super::read_error::ReadError;
use crate::catalog::text::trim_invisible;
use crate::catalog::{BulkMode, COLUMNS, Cells};

/// Wrong rows are downloaded with this column behind theirs; such a file is uploaded again.
pub const REASONS_COLUMN: &str = "errors";

/// Characters of a name that are shown.
const MAX_NAME_CHARACTERS: usize = 60;

/// Where the cells of a row are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Position of each field in a row.
    pub(super) places: [Option<usize>; COLUMNS.len()],
    /// The cells of fields without a column.
    pub(super) values: Cells<String>,
    /// Columns of the header, without blank ones at its end.
    pub(super) cells: usize,
    /// Spreadsheet programs leave out blank cells at a row's end, so fewer cells are enough.
    pub(super) least_cells: usize,
}

/// A column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileColumn {
    /// The header's cell; empty if it is blank.
    pub name: String,
    /// Place in [`COLUMNS`].
    pub field: Option<usize>,
    /// Whether it is certain that the column has no field.
    pub is_ignored: bool,
}

impl Header {
    pub(super) fn read(
        mode: BulkMode,
        layout: &Layout,
        record: &ByteRecord,
    ) -> Result<Header, ReadError> {
        let columns = columns(layout, record)?;
        match problems(mode, layout, &columns).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Header::new(mode, layout, &columns)),
        }
    }

    fn new(mode: BulkMode, layout: &Layout, columns: &[FileColumn]) -> Header {
        let mut header = Header {
            places: [None; COLUMNS.len()],
            values: Cells::default(),
            cells: columns.len(),
            least_cells: 0,
        };
        for (place, column) in columns.iter().enumerate() {
            let Some(field) = column.field else { continue };
            header.places[field] = Some(place);
            if needed(mode).contains(&COLUMNS[field]) {
                header.least_cells = place + 1;
            }
        }
        for value in &layout.values {
            header.values.0[value.field].clone_from(&value.value);
        }
        header
    }
}

/// The columns of a header with their fields.
///
/// # Errors
/// When the header is not text.
pub(super) fn columns(layout: &Layout, record: &ByteRecord) -> Result<Vec<FileColumn>, ReadError> {
    let is_blank =
        |cell: &[u8]| std::str::from_utf8(cell).is_ok_and(|name| trim_invisible(name).is_empty());
    let count = record.iter().collect::<Vec<_>>().iter().rposition(|cell| !is_blank(cell));
    let cells = record.iter().take(count.map_or(0, |last| last + 1));
    cells.enumerate().map(|(place, cell)| column(layout, place + 1, cell)).collect()
}

fn column(layout: &Layout, position: usize, cell: &[u8]) -> Result<FileColumn, ReadError> {
    let name = std::str::from_utf8(cell).ok().filter(|name| !name.contains('\0'));
    let name = trim_invisible(name.ok_or(ReadError::NotUtf8 { line: 1 })?);
    let chosen = layout.columns.iter().find(|choice| choice.column.is_of(position, name));
    let field = chosen.map_or_else(|| field_place(name), |choice| choice.field);
    let is_ignored = field.is_none() && (chosen.is_some() || name == REASONS_COLUMN);
    let name = name.chars().take(MAX_NAME_CHARACTERS).collect();
    Ok(FileColumn { name, field, is_ignored })
}

/// All reasons why rows cannot be read under this header.
pub(super) fn problems(mode: BulkMode, layout: &Layout, columns: &[FileColumn]) -> Vec<ReadError> {
    let mut problems = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        let is_same = |other: &FileColumn| column.field.is_some() && other.field == column.field;
        match column.field {
            Some(field) if columns[..place].iter().any(is_same) => {
                problems.push(ReadError::Twice(COLUMNS[field]));
            }
            None if !column.is_ignored => problems.push(ReadError::Unknown(column.name.clone())),
            _ => {}
        }
    }
    let is_absent = |choice: &&ColumnChoice| {
        !columns.iter().zip(1..).any(|(column, at)| choice.column.is_of(at, &column.name))
    };
    let absent = layout.columns.iter().filter(is_absent);
    problems.extend(absent.map(|choice| ReadError::NoSuchColumn(choice.column.text())));
    let has_column =
        |name: &str| columns.iter().any(|column| column.field.map(|at| COLUMNS[at]) == Some(name));
    let has_value = |name: &str| layout.values.iter().any(|value| COLUMNS[value.field] == name);
    let both = COLUMNS.into_iter().filter(|name| has_column(name) && has_value(name));
    problems.extend(both.map(ReadError::ColumnAndValue));
    let has = |name: &str| has_column(name) || has_value(name);
    let missing: Vec<&str> = needed(mode).iter().copied().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        problems.push(ReadError::Missing { missing, needed: needed(mode).join(", ") });
    } else if mode == BulkMode::Update && !COLUMNS[2..10].iter().any(|name| has(name)) {
        problems.push(ReadError::NothingToSet);
    }
    problems
}

/// The required columns.
#[must_use]
pub fn needed(mode: BulkMode) -> &'static [&'static str] {
    match mode {
        BulkMode::Add => &["offer_id", "affiliate_id", "coupon_code", "status"],
        BulkMode::Update => &["coupon_code"],
    }
}
