//! The codes of a run: validated once, then packed, so ten million codes stay small.
//!
//! Each code in a [`CodeList`] is a valid coupon code and needs no escaping in a request line.

pub(crate) mod bulk;
pub(crate) mod scatter;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use coupon_shared::code::{CodeError, FoldedCode};

pub(crate) struct CodeList {
    text: Vec<u8>,
    /// `ends[i]` is the end of code `i` in `text`; the code begins at `ends[i - 1]`.
    ends: Vec<u32>,
    longest: usize,
}

/// Reasons why a file yields no codes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodeListError {
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("is not a CSV: {0}")]
    Csv(#[from] csv::Error),
    #[error(
        "the header `{header}` has no column `coupon_code`; \
         add it, or put one code on each line and nothing else"
    )]
    NoCodeColumn { header: String },
    #[error("line {line}: `{found}`: {reason}")]
    NotACode { line: u64, found: String, reason: CodeError },
    #[error("holds no code; `coupon-loadtest codes` writes some")]
    Empty,
    #[error("holds more than 4 GiB of codes; split it")]
    TooLarge,
}

impl CodeList {
    /// Reads a file for all threads of a run; an error names the file.
    pub(crate) fn of_file(path: &Path) -> anyhow::Result<Arc<Self>> {
        let list = Self::read(path).with_context(|| format!("codes file {}", path.display()));
        list.map(Arc::new)
    }

    fn read(path: &Path) -> Result<Self, CodeListError> {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut list = Self { text: Vec::new(), ends: Vec::new(), longest: 0 };
        if begins_with_a_csv_header(reader.fill_buf()?) {
            list.take_csv(reader)?;
        } else {
            list.take_lines(reader)?;
        }
        if list.ends.is_empty() { Err(CodeListError::Empty) } else { Ok(list) }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }

    fn take_csv(&mut self, reader: impl Read) -> Result<(), CodeListError> {
        let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
        let header = csv.byte_headers()?;
        let column = header.iter().position(is_code_column).ok_or_else(|| {
            let names: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
            CodeListError::NoCodeColumn { header: names.join(",") }
        })?;
        let mut record = csv::ByteRecord::new();
        while csv.read_byte_record(&mut record)? {
            let line = record.position().map_or(0, csv::Position::line);
            self.push(record.get(column).unwrap_or_default(), line)?;
        }
        Ok(())
    }

    fn take_lines(&mut self, mut reader: impl BufRead) -> Result<(), CodeListError> {
        let mut bytes = Vec::new();
        let mut line = 0;
        while reader.read_until(b'\n', &mut bytes)? > 0 {
            line += 1;
            let code = bytes.trim_ascii();
            if !code.is_empty() {
                self.push(code, line)?;
            }
            bytes.clear();
        }
        Ok(())
    }

    fn push(&mut self, code: &[u8], line: u64) -> Result<(), CodeListError> {
        FoldedCode::fold(code).map_err(|reason| CodeListError::NotACode {
            line,
            found: String::from_utf8_lossy(code).chars().take(80).collect(),
            reason,
        })?;
        self.text.extend_from_slice(code);
        self.ends.push(u32::try_from(self.text.len()).map_err(|_| CodeListError::TooLarge)?);
        self.longest = self.longest.max(code.len());
        Ok(())
    }
}

/// A comma cannot be part of a code: a first line with a comma, or with the column name, is a
/// header.
fn begins_with_a_csv_header(start: &[u8]) -> bool {
    let first_line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first_line.contains(&b',') || is_code_column(first_line)
}

fn is_code_column(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name);
    name.trim_ascii().eq_ignore_ascii_case(b"coupon_code")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<Vec<String>, CodeListError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes");
        std::fs::write(&path, content).unwrap();
        let list = CodeList::read(&path)?;
        let text = |index| String::from_utf8(list.get(index).to_vec()).unwrap();
        Ok((0..list.len()).map(text).collect())
    }

    #[test]
    fn plain_lines_are_codes_and_blank_ones_are_skipped() {
        assert_eq!(read("WINTER25\n\nsummer7\r\nX1Y").unwrap(), ["WINTER25", "summer7", "X1Y"]);
    }

    #[test]
    fn a_csv_gives_its_coupon_code_column_wherever_it_stands() {
        let csv = "\u{feff}offer_id,Coupon_Code,status\r\n1,\"ANNA20\",active\r\n2,BEN5,paused\r\n";
        assert_eq!(read(csv).unwrap(), ["ANNA20", "BEN5"]);
        assert_eq!(read("coupon_code\nANNA20\n").unwrap(), ["ANNA20"]);
    }

    #[test]
    fn a_wrong_file_says_what_is_wrong_and_where() {
        assert!(matches!(read(""), Err(CodeListError::Empty)));
        assert!(matches!(read("a,b\n1,2\n"), Err(CodeListError::NoCodeColumn { .. })));
        assert!(matches!(read("GOOD1\nNO WAY\n"), Err(CodeListError::NotACode { line: 2, .. })));
        let csv = read("offer_id,coupon_code\n1,OK1\n1,SAVE-20\n");
        assert!(matches!(csv, Err(CodeListError::NotACode { line: 3, .. })));
    }
}
