//! Bounds of a workbook, checked before any of its contents is kept in memory: a few kilobytes of
//! ZIP can unpack to gigabytes, and numbers in the contents make a reader reserve memory.
//!
//! Every part is unpacked once and counted, whatever size the archive claims. The contents are
//! checked as XML in ASCII's superset UTF-8: other encodings, comments and declarations could hide
//! contents from this check, and no spreadsheet program writes them.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::workbook::WorkbookError;

/// The largest file, which is read into memory.
pub(super) const MAX_WORKBOOK_BYTES: usize = 64 << 20;
/// All parts unpacked: a million rows of five columns. Read part by part, never kept whole.
const MAX_UNPACKED_BYTES: u64 = 256 << 20;
/// The texts of all cells, which a reader keeps in memory.
const MAX_TEXTS_BYTES: u64 = 64 << 20;
/// Styles, names of sheets and relations, which a reader keeps in memory.
const MAX_PART_BYTES: u64 = 8 << 20;
/// One tag or one text. Excel's longest text has 32,767 characters.
const MAX_TOKEN_BYTES: usize = 256 << 10;
/// Texts that a reader reserves memory for before it reads them.
const MAX_TEXTS: u64 = 4_000_000;
const MAX_PARTS: usize = 4_096;
/// Tags that name sheets.
pub(super) const MAX_SHEETS: usize = 256;

const PIECE_BYTES: usize = 64 << 10;
/// Begins a part's record in the archive's directory.
const DIRECTORY_RECORD: &[u8] = b"PK\x01\x02";

/// # Errors
/// The first bound that the workbook exceeds, or why the workbook cannot be unpacked.
pub(super) fn check(file: &[u8]) -> Result<(), WorkbookError> {
    // Before the directory is read, because its records are kept in memory.
    let records = file.windows(DIRECTORY_RECORD.len()).filter(|at| *at == DIRECTORY_RECORD);
    if records.count() > MAX_PARTS {
        return Err(WorkbookError::TooLarge(format!("more than {MAX_PARTS} parts")));
    }
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(WorkbookError::not_readable)?;
    let (mut left, mut sheets) = (MAX_UNPACKED_BYTES, 0);
    for place in 0..archive.len() {
        let part = archive.by_index(place).map_err(WorkbookError::not_readable)?;
        let name = part.name().map_err(WorkbookError::not_readable)?.to_ascii_lowercase();
        let most = left.min(most_bytes(&name));
        let is_xml = name.ends_with(".xml") || name.ends_with(".rels");
        let mut scan = XmlScan::new(is_xml);
        left -= count(part, most, &name, &mut scan)?;
        sheets += scan.sheets;
    }
    if sheets > MAX_SHEETS {
        return Err(WorkbookError::TooLarge(format!("more than {MAX_SHEETS} sheets")));
    }
    Ok(())
}

fn most_bytes(name: &str) -> u64 {
    let is_kept = ["styles.xml", "workbook.xml", ".rels"].iter().any(|end| name.ends_with(end));
    match name {
        name if name.ends_with("sharedstrings.xml") => MAX_TEXTS_BYTES,
        name if is_kept || name.contains("/theme/") => MAX_PART_BYTES,
        _ => MAX_UNPACKED_BYTES,
    }
}

/// Unpacks a part; returns its number of bytes.
fn count(
    mut part: impl Read,
    most: u64,
    name: &str,
    scan: &mut XmlScan,
) -> Result<u64, WorkbookError> {
    let (mut piece, mut bytes) = (vec![0; PIECE_BYTES], 0);
    loop {
        let read = part.read(&mut piece).map_err(WorkbookError::not_readable)?;
        if read == 0 {
            return Ok(bytes);
        }
        bytes += read as u64;
        if bytes > most {
            let mebibytes = most >> 20;
            return Err(WorkbookError::TooLarge(format!(
                "`{name}` unpacks to more than {mebibytes} MiB"
            )));
        }
        scan.take(&piece[..read]).map_err(|reason| WorkbookError::odd_part(name, reason))?;
    }
}

/// Follows the tags and texts of a part.
struct XmlScan {
    is_xml: bool,
    state: XmlState,
    /// Bytes of the present tag or text.
    token_bytes: usize,
    /// The present tag, from its name on.
    tag: Vec<u8>,
    sheets: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum XmlState {
    Text,
    Tag,
    Quoted(u8),
}

impl XmlScan {
    fn new(is_xml: bool) -> XmlScan {
        XmlScan { is_xml, state: XmlState::Text, token_bytes: 0, tag: Vec::new(), sheets: 0 }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if !self.is_xml {
            return Ok(());
        }
        for byte in bytes {
            self.take_byte(*byte)?;
        }
        Ok(())
    }

    fn take_byte(&mut self, byte: u8) -> Result<(), &'static str> {
        // Encodings that are no superset of ASCII have such bytes.
        if byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r') {
            return Err("is not in UTF-8");
        }
        self.token_bytes += 1;
        if self.token_bytes > MAX_TOKEN_BYTES {
            return Err("has a text or a tag that is too long");
        }
        match (self.state, byte) {
            (XmlState::Text, b'<') => {
                (self.state, self.token_bytes) = (XmlState::Tag, 0);
                self.tag.clear();
            }
            (XmlState::Tag, b'!') if self.tag == b"<" => {
                return Err("has a comment or a declaration");
            }
            (XmlState::Tag, b'>') => {
                (self.state, self.token_bytes) = (XmlState::Text, 0);
                self.check_tag()?;
            }
            (XmlState::Tag, quote @ (b'"' | b'\'')) => self.state = XmlState::Quoted(quote),
            (XmlState::Quoted(quote), byte) if quote == byte => self.state = XmlState::Tag,
            _ => {}
        }
        if self.state != XmlState::Text {
            self.tag.push(byte);
        }
        Ok(())
    }

    fn check_tag(&mut self) -> Result<(), &'static str> {
        let tag = self.tag.strip_prefix(b"<").unwrap_or(&self.tag);
        let name = tag.split(|byte| byte.is_ascii_whitespace() || *byte == b'/').next();
        let name = name.and_then(|name| name.rsplit(|byte| *byte == b':').next());
        self.sheets += usize::from(name == Some(b"sheet"));
        let claimed = tag.windows(COUNT.len()).position(|at| at == COUNT);
        let claimed = claimed.map(|at| first_number(&tag[at..])).unwrap_or_default();
        if claimed > MAX_TEXTS { Err("claims too many texts") } else { Ok(()) }
    }
}

/// The attribute with the number of texts.
const COUNT: &[u8] = b"uniqueCount";

fn first_number(text: &[u8]) -> u64 {
    let digits = text.iter().skip_while(|byte| !byte.is_ascii_digit());
    digits.take_while(|byte| byte.is_ascii_digit()).fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, contents) in parts {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(contents).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn refusal(name: &str, contents: &[u8]) -> String {
        check(&archive(&[(name, contents)])).unwrap_err().to_string()
    }

    #[test]
    fn a_part_that_unpacks_to_too_much_is_refused_whatever_the_archive_claims() {
        let zeros = b"<a/>".repeat(9 << 18);
        assert!(refusal("xl/styles.xml", &zeros).contains("unpacks to more than 8 MiB"));
        // The archive claims one byte.
        let mut file = archive(&[("xl/styles.xml", &zeros)]);
        let size = u32::try_from(zeros.len()).unwrap().to_le_bytes();
        let places: Vec<usize> =
            (0..file.len() - 4).filter(|at| file[*at..at + 4] == size).collect();
        assert!(!places.is_empty());
        for at in places {
            file[at..at + 4].copy_from_slice(&1_u32.to_le_bytes());
        }
        assert!(check(&file).is_err());
    }

    #[test]
    fn contents_that_would_take_memory_or_hide_are_refused() {
        let long = format!("<v>{}</v>", "x".repeat(MAX_TOKEN_BYTES + 1));
        let quoted = format!("<v a=\"{}\"/>", "<>".repeat(MAX_TOKEN_BYTES));
        let sheets = "<x:sheet name='a'/>".repeat(MAX_SHEETS + 1);
        for (contents, part) in [
            (long.as_bytes(), "too long"),
            (quoted.as_bytes(), "too long"),
            (sheets.as_bytes(), "sheets"),
            (b"<sst uniqueCount = '99999999999999999999999'/>", "too many texts"),
            (b"<sst><!-- uniqueCount -->", "comment"),
            (b"\xff\xfe<\0s\0", "not in UTF-8"),
        ] {
            let error = refusal("xl/sharedStrings.xml", contents);
            assert!(error.contains(part), "{error}");
        }
        let right: &[u8] =
            b"<?xml version=\"1.0\"?><sst uniqueCount=\"1\"><si><t>a > b</t></si></sst>";
        assert!(check(&archive(&[("xl/sharedStrings.xml", right), ("a.png", b"\0\0<!")])).is_ok());
        let parts: Vec<String> = (0..=MAX_PARTS).map(|number| format!("{number}")).collect();
        let parts: Vec<(&str, &[u8])> =
            parts.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert!(check(&archive(&parts)).unwrap_err().to_string().contains("parts"));
    }
}
