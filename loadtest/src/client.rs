//! A blocking HTTP/1.1 client for sequential calls: the admin API, and single visits. It keeps one
//! connection for as long as the server does.
//!
//! Deliberately absent: load. [`crate::worker`] generates load.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::Network;

const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
const MAX_HEADERS: usize = 64;

/// Reasons for a missing answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{address}: {source}; is it running there?")]
    Connection { address: SocketAddr, source: io::Error },
    #[error("{address} answers what is not HTTP: {source}")]
    NotHttp { address: SocketAddr, source: httparse::Error },
    #[error("{address} answers more than can be read, or without Content-Length")]
    TooLong { address: SocketAddr },
}

/// Answer with status, headers and body.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    /// Without its quotes; the API's answers to edits have the revision.
    pub(crate) etag: Option<String>,
    body: Vec<u8>,
    keeps_alive: bool,
}

impl Answered {
    /// Body as JSON; null if the body is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns a 200 answer; otherwise the error message of the API.
    pub(crate) fn accepted(self) -> anyhow::Result<Answered> {
        anyhow::ensure!(self.status == 200, "the admin answers {}", self.error());
        Ok(self)
    }

    /// Error message of the API.
    pub(crate) fn error(&self) -> String {
        let sentence = self.json()["error"].as_str().unwrap_or("no reason given").to_owned();
        format!("{} {sentence}", self.status)
    }
}

pub(crate) struct Client {
    address: SocketAddr,
    /// Header lines of each request, each line ended.
    headers: String,
    timeout: Duration,
    stream: Option<TcpStream>,
}

impl Client {
    /// Client of the admin API.
    pub(crate) fn of_admin(network: &Network) -> anyhow::Result<Client> {
        let Network { admin: address, key_file, timeout, .. } = network;
        let key = std::fs::read_to_string(key_file)
            .with_context(|| format!("key file {}", key_file.display()))?;
        let headers = format!("Host: {address}\r\nX-Eflow-API-Key: {}\r\n", key.trim());
        Ok(Client { address: *address, headers, timeout: *timeout, stream: None })
    }

    /// Client with the headers of a browser.
    pub(crate) fn of_visitor(network: &Network) -> Client {
        let headers = format!(
            "Host: {}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 \
             Firefox/140.0\r\nAccept: text/html\r\n",
            network.host()
        );
        let Network { target: address, timeout, .. } = *network;
        Client { address, headers, timeout, stream: None }
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Answered, ClientError> {
        self.send("GET", path, "", &[])
    }

    pub(crate) fn send_json(
        &mut self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Answered, ClientError> {
        self.send(method, path, "application/json", body.to_string().as_bytes())
    }

    /// Creates an object and returns its id.
    pub(crate) fn create(&mut self, what: &str, body: &Value, id: &str) -> anyhow::Result<u64> {
        let answer = self.send_json("POST", &format!("/v1/networks/{what}"), body)?;
        let answer = answer.accepted().with_context(|| format!("cannot create in {what}"))?;
        answer.json()[id].as_u64().with_context(|| format!("the admin's answer has no {id}"))
    }

    /// Sends a request and reads the answer. Reconnects if the server closed the idle connection. A
    /// connection that breaks after the request was sent is an error, because the server may have
    /// processed the request.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Answered, ClientError> {
        let address = self.address;
        let failed = |source| ClientError::Connection { address, source };
        let kept = self.stream.take().filter(is_open);
        let mut stream = match kept {
            Some(stream) => stream,
            None => connect(address, self.timeout).map_err(failed)?,
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\n{}", self.headers);
        if !content_type.is_empty() {
            let length = body.len();
            head += &format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n");
        }
        head += "\r\n";
        let small = body.len() < MAX_HEAD_BYTES;
        let first = if small { [head.as_bytes(), body].concat() } else { head.into_bytes() };
        stream.write_all(&first).map_err(failed)?;
        if !small {
            stream.write_all(body).map_err(failed)?;
        }
        let answered = self.read_answer(&mut stream)?;
        self.stream = Some(stream).filter(|_| answered.keeps_alive);
        Ok(answered)
    }

    fn read_answer(&self, stream: &mut TcpStream) -> Result<Answered, ClientError> {
        let address = self.address;
        let failed = |source| ClientError::Connection { address, source };
        let mut bytes = Vec::new();
        loop {
            if let Some((mut answered, head, length)) =
                read_head(&bytes).map_err(|source| ClientError::NotHttp { address, source })?
            {
                let length = length.filter(|length| *length <= MAX_BODY_BYTES);
                let length = length.ok_or(ClientError::TooLong { address })?;
                let mut body = bytes.split_off(head);
                let read = body.len().min(length);
                body.resize(length, 0);
                stream.read_exact(&mut body[read..]).map_err(failed)?;
                answered.body = body;
                return Ok(answered);
            }
            if bytes.len() > MAX_HEAD_BYTES {
                return Err(ClientError::TooLong { address });
            }
            let mut more = [0; 4096];
            match stream.read(&mut more).map_err(failed)? {
                0 => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
                read => bytes.extend_from_slice(&more[..read]),
            }
        }
    }
}

/// Answer without body, length of the head, and length of the body if announced.
type Head = (Answered, usize, Option<usize>);

fn read_head(bytes: &[u8]) -> Result<Option<Head>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let answered = Answered {
        status: response.code.unwrap_or_default(),
        location: header("location"),
        etag: header("etag").map(|tag| tag.trim_matches('"').to_owned()),
        body: Vec::new(),
        keeps_alive: !header("connection").is_some_and(|said| said.eq_ignore_ascii_case("close")),
    };
    let length = header("content-length").map_or(Some(0), |length| length.parse().ok());
    Ok(Some((answered, head, length)))
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// Whether the other end still has the connection open.
fn is_open(stream: &TcpStream) -> bool {
    let look = || {
        stream.set_nonblocking(true)?;
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        seen
    };
    matches!(look(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
