//! Visitors that come all the time, each of whom must be redirected.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::published::HOST;
use crate::running::read_head;

/// Threads with a connection each.
pub(super) struct Visitors {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<Duration>>>,
}

impl Visitors {
    /// Each thread begins a visit every `interval`, or behind the last one if that took longer.
    pub(super) fn start(address: SocketAddr, threads: usize, interval: Duration) -> Visitors {
        let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let visitor = |_| {
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            std::thread::spawn(move || visit(address, interval, &is_over, &answered))
        };
        let threads = (0..threads).map(visitor).collect();
        Visitors { is_over, answered, threads }
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The time that each visit took; fails if one was not redirected.
    pub(super) fn stop(self) -> Vec<Duration> {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

fn visit(
    address: SocketAddr,
    interval: Duration,
    is_over: &AtomicBool,
    answered: &AtomicU64,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let (mut times, mut due) = (Vec::new(), Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut stream).unwrap();
        times.push(begun.elapsed());
        assert!(head.starts_with("HTTP/1.1 302") && head.contains("content-length: 0"), "{head}");
        answered.fetch_add(1, Ordering::Relaxed);
        due = begun + interval;
    }
    times
}
