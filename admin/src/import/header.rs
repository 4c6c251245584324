//! The header of a file: the field of each column, and the cells that rows must have.

use csv::ByteRecord;

use super::layout::{ColumnChoice, Layout, alias_place, field_place};
use super::read_error::{HeaderProblem, ReadError};
use crate::catalog::text::trim_invisible;
use crate::catalog::{BulkMode, COLUMNS, Cells};

/// Wrong rows are downloaded with this column behind theirs; such a file is uploaded again.
pub(super) const REASONS_COLUMN: &str = "errors";
/// Holds the cells of a downloaded wrong row beyond those of its header.
pub(super) const SURPLUS_COLUMN: &str = "surplus_cells";
/// Columns of downloaded files that say more about a code than its fields.
const OWN_COLUMNS: [&str; 5] =
    [REASONS_COLUMN, SURPLUS_COLUMN, "offer_name", "affiliate_name", "tracking_link"];
/// Names of unknown columns that a warning repeats.
const MAX_NAMES: usize = 20;

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
    /// Positions and names of the columns without a field, which wrong rows keep.
    pub(super) extra: Vec<(usize, String)>,
    /// Position of [`SURPLUS_COLUMN`].
    pub(super) surplus: Option<usize>,
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

impl FileColumn {
    fn is_unknown(&self) -> bool {
        self.field.is_none() && !self.is_ignored
    }
}

impl Header {
    /// # Errors
    /// The first reason why rows cannot be read under these columns.
    pub(super) fn new(
        mode: BulkMode,
        layout: &Layout,
        columns: &[FileColumn],
        line: u64,
    ) -> Result<Header, ReadError> {
        if let Some(problem) = problems(mode, layout, columns).into_iter().next() {
            return Err(ReadError::Header { line, problem });
        }
        let mut header = Header {
            places: [None; COLUMNS.len()],
            values: Cells::default(),
            cells: columns.len(),
            least_cells: 0,
            extra: Vec::new(),
            surplus: columns.iter().position(|column| column.name == SURPLUS_COLUMN),
        };
        for (place, column) in columns.iter().enumerate() {
            let Some(field) = column.field else {
                if !OWN_COLUMNS.contains(&column.name.as_str()) {
                    header.extra.push((place, column.name.clone()));
                }
                continue;
            };
            header.places[field] = Some(place);
            if needed(mode).contains(&COLUMNS[field]) {
                header.least_cells = place + 1;
            }
        }
        for value in &layout.values {
            header.values.0[value.field].clone_from(&value.value);
        }
        Ok(header)
    }
}

/// The columns of the header at `line`, with their fields.
///
/// # Errors
/// When the header is not text.
pub(super) fn columns(
    layout: &Layout,
    record: &ByteRecord,
    line: u64,
) -> Result<Vec<FileColumn>, ReadError> {
    let is_blank =
        |cell: &[u8]| std::str::from_utf8(cell).is_ok_and(|name| trim_invisible(name).is_empty());
    let count = record.iter().collect::<Vec<_>>().iter().rposition(|cell| !is_blank(cell));
    let cells = record.iter().take(count.map_or(0, |last| last + 1));
    let columns = cells.enumerate().map(|(place, cell)| column(layout, place + 1, cell));
    let columns: Option<Vec<FileColumn>> = columns.collect();
    let mut columns = columns.ok_or(ReadError::NotUtf8 { line })?;
    let documented: Vec<usize> = columns.iter().filter_map(|column| column.field).collect();
    for column in columns.iter_mut().filter(|column| column.is_unknown()) {
        // The documented name of a field comes first, whatever its other names hold.
        column.field = alias_place(&column.name).filter(|field| !documented.contains(field));
    }
    Ok(columns)
}

/// Names the columns that no field has, which are left out; `None` if there are none.
pub(super) fn unknown_columns(columns: &[FileColumn]) -> Option<String> {
    let unknown = || columns.iter().enumerate().filter(|(_, column)| column.is_unknown());
    let more = unknown().count().saturating_sub(MAX_NAMES);
    let name = |(place, column): (usize, &FileColumn)| match column.name.as_str() {
        "" => format!("column {} (without a name)", place + 1),
        name => format!("`{name}`"),
    };
    let mut names: Vec<String> = unknown().take(MAX_NAMES).map(name).collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let left_out = match names.len() {
        0 => return None,
        1 => "no field has this name, so the column was left out",
        _ => "no field has these names, so the columns were left out",
    };
    Some(format!("{}: {left_out}", names.join(", ")))
}

/// `None` for a cell that is not text.
fn column(layout: &Layout, position: usize, cell: &[u8]) -> Option<FileColumn> {
    let name = std::str::from_utf8(cell).ok().filter(|name| !name.contains('\0'));
    let name = trim_invisible(name?);
    let chosen = layout.columns.iter().find(|choice| choice.column.is_of(position, name));
    let field = chosen.map_or_else(|| field_place(name), |choice| choice.field);
    let is_ignored = field.is_none() && (chosen.is_some() || OWN_COLUMNS.contains(&name));
    let name = name.chars().take(MAX_NAME_CHARACTERS).collect();
    Some(FileColumn { name, field, is_ignored })
}

/// All reasons why rows cannot be read under this header.
pub(super) fn problems(
    mode: BulkMode,
    layout: &Layout,
    columns: &[FileColumn],
) -> Vec<HeaderProblem> {
    let mut problems = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        let is_same = |other: &FileColumn| column.field.is_some() && other.field == column.field;
        match column.field {
            Some(field) if columns[..place].iter().any(is_same) => {
                problems.push(HeaderProblem::Twice(COLUMNS[field]));
            }
            _ => {}
        }
    }
    let is_absent = |choice: &&ColumnChoice| {
        !columns.iter().zip(1..).any(|(column, at)| choice.column.is_of(at, &column.name))
    };
    let absent = layout.columns.iter().filter(is_absent);
    problems.extend(absent.map(|choice| HeaderProblem::NoSuchColumn(choice.column.text())));
    let has_column =
        |name: &str| columns.iter().any(|column| column.field.map(|at| COLUMNS[at]) == Some(name));
    let has_value = |name: &str| layout.values.iter().any(|value| COLUMNS[value.field] == name);
    let both = COLUMNS.into_iter().filter(|name| has_column(name) && has_value(name));
    problems.extend(both.map(HeaderProblem::ColumnAndValue));
    let has = |name: &str| has_column(name) || has_value(name);
    let missing: Vec<&str> = needed(mode).iter().copied().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        problems.push(HeaderProblem::Missing { missing, needed: needed(mode).join(", ") });
    } else if mode == BulkMode::Update && !COLUMNS[2..10].iter().any(|name| has(name)) {
        problems.push(HeaderProblem::NothingToSet);
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
