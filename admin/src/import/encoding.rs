//! Decodes a file's text: UTF-16 with a byte order mark, as spreadsheet programs write "Unicode
//! text", becomes UTF-8. Any other file passes unchanged.

use std::io::{self, Read};

const BUFFER_BYTES: usize = 64 * 1024;
/// The longest character in UTF-8.
const MAX_CHARACTER_BYTES: usize = 4;

/// The text of a file as UTF-8.
pub(super) enum Text<R> {
    /// Not decoded.
    Plain(R),
    Utf16(Utf16<R>),
}

impl<R: Read> Text<R> {
    /// `start`: the first bytes of `file`.
    pub(super) fn new(start: &[u8], file: R) -> Text<R> {
        match start {
            [0xff, 0xfe, ..] => Text::Utf16(Utf16::new(file, u16::from_le_bytes)),
            [0xfe, 0xff, ..] => Text::Utf16(Utf16::new(file, u16::from_be_bytes)),
            _ => Text::Plain(file),
        }
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Text::Plain(file) => file.read(out),
            Text::Utf16(file) => file.read(out),
        }
    }
}

pub(super) struct Utf16<R> {
    file: io::BufReader<R>,
    unit_of: fn([u8; 2]) -> u16,
    /// A character in UTF-8 that did not fit.
    rest: Vec<u8>,
}

impl<R: Read> Utf16<R> {
    fn new(file: R, unit_of: fn([u8; 2]) -> u16) -> Utf16<R> {
        let file = io::BufReader::with_capacity(BUFFER_BYTES, file);
        Utf16 { file, unit_of, rest: Vec::new() }
    }

    fn unit(&mut self) -> io::Result<Option<u16>> {
        let mut bytes = [0; 2];
        let mut filled = 0;
        while filled < 2 {
            match self.file.read(&mut bytes[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(not_utf16("ends within a character")),
                read => filled += read,
            }
        }
        Ok(Some((self.unit_of)(bytes)))
    }

    fn character(&mut self) -> io::Result<Option<char>> {
        let Some(first) = self.unit()? else { return Ok(None) };
        let second = if matches!(first, 0xd800..=0xdbff) { self.unit()? } else { None };
        let mut decoded = char::decode_utf16([first].into_iter().chain(second));
        match decoded.next() {
            Some(Ok(character)) => Ok(Some(character)),
            _ => Err(not_utf16("has half of a character")),
        }
    }
}

fn not_utf16(reason: &str) -> io::Error {
    let message = format!("the file is UTF-16 text, but {reason}; save it as \"CSV UTF-8\"");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let taken = self.rest.len().min(out.len());
        out[..taken].copy_from_slice(&self.rest[..taken]);
        self.rest.drain(..taken);
        let mut written = taken;
        while written + MAX_CHARACTER_BYTES <= out.len() || written == 0 {
            let Some(character) = self.character()? else { break };
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
