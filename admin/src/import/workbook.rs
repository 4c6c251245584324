//! The rows of a workbook (XLSX): of the sheet that is named, else of the first visible one with
//! rows. Days of the calendar become ISO days, whatever their format; formulas have the value that
//! the spreadsheet program saved.
//!
//! The file is in memory, and one thread reads its cells; few rows are ahead of those in use.

use std::io::{Cursor, Read};
use std::sync::mpsc::{Receiver, sync_channel};

use calamine::{Cell, DataRef, Reader, SheetType, SheetVisible, Xlsx, XlsxCellReader};
use csv::ByteRecord;

use super::workbook_bounds::{self, MAX_WORKBOOK_BYTES};

/// Begins each archive that a spreadsheet program writes.
pub(super) const ARCHIVE_MARK: &[u8] = b"PK\x03\x04";
/// The most of each in a sheet of Excel.
const MAX_ROWS: u32 = 1 << 20;
const MAX_COLUMNS: u32 = 1 << 14;
const MAX_CELLS: u64 = 16_000_000;
/// As the text of a CSV file's row.
const MAX_ROW_BYTES: usize = 256 << 10;
/// Rows, or bytes of them, that are passed on at once.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// Batches that wait to be used.
const BATCHES: usize = 4;

/// Why a workbook cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WorkbookError {
    /// The file or its contents exceed a bound.
    #[error("the workbook has {0}; save it as \"CSV UTF-8\", or split it")]
    TooLarge(String),
    /// A part is not as spreadsheet programs write it.
    #[error("the part `{name}` of the workbook {reason}; save the file as \"CSV UTF-8\"")]
    OddPart {
        /// The part.
        name: String,
        /// The oddity.
        reason: &'static str,
    },
    /// The file is no workbook, or a damaged one.
    #[error(
        "the file is a ZIP archive, but cannot be read as an Excel workbook (XLSX): {0}; save it as XLSX or \
         as \"CSV UTF-8\""
    )]
    NotReadable(String),
    /// The request names another sheet than the workbook has.
    #[error("the workbook has no sheet `{name}`; its sheets: {known}")]
    NoSheet {
        /// The named sheet.
        name: String,
        /// The sheets of the workbook.
        known: String,
    },
}

impl WorkbookError {
    pub(super) fn not_readable(error: impl std::error::Error) -> WorkbookError {
        WorkbookError::NotReadable(error.to_string())
    }

    pub(super) fn odd_part(name: &str, reason: &'static str) -> WorkbookError {
        WorkbookError::OddPart { name: name.to_owned(), reason }
    }
}

/// The rows of one sheet.
pub(super) struct Workbook {
    batches: Receiver<Result<Vec<WorkbookRow>, WorkbookError>>,
    batch: std::vec::IntoIter<WorkbookRow>,
    /// Names the sheets that were left out.
    pub(super) warning: Option<String>,
}

/// A row that is not blank.
pub(super) struct WorkbookRow {
    /// From 1, as spreadsheet programs count.
    pub(super) number: u64,
    pub(super) cells: ByteRecord,
}

type Book = Xlsx<Cursor<Vec<u8>>>;

impl Workbook {
    /// Reads the file and finds the sheet.
    pub(super) fn open(file: impl Read, sheet: Option<&str>) -> Result<Workbook, WorkbookError> {
        let mut bytes = Vec::new();
        let most = MAX_WORKBOOK_BYTES as u64 + 1;
        file.take(most).read_to_end(&mut bytes).map_err(WorkbookError::not_readable)?;
        if bytes.len() > MAX_WORKBOOK_BYTES {
            let mebibytes = MAX_WORKBOOK_BYTES >> 20;
            return Err(WorkbookError::TooLarge(format!("more than {mebibytes} MiB")));
        }
        workbook_bounds::check(&bytes)?;
        let mut book: Book = Xlsx::new(Cursor::new(bytes)).map_err(WorkbookError::not_readable)?;
        let (sheet, warning) = choose_sheet(&mut book, sheet)?;
        let (send, batches) = sync_channel(BATCHES);
        // The reader of the cells borrows the workbook, so both live on the stack of one thread.
        std::thread::spawn(move || {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            let sent = each_row(&mut book, &sheet, &mut |row| {
                bytes += row.cells.as_slice().len();
                batch.push(row);
                if batch.len() < BATCH_ROWS && bytes < BATCH_BYTES {
                    return true;
                }
                bytes = 0;
                send.send(Ok(std::mem::take(&mut batch))).is_ok()
            });
            // Fails where the rows are not wanted any more.
            let _ = send.send(sent.map(|()| batch));
        });
        Ok(Workbook { batches, batch: Vec::new().into_iter(), warning })
    }

    /// The next row that is not blank; `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<WorkbookRow>, WorkbookError> {
        loop {
            if let Some(row) = self.batch.next() {
                return Ok(Some(row));
            }
            match self.batches.recv() {
                Ok(batch) => self.batch = batch?.into_iter(),
                Err(_ended) => return Ok(None),
            }
        }
    }
}

/// The sheet to read, and a warning that names the sheets left out.
fn choose_sheet(
    book: &mut Book,
    named: Option<&str>,
) -> Result<(String, Option<String>), WorkbookError> {
    let sheets = book.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
    let names = |is_shown: bool| -> Vec<String> {
        let is_one = |visible| (visible == SheetVisible::Visible) == is_shown;
        let shown = sheets.clone().filter(|sheet| is_one(sheet.visible));
        shown.map(|sheet| sheet.name.clone()).collect()
    };
    let (visible, hidden) = (names(true), names(false));
    if let Some(name) = named {
        let known = [visible, hidden].concat();
        let is_named = |known: &&String| known.trim() == name.trim();
        return match known.iter().find(is_named) {
            Some(found) => Ok((found.clone(), None)),
            None => Err(WorkbookError::NoSheet { name: name.to_owned(), known: known.join(", ") }),
        };
    }
    let mut chosen = 0;
    for (place, name) in visible.iter().enumerate() {
        let mut has_rows = false;
        each_row(book, name, &mut |_| {
            has_rows = true;
            false
        })?;
        if has_rows {
            chosen = place;
            break;
        }
    }
    let Some(name) = visible.get(chosen) else {
        return Err(WorkbookError::NotReadable("it has no sheet with cells".to_owned()));
    };
    let others: Vec<&str> =
        visible.iter().filter(|other| *other != name).map(String::as_str).collect();
    let warning = (!others.is_empty()).then(|| {
        format!("the rows are those of the sheet `{name}`; left out: `{}`", others.join("`, `"))
    });
    Ok((name.clone(), warning))
}

/// Calls `each` with every row that is not blank, until it answers `false`.
fn each_row(
    book: &mut Book,
    sheet: &str,
    each: &mut dyn FnMut(WorkbookRow) -> bool,
) -> Result<(), WorkbookError> {
    let mut cells = book.worksheet_cells_reader(sheet).map_err(WorkbookError::not_readable)?;
    let mut row = RowBuilder::default();
    let mut count = 0;
    while let Some(cell) = next_cell(&mut cells)? {
        count += 1;
        if count > MAX_CELLS {
            return Err(WorkbookError::TooLarge(format!("more than {MAX_CELLS} cells")));
        }
        let (number, column) = cell.get_position();
        if number < row.number {
            return Err(WorkbookError::odd_part(sheet, "has its rows in another order"));
        }
        if number > row.number {
            if let Some(row) = row.finish()
                && !each(row)
            {
                return Ok(());
            }
            row.number = number;
        }
        row.put(column, text(cell.get_value()), sheet)?;
    }
    if let Some(row) = row.finish() {
        each(row);
    }
    Ok(())
}

fn next_cell<'a>(
    cells: &mut XlsxCellReader<'a, Cursor<Vec<u8>>>,
) -> Result<Option<Cell<DataRef<'a>>>, WorkbookError> {
    let cell = cells.next_cell().map_err(WorkbookError::not_readable)?;
    let is_within = |cell: &Cell<_>| {
        let (row, column) = cell.get_position();
        row < MAX_ROWS && column < MAX_COLUMNS
    };
    match cell {
        Some(cell) if !is_within(&cell) => Err(WorkbookError::TooLarge(format!(
            "more than {MAX_ROWS} rows or {MAX_COLUMNS} columns"
        ))),
        cell => Ok(cell),
    }
}

/// A row whose cells arrive by column.
#[derive(Default)]
struct RowBuilder {
    /// From 0.
    number: u32,
    cells: ByteRecord,
    is_filled: bool,
}

impl RowBuilder {
    fn put(&mut self, column: u32, text: String, sheet: &str) -> Result<(), WorkbookError> {
        let column = column as usize;
        if column < self.cells.len() {
            return Err(WorkbookError::odd_part(sheet, "has its cells in another order"));
        }
        if text.trim().is_empty() {
            return Ok(());
        }
        while self.cells.len() < column {
            self.cells.push_field(b"");
        }
        self.cells.push_field(text.as_bytes());
        self.is_filled = true;
        if self.cells.as_slice().len() > MAX_ROW_BYTES {
            let number = u64::from(self.number) + 1;
            return Err(WorkbookError::TooLarge(format!(
                "more than {MAX_ROW_BYTES} bytes in row {number}"
            )));
        }
        Ok(())
    }

    /// The complete row, if any cell has a text.
    fn finish(&mut self) -> Option<WorkbookRow> {
        let cells = std::mem::take(&mut self.cells);
        let is_filled = std::mem::take(&mut self.is_filled);
        is_filled.then(|| WorkbookRow { number: u64::from(self.number) + 1, cells })
    }
}

/// A cell as in a CSV file.
fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.clone()
        }
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(truth) => truth.to_string(),
        DataRef::DateTime(time) if time.is_duration() => time.as_f64().to_string(),
        DataRef::DateTime(time) => match time.to_ymd_hms_milli() {
            (year, month, day, 0, 0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
            (year, month, day, hour, minute, second, _) => {
                format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
            }
        },
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}
