//! A server of others: receives and records requests, and answers as configured.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The answer to a request.
pub(crate) enum Reply {
    /// With further header lines, each with a line end.
    Status(u16, String),
    /// After a delay.
    Late(Duration),
    /// No answer.
    Never,
    /// An endless body.
    Endless,
    /// Closes the connection after these bytes.
    Cut(&'static [u8]),
}

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub(crate) struct Partner {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Bytes written of endless bodies.
    pub(crate) written: Arc<Mutex<usize>>,
    _stop: DropGuard,
}

impl Partner {
    /// Answers the n-th request, counted from 0, with `reply(n)`.
    pub(crate) async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Partner {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, written, stop) = (Arc::default(), Arc::default(), CancellationToken::new());
        let server = Arc::new(ServerState {
            seen: Arc::clone(&seen),
            written: Arc::clone(&written),
            reply: Box::new(reply),
        });
        let accept = async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&server).serve(connection));
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept));
        Partner { address, seen, written, _stop: stop.drop_guard() }
    }

    /// Answers 200 to all requests.
    pub(crate) async fn willing() -> Partner {
        Partner::start(|_| Reply::Status(200, String::new())).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

struct ServerState {
    seen: Arc<Mutex<Vec<Seen>>>,
    written: Arc<Mutex<usize>>,
    reply: Box<dyn Fn(usize) -> Reply + Send + Sync>,
}

impl ServerState {
    async fn serve(self: Arc<ServerState>, mut connection: TcpStream) {
        while let Some((head, body)) = read_request(&mut connection).await {
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let number = {
                let mut seen = self.seen.lock().unwrap();
                seen.push(Seen { target, head, body, at: Instant::now() });
                seen.len() - 1
            };
            if self.answer(&mut connection, (self.reply)(number)).await.is_none() {
                return;
            }
        }
    }

    async fn answer(&self, connection: &mut TcpStream, reply: Reply) -> Option<()> {
        match reply {
            Reply::Status(status, headers) => {
                let answer = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 2\r\n\r\nOK");
                connection.write_all(answer.as_bytes()).await.ok()
            }
            Reply::Late(wait) => {
                tokio::time::sleep(wait).await;
                connection.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n").await.ok()
            }
            Reply::Never => {
                std::future::pending::<()>().await;
                None
            }
            Reply::Endless => {
                connection
                    .write_all(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await
                    .ok()?;
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
                while connection.write_all(chunk.as_bytes()).await.is_ok() {
                    *self.written.lock().unwrap() += chunk.len();
                }
                None
            }
            Reply::Cut(bytes) => {
                connection.write_all(bytes).await.ok()?;
                None
            }
        }
    }
}

/// Head and body of a request.
async fn read_request(connection: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().filter_map(|line| line.split_once(": ")).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    connection.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}
