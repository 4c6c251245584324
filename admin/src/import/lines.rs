//! Normalises a file's text for the CSV parser: every row, including the last, ends with LF alone,
//! so the parser counts lines as an editor does. An end mark follows the last row, so an unclosed
//! quote is told from the end of the file. Text inside quotes is unchanged, including its line
//! ends.
//!
//! A malformed file needs at most [`MAX_RECORD_BYTES`] of memory.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

const BUFFER_BYTES: usize = 64 * 1024;
/// Larger than the widest row. Without a limit, an unclosed quote would read the whole file into
/// memory.
pub(super) const MAX_RECORD_BYTES: u64 = 256 * 1024;

/// An extra row after the end of the file. Its position marks the end, not its content.
pub(super) const END_MARK: &[u8] = b"end";

pub(super) struct Lines<R> {
    file: BufReader<R>,
    holds_cr: bool,
    /// Stands between the cells of a row.
    separator: u8,
    place: Place,
    last: u8,
    /// The unsent part of the mark.
    mark: &'static [u8],
    counts: Rc<Counts>,
}

/// The parser's state before the next byte. A quote opens a quoted cell only at the cell's
/// beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of a cell.
    Begin,
    /// In a cell without quotes.
    Plain,
    /// Between a cell's quotes.
    Quoted,
    /// After a quote, which closes the cell unless another quote follows.
    Closing,
}

impl Place {
    fn after(self, byte: u8, separator: u8) -> Place {
        match (self, byte) {
            (Place::Begin, b'"') | (Place::Closing, b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::Closing,
            (Place::Quoted, _) => Place::Quoted,
            (_, b'\n') => Place::Begin,
            (_, byte) if byte == separator => Place::Begin,
            _ => Place::Plain,
        }
    }
}

/// Byte counts, shared with the reader of rows.
#[derive(Default)]
pub(super) struct Counts {
    /// Bytes read from the file.
    pub(super) of_file: Cell<u64>,
    /// Bytes passed on since the row's beginning.
    pub(super) of_row: Cell<u64>,
    /// Bytes of text passed on.
    given: Cell<u64>,
    /// Length of the text in bytes, known at its end.
    pub(super) text_bytes: Cell<Option<u64>>,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(file: R, separator: u8, counts: Rc<Counts>) -> Lines<R> {
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        Lines {
            file,
            holds_cr: false,
            separator,
            place: Place::Begin,
            last: b'\n',
            mark: b"end\n",
            counts,
        }
    }

    fn end(&mut self, out: &mut [u8]) -> usize {
        if self.last != b'\n' || self.holds_cr {
            (self.holds_cr, self.last) = (false, b'\n');
            out[0] = b'\n';
            self.counts.given.set(self.counts.given.get() + 1);
            return 1;
        }
        self.counts.text_bytes.set(Some(self.counts.given.get()));
        let taken = self.mark.len().min(out.len());
        out[..taken].copy_from_slice(&self.mark[..taken]);
        self.mark = &self.mark[taken..];
        taken
    }
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
            // Leaves one byte for a CR held back from the last read.
            let taken = available.len().min(out.len().saturating_sub(1));
            for &byte in &available[..taken] {
                if self.holds_cr && byte != b'\n' {
                    out[written] = b'\r';
                    written += 1;
                    self.place = self.place.after(b'\r', self.separator);
                }
                self.holds_cr = byte == b'\r' && self.place != Place::Quoted;
                if !self.holds_cr {
                    out[written] = byte;
                    written += 1;
                    self.last = byte;
                    self.place = self.place.after(byte, self.separator);
                }
            }
            self.file.consume(taken);
            self.counts.of_file.set(self.counts.of_file.get() + taken as u64);
        }
        self.counts.of_row.set(self.counts.of_row.get() + written as u64);
        self.counts.given.set(self.counts.given.get() + written as u64);
        Ok(written)
    }
}
