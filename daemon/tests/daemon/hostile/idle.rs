//! Idle clients: what a connection costs, and how newcomers fare when all places are taken.

use std::io::{ErrorKind, Read as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coupon_serve::raise_descriptor_limit;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::slow::{limited, resident_bytes};
use crate::published::{HOST, sample};
use crate::running::{Coupond, folder, is_installed};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Connects from one of 250 addresses.
async fn connect(server: SocketAddr, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 1, (number % 250 + 1) as u8], 0))).unwrap();
    socket.connect(server).await.unwrap()
}

/// Makes a visit and returns the time to its first byte; the connection stays open.
async fn visit(server: SocketAddr, number: usize) -> (TcpStream, Duration) {
    let began = Instant::now();
    let mut stream = connect(server, number).await;
    let request = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 302"), "visit {number}: {read} bytes");
    (stream, began.elapsed())
}

fn for_connections(count: usize, idle_timeout_ms: &str) -> Coupond {
    assert!(raise_descriptor_limit() > count as u64 + 500, "too few descriptors (ulimit -Hn)");
    let count = count.to_string();
    limited(&[
        ("MAX_CONNECTIONS", &count),
        ("IDLE_TIMEOUT_MS", idle_timeout_ms),
        ("CLIENT_TIMEOUT_MS", idle_timeout_ms),
    ])
}

/// Makes visits, so that the allocator gives freed memory back, which it does not while idle.
async fn release_freed_memory(server: SocketAddr) {
    for _ in 0..4 {
        for number in 0..250 {
            drop(visit(server, number).await);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Resident bytes for each of `count` connections, a half of them without any request. Measured
/// until they are below `bound`, or for half a minute: the allocator gives memory back bit by bit.
fn bytes_of_an_idle_connection(count: usize, bound: u64) -> u64 {
    // Each of the two threads has half of the places, and the kernel deals unequally.
    let coupond = for_connections(count * 2, "600000");
    runtime().block_on(async {
        // The click log and the allocator take memory of their own at first.
        release_freed_memory(coupond.address).await;
        let before = resident_bytes(&coupond);
        let mut idle = Vec::new();
        for number in 0..count {
            idle.push(match number % 2 {
                0 => visit(coupond.address, number).await.0,
                _ => connect(coupond.address, number).await,
            });
        }
        let measure_until = Instant::now() + Duration::from_secs(30);
        let each = loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            release_freed_memory(coupond.address).await;
            let each = resident_bytes(&coupond).saturating_sub(before) / count as u64;
            if each < bound || Instant::now() > measure_until {
                break each;
            }
        };
        let mut byte = [0];
        for stream in &idle {
            let read = stream.try_read(&mut byte).map_err(|error| error.kind());
            assert_eq!(read, Err(ErrorKind::WouldBlock), "an idle connection was closed");
        }
        each
    })
}

#[test]
fn an_idle_connection_holds_no_buffers() {
    let each = bytes_of_an_idle_connection(3000, 8192);
    println!("{each} bytes for each of 3000 idle connections");
    // hyper's buffers alone take 16 KiB.
    assert!(each < 8192, "{each} bytes");
}

#[test]
#[ignore = "minutes; IDLE_CONNECTIONS says how many"]
fn fifty_thousand_idle_connections() {
    let count = std::env::var("IDLE_CONNECTIONS").map_or(50_000, |text| text.parse().unwrap());
    let each = bytes_of_an_idle_connection(count, 4096);
    println!("{each} bytes for each of {count} idle connections");
    assert!(each < 4096, "{each} bytes");
}

/// The server's calls on sockets during `visits`, one line each.
fn traced(coupond: &Coupond, visits: impl FnOnce()) -> String {
    let trace = coupond.path("trace");
    let calls = "trace=accept4,read,recvfrom,sendto,shutdown,epoll_ctl,close";
    let thread = coupond.thread("serve-0").unwrap().to_string();
    let mut strace = Command::new("strace");
    strace.args(["-e", calls, "-p", &thread, "-o"]).arg(&trace).stderr(Stdio::piped());
    let mut strace = strace.spawn().unwrap();
    // strace says so once it is attached.
    strace.stderr.as_mut().unwrap().read_exact(&mut [0; 24]).unwrap();
    visits();
    std::thread::sleep(Duration::from_millis(100));
    kill_process(Pid::from_child(&strace), Signal::INT).unwrap();
    strace.wait().unwrap();
    std::fs::read_to_string(trace).unwrap()
}

#[test]
fn a_visit_on_a_new_connection_takes_no_shutdown_and_seldom_the_event_queue() {
    if !is_installed("strace", "-V") {
        return;
    }
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_THREADS", "1");
    });
    let calls = traced(&coupond, || {
        for _ in 0..50 {
            assert_eq!(coupond.get("/winter25").status, 302);
        }
    });
    let count = |call: &str| calls.lines().filter(|line| line.starts_with(call)).count();
    assert_eq!((count("sendto("), count("close("), count("shutdown(")), (50, 50, 0), "{calls}");
    // A loaded machine may send a request later than its connection.
    assert!(count("epoll_ctl(") < 50, "{calls}");
}

/// Sorted times to the first byte of `newcomers` while all of `limit` places are taken.
fn newcomers_at_the_limit(limit: usize, newcomers: usize) -> Vec<Duration> {
    let coupond = for_connections(limit, "600000");
    let mut took = runtime().block_on(async {
        let mut idle = Vec::new();
        // More than the limit, because each thread has its share of the places.
        for number in 0..limit * 3 / 2 {
            idle.push(visit(coupond.address, number).await.0);
        }
        let mut took = Vec::new();
        for number in 0..newcomers {
            let (stream, latency) = visit(coupond.address, number).await;
            idle.push(stream);
            took.push(latency);
        }
        took
    });
    took.sort();
    assert!(coupond.metric("connections_evicted_total") >= newcomers as u64);
    assert_eq!(coupond.metric("accept_errors_total"), 0);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "first byte of {newcomers} newcomers at {limit} idle connections: p50 {:?}, p99 {:?}, \
         slowest {:?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    took
}

#[test]
fn a_newcomer_is_answered_at_once_while_idle_connections_hold_every_place() {
    let took = newcomers_at_the_limit(400, 200);
    // Twice the goal, because the machine may run other tests.
    assert!(took[took.len() * 98 / 100] < Duration::from_millis(100), "{took:?}");
}

#[test]
#[ignore = "minutes; IDLE_CONNECTIONS says how many"]
fn thousands_of_newcomers_at_the_limit() {
    let limit = std::env::var("IDLE_CONNECTIONS").map_or(10_000, |text| text.parse().unwrap());
    let took = newcomers_at_the_limit(limit, 5000);
    assert!(took[4950] < Duration::from_millis(50), "p99 {:?}", took[4950]);
}
