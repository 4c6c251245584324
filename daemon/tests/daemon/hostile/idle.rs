//! Idle clients: what a connection costs, and how newcomers fare when all places are taken.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coupon_serve::raise_descriptor_limit;
use rustix::process::{Pid, Signal, kill_process};

use super::slow::{limited, resident_bytes};
use crate::published::{HOST, sample};
use crate::running::{Coupond, connect_from, folder, is_installed, read_head, until};

/// Connects from one of 250 addresses.
pub(crate) fn connect(server: SocketAddr, number: usize) -> TcpStream {
    connect_from([127, 0, 1, (number % 250 + 1) as u8], server)
}

/// Asks on a connection that stays open.
pub(crate) fn request_redirect(stream: &mut (impl Read + Write)) {
    write!(stream, "GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
    let head = read_head(stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 302"), "{head}");
}

/// Makes a visit and returns the time to its answer; the connection stays open.
fn visit(server: SocketAddr, number: usize) -> (TcpStream, Duration) {
    let began = Instant::now();
    let mut stream = connect(server, number);
    request_redirect(&mut stream);
    (stream, began.elapsed())
}

/// Limits of a daemon that keeps `count` connections open, however idle they are.
pub(crate) fn limits_for(count: usize) -> [(&'static str, String); 5] {
    assert!(raise_descriptor_limit() > count as u64 + 500, "too few descriptors (ulimit -Hn)");
    [
        ("MAX_CONNECTIONS", count.to_string()),
        ("MAX_CONNECTION_BYTES", (1_u64 << 32).to_string()),
        ("IDLE_TIMEOUT_MS", "600000".to_owned()),
        ("CLIENT_TIMEOUT_MS", "600000".to_owned()),
        ("HANDSHAKES_PER_MINUTE", "0".to_owned()),
    ]
}

fn for_connections(count: usize) -> Coupond {
    let limits = limits_for(count);
    let limits = limits.each_ref().map(|(key, value)| (*key, value.as_str()));
    limited(&limits)
}

/// Makes visits, so that the allocator gives freed memory back, which it does not while idle.
fn release_freed_memory(server: SocketAddr) {
    for _ in 0..4 {
        for number in 0..250 {
            drop(visit(server, number));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Memory of the daemon for each connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EachHolds {
    pub(crate) resident: u64,
    /// By the daemon's own estimate.
    pub(crate) estimated: u64,
}

/// What each of `count` connections holds that `open` opens by number. Measured until it is below
/// `bound`, or for half a minute: the allocator gives memory back bit by bit.
pub(crate) fn each_of<C>(
    count: usize,
    coupond: &Coupond,
    bound: u64,
    open: impl Fn(usize) -> C,
) -> (EachHolds, Vec<C>) {
    // The click log and the allocator take memory of their own at first.
    release_freed_memory(coupond.address);
    let before = resident_bytes(coupond);
    let connections: Vec<C> = (0..count).map(open).collect();
    let measure_until = Instant::now() + Duration::from_secs(30);
    loop {
        std::thread::sleep(Duration::from_secs(3));
        release_freed_memory(coupond.address);
        let each = |bytes: u64| bytes / count as u64;
        let resident = each(resident_bytes(coupond).saturating_sub(before));
        if resident < bound || Instant::now() > measure_until {
            let estimated = each(coupond.metric("connection_bytes"));
            return (EachHolds { resident, estimated }, connections);
        }
    }
}

/// Asserts that the daemon's estimate is no less than the memory that each connection holds, and not
/// so much more that room is wasted.
pub(crate) fn assert_estimate<C>(what: &str, coupond: &Coupond, open: impl Fn(usize) -> C) {
    const CONNECTIONS: usize = 3000;
    let estimate = {
        let _one = open(0);
        std::thread::sleep(Duration::from_millis(100));
        coupond.metric("connection_bytes")
    };
    let (each, _open) = each_of(CONNECTIONS, coupond, estimate, open);
    println!("{what}: {each:?}");
    assert!(each.resident <= each.estimated, "{what}: {each:?}");
    assert!(each.estimated < 3 * each.resident, "{what}: {each:?}");
}

/// Resident bytes for each of `count` connections, a half of them without any request.
fn bytes_of_an_idle_connection(count: usize, bound: u64) -> u64 {
    // Each of the two threads has half of the places, and the kernel deals unequally.
    let coupond = for_connections(count * 2);
    let open = |number: usize| match number % 2 {
        0 => visit(coupond.address, number).0,
        _ => connect(coupond.address, number),
    };
    let (each, idle) = each_of(count, &coupond, bound, open);
    for mut stream in idle {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(read, Err(ErrorKind::WouldBlock), "an idle connection was closed");
    }
    each.resident
}

#[test]
fn an_idle_connection_holds_no_buffers() {
    let each = bytes_of_an_idle_connection(3000, 8192);
    println!("{each} bytes for each of 3000 idle connections");
    // hyper's buffers alone take 16 KiB.
    assert!(each < 8192, "{each} bytes");
}

#[test]
fn the_estimate_of_a_plain_connections_memory_covers_each_kind() {
    let coupond = for_connections(6500);
    assert_estimate("silent", &coupond, |number| connect(coupond.address, number));
    let coupond = for_connections(6500);
    let long = format!("GET /?x={} HTTP/1.1\r\nHost: {HOST}\r\n", "x".repeat(15_500));
    assert_estimate("an unfinished request", &coupond, |number| {
        let mut stream = connect(coupond.address, number);
        stream.write_all(long.as_bytes()).unwrap();
        stream
    });
}

#[test]
fn the_limit_of_memory_closes_idle_connections_and_changes_while_the_daemon_runs() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let file = folder.path().join("coupond.toml");
    let limit = |bytes: u64| format!("[limits]\nmax_connection_bytes = {bytes}\n");
    std::fs::write(&file, limit(4 << 20)).unwrap();
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_CONFIG", &file);
    });
    let connections = |key: &str| coupond.health()["connections"][key].as_u64().unwrap();
    let mut idle: Vec<_> = (0..1500).map(|number| visit(coupond.address, number).0).collect();
    let most = until("the connections are within the limit", || {
        (connections("bytes") <= 4 << 20).then(|| connections("open"))
    });
    assert!((600..=1024).contains(&most), "{most} open");
    assert_eq!(connections("evicted_for_memory"), 1500 - most);
    assert_eq!(coupond.metric("connections_evicted_for_memory_total"), 1500 - most);
    request_redirect(&mut idle[1499]);

    std::fs::write(&file, limit(64 << 20)).unwrap();
    coupond.signal(Signal::HUP);
    until("the limit is raised", || {
        idle.push(visit(coupond.address, idle.len()).0);
        (connections("open") > 1100).then_some(())
    });
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
    let coupond = for_connections(limit);
    let mut idle = Vec::new();
    // More than the limit, because each thread has its share of the places.
    for number in 0..limit * 3 / 2 {
        idle.push(visit(coupond.address, number).0);
    }
    let mut took = Vec::new();
    for number in 0..newcomers {
        let (stream, latency) = visit(coupond.address, number);
        idle.push(stream);
        took.push(latency);
    }
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
