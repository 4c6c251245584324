//! Writes CSV files. No cell acts as a formula in a spreadsheet, and no cell is split by a program
//! with another separator.
//!
//! Text is always quoted, and escaped (see `catalog::escape_formula`). Numbers and truth values of
//! this program are written plainly. Lines end with LF.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use crate::catalog::escape_formula;

/// Begins a file that Excel is to read as UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const BUFFER_BYTES: usize = 1 << 16;

/// Writes rows to a file.
pub struct CsvWriter<W: Write> {
    out: BufWriter<W>,
    is_within_row: bool,
}

impl<W: Write> CsvWriter<W> {
    /// A file without a header yet.
    pub fn new(out: W) -> CsvWriter<W> {
        let out = BufWriter::with_capacity(BUFFER_BYTES, out);
        CsvWriter { out, is_within_row: false }
    }

    /// Writes the header; column names must need no quoting.
    ///
    /// # Errors
    /// When writing fails.
    pub fn begin(out: W, columns: &[&str]) -> io::Result<CsvWriter<W>> {
        let mut writer = CsvWriter::new(out);
        for column in columns {
            writer.number(column)?;
        }
        writer.end_row()?;
        Ok(writer)
    }

    /// Writes a cell of user text.
    ///
    /// # Errors
    /// When writing fails.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.separate()?;
        self.out.write_all(b"\"")?;
        for (at, piece) in escape_formula(text).split('"').enumerate() {
            if at > 0 {
                self.out.write_all(b"\"\"")?;
            }
            self.out.write_all(piece.as_bytes())?;
        }
        self.out.write_all(b"\"")
    }

    /// Writes a number or a fixed word.
    ///
    /// # Errors
    /// When writing fails.
    pub fn number(&mut self, number: impl Display) -> io::Result<()> {
        self.separate()?;
        write!(self.out, "{number}")
    }

    /// # Errors
    /// When writing fails.
    pub fn end_row(&mut self) -> io::Result<()> {
        self.is_within_row = false;
        self.out.write_all(b"\n")
    }

    /// Flushes buffered rows and returns the file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }

    fn separate(&mut self) -> io::Result<()> {
        if self.is_within_row {
            self.out.write_all(b",")?;
        }
        self.is_within_row = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(cells: &[String]) -> Vec<u8> {
        let mut file = CsvWriter::begin(Vec::new(), &["number", "text"]).unwrap();
        file.number(-5).unwrap();
        for cell in cells {
            file.text(cell).unwrap();
        }
        file.end_row().unwrap();
        file.finish().unwrap()
    }

    #[test]
    fn text_is_quoted_and_numbers_are_not() {
        let file = row(&["x;=cmd".into(), String::new(), "a \"b\"".into(), "=1".into()]);
        assert_eq!(
            String::from_utf8(file).unwrap(),
            "number,text\n-5,\"x;=cmd\",\"\",\"a \"\"b\"\"\",\"'=1\"\n"
        );
    }

    proptest! {
        #[test]
        fn any_row_is_read_back_by_other_programs(
            cells in proptest::collection::vec("[\"',;\r\n=@ -]{0,6}\\PC{0,12}", 1..5),
        ) {
            let file = row(&cells);
            let mut reader =
                csv::ReaderBuilder::new().flexible(true).from_reader(file.as_slice());
            let read = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(read.len(), cells.len() + 1);
            for (cell, text) in read.iter().skip(1).zip(&cells) {
                prop_assert_eq!(crate::catalog::unescape_formula(cell), text);
            }
        }
    }
}
