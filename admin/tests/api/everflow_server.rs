//! A server that answers like Everflow's documentation, and records the requests. Each connection
//! carries one request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Method and target.
    pub(crate) line: String,
    pub(crate) head: String,
}

/// Status, header lines with line ends, and body. `None` leaves the client waiting.
pub(crate) type Reply = Option<(u16, &'static str, String)>;

pub(crate) struct EverflowServer {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl EverflowServer {
    /// Answers method and target, and how often the same line came before.
    pub(crate) fn start(
        reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
    ) -> EverflowServer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (records, reply) = (Arc::clone(&received), Arc::new(reply));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (records, reply) = (Arc::clone(&records), Arc::clone(&reply));
                std::thread::spawn(move || answer(stream, &records, reply.as_ref()));
            }
        });
        EverflowServer { address, received }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Method and target of all requests.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.line).collect()
    }
}

fn answer(
    mut stream: TcpStream,
    records: &Mutex<Vec<Received>>,
    reply: &dyn Fn(&str, usize) -> Reply,
) {
    let Some(request) = read_request(&mut stream) else { return };
    let line = request.line.clone();
    let before = {
        let mut records = records.lock().unwrap();
        let before = records.iter().filter(|earlier| earlier.line == line).count();
        records.push(request);
        before
    };
    match reply(&line, before) {
        Some((status, headers, body)) => {
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
        // Until the client goes.
        None => drop(stream.read(&mut [0])),
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
            return Some(Received { line, head: head.to_owned() });
        }
    }
}
