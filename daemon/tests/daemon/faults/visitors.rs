//! Visitors that repeat one request over kept-alive connections and record their answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coupon_shared::transaction_id::TransactionId;

use crate::published::HOST;

/// Far longer than any expected delay; a visitor that waits this long has been failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between an answer and the next visit: many visits a second, and time for other threads.
const PAUSE: Duration = Duration::from_micros(500);

/// A visit that was answered with a redirect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    pub(super) id: TransactionId,
    /// When the answer was complete.
    pub(super) answered: Instant,
    pub(super) took: Duration,
}

/// The record of all visitors.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) visits: Vec<Visit>,
    /// Complete answers other than redirects, and answers that did not come in time.
    pub(super) failed: Vec<String>,
    /// Requests, sent or begun, without a complete answer.
    pub(super) broken: u64,
}

impl Seen {
    /// The longest time to an answer.
    pub(super) fn slowest(&self) -> Duration {
        self.visits.iter().map(|visit| visit.took).max().unwrap_or_default()
    }
}

/// Visitors at work until drop.
pub(super) struct Visitors {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Visitors {
    /// Starts `count` visitors, all with one target.
    pub(super) fn start(count: usize, address: SocketAddr, target: &str) -> Visitors {
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let threads = (0..count).map(|_| {
            let visitor = Visitor::new(address, target);
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || visitor.visit_until(&stop, &seen))
        });
        let threads = threads.collect();
        Visitors { seen, stop, threads }
    }

    /// Number of visitors, and so of the visits that can be in flight at a fault.
    pub(super) fn count(&self) -> u64 {
        self.threads.len() as u64
    }

    /// The record so far.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of visits answered so far.
    pub(super) fn answered(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).visits.len()
    }

    /// Ends the visits and returns the record.
    pub(super) fn stop(mut self) -> Seen {
        self.end();
        self.seen()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

struct Visitor {
    address: SocketAddr,
    request: String,
    stream: Option<TcpStream>,
}

impl Visitor {
    fn new(address: SocketAddr, target: &str) -> Visitor {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: Mozilla/5.0\r\n\r\n");
        Visitor { address, request, stream: None }
    }

    fn visit_until(mut self, stop: &AtomicBool, seen: &Mutex<Seen>) {
        while !stop.load(Ordering::Acquire) {
            let began = Instant::now();
            let head = self.visit();
            let answered = Instant::now();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match head.as_deref().map(transaction_id) {
                Ok(Some(id)) => seen.visits.push(Visit { id, answered, took: answered - began }),
                Ok(None) => seen.failed.push(head.unwrap_or_default()),
                Err(error) if is_late(error) => seen.failed.push(error.to_string()),
                Err(_) => seen.broken += 1,
            }
            drop(seen);
            std::thread::sleep(PAUSE);
        }
    }

    /// Returns the head of the answer. A connection is kept only after a redirect.
    fn visit(&mut self) -> io::Result<String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.write_all(self.request.as_bytes())?;
        let head = read_head(&mut stream)?;
        if transaction_id(&head).is_some() {
            self.stream = Some(stream);
        }
        Ok(head)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let (mut head, mut bytes) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => head.extend_from_slice(&bytes[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The id in a complete redirect; the sample's destination carries the id as `t`.
fn transaction_id(head: &str) -> Option<TransactionId> {
    let location = head.lines().find_map(|line| line.strip_prefix("location: "))?;
    let (_, after) = location.split_once("&t=")?;
    after.split('&').next()?.parse().ok().filter(|_| head.starts_with("HTTP/1.1 302"))
}

/// Waits in another thread for the first redirect from an address.
pub(super) fn first_redirect(address: SocketAddr) -> JoinHandle<Visit> {
    std::thread::spawn(move || {
        let began = Instant::now();
        loop {
            let mut visitor = Visitor::new(address, "/winter25");
            if let Some(id) = visitor.visit().ok().as_deref().and_then(transaction_id) {
                return Visit { id, answered: Instant::now(), took: began.elapsed() };
            }
            assert!(began.elapsed() < PATIENCE, "no redirect came");
            std::thread::sleep(Duration::from_micros(500));
        }
    })
}
