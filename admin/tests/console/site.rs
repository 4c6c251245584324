//! A small web server with pages of one test.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Path to content type and body.
type Files = Arc<Mutex<HashMap<String, (&'static str, String)>>>;

/// Serves the same files under each host name; answers a POST with a page that shows its body.
pub(crate) struct Site {
    address: SocketAddr,
    files: Files,
}

impl Site {
    /// All answers carry these header lines.
    pub(crate) fn open(headers: &'static str) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let files = Files::default();
        let served = Arc::clone(&files);
        // The thread ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Browsers open connections without using them.
                let _ = answer(stream.unwrap(), &served, headers);
            }
        });
        Site { address, files }
    }

    /// Serves a file from now on. The kind follows from the path's end.
    pub(crate) fn put(&self, path: &str, body: &str) {
        let kind = match path.rsplit('.').next() {
            Some("js") => "text/javascript",
            Some("css") => "text/css",
            Some("csv") => "text/csv",
            _ => "text/html; charset=utf-8",
        };
        self.files.lock().unwrap().insert(path.to_owned(), (kind, body.to_owned()));
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.url_on("127.0.0.1", path)
    }

    pub(crate) fn url_on(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.address.port())
    }
}

fn answer(mut stream: TcpStream, files: &Files, headers: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (method, target) = line.split_once(' ').unwrap_or_default();
    let path = target.split([' ', '?']).next().unwrap_or_default();
    let body = read_body(&mut reader)?;
    let found = match method {
        "POST" => Some(("text/html; charset=utf-8", received(&body))),
        _ => files.lock().unwrap().get(path).cloned(),
    };
    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
    let (kind, body) = found.unwrap_or(("text/plain", String::new()));
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\
         {headers}\r\n{body}",
        body.len()
    )
}

fn read_body(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn received(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body).replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html><html lang=\"en\"><title>Received</title>\
         <link rel=\"icon\" href=\"data:,\"><h1>Received</h1><pre>{body}</pre></html>"
    )
}
