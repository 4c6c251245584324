//! A file before its rows are read: what its beginning shows, and whether that is certain.

use std::fs::File;
use std::io::{Read, Seek};

use super::encoding::first_line_not_utf8;
use super::header::{self, FileColumn};
use super::layout::{Layout, Separator};
use super::read_error::{HeaderProblem, ReadError};
use super::table::Table;
use super::workbook::ARCHIVE_MARK;
use crate::catalog::{BulkMode, COLUMNS, Encoding};

/// Rows of a preview.
const ROWS: usize = 5;
/// Characters of a cell that are shown.
const MAX_CELL_CHARACTERS: usize = 80;

/// The beginning of a file as a layout reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// As said, or as found.
    pub encoding: Encoding,
    /// As said, or as found.
    pub separator: Separator,
    /// The columns of the header.
    pub columns: Vec<FileColumn>,
    /// The first rows.
    pub rows: Vec<PreviewRow>,
    /// Needed fields that have neither a column nor a value.
    pub missing: Vec<&'static str>,
    /// Why the rows cannot be read so.
    pub problems: Vec<String>,
    /// What is left out.
    pub warnings: Vec<String>,
}

/// A row of a preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewRow {
    /// First line of the row.
    pub line: u64,
    /// One for each column; long ones are cut.
    pub cells: Vec<String>,
}

/// Reads the header and the first rows. A problem of the header is part of the answer.
///
/// # Errors
/// When the file is no table.
pub fn preview(mode: BulkMode, layout: &Layout, file: impl Read) -> Result<Preview, ReadError> {
    let mut table = Table::open(layout, file)?;
    let line = table.header_line;
    let columns = header::columns(layout, &table.record, line)?;
    let mut rows = Vec::new();
    while rows.len() < ROWS
        && let Some(line) = table.next_record()?
    {
        let cells =
            (0..columns.len()).map(|at| shortened(table.record.get(at).unwrap_or_default()));
        rows.push(PreviewRow { line, cells: cells.collect() });
    }
    let problems = header::problems(mode, layout, &columns);
    let missing = problems.iter().find_map(|problem| match problem {
        HeaderProblem::Missing { missing, .. } => Some(missing.clone()),
        _ => None,
    });
    let sentences =
        problems.into_iter().map(|problem| ReadError::Header { line, problem }.to_string());
    Ok(Preview {
        encoding: table.encoding,
        separator: table.separator,
        rows,
        missing: missing.unwrap_or_default(),
        problems: sentences.collect(),
        warnings: table.warning.iter().cloned().chain(header::unknown_columns(&columns)).collect(),
        columns,
    })
}

fn shortened(cell: &[u8]) -> String {
    String::from_utf8_lossy(cell).chars().take(MAX_CELL_CHARACTERS).collect()
}

/// The encoding to read a file with, unless its rows can be read without a question.
///
/// # Errors
/// When the file is no table.
pub fn doubtful_encoding(
    mode: BulkMode,
    layout: &Layout,
    file: &mut File,
) -> Result<Option<Encoding>, ReadError> {
    let (encoding, is_certain) = match layout.encoding {
        Some(encoding) => (encoding, true),
        None => found_encoding(file)?,
    };
    let layout = Layout { encoding: Some(encoding), ..layout.clone() };
    let preview = preview(mode, &layout, &mut *file)?;
    rewind(file)?;
    Ok((!is_certain || !preview.problems.is_empty()).then_some(encoding))
}

/// The encoding that all bytes of a file show, and whether it is certain.
fn found_encoding(file: &mut File) -> Result<(Encoding, bool), ReadError> {
    let mut start = Vec::new();
    let looked = file.take(4).read_to_end(&mut start);
    looked.map_err(|source| ReadError::Broken { line: 1, source })?;
    rewind(file)?;
    if start.starts_with(ARCHIVE_MARK) {
        // The texts of a workbook are always UTF-8.
        return Ok((Encoding::Utf8, true));
    }
    if let Some(encoding) = Encoding::of_start(&start) {
        return Ok((encoding, true));
    }
    let line = first_line_not_utf8(&mut *file);
    let line = line.map_err(|source| ReadError::Broken { line: 1, source })?;
    rewind(file)?;
    Ok(if line.is_some() { (Encoding::Windows1252, false) } else { (Encoding::Utf8, true) })
}

fn rewind(file: &mut File) -> Result<(), ReadError> {
    file.rewind().map_err(|source| ReadError::Broken { line: 1, source })
}

impl FileColumn {
    /// The name of the column's field.
    #[must_use]
    pub fn field_name(&self) -> Option<&'static str> {
        self.field.map(|field| COLUMNS[field])
    }
}
