//! A file as a table: its records as bytes of UTF-8, each with its line. The file is text, or a
//! workbook, whose rows count as lines.

use std::io::{Chain, Cursor, Read};
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::encoding::Text;
use super::layout::{Layout, Separator};
use super::lines::{Counts, END_MARK, Lines};
use super::read_error::ReadError;
use super::workbook::{ARCHIVE_MARK, Workbook};
use crate::catalog::Encoding;

const BUFFER_BYTES: usize = 64 * 1024;
/// How much of a file is looked at for what kind it is; longer than any header.
const LOOKED_AT: u64 = 8 * 1024;
/// Begins an old workbook (XLS), which is often mistaken for a new one.
const OLD_WORKBOOK_MARK: &[u8] = b"\xd0\xcf\x11\xe0";

/// A file whose first bytes were looked at.
type Again<R> = Chain<Cursor<Vec<u8>>, R>;

/// The records of one file, the header being the first.
pub(super) struct Table<R> {
    records: Records<R>,
    pub(super) record: ByteRecord,
    /// First line of the header; 1 in an empty file.
    pub(super) header_line: u64,
    pub(super) encoding: Encoding,
    pub(super) separator: Separator,
    /// What was left out of a workbook.
    pub(super) warning: Option<String>,
}

enum Records<R> {
    Text(Box<TextRecords<R>>),
    Workbook { workbook: Workbook, bytes: u64 },
}

/// The records of a text.
struct TextRecords<R> {
    reader: Reader<Lines<Again<Text<Again<R>>>>>,
    counts: Rc<Counts>,
    /// Lines before the header.
    lines_before: u64,
}

impl<R: Read> Table<R> {
    /// Reads up to the header, which is the first record; empty in an empty file.
    pub(super) fn open(layout: &Layout, mut file: R) -> Result<Table<R>, ReadError> {
        let start = look_at(&mut file)?;
        if start.starts_with(ARCHIVE_MARK) {
            return Table::open_workbook(layout, Cursor::new(start).chain(file));
        }
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
        let lines_before = named.map_or(0, |_| 1);
        let mut records = Box::new(TextRecords::new(text, separator, lines_before));
        let (header_line, record) = records.header()?;
        let records = Records::Text(records);
        Ok(Table { records, record, header_line, encoding, separator, warning: None })
    }

    fn open_workbook(layout: &Layout, file: Again<R>) -> Result<Table<R>, ReadError> {
        let mut file = CountedRead { file, bytes: 0 };
        let mut workbook = Workbook::open(&mut file, layout.sheet.as_deref())?;
        let header = workbook.next_row()?;
        let (header_line, record) =
            header.map_or((1, ByteRecord::new()), |header| (header.number, header.cells));
        let warning = workbook.warning.take();
        let records = Records::Workbook { workbook, bytes: file.bytes };
        let (encoding, separator) = (Encoding::Utf8, Separator::Comma);
        Ok(Table { records, record, header_line, encoding, separator, warning })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        match &self.records {
            Records::Text(records) => records.counts.of_file.get(),
            Records::Workbook { bytes, .. } => *bytes,
        }
    }

    /// Reads the next record that is not blank, and returns its first line; `None` at the end.
    pub(super) fn next_record(&mut self) -> Result<Option<u64>, ReadError> {
        match &mut self.records {
            Records::Text(records) => loop {
                let line = records.next_of_any(&mut self.record)?;
                // Spreadsheet programs write rows of blank cells where rows were cleared.
                if line.is_none() || self.record.iter().any(|cell| !cell.trim_ascii().is_empty()) {
                    return Ok(line);
                }
            },
            Records::Workbook { workbook, .. } => {
                let Some(row) = workbook.next_row()? else { return Ok(None) };
                self.record = row.cells;
                Ok(Some(row.number))
            }
        }
    }
}

impl<R: Read> TextRecords<R> {
    fn new(text: Again<Text<Again<R>>>, separator: Separator, lines_before: u64) -> TextRecords<R> {
        let counts = Rc::<Counts>::default();
        let reader = ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .terminator(Terminator::Any(b'\n'))
            .delimiter(separator.byte())
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(Lines::new(text, separator.byte(), Rc::clone(&counts)));
        TextRecords { reader, counts, lines_before }
    }

    /// The first record with its first line; empty in an empty file.
    fn header(&mut self) -> Result<(u64, ByteRecord), ReadError> {
        let mut record = ByteRecord::new();
        let line = self.lines_before + 1;
        self.reader.read_byte_record(&mut record).map_err(|error| broken(line, error))?;
        if self.is_past_end() {
            record.clear();
            return Ok((line, record));
        }
        Ok((self.first_line(&record), record))
    }

    fn is_past_end(&self) -> bool {
        self.counts.text_bytes.get().is_some_and(|end| self.reader.position().byte() > end)
    }

    fn next_of_any(&mut self, record: &mut ByteRecord) -> Result<Option<u64>, ReadError> {
        self.counts.of_row.set(0);
        let next_line = self.reader.position().line() + self.lines_before;
        match self.reader.read_byte_record(record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(broken(next_line, error)),
        }
        if self.is_past_end() {
            let is_end = record.len() == 1 && &record[0] == END_MARK;
            return if is_end { Ok(None) } else { Err(ReadError::OpenQuote { line: next_line }) };
        }
        Ok(Some(self.first_line(record)))
    }

    /// First line of the row just read. The parser is at the line after its end; blank lines before
    /// the row do not count.
    fn first_line(&self, record: &ByteRecord) -> u64 {
        let inside = record.iter().flatten().filter(|byte| **byte == b'\n').count() as u64;
        (self.reader.position().line() + self.lines_before).saturating_sub(inside + 1)
    }
}

/// Counts the bytes of a workbook.
struct CountedRead<R> {
    file: R,
    bytes: u64,
}

impl<R: Read> Read for CountedRead<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(out)?;
        self.bytes += read as u64;
        Ok(read)
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
    if start.starts_with(OLD_WORKBOOK_MARK) {
        return Err(ReadError::OldWorkbook);
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
