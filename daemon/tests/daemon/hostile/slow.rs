//! Slow clients: beside each kind of slow client, good clients get all their answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coupon_serve::raise_descriptor_limit;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use crate::published::{HOST, sample};
use crate::running::{Coupond, folder, is_installed, read_head, until};

/// A daemon with these limits in addition to the usual configuration.
pub(super) fn limited(limits: &[(&str, &str)]) -> Coupond {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    Coupond::start(folder, |command| {
        for (key, value) in limits {
            command.env(format!("COUPOND_LIMITS_{key}"), value);
        }
    })
}

/// A visit of a good client on a connection of its own.
fn good_visit(address: SocketAddr) {
    let request = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 302"), "{head}");
}

fn good_clients_beside(address: SocketAddr, meanwhile: impl FnOnce()) -> Vec<Duration> {
    good_visits_beside(|| good_visit(address), meanwhile)
}

/// The duration of each visit of a good client.
fn good_client(visit: &impl Fn(), until: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    while !until.load(Ordering::Relaxed) {
        let began = Instant::now();
        visit();
        took.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    took
}

/// Lets good clients visit while `meanwhile` runs. Returns the sorted durations of the visits.
pub(crate) fn good_visits_beside(
    visit: impl Fn() + Sync,
    meanwhile: impl FnOnce(),
) -> Vec<Duration> {
    let over = AtomicBool::new(false);
    let mut took: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(|| good_client(&visit, &over))).collect();
        meanwhile();
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    took.sort();
    took
}

/// The ways of being slow.
#[derive(Debug, Clone, Copy)]
enum Slow {
    /// Sends no byte.
    Silent,
    /// Sends the head byte by byte.
    Head,
    /// Sends a body byte by byte.
    Body,
    /// Requests much and reads the answers byte by byte.
    Reader,
}

const SLOW: [Slow; 4] = [Slow::Silent, Slow::Head, Slow::Body, Slow::Reader];
const PAUSE: Duration = Duration::from_millis(100);

/// Is slow until the daemon closes the connection.
async fn be_slow(how: Slow, address: SocketAddr) -> std::io::Result<()> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let (mut reader, mut writer) = stream.split();
    match how {
        Slow::Silent => drop(reader.read(&mut [0]).await?),
        Slow::Head => {
            let head = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\nX: ");
            for byte in head.bytes().chain(std::iter::repeat(b'x')) {
                writer.write_all(&[byte]).await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Slow::Body => {
            let head =
                format!("POST /?nid=1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9999\r\n\r\n");
            writer.write_all(head.as_bytes()).await?;
            loop {
                writer.write_all(b"x").await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Slow::Reader => {
            let script = format!("GET /scripts/main.js HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
            writer.write_all(script.repeat(100).as_bytes()).await?;
            while reader.read(&mut [0]).await? > 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Ok(())
}

/// Keeps `count` slow clients of all kinds connected for `lasting`; a client that is disconnected
/// connects again. Returns the number of connections.
fn slow_clients(address: SocketAddr, count: usize, lasting: Duration) -> u64 {
    let runtime = Runtime::new().unwrap();
    let connections = std::sync::Arc::new(AtomicU64::new(0));
    for number in 0..count {
        let (how, connections) = (SLOW[number % SLOW.len()], connections.clone());
        runtime.spawn(async move {
            loop {
                connections.fetch_add(1, Ordering::Relaxed);
                // Every end of the connection counts.
                let _ = be_slow(how, address).await;
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    std::thread::sleep(lasting);
    runtime.shutdown_timeout(Duration::from_secs(1));
    connections.load(Ordering::Relaxed)
}

/// Good clients beside `count` slow ones.
fn beside_slow_clients(count: usize, lasting: Duration) {
    assert!(raise_descriptor_limit() > 2 * count as u64 + 200, "too few descriptors (ulimit -n)");
    let coupond = limited(&[("CLIENT_TIMEOUT_MS", "2000"), ("IDLE_TIMEOUT_MS", "2000")]);
    let mut connections = 0;
    let took = good_clients_beside(coupond.address, || {
        connections = slow_clients(coupond.address, count, lasting);
    });
    assert!(took.len() > 50, "only {} good visits", took.len());
    assert!(connections > count as u64, "no slow client was ever closed");
    let metrics = coupond.control("GET", "/metrics").body;
    assert!(metrics.contains("coupond_accept_errors_total 0\n"), "{metrics}");
    assert_eq!(coupond.health()["status"], "ok");
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{count} slow clients at a time ({connections} connections) for {lasting:?}: {} of {} good \
         visits answered; p50 {:?}, p99 {:?}, slowest {:?}",
        took.len(),
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[test]
fn slow_clients_of_every_kind_do_not_keep_good_ones_from_their_answers() {
    beside_slow_clients(400, Duration::from_secs(4));
}

#[test]
#[ignore = "a minute; SLOW_CONNECTIONS says how many"]
fn two_thousand_slow_connections() {
    let count = std::env::var("SLOW_CONNECTIONS").map_or(2000, |text| text.parse().unwrap());
    beside_slow_clients(count, Duration::from_secs(60));
}

#[test]
fn silent_clients_above_the_limit_of_connections_hold_up_good_ones_no_longer_than_the_time_out() {
    let coupond = limited(&[("MAX_CONNECTIONS", "40"), ("CLIENT_TIMEOUT_MS", "500")]);
    let silent: Vec<_> = (0..200).map(|_| coupond.connect()).collect();
    let began = Instant::now();
    assert_eq!(coupond.get("/winter25").status, 302);
    // Five times the connection limit of both threads was queued before this client.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for mut silent in silent {
        assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn who_asks_without_end_and_takes_nothing_is_closed_and_costs_little_memory() {
    let coupond = limited(&[("CLIENT_TIMEOUT_MS", "500"), ("MISSES_PER_MINUTE", "0")]);
    let memory = resident_bytes(&coupond);
    let request = format!("GET /nobody HTTP/1.1\r\nHost: {HOST}\r\n\r\n").repeat(500);
    let mut greedy: Vec<_> = (0..20).map(|_| coupond.connect()).collect();
    for stream in &mut greedy {
        stream.set_nonblocking(true).unwrap();
    }
    let began = Instant::now();
    let mut open = greedy.len();
    // Each connection sends for as long as the daemon reads.
    while open > 0 {
        open =
            greedy.iter_mut().filter_map(|stream| stays_open(stream, request.as_bytes())).count();
        assert!(began.elapsed() < Duration::from_secs(15), "{open} are never closed");
        std::thread::sleep(Duration::from_millis(20));
    }
    let grown = resident_bytes(&coupond).saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes more");
    assert_eq!(coupond.get("/winter25").status, 302);
}

/// Sends as many bytes as fit; `None` once the daemon has closed.
fn stays_open(stream: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    match stream.write(bytes) {
        Ok(_) => Some(()),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Some(()),
        Err(_) => None,
    }
}

pub(super) fn resident_bytes(coupond: &Coupond) -> u64 {
    resident_bytes_of(coupond.id())
}

pub(crate) fn resident_bytes_of(process: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn without_descriptors_it_serves_who_is_there_and_the_others_when_there_are_some_again() {
    let coupond = limited(&[]);
    let request = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let visit = |stream: &mut TcpStream| {
        stream.write_all(request.as_bytes()).unwrap();
        read_head(stream).unwrap()
    };
    let mut early = coupond.connect();
    assert!(visit(&mut early).starts_with("HTTP/1.1 302"));
    let open = std::fs::read_dir(format!("/proc/{}/fd", coupond.id())).unwrap().count() as u64;
    let before = limit_descriptors(&coupond, open);
    let mut late: Vec<_> = (0..10).map(|_| coupond.connect()).collect();
    until("it cannot accept", || {
        let refused = coupond.log().contains("cannot accept connections");
        refused.then_some(())
    });
    let cpu = cpu_ticks(&coupond);
    for _ in 0..20 {
        assert!(visit(&mut early).starts_with("HTTP/1.1 302"));
        std::thread::sleep(Duration::from_millis(50));
    }
    // A tick is 10 ms: in this second the daemon did not spin.
    assert!(cpu_ticks(&coupond) - cpu < 40, "it spins");
    limit_descriptors(&coupond, before);
    for stream in &mut late {
        assert!(visit(stream).starts_with("HTTP/1.1 302"));
    }
}

/// Sets the soft limit of a running daemon and returns the previous limit.
fn limit_descriptors(coupond: &Coupond, soft: u64) -> u64 {
    let process = Pid::from_raw(coupond.id() as i32);
    let now = rustix::process::getrlimit(Resource::Nofile);
    let hard = now.maximum;
    prlimit(process, Resource::Nofile, Rlimit { current: Some(soft), maximum: hard })
        .unwrap()
        .current
        .unwrap()
}

fn cpu_ticks(coupond: &Coupond) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", coupond.id())).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let fields: Vec<&str> = after_name.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Good clients during one of the attacks of `slowhttptest`.
fn beside_slowhttptest(mode: &[&str], path: &str) {
    if !is_installed("slowhttptest", "-h") {
        return;
    }
    let coupond = limited(&[("CLIENT_TIMEOUT_MS", "1500"), ("IDLE_TIMEOUT_MS", "1500")]);
    let url = format!("http://{}{path}", coupond.address);
    let took = good_clients_beside(coupond.address, || {
        let output = Command::new("slowhttptest")
            .args(mode)
            .args(["-u", &url, "-c", "300", "-r", "300", "-i", "1", "-l", "4", "-p", "2"])
            .current_dir(coupond.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = said + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("service available:"), "{said}");
        assert!(!said.contains("Cannot establish connection"), "{said}");
    });
    assert!(took.len() > 50, "only {} good visits", took.len());
    let metrics = coupond.control("GET", "/metrics").body;
    assert!(metrics.contains("coupond_accept_errors_total 0\n"), "{metrics}");
}

#[test]
fn slowhttptest_with_slow_headers_disturbs_nobody() {
    beside_slowhttptest(&["-H", "-x", "24"], "/winter25");
}

#[test]
fn slowhttptest_with_slow_bodies_disturbs_nobody() {
    beside_slowhttptest(&["-B", "-s", "8192", "-x", "10"], "/?nid=1");
}

#[test]
fn slowhttptest_with_slow_reads_disturbs_nobody() {
    beside_slowhttptest(
        &["-X", "-w", "1", "-y", "8", "-n", "1", "-z", "8", "-k", "3"],
        "/scripts/main.js",
    );
}
