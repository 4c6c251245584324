//! A minimal HTTP client for tests: one blocking request per connection.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer with status, headers and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The head without values that change every second.
    pub(crate) fn stable_head(&self) -> String {
        let stable = |line: &&str| !line.to_ascii_lowercase().starts_with("date:");
        self.head.lines().filter(stable).collect::<Vec<_>>().join("\n")
    }
}

/// Sends one request and reads the whole answer.
pub(crate) fn send(to: SocketAddr, request: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// A visit by a browser.
pub(crate) fn visit(to: SocketAddr, method: &str, target: &str) -> std::io::Result<Answer> {
    send(
        to,
        &format!(
            "{method} {target} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\n\
             Accept: text/html\r\nConnection: close\r\n\r\n"
        ),
    )
}

/// A call of the admin API.
pub(crate) fn call(
    to: SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let body = body.map(Value::to_string).unwrap_or_default();
    call_with(to, key, method, path, ("application/json", &body))
}

/// A call with a body of any kind.
pub(crate) fn call_with(
    to: SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    body: (&str, &str),
) -> Answer {
    let answer = try_call_with(to, key, method, path, body);
    answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// A call of a program that may die meanwhile.
pub(crate) fn try_call_with(
    to: SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    (kind, body): (&str, &str),
) -> std::io::Result<Answer> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nX-Eflow-API-Key: {key}\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    send(to, &request)
}
