//! From the bytes of a file to checked rows, each with its line.
//!
//! Headers stand in any order and case. The text is UTF-8, with or without a byte order mark; lines
//! end with LF or CRLF; a quoted cell may hold line ends. Whatever else a file holds is an error
//! with its line, and no file, however broken, needs more memory than [`MAX_RECORD_BYTES`].

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::rc::Rc;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::Fault;
use crate::catalog::{CheckedCode, CouponCodeEdit, FieldError};

const BUFFER_BYTES: usize = 64 * 1024;
const MAX_CELL_BYTES: usize = 8 * 1024;
/// More than the widest row; a quote that is never closed would else swallow the file.
const MAX_RECORD_BYTES: u64 = 256 * 1024;

const NEEDED: [&str; 4] = ["offer_id", "affiliate_id", "coupon_code", "status"];
const KNOWN: [&str; 9] = [
    "offer_id",
    "affiliate_id",
    "coupon_code",
    "status",
    "start_date",
    "end_date",
    "description",
    "is_description_plain_text",
    "internal_notes",
];

/// Why a file cannot be read as a table of coupon codes.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The first line cannot be read.
    #[error("line 1: cannot read the header: {0}")]
    Header(csv::Error),
    /// The text is not UTF-8.
    #[error("line 1: the file is not UTF-8 text; save it as \"CSV UTF-8\"")]
    NotUtf8,
    /// There is no comma in the header, but another separator.
    #[error("line 1: the columns are separated by `{0}`; save the file with commas")]
    Separator(char),
    /// Columns that must be there are not.
    #[error("line 1: there is no column {}; these must be there: offer_id, affiliate_id, coupon_code, status", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// A column that is not known.
    #[error("line 1: there is no column named `{0}`; known: {known}", known = KNOWN.join(", "))]
    Unknown(String),
    /// A column that stands twice.
    #[error("line 1: the column {0} stands there twice")]
    Twice(&'static str),
}

/// The rows of one file.
pub(super) struct Rows<R> {
    reader: Reader<Lines<R>>,
    /// The cell of each known column.
    places: [Option<usize>; KNOWN.len()],
    cells: usize,
    record: ByteRecord,
    counts: Rc<Counts>,
    is_over: bool,
}

impl<R: Read> Rows<R> {
    /// Reads the header.
    pub(super) fn open(file: R) -> Result<Rows<R>, ReadError> {
        let counts = Rc::<Counts>::default();
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        let lines = Lines { file, holds_cr: false, last: b'\n', counts: Rc::clone(&counts) };
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(lines);
        let header = reader.byte_headers().map_err(ReadError::Header)?.clone();
        let places = places(&header)?;
        Ok(Rows {
            reader,
            places,
            cells: header.len(),
            record: ByteRecord::new(),
            counts,
            is_over: false,
        })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.counts.of_file.get()
    }

    /// The next row and its line, or what is wrong with it; `None` at the end.
    pub(super) fn next_row(&mut self) -> Option<Result<(u64, CheckedCode), Vec<Fault>>> {
        if self.is_over {
            return None;
        }
        self.counts.of_row.set(0);
        let next_line = self.reader.position().line();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {
                let line = self.first_line();
                Some(self.check(line).map(|code| (line, code)))
            }
            Ok(false) => None,
            Err(error) => {
                self.is_over = true;
                Some(Err(vec![broken(next_line, &error)]))
            }
        }
    }

    /// Where the row just read began. The parser stands behind its end; what is not the row's own
    /// before it are blank lines.
    fn first_line(&self) -> u64 {
        let inside = self.record.iter().flatten().filter(|byte| **byte == b'\n').count() as u64;
        self.reader.position().line().saturating_sub(inside + 1)
    }

    fn check(&self, line: u64) -> Result<CheckedCode, Vec<Fault>> {
        let fault = |column: &str, reason: String| Fault { line, column: column.into(), reason };
        if self.record.len() != self.cells {
            let reason = format!("has {} cells; the header has {}", self.record.len(), self.cells);
            return Err(vec![fault("", reason)]);
        }
        let mut cells = [""; KNOWN.len()];
        let mut faults = Vec::new();
        for ((cell, place), column) in cells.iter_mut().zip(self.places).zip(KNOWN) {
            match text(place.and_then(|place| self.record.get(place)).unwrap_or_default()) {
                Ok(text) => *cell = text,
                Err(reason) => faults.push(fault(column, reason)),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let column = |name: &str| {
            KNOWN.iter().position(|known| *known == name).map_or("", |place| cells[place])
        };
        let wrong = |errors: Vec<FieldError>| {
            errors.into_iter().map(|e| fault(&e.field, e.error)).collect::<Vec<_>>()
        };
        CouponCodeEdit::from_columns(column).and_then(CouponCodeEdit::check).map_err(wrong)
    }
}

fn text(cell: &[u8]) -> Result<&str, String> {
    if cell.len() > MAX_CELL_BYTES {
        return Err(format!("has {} bytes; at most {MAX_CELL_BYTES} fit", cell.len()));
    }
    if cell.contains(&0) {
        return Err("contains a NUL character; remove it".into());
    }
    std::str::from_utf8(cell)
        .map_err(|_| "is not UTF-8 text; save the file as \"CSV UTF-8\"".into())
}

fn places(header: &ByteRecord) -> Result<[Option<usize>; KNOWN.len()], ReadError> {
    let mut places = [None; KNOWN.len()];
    for (place, cell) in header.iter().enumerate() {
        let name = std::str::from_utf8(cell)
            .ok()
            .filter(|name| !name.contains('\0'))
            .ok_or(ReadError::NotUtf8)?;
        let folded = name.trim().to_ascii_lowercase();
        let folded = if folded == "notes" { "internal_notes" } else { folded.as_str() };
        let Some(column) = KNOWN.iter().position(|known| *known == folded) else {
            let other = [';', '\t', '|']
                .into_iter()
                .find(|separator| header.len() == 1 && name.contains(*separator));
            return Err(other.map_or_else(
                || ReadError::Unknown(name.chars().take(60).collect()),
                ReadError::Separator,
            ));
        };
        if places[column].replace(place).is_some() {
            return Err(ReadError::Twice(KNOWN[column]));
        }
    }
    let missing: Vec<&str> = KNOWN
        .into_iter()
        .zip(places)
        .filter(|(name, place)| NEEDED.contains(name) && place.is_none())
        .map(|(name, _)| name)
        .collect();
    if missing.is_empty() { Ok(places) } else { Err(ReadError::Missing(missing)) }
}

fn broken(line: u64, error: &csv::Error) -> Fault {
    let reason = match error.kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    };
    Fault { line, column: String::new(), reason: format!("{reason}; nothing after it was read") }
}

/// The file's text with every line ended by LF alone, the last one too; so the parser's count of
/// lines is the editor's. Refuses to read on when one row does not end.
struct Lines<R> {
    file: BufReader<R>,
    holds_cr: bool,
    last: u8,
    counts: Rc<Counts>,
}

#[derive(Default)]
struct Counts {
    of_file: Cell<u64>,
    of_row: Cell<u64>,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.counts.of_row.get() > MAX_RECORD_BYTES {
            let message =
                format!("the row has more than {MAX_RECORD_BYTES} bytes; is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut written = 0;
        while written == 0 {
            let available = self.file.fill_buf()?;
            if available.is_empty() {
                return Ok(self.end(out));
            }
            // A CR held back from the last part may need a place of its own.
            let taken = available.len().min(out.len().saturating_sub(1));
            for &byte in &available[..taken] {
                if self.holds_cr && byte != b'\n' {
                    out[written] = b'\r';
                    written += 1;
                }
                self.holds_cr = byte == b'\r';
                if !self.holds_cr {
                    out[written] = byte;
                    written += 1;
                    self.last = byte;
                }
            }
            self.file.consume(taken);
            self.counts.of_file.set(self.counts.of_file.get() + taken as u64);
        }
        self.counts.of_row.set(self.counts.of_row.get() + written as u64);
        Ok(written)
    }
}

impl<R> Lines<R> {
    fn end(&mut self, out: &mut [u8]) -> usize {
        if self.last == b'\n' && !self.holds_cr {
            return 0;
        }
        (self.holds_cr, self.last) = (false, b'\n');
        out[0] = b'\n';
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &[u8]) -> Result<Vec<Result<(u64, CheckedCode), Vec<Fault>>>, ReadError> {
        let mut rows = Rows::open(file)?;
        Ok(std::iter::from_fn(|| rows.next_row()).collect())
    }

    /// Line and code of each row; all must be right.
    fn codes(file: &[u8]) -> Vec<(u64, String)> {
        let rows = read(file).unwrap().into_iter().map(Result::unwrap);
        rows.map(|(line, code)| (line, code.code.as_str().to_owned())).collect()
    }

    fn faults(file: &[u8]) -> Vec<(u64, String)> {
        let rows = read(file).unwrap().into_iter().filter_map(Result::err).flatten();
        rows.map(|fault| (fault.line, fault.column)).collect()
    }

    const HEADER: &str = "offer_id,affiliate_id,coupon_code,status\n";

    #[test]
    fn headers_stand_in_any_order_and_case_with_bom_and_crlf() {
        let file = b"\xef\xbb\xbfSTATUS,Coupon_Code, offer_id ,AFFILIATE_ID,Notes\r\nactive,SPRING,7,,hello\r\nInactive,SUMMER,7,3,\r\n";
        let rows: Vec<(u64, CheckedCode)> =
            read(file).unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
        let first = &rows[0].1;
        assert_eq!(
            (first.offer_id, first.affiliate_id, first.internal_notes.as_str()),
            (7, None, "hello")
        );
        assert_eq!(rows[1].1.affiliate_id, Some(3));
    }

    #[test]
    fn quoted_line_ends_and_blank_lines_keep_the_count_of_lines() {
        let file = "offer_id,affiliate_id,coupon_code,status,description\n1,,AAA,active,\"two\nlines, \"\"quoted\"\"\"\n\n\n1,,BBB,active,\n";
        assert_eq!(codes(file.as_bytes()), [(2, "AAA".into()), (6, "BBB".into())]);
    }

    #[test]
    fn the_last_line_needs_no_end() {
        for end in ["", "\n", "\r\n", "\r"] {
            assert_eq!(
                codes(format!("{HEADER}1,,AAA,active{end}").as_bytes()),
                [(2, "AAA".into())],
                "{end:?}"
            );
        }
    }

    #[test]
    fn lines_are_counted_over_the_edges_of_buffers() {
        let mut file = HEADER.replace('\n', "\r\n");
        for number in 2..20_000 {
            file.push_str(&format!("1,,CODE{number},active\r\n"));
        }
        for (line, code) in codes(file.as_bytes()) {
            assert_eq!(code, format!("CODE{line}"));
        }
    }

    #[test]
    fn a_lone_cr_ends_no_line() {
        assert_eq!(
            faults(format!("{HEADER}1,,AAA,active\r1,,BBB,active\n").as_bytes()),
            [(2, String::new())]
        );
    }

    #[test]
    fn a_wrong_cell_is_named_by_line_and_column_and_the_rest_is_read() {
        let big = "x".repeat(MAX_CELL_BYTES + 1);
        let file = format!(
            "{HEADER}1,,AAA,active\n1,,A A,active\nx,,BBB,gone\n1,,CCC\n1,,D\0D,active\n1,,{big},active\n1,,EEE,active\n"
        );
        let expected = [
            (3, "coupon_code"),
            (4, "offer_id"),
            (4, "status"),
            (5, ""),
            (6, "coupon_code"),
            (7, "coupon_code"),
        ];
        let found = faults(file.as_bytes());
        assert_eq!(
            found.iter().map(|(line, column)| (*line, column.as_str())).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_named_by_line() {
        let mut file = format!("{HEADER}1,,AAA,active\n1,,").into_bytes();
        file.extend(b"M\xfcnchen,active\n");
        assert_eq!(faults(&file), [(3, "coupon_code".into())]);
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_swallow_the_file() {
        let mut file = format!("{HEADER}1,,AAA,active\n1,,\"BBB,active\n").into_bytes();
        file.extend(b"1,,CCC,active\n".repeat(100_000));
        assert_eq!(faults(&file), [(3, String::new())]);
    }

    #[test]
    fn headers_that_cannot_be_used_are_refused() {
        let cases: [(&[u8], &str); 7] = [
            (b"", "Missing"),
            (b"offer_id,coupon_code,status\n", "Missing([\"affiliate_id\"])"),
            (b"offer_id,affiliate_id,coupon_code,status,colour\n", "Unknown(\"colour\")"),
            (b"offer_id,affiliate_id,coupon_code,status,Status\n", "Twice(\"status\")"),
            (b"offer_id;affiliate_id;coupon_code;status\n", "Separator(';')"),
            (b"\xff\xfeo\0f\0f\0e\0r\0", "NotUtf8"),
            (b"offer_id,affiliate_id,coupon_code,status,internal_notes,notes\n", "Twice"),
        ];
        for (file, expected) in cases {
            let error = read(file).unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{error:?} instead of {expected}");
        }
    }
}
