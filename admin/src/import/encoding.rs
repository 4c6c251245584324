//! Decodes a file's text to UTF-8: UTF-16, as spreadsheet programs write "Unicode text", and
//! Windows-1252, as they write "CSV" in western Europe.

use std::io::{self, BufRead, BufReader, Read};

use crate::catalog::Encoding;

const BUFFER_BYTES: usize = 64 * 1024;
/// The longest character in UTF-8.
const MAX_CHARACTER_BYTES: usize = 4;

impl Encoding {
    /// The encoding that the first bytes of a file show; `None` for UTF-8 and Windows-1252, which
    /// begin alike.
    pub(super) fn of_start(start: &[u8]) -> Option<Encoding> {
        match start {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Encoding::Utf16),
            // Names of columns are ASCII, so half of the first character's bytes are 0.
            [first, second, ..] if (*first == 0) != (*second == 0) => Some(Encoding::Utf16),
            [0xef, 0xbb, 0xbf, ..] => Some(Encoding::Utf8),
            _ => None,
        }
    }
}

/// The first line that is not UTF-8; `None` if all of the file is.
pub(super) fn first_line_not_utf8(file: impl Read) -> io::Result<Option<u64>> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let (mut line, mut begun) = (1, Vec::new());
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok((!begun.is_empty()).then_some(line));
        }
        let taken = piece.len();
        begun.extend_from_slice(piece);
        file.consume(taken);
        let (valid, is_wrong) = match std::str::from_utf8(&begun) {
            Ok(_) => (begun.len(), false),
            // A character may go on in the next piece.
            Err(error) => (error.valid_up_to(), error.error_len().is_some()),
        };
        line += begun[..valid].iter().filter(|byte| **byte == b'\n').count() as u64;
        if is_wrong {
            return Ok(Some(line));
        }
        begun.drain(..valid);
    }
}

/// The text of a file as UTF-8.
pub(super) enum Text<R> {
    /// Not decoded.
    Plain(R),
    Decoded(Decoder<R>),
}

impl<R: Read> Text<R> {
    /// `start`: the first bytes of `file`.
    pub(super) fn new(encoding: Encoding, start: &[u8], file: R) -> Text<R> {
        match (encoding, start) {
            (Encoding::Utf8, _) => Text::Plain(file),
            (Encoding::Windows1252, _) => Text::Decoded(Decoder::new(file, windows_1252)),
            (Encoding::Utf16, [0xfe, 0xff, ..] | [0, ..]) => {
                Text::Decoded(Decoder::new(file, |file| utf16(file, u16::from_be_bytes)))
            }
            (Encoding::Utf16, _) => {
                Text::Decoded(Decoder::new(file, |file| utf16(file, u16::from_le_bytes)))
            }
        }
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Text::Plain(file) => file.read(out),
            Text::Decoded(file) => file.read(out),
        }
    }
}

/// The next character of a file; `None` at its end.
type NextCharacter<R> = fn(&mut BufReader<R>) -> io::Result<Option<char>>;

pub(super) struct Decoder<R> {
    file: BufReader<R>,
    next: NextCharacter<R>,
    /// A character in UTF-8 that did not fit.
    rest: Vec<u8>,
}

impl<R: Read> Decoder<R> {
    fn new(file: R, next: NextCharacter<R>) -> Decoder<R> {
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        Decoder { file, next, rest: Vec::new() }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let taken = self.rest.len().min(out.len());
        out[..taken].copy_from_slice(&self.rest[..taken]);
        self.rest.drain(..taken);
        let mut written = taken;
        while written + MAX_CHARACTER_BYTES <= out.len() || written == 0 {
            let Some(character) = (self.next)(&mut self.file)? else { break };
            let mut bytes = [0; MAX_CHARACTER_BYTES];
            let bytes = character.encode_utf8(&mut bytes).as_bytes();
            let fits = bytes.len().min(out.len() - written);
            out[written..written + fits].copy_from_slice(&bytes[..fits]);
            self.rest.extend_from_slice(&bytes[fits..]);
            written += fits;
        }
        Ok(written)
    }
}

fn utf16<R: Read>(
    file: &mut BufReader<R>,
    unit_of: fn([u8; 2]) -> u16,
) -> io::Result<Option<char>> {
    let Some(first) = unit(file, unit_of)? else { return Ok(None) };
    let second = if matches!(first, 0xd800..=0xdbff) { unit(file, unit_of)? } else { None };
    let mut decoded = char::decode_utf16([first].into_iter().chain(second));
    match decoded.next() {
        Some(Ok(character)) => Ok(Some(character)),
        _ => Err(not_utf16("has half of a character")),
    }
}

fn unit(file: &mut impl Read, unit_of: fn([u8; 2]) -> u16) -> io::Result<Option<u16>> {
    let mut bytes = [0; 2];
    let mut filled = 0;
    while filled < 2 {
        match file.read(&mut bytes[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(not_utf16("ends within a character")),
            read => filled += read,
        }
    }
    Ok(Some(unit_of(bytes)))
}

fn not_utf16(reason: &str) -> io::Error {
    let message = format!("the file is UTF-16 text, but {reason}; save it as \"CSV UTF-8\"");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The characters of 0x80 to 0x9f; the others are those of Latin-1. The five free places are
/// control characters, as in browsers.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn windows_1252<R: Read>(file: &mut BufReader<R>) -> io::Result<Option<char>> {
    let mut byte = [0];
    if file.read(&mut byte)? == 0 {
        return Ok(None);
    }
    Ok(Some(match byte[0] {
        high @ 0x80..=0x9f => WINDOWS_1252[usize::from(high - 0x80)],
        other => char::from(other),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_is_not_utf8_is_found_over_the_edges_of_pieces() {
        let find = |file: &[u8]| first_line_not_utf8(file).unwrap();
        let long = "Grüße €\n".repeat(20_000);
        for cut in 0..9 {
            let text = &long.as_bytes()[cut..];
            let is_whole = std::str::from_utf8(text).is_ok();
            assert_eq!(find(text), (!is_whole).then_some(1), "{cut}");
        }
        assert_eq!(find(&[long.as_bytes(), b"M\xfcnchen\n"].concat()), Some(20_001));
        assert_eq!(find(b"a\nb\xc3"), Some(2));
        assert_eq!(find(b""), None);
    }

    #[test]
    fn windows_1252_has_its_own_characters_above_ascii() {
        let mut text = String::new();
        let file = b"Z\xfcrich \x80 \x93ab\x94 \x81".as_slice();
        Text::new(Encoding::Windows1252, file, file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "Zürich € “ab” \u{81}");
    }
}
