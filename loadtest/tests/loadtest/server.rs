//! A small real HTTP server: a test decides each answer, and the server remembers the requests.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) visitor: IpAddr,
    pub(crate) head: String,
}

impl Seen {
    pub(crate) fn code(&self) -> &str {
        self.head.split(['/', ' ']).nth(2).unwrap()
    }
}

pub(crate) enum Reply {
    Answer(String),
    /// The same, one byte at a time.
    InBytes(String),
    After(Duration, String),
    AnswerThenClose(String, Duration),
    Reset,
    Silence,
    /// Answers, closes, and accepts no further connection.
    LastAnswer(String),
}

pub(crate) fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

pub(crate) fn not_found() -> String {
    "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found".to_owned()
}

impl TestServer {
    /// `reply` gets the number of the request (from 0, over all connections) and the request.
    pub(crate) fn start(reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (reply, shared) = (Arc::new(reply), Arc::clone(&seen));
        let closing = Arc::new(Mutex::new(false));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                if *closing.lock().unwrap() {
                    return;
                }
                let (reply, seen) = (Arc::clone(&reply), Arc::clone(&shared));
                let closing = Arc::clone(&closing);
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let last = talk(&mut stream, connection, &*reply, &seen);
                    if last {
                        *closing.lock().unwrap() = true;
                        // Wakes the accept loop, so it notices the end and closes the listener.
                        drop(TcpStream::connect(address));
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Answers the requests of a connection; true after the last answer of all.
fn talk(
    stream: &mut TcpStream,
    connection: usize,
    reply: &dyn Fn(usize, &Seen) -> Reply,
    seen: &Mutex<Vec<Seen>>,
) -> bool {
    let visitor = stream.peer_addr().unwrap().ip();
    while let Some(head) = read_head(stream) {
        let this = Seen { connection, visitor, head };
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(this.clone());
            seen.len() - 1
        };
        let written = match reply(number, &this) {
            Reply::Answer(answer) => stream.write_all(answer.as_bytes()),
            Reply::InBytes(answer) => answer.bytes().try_for_each(|byte| {
                std::thread::sleep(Duration::from_micros(200));
                stream.write_all(&[byte])
            }),
            Reply::After(delay, answer) => {
                std::thread::sleep(delay);
                stream.write_all(answer.as_bytes())
            }
            Reply::AnswerThenClose(answer, delay) => {
                let _ = stream.write_all(answer.as_bytes());
                std::thread::sleep(delay);
                return false;
            }
            Reply::Reset => {
                let at_once = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(&*stream, at_once).unwrap();
                return false;
            }
            Reply::Silence => Ok(()),
            Reply::LastAnswer(answer) => {
                let _ = stream.write_all(answer.as_bytes());
                return true;
            }
        };
        if written.is_err() {
            return false;
        }
    }
    false
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(bytes) => head.extend_from_slice(&buffer[..bytes]),
        }
    }
    Some(String::from_utf8(head).unwrap())
}
