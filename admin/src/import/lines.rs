//! A file's text with every row ended by LF alone, and the last one too, so that the parser's count of
//! lines is the editor's; and its end made visible, so that a quote that is never closed is told from a
//! file that ends. What stands inside quotes stays as it is, line ends included: it is somebody's text.
//!
//! No file, however broken, needs more memory than [`MAX_RECORD_BYTES`].

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

const BUFFER_BYTES: usize = 64 * 1024;
/// More than the widest row; a quote that is never closed would else swallow the file.
pub(super) const MAX_RECORD_BYTES: u64 = 256 * 1024;

/// A row of its own behind the end of the file. Its place makes it one, not its content.
pub(super) const END_MARK: &[u8] = b"end";

pub(super) struct Lines<R> {
    file: BufReader<R>,
    holds_cr: bool,
    place: Place,
    last: u8,
    /// What is still to be sent of the mark.
    mark: &'static [u8],
    counts: Rc<Counts>,
}

/// Where the next byte stands, as the parser sees it: a quote opens a cell only at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of a cell.
    Begin,
    /// In a cell without quotes.
    Plain,
    /// Between a cell's quotes.
    Quoted,
    /// Behind a quote that closes the cell, unless another one follows.
    Closing,
}

impl Place {
    fn after(self, byte: u8) -> Place {
        match (self, byte) {
            (Place::Begin, b'"') | (Place::Closing, b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::Closing,
            (Place::Quoted, _) => Place::Quoted,
            (_, b',' | b'\n') => Place::Begin,
            _ => Place::Plain,
        }
    }
}

/// What the reader of rows is told while the parser reads.
#[derive(Default)]
pub(super) struct Counts {
    /// Bytes read of the file.
    pub(super) of_file: Cell<u64>,
    /// Bytes given since a row was begun.
    pub(super) of_row: Cell<u64>,
    /// Bytes given of the text.
    given: Cell<u64>,
    /// How many bytes the text has, once its end is reached.
    pub(super) text_bytes: Cell<Option<u64>>,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(file: R, counts: Rc<Counts>) -> Lines<R> {
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        Lines { file, holds_cr: false, place: Place::Begin, last: b'\n', mark: b"end\n", counts }
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
            // A CR held back from the last part may need a place of its own.
            let taken = available.len().min(out.len().saturating_sub(1));
            for &byte in &available[..taken] {
                if self.holds_cr && byte != b'\n' {
                    out[written] = b'\r';
                    written += 1;
                    self.place = self.place.after(b'\r');
                }
                self.holds_cr = byte == b'\r' && self.place != Place::Quoted;
                if !self.holds_cr {
                    out[written] = byte;
                    written += 1;
                    self.last = byte;
                    self.place = self.place.after(byte);
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
