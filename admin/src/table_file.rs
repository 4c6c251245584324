//! Files of rows for people: CSV, or a workbook (XLSX). The cells of both have the same texts, so
//! an upload reads both as the same rows, and a workbook stays harmless when it is saved as CSV.
//!
//! In a workbook every text is a cell of text, which no program computes. Rows are written to a
//! temporary file beside the uploads, so memory does not grow with their number.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rust_xlsxwriter::{Workbook, Worksheet, XlsxError};

use crate::catalog::escape_formula;
use crate::catalog::words::words;
use crate::csv_file::{BYTE_ORDER_MARK, CsvWriter};

words! {
    /// The format of a file of rows.
    FileFormat {
        /// Text with commas.
        Csv = "csv",
        /// A workbook of Excel.
        Xlsx = "xlsx",
    }
}

/// How a file of rows is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStyle {
    /// The format.
    pub format: FileFormat,
    /// Whether a CSV file begins with a byte order mark.
    pub has_mark: bool,
}

impl FileStyle {
    /// Plain CSV.
    pub const CSV: FileStyle = FileStyle { format: FileFormat::Csv, has_mark: false };
}

/// Digits that a number of a workbook keeps.
const MAX_DIGITS: usize = 15;

/// Takes the cells of a file, row by row.
pub trait CellWriter {
    /// Writes a cell of user text.
    ///
    /// # Errors
    /// When writing fails.
    fn text(&mut self, text: &str) -> io::Result<()>;

    /// Writes a number or a fixed word.
    ///
    /// # Errors
    /// When writing fails.
    fn number(&mut self, number: impl Display) -> io::Result<()>;

    /// # Errors
    /// When writing fails.
    fn end_row(&mut self) -> io::Result<()>;

    /// Writes a row of fixed words.
    ///
    /// # Errors
    /// When writing fails.
    fn header<'a>(&mut self, columns: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        for column in columns {
            self.number(column)?;
        }
        self.end_row()
    }
}

impl<W: Write> CellWriter for CsvWriter<W> {
    fn text(&mut self, text: &str) -> io::Result<()> {
        CsvWriter::text(self, text)
    }

    fn number(&mut self, number: impl Display) -> io::Result<()> {
        CsvWriter::number(self, number)
    }

    fn end_row(&mut self) -> io::Result<()> {
        CsvWriter::end_row(self)
    }
}

/// A complete file of rows.
#[derive(Debug)]
pub struct TableFile {
    /// The file; its position is at the end.
    pub file: File,
    /// The format.
    pub format: FileFormat,
}

/// Writes a file of rows in the chosen format.
pub struct TableWriter {
    rows: RowWriter,
}

enum RowWriter {
    Csv(CsvWriter<File>),
    Workbook(Box<WorkbookWriter>),
}

struct WorkbookWriter {
    workbook: Workbook,
    file: File,
    row: u32,
    column: u16,
}

impl TableWriter {
    /// Begins a file. `folder` takes the temporary file of a workbook.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(mut file: File, style: FileStyle, folder: &Path) -> io::Result<TableWriter> {
        let rows = match style.format {
            FileFormat::Csv => {
                if style.has_mark {
                    file.write_all(BYTE_ORDER_MARK)?;
                }
                RowWriter::Csv(CsvWriter::new(file))
            }
            FileFormat::Xlsx => {
                let mut workbook = Workbook::new();
                workbook.set_tempdir(folder).map_err(io_error)?;
                let sheet = workbook.add_worksheet_with_constant_memory().map_err(io_error)?;
                sheet.set_freeze_panes(1, 0).map_err(io_error)?;
                RowWriter::Workbook(Box::new(WorkbookWriter { workbook, file, row: 0, column: 0 }))
            }
        };
        Ok(TableWriter { rows })
    }

    /// Completes the file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> io::Result<TableFile> {
        match self.rows {
            RowWriter::Csv(out) => Ok(TableFile { file: out.finish()?, format: FileFormat::Csv }),
            RowWriter::Workbook(out) => {
                let WorkbookWriter { mut workbook, mut file, .. } = *out;
                workbook.save_to_writer(&mut file).map_err(io_error)?;
                Ok(TableFile { file, format: FileFormat::Xlsx })
            }
        }
    }
}

impl CellWriter for TableWriter {
    fn text(&mut self, text: &str) -> io::Result<()> {
        match &mut self.rows {
            RowWriter::Csv(out) => out.text(text),
            RowWriter::Workbook(out) => out.text(&escape_formula(text)),
        }
    }

    fn number(&mut self, number: impl Display) -> io::Result<()> {
        match &mut self.rows {
            RowWriter::Csv(out) => out.number(number),
            RowWriter::Workbook(out) => {
                let text = number.to_string();
                if is_exact_number(&text)
                    && let Ok(number) = text.parse::<f64>()
                {
                    return out.put(|sheet, row, column| sheet.write_number(row, column, number));
                }
                out.text(&text)
            }
        }
    }

    fn end_row(&mut self) -> io::Result<()> {
        match &mut self.rows {
            RowWriter::Csv(out) => out.end_row(),
            RowWriter::Workbook(out) => {
                (out.row, out.column) = (out.row + 1, 0);
                Ok(())
            }
        }
    }
}

impl WorkbookWriter {
    fn text(&mut self, text: &str) -> io::Result<()> {
        self.put(|sheet, row, column| sheet.write_string(row, column, text))
    }

    fn put(
        &mut self,
        write: impl FnOnce(&mut Worksheet, u32, u16) -> Result<&mut Worksheet, XlsxError>,
    ) -> io::Result<()> {
        let sheet = self.workbook.worksheet_from_index(0).map_err(io_error)?;
        write(sheet, self.row, self.column).map_err(io_error)?;
        self.column += 1;
        Ok(())
    }
}

/// Whether a workbook shows exactly this number: not the zeros before a number, nor its 16th digit.
fn is_exact_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros = whole.len() > 1 && whole.starts_with('0');
    is_number(whole) && is_number(fraction) && !has_zeros && digits.len() <= MAX_DIGITS
}

fn io_error(error: XlsxError) -> io::Error {
    match error {
        XlsxError::IoError(error) => error,
        XlsxError::RowColumnLimitError => {
            let message = "a sheet of Excel has at most 1,048,576 rows; write CSV, or fewer rows";
            io::Error::new(io::ErrorKind::FileTooLarge, message)
        }
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use calamine::{Data, Reader, Xlsx};

    use super::*;

    fn written(style: FileStyle, write: impl FnOnce(&mut TableWriter)) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile_in(dir.path()).unwrap();
        let mut out = TableWriter::new(file, style, dir.path()).unwrap();
        write(&mut out);
        let mut file = out.finish().unwrap().file;
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    const XLSX: FileStyle = FileStyle { format: FileFormat::Xlsx, has_mark: false };

    #[test]
    fn no_text_of_a_workbook_is_a_formula_and_numbers_are_numbers() {
        let file = written(XLSX, |out| {
            out.header(["text", "number"]).unwrap();
            out.text("=1+1").unwrap();
            out.number(7).unwrap();
            out.end_row().unwrap();
            out.text("{=SUM(A1)}").unwrap();
            out.number("1234567890123456").unwrap();
            out.number("007").unwrap();
            out.number("-1.5").unwrap();
        });
        let mut book = Xlsx::new(io::Cursor::new(file)).unwrap();
        let sheet = book.sheet_names()[0].clone();
        assert!(book.worksheet_formula(&sheet).unwrap().is_empty());
        let cells = book.worksheet_range(&sheet).unwrap();
        let text = |text: &str| Data::String(text.into());
        assert_eq!(cells.get_value((1, 0)), Some(&text("'=1+1")));
        assert_eq!(cells.get_value((1, 1)), Some(&Data::Float(7.0)));
        assert_eq!(cells.get_value((2, 0)), Some(&text("{=SUM(A1)}")));
        assert_eq!(cells.get_value((2, 1)), Some(&text("1234567890123456")));
        assert_eq!(cells.get_value((2, 2)), Some(&text("007")));
        assert_eq!(cells.get_value((2, 3)), Some(&Data::Float(-1.5)));
    }

    #[test]
    fn more_rows_than_a_sheet_has_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile_in(dir.path()).unwrap();
        let mut out = TableWriter::new(file, XLSX, dir.path()).unwrap();
        for _ in 0..1 << 20 {
            out.end_row().unwrap();
        }
        let error = out.number(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_mark_begins_a_csv_file_alone() {
        let marked = FileStyle { has_mark: true, ..FileStyle::CSV };
        let file = written(marked, |out| out.header(["a", "b"]).unwrap());
        assert_eq!(file, b"\xef\xbb\xbfa,b\n");
        assert!(written(FileStyle { has_mark: true, ..XLSX }, |_| {}).starts_with(b"PK"));
    }
}
