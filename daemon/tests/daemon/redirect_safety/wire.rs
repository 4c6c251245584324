//! A kept-alive connection that accepts exactly one answer to each request.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use crate::published::HOST;
use crate::running::Coupond;

/// An answer, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// Header lines as sent, without `date`.
    pub(crate) headers: Vec<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

impl RawAnswer {
    /// The values of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        let prefix = format!("{name}: ");
        self.headers.iter().filter_map(|line| line.strip_prefix(prefix.as_bytes())).collect()
    }

    fn closes(&self) -> bool {
        self.values("connection") == [b"close"]
    }
}

/// Sends requests over one connection for as long as the daemon keeps the connection open, then
/// over another.
///
/// A surplus answer would be taken for the answer to the next request, so that every later answer
/// comes one late: [`Wire::end`] detects this.
pub(crate) struct Wire<'a> {
    coupond: &'a Coupond,
    stream: Option<BufReader<TcpStream>>,
}

impl<'a> Wire<'a> {
    pub(crate) fn to(coupond: &'a Coupond) -> Wire<'a> {
        Wire { coupond, stream: None }
    }

    /// Sends a request unchanged and reads the answer.
    pub(crate) fn send(&mut self, request: &[u8], has_body: bool) -> RawAnswer {
        let mut stream = self
            .stream
            .take()
            .unwrap_or_else(|| BufReader::with_capacity(16 * 1024, self.coupond.connect()));
        // The daemon may refuse the request before reading all of it.
        let _ = stream.get_mut().write_all(request);
        let answer = read_answer(&mut stream, has_body);
        if answer.closes() {
            read_end(&mut stream);
        } else {
            self.stream = Some(stream);
        }
        answer
    }

    /// Sends a last request and asserts that only one answer comes.
    pub(crate) fn end(mut self) {
        let last = format!("GET /nobody HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        let answer = self.send(last.as_bytes(), true);
        assert!(answer.closes(), "an answer came that nobody asked for: {answer:?}");
    }
}

fn read_answer(stream: &mut impl Read, has_body: bool) -> RawAnswer {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap_or_else(|error| {
            panic!("{error} after {:?}", String::from_utf8_lossy(&head));
        });
        head.push(byte[0]);
        assert!(head.len() < 64 * 1024, "a head without an end");
    }
    head.truncate(head.len() - 4);
    assert!(head.is_ascii(), "{:?}", String::from_utf8_lossy(&head));
    let lines: Vec<Vec<u8>> = split_lines(&head);
    let status = lines[0].strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status = std::str::from_utf8(status.unwrap()).unwrap().parse().unwrap();
    let headers = lines[1..].iter().filter(|line| !line.starts_with(b"date: ")).cloned().collect();
    let mut answer = RawAnswer { status, headers, body: Vec::new() };
    let lengths = answer.values("content-length");
    assert_eq!(lengths.len(), 1, "{answer:?}");
    let len: usize = std::str::from_utf8(lengths[0]).unwrap().parse().unwrap();
    answer.body.resize(if has_body { len } else { 0 }, 0);
    stream.read_exact(&mut answer.body).unwrap();
    answer
}

/// Splits a head at its line ends; no other bytes in the head may end a line.
fn split_lines(head: &[u8]) -> Vec<Vec<u8>> {
    let text = std::str::from_utf8(head).unwrap();
    let lines: Vec<Vec<u8>> = text.split("\r\n").map(|line| line.as_bytes().to_vec()).collect();
    let is_one_line =
        |line: &[u8]| line.iter().all(|byte| *byte == b' ' || byte.is_ascii_graphic());
    assert!(lines.iter().all(|line| is_one_line(line)), "{text:?}");
    lines
}

fn read_end(stream: &mut impl Read) {
    let mut surplus = Vec::new();
    // After a refused request that was not read completely, a reset counts as an end.
    let _ = stream.read_to_end(&mut surplus);
    assert!(surplus.is_empty(), "more came: {:?}", String::from_utf8_lossy(&surplus));
}
