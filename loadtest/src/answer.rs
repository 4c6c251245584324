//! Reads one HTTP/1.1 answer at a time from a connection's bytes.
//!
//! The buffer holds the head until the next answer begins. A body is counted and discarded, so
//! memory is the same for an answer of any length. A byte beyond the answer is an error: no further
//! request was sent, so answers could no longer be matched with requests.
//!
//! Deliberately absent: chunked bodies, and bodies that end with the connection. The measured
//! servers send neither, and a server that does should be noticed.

use std::ops::Range;

const BUFFER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) keep_alive: bool,
    location: Option<Range<usize>>,
    bytes: usize,
    body_bytes: u64,
}

/// Reasons why bytes are not the answer to one request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AnswerError {
    #[error("not an HTTP answer: {0}")]
    NotHttp(#[from] httparse::Error),
    #[error("the head is longer than {BUFFER_BYTES} bytes")]
    HeadTooLong,
    #[error("Content-Length is not a number")]
    BadLength,
    #[error("an answer with a body but without Content-Length; this generator reads no other")]
    NoLength,
    #[error("{bytes} bytes follow the answer although nothing else was asked for")]
    Surplus { bytes: u64 },
}

pub(crate) struct AnswerReader {
    buffer: Box<[u8]>,
    filled: usize,
    head: Option<Head>,
    body_left: u64,
}

impl AnswerReader {
    pub(crate) fn new() -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { buffer, filled: 0, head: None, body_left: 0 }
    }

    /// Forgets the previous answer.
    pub(crate) fn begin(&mut self) {
        (self.filled, self.head, self.body_left) = (0, None, 0);
    }

    /// Buffer for the next read; never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        let start = self.head.as_ref().map_or(self.filled, |head| head.bytes);
        &mut self.buffer[start..]
    }

    /// Parses `bytes` that were read into [`Self::space`]; true when the answer is complete.
    pub(crate) fn accept(&mut self, bytes: usize) -> Result<bool, AnswerError> {
        if self.head.is_some() {
            return self.count_body(bytes as u64);
        }
        self.filled += bytes;
        let Some(head) = self.read_head()? else { return Ok(false) };
        let after_head = (self.filled - head.bytes) as u64;
        self.body_left = head.body_bytes;
        self.head = Some(head);
        self.count_body(after_head)
    }

    /// Head of a complete answer.
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    pub(crate) fn location(&self) -> Option<&[u8]> {
        self.head.as_ref()?.location.clone().map(|range| &self.buffer[range])
    }

    fn read_head(&mut self) -> Result<Option<Head>, AnswerError> {
        while let Some(head) = parse_head(&self.buffer[..self.filled])? {
            // An interim answer (1xx) precedes the final one.
            if !(100..200).contains(&head.status) {
                // The rest of the buffer takes the body, so it must not be empty.
                let full = head.bytes == BUFFER_BYTES;
                return if full { Err(AnswerError::HeadTooLong) } else { Ok(Some(head)) };
            }
            self.buffer.copy_within(head.bytes..self.filled, 0);
            self.filled -= head.bytes;
        }
        if self.filled == BUFFER_BYTES { Err(AnswerError::HeadTooLong) } else { Ok(None) }
    }

    fn count_body(&mut self, bytes: u64) -> Result<bool, AnswerError> {
        match self.body_left.checked_sub(bytes) {
            Some(left) => self.body_left = left,
            None => return Err(AnswerError::Surplus { bytes: bytes - self.body_left }),
        }
        Ok(self.body_left == 0)
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, AnswerError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.unwrap_or_default();
    let mut keep_alive = response.version == Some(1);
    let (mut length, mut location) = (None, None);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = Some(parse_length(header.value)?);
        } else if header.name.eq_ignore_ascii_case("location") {
            // `value` is a slice of `bytes`: the distance of the two pointers is its offset.
            let start = header.value.as_ptr() as usize - bytes.as_ptr() as usize;
            location = Some(start..start + header.value.len());
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep_alive = !header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let without_body = matches!(status, 100..200 | 204 | 304);
    let body_bytes = if without_body { 0 } else { length.ok_or(AnswerError::NoLength)? };
    Ok(Some(Head { status, keep_alive, location, bytes: head_bytes, body_bytes }))
}

fn parse_length(value: &[u8]) -> Result<u64, AnswerError> {
    let text = std::str::from_utf8(value).map_err(|_| AnswerError::BadLength)?;
    text.trim().parse().map_err(|_| AnswerError::BadLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIRECT: &str = "HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\
        Location: https://shop.example/?transaction_id=abc\r\n\r\nhello";

    fn feed(bytes: &[u8], step: usize) -> (AnswerReader, Result<bool, AnswerError>) {
        let mut reader = AnswerReader::new();
        reader.begin();
        let mut complete = Ok(false);
        for part in bytes.chunks(step) {
            reader.space()[..part.len()].copy_from_slice(part);
            complete = reader.accept(part.len());
            if complete.is_err() {
                break;
            }
        }
        (reader, complete)
    }

    #[test]
    fn an_answer_is_the_same_however_its_bytes_arrive() {
        for step in 1..=REDIRECT.len() {
            let (reader, complete) = feed(REDIRECT.as_bytes(), step);
            assert_eq!(complete, Ok(true), "{step}");
            let head = reader.head().unwrap();
            assert_eq!((head.status, head.keep_alive), (302, true));
            let location: &[u8] = b"https://shop.example/?transaction_id=abc";
            assert_eq!(reader.location(), Some(location), "{step}");
        }
    }

    #[test]
    fn a_body_longer_than_the_buffer_is_counted_and_thrown_away() {
        let mut answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 100000\r\n\r\n".to_vec();
        answer.resize(answer.len() + 99_999, b'x');
        assert_eq!(feed(&answer, 1000).1, Ok(false));
        answer.push(b'x');
        assert_eq!(feed(&answer, 1000).1, Ok(true));
    }

    #[test]
    fn one_byte_too_many_is_an_error() {
        let answer = format!("{REDIRECT}!");
        assert_eq!(feed(answer.as_bytes(), 4096).1, Err(AnswerError::Surplus { bytes: 1 }));
        assert_eq!(feed(answer.as_bytes(), 1).1, Err(AnswerError::Surplus { bytes: 1 }));
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let answer = format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{REDIRECT}");
        for step in [1, 7, 4096] {
            let (reader, complete) = feed(answer.as_bytes(), step);
            assert_eq!((complete, reader.head().unwrap().status), (Ok(true), 302));
        }
    }

    #[test]
    fn wrong_bytes_are_named() {
        let error = |answer: &str| feed(answer.as_bytes(), 4096).1.unwrap_err();
        assert!(matches!(error("SSH-2.0-OpenSSH_9.6\r\n"), AnswerError::NotHttp(_)));
        assert_eq!(error("HTTP/1.1 200 OK\r\n\r\n"), AnswerError::NoLength);
        let bad = "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n";
        assert_eq!(error(bad), AnswerError::BadLength);
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(BUFFER_BYTES));
        assert_eq!(feed(long.as_bytes(), 1024).1, Err(AnswerError::HeadTooLong));
    }

    #[test]
    fn the_server_may_close_the_connection_after_an_answer() {
        let keeps = |answer: &str| feed(answer.as_bytes(), 4096).0.head().unwrap().keep_alive;
        assert!(keeps("HTTP/1.1 204 No Content\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n"));
        assert!(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    }
}
