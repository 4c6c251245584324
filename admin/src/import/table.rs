//! A file as a table: its records as bytes of UTF-8, each with its line.

use std::io::{Chain, Cursor, Read};
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::encoding::Text;
use super::layout::{Layout, Separator};
use super::lines::{Counts, END_MARK, Lines};
use super::read_error::ReadError;
use crate::catalog::Encoding;

const BUFFER_BYTES: usize = 64 * 1024;
/// How much of a file is looked at for what kind it is; longer than any header.
const LOOKED_AT: u64 = 8 * 1024;
/// First bytes and names of file types often mistaken for CSV.
const OTHER_FILES: [(&[u8], &str); 2] = [
    (b"PK\x03\x04", "an Excel workbook (XLSX) or another ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (XLS)"),
];

/// A file whose first bytes were looked at.
type Again<R> = Chain<Cursor<Vec<u8>>, R>;

/// The records of one file, the header being the first.
pub(super) struct Table<R> {
    reader: Reader<Lines<Again<Text<Again<R>>>>>,
    pub(super) record: ByteRecord,
    counts: Rc<Counts>,
    /// Lines before the header.
    lines_before: u64,
    pub(super) encoding: Encoding,
    pub(super) separator: Separator,
}

impl<R: Read> Table<R> {
    /// Reads up to the header, which is the first record; empty in an empty file.
    pub(super) fn open(layout: &Layout, mut file: R) -> Result<Table<R>, ReadError> {
        let start = look_at(&mut file)?;
        let first: Vec<u8> = start.iter().copied().take(4).collect();
        let encoding = layout.encoding.or_else(|| Encoding::of_start(&first));
        let encoding = encoding.unwrap_or(Encoding::Utf8);
        let mut text = Text::new(encoding, &first, Cursor::new(start).chain(file));
        let mut start = look_at(&mut text)?;
        check_kind(&start)?;
        let named = Separator::named_in(&start);
        start.drain(..named.map_or(0, |(_, bytes)| bytes));
        let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let found = || named.map_or_else(|| Separator::of_header(header), |(named, _)| named);
        let separator = layout.separator.unwrap_or_else(found);
        let text = Cursor::new(start).chain(text);
        let counts = Rc::<Counts>::default();
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .terminator(Terminator::Any(b'\n'))
            .delimiter(separator.byte())
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(Lines::new(text, separator.byte(), Rc::clone(&counts)));
        let mut record = ByteRecord::new();
        reader.read_byte_record(&mut record).map_err(|error| broken(1, error))?;
        let is_empty = counts.text_bytes.get().is_some_and(|end| reader.position().byte() > end);
        if is_empty {
            record.clear();
        }
        let lines_before = named.map_or(0, |_| 1);
        Ok(Table { reader, record, counts, lines_before, encoding, separator })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.counts.of_file.get()
    }

    /// Reads the next record that is not blank, and returns its first line; `None` at the end.
    pub(super) fn next_record(&mut self) -> Result<Option<u64>, ReadError> {
        loop {
            let line = self.next_of_any()?;
            // Spreadsheet programs write rows of blank cells where rows were cleared.
            if line.is_none() || self.record.iter().any(|cell| !cell.trim_ascii().is_empty()) {
                return Ok(line);
            }
        }
    }

    fn next_of_any(&mut self) -> Result<Option<u64>, ReadError> {
        self.counts.of_row.set(0);
        let next_line = self.reader.position().line() + self.lines_before;
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(broken(next_line, error)),
        }
        if self.counts.text_bytes.get().is_some_and(|end| self.reader.position().byte() > end) {
            let is_end = self.record.len() == 1 && &self.record[0] == END_MARK;
            return if is_end { Ok(None) } else { Err(ReadError::OpenQuote { line: next_line }) };
        }
        Ok(Some(self.first_line()))
    }

    /// First line of the row just read. The parser is at the line after its end; blank lines before
    /// the row do not count.
    fn first_line(&self) -> u64 {
        let inside = self.record.iter().flatten().filter(|byte| **byte == b'\n').count() as u64;
        (self.reader.position().line() + self.lines_before).saturating_sub(inside + 1)
    }
}

fn look_at(file: &mut impl Read) -> Result<Vec<u8>, ReadError> {
    let mut start = Vec::new();
    let looked = file.take(LOOKED_AT).read_to_end(&mut start);
    looked.map_err(|source| ReadError::Broken { line: 1, source })?;
    Ok(start)
}

/// Recognises a file of another type by its first bytes. An error about its header would not help.
fn check_kind(start: &[u8]) -> Result<(), ReadError> {
    if let Some((_, kind)) = OTHER_FILES.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(ReadError::Workbook(kind));
    }
    let mut end = start.iter().skip_while(|byte| !matches!(byte, b'\r' | b'\n'));
    let is_cr_alone = end.next() == Some(&b'\r') && end.next().is_some_and(|next| *next != b'\n');
    if is_cr_alone { Err(ReadError::OnlyCr) } else { Ok(()) }
}

fn broken(line: u64, error: csv::Error) -> ReadError {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => ReadError::Broken { line, source },
        other => ReadError::Broken { line, source: std::io::Error::other(format!("{other:?}")) },
    }
}
