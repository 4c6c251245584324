//! Stops and restarts under load: every accepted visitor is answered, each answer has exactly one
//! click, and with inherited sockets no connection is refused.
//!
//! The daemon closes a socket that it bound itself when it stops. The kernel resets connections
//! that arrive between the daemon's last `accept` and that close; only inherited sockets avoid
//! this.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coupon_serve::bind_tcp;
use coupon_shared::feed::{self, Cursor};
use coupon_shared::transaction_id::TransactionId;
use nix::libc;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SetStruct;
use rustix::process::Signal;

use crate::published::{HOST, sample};
use crate::running::{Coupond, after_shell, command, folder, read_head, until};

/// Concurrent visitors.
const VISITORS: usize = 6;
/// Visits over one connection before a visitor opens another.
const VISITS_PER_CONNECTION: usize = 20;

/// The sum of all visitors' results.
#[derive(Default)]
struct Visited {
    /// The ids of the redirects.
    ids: Vec<TransactionId>,
    connections: u64,
    /// Refused connections.
    refused: u64,
    /// Connections reset before their first answer, after the daemon was told to stop.
    reset_unaccepted: u64,
}

/// Visits without pauses until `over` is set or connections are refused. Asserts that every answer
/// is complete.
fn visit(address: SocketAddr, [over, stopping]: [&AtomicBool; 2]) -> Visited {
    let mut visited = Visited::default();
    while !over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else {
            visited.refused += 1;
            break;
        };
        visited.connections += 1;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        for visit in 0..VISITS_PER_CONNECTION {
            let head = match redirected(&mut stream) {
                Err(error) if visit == 0 && stopping.load(Ordering::Relaxed) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    visited.reset_unaccepted += 1;
                    break;
                }
                head => head.unwrap(),
            };
            visited.ids.push(id_in(&head));
            if head.contains("connection: close") {
                break;
            }
        }
    }
    visited
}

fn redirected(stream: &mut TcpStream) -> std::io::Result<String> {
    let request = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let head = read_head(stream)?;
    assert!(head.starts_with("HTTP/1.1 302"), "{head}");
    Ok(head)
}

fn id_in(head: &str) -> TransactionId {
    let after = head.split("&t=").nth(1).unwrap();
    after.split('&').next().unwrap().parse().unwrap()
}

/// Lets visitors come while `meanwhile` runs, which sets when the load is over and when the daemon
/// stops.
fn under_load(address: SocketAddr, meanwhile: impl FnOnce([&AtomicBool; 2])) -> Visited {
    let (over, stopping) = Default::default();
    let flags: [&AtomicBool; 2] = [&over, &stopping];
    std::thread::scope(|scope| {
        let visitors: Vec<_> =
            (0..VISITORS).map(|_| scope.spawn(|| visit(address, flags))).collect();
        meanwhile(flags);
        let mut all = Visited::default();
        for visitor in visitors {
            let one = visitor.join().unwrap();
            all.ids.extend(one.ids);
            all.connections += one.connections;
            all.refused += one.refused;
            all.reset_unaccepted += one.reset_unaccepted;
        }
        all
    })
}

/// Asserts that the feed has exactly the clicks answered since the cursor.
fn assert_fed(coupond: &Coupond, cursor: &mut Cursor, mut answered: Vec<TransactionId>) {
    let mut fed: Vec<TransactionId> = Vec::new();
    until("the feed has the clicks", || {
        let answer = coupond.feed_after(cursor)?;
        for block in feed::blocks(&answer) {
            let block = block.unwrap();
            cursor.advance(block.stream(), block.last_sequence());
            fed.extend(block.decode().unwrap().clicks().map(|click| click.head.transaction_id));
        }
        (fed.len() >= answered.len()).then_some(())
    });
    fed.sort_unstable();
    answered.sort_unstable();
    assert!(fed == answered, "{} clicks for {} answers", fed.len(), answered.len());
}

/// Stops the daemon under load `stops` times. Returns the number of answers and of connections that
/// were reset unaccepted.
fn stops_under_load(stops: u32) -> (u64, u64) {
    let mut coupond = Coupond::serving(&sample());
    let mut cursor = Cursor::default();
    let (mut answers, mut reset) = (0, 0);
    for stop in 0..stops {
        let visited = under_load(coupond.address, |[_, stopping]| {
            // At varying moments of a visitor's connection.
            std::thread::sleep(Duration::from_micros(30_000 + u64::from(stop) * 7_919 % 40_000));
            stopping.store(true, Ordering::Relaxed);
            coupond.signal(Signal::TERM);
        });
        assert!(coupond.wait().success());
        assert!(coupond.log().contains("connections_cut=0"));
        assert!(visited.ids.len() > VISITORS, "hardly anybody came");
        answers += visited.ids.len() as u64;
        reset += visited.reset_unaccepted;
        coupond = coupond.restarted();
        assert_fed(&coupond, &mut cursor, visited.ids);
    }
    (answers, reset)
}

#[test]
fn stopping_under_load_breaks_off_nobody_and_loses_no_click() {
    let (_, reset) = stops_under_load(5);
    assert!(reset < 5, "{reset} connections were reset");
}

#[test]
#[ignore = "minutes; STOPS_UNDER_LOAD says how many"]
fn two_hundred_stops_under_load() {
    let stops = std::env::var("STOPS_UNDER_LOAD").map_or(200, |text| text.parse().unwrap());
    let (answers, reset) = stops_under_load(stops);
    println!(
        "{stops} of {stops} stops under load: {answers} answers, each with its click, no accepted \
         connection broken off, {reset} reset before they were accepted"
    );
}

/// Passes the sockets to the daemon as a service manager does.
fn pass(command: &mut Command, sockets: &[TcpListener]) {
    let passed = ["exec 3<&0 0</dev/null", "exec 3<&0 4<&1 0</dev/null 1>/dev/null"];
    let count = sockets.len();
    after_shell(
        command,
        &format!("{}; export LISTEN_PID=$$ LISTEN_FDS={count}", passed[count - 1]),
    );
    let mut duplicates = sockets.iter().map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
    command.stdin(duplicates.next().unwrap());
    command.stdout(duplicates.next().map_or_else(Stdio::null, Stdio::from));
}

#[derive(Debug, Clone, Copy)]
struct DeferAccept;

nix::setsockopt_impl!(
    DeferAccept,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    libc::c_int,
    SetStruct<libc::c_int>
);

/// Sockets for `pass` that keep silent connections back for about `seconds`, as with
/// `DeferAcceptSec=` in a socket unit.
fn deferring_sockets(count: usize, seconds: libc::c_int) -> Vec<TcpListener> {
    let sockets = bind_tcp("127.0.0.1:0".parse().unwrap(), count).unwrap();
    for socket in &sockets {
        setsockopt(socket, DeferAccept, &seconds).unwrap();
    }
    sockets
}

/// Restarts a daemon with inherited sockets under load. Returns the numbers of answers and
/// connections.
fn restarts_under_load(sockets: usize, restarts: u32) -> (usize, u64) {
    let sockets = deferring_sockets(sockets, 1);
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let mut coupond = Coupond::start(folder, |command| pass(command, &sockets));
    let address = coupond.address;
    assert_eq!(address, sockets[0].local_addr().unwrap());
    let visited = under_load(address, |[over, _]| {
        for _ in 0..restarts {
            std::thread::sleep(Duration::from_millis(50));
            coupond.signal(Signal::TERM);
            assert!(coupond.wait().success());
            assert!(coupond.log().contains("connections_cut=0"));
            coupond = coupond.restarted_with(|command| pass(command, &sockets));
        }
        std::thread::sleep(Duration::from_millis(50));
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(visited.refused, 0);
    let figures = (visited.ids.len(), visited.connections);
    assert_fed(&coupond, &mut Cursor::default(), visited.ids);
    figures
}

#[test]
fn a_restart_with_an_inherited_socket_for_each_thread_turns_nobody_away() {
    restarts_under_load(2, 3);
}

#[test]
fn a_restart_with_one_inherited_socket_for_all_threads_turns_nobody_away() {
    restarts_under_load(1, 3);
}

#[test]
fn a_silent_connection_at_a_deferring_socket_is_answered_after_a_restart() {
    let sockets = deferring_sockets(1, 60);
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| pass(command, &sockets));
    let mut silent = coupond.connect();
    // A port check connects and goes: it is not kept waiting either.
    drop(coupond.connect());
    assert_eq!(coupond.get("/winter25").status, 302);
    coupond.signal(Signal::TERM);
    let mut coupond = coupond;
    assert!(coupond.wait().success());
    let _restarted = coupond.restarted_with(|command| pass(command, &sockets));
    redirected(&mut silent).unwrap();
}

#[test]
#[ignore = "minutes; RESTARTS_UNDER_LOAD says how many"]
fn a_hundred_restarts_with_inherited_sockets_under_load() {
    let restarts = std::env::var("RESTARTS_UNDER_LOAD").map_or(100, |text| text.parse().unwrap());
    for sockets in [1, 2] {
        let (answers, connections) = restarts_under_load(sockets, restarts);
        println!(
            "{restarts} restarts with {sockets} inherited socket(s): {connections} connections, none \
             refused or reset; {answers} answers, each with its click"
        );
    }
}

#[test]
fn one_inherited_socket_serves_from_all_threads() {
    let sockets = bind_tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| pass(command, &sockets));
    let threads = until("both threads had a visitor", || {
        let visitors: Vec<_> = (0..8).map(|_| coupond.connect()).collect();
        for mut visitor in visitors {
            redirected(&mut visitor).unwrap();
        }
        let answer = coupond.feed_after(&Cursor::default())?;
        let mut threads: Vec<_> =
            feed::blocks(&answer).map(|block| block.unwrap().stream().thread).collect();
        threads.sort_unstable();
        threads.dedup();
        (threads.len() == 2).then_some(threads)
    });
    assert_eq!(threads, [0, 1]);
}

#[test]
fn inherited_sockets_of_two_addresses_are_both_served_by_every_thread() {
    let sockets = ["127.0.0.1:0", "[::1]:0"].map(|bind| TcpListener::bind(bind).unwrap());
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| pass(command, &sockets));
    assert_eq!(coupond.addresses.len(), 2);
    for socket in &sockets {
        let mut visited = 0;
        until("both threads had a visitor of this address", || {
            let visitors =
                (0..8).map(|_| TcpStream::connect(socket.local_addr().unwrap()).unwrap());
            for mut visitor in visitors.collect::<Vec<_>>() {
                redirected(&mut visitor).unwrap();
                visited += 1;
            }
            let answer = coupond.feed_after(&Cursor::default())?;
            let blocks = feed::blocks(&answer).map(|block| block.unwrap());
            let (mut clicks, mut threads) = (0, BTreeSet::new());
            for block in blocks {
                clicks += block.count();
                threads.insert(block.stream().thread);
            }
            (clicks >= visited && threads.len() == 2).then_some(())
        });
    }
}

#[test]
fn inherited_sockets_go_to_the_listeners_with_their_names() {
    let sockets = ["127.0.0.1:0", "127.0.0.1:0"].map(|bind| TcpListener::bind(bind).unwrap());
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let file = folder.path().join("coupond.toml");
    let listeners = "[[listeners]]\nname = 'second'\naddress = '127.0.0.1:0'\n\
                     [[listeners]]\naddress = '127.0.0.1:0'\n\
                     [[listeners]]\nname = 'first'\naddress = '127.0.0.1:0'\n";
    std::fs::write(&file, listeners).unwrap();
    let named = |command: &mut Command, names: &str| {
        command.env("COUPOND_CONFIG", &file).env("LISTEN_FDNAMES", names);
        pass(command, &sockets);
    };
    let coupond = Coupond::start(folder, |command| named(command, "first:second"));
    let passed = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    let [second, bound, first] = coupond.addresses[..] else { panic!("{:?}", coupond.addresses) };
    assert_eq!([first, second], passed);
    assert!(!passed.contains(&bound));
    for address in coupond.addresses.clone() {
        assert!(redirected(&mut TcpStream::connect(address).unwrap()).is_ok(), "{address}");
    }
    let mut refused = command(coupond.folder.path());
    refused.env("COUPOND_DATA_DIR", coupond.path("other"));
    refused.env("COUPOND_RUNTIME_DIR", coupond.path("other/run"));
    named(&mut refused, "first:third");
    let error = refused.output().unwrap().stderr;
    let error = String::from_utf8_lossy(&error);
    assert!(error.contains("named \"third\"") && error.contains("FileDescriptorName="), "{error}");
}

#[test]
fn what_cannot_be_inherited_is_named_in_the_error() {
    let folder = folder();
    let refusal = |prepare: &dyn Fn(&mut Command)| {
        let mut command = command(folder.path());
        prepare(&mut command);
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let two = bind_tcp("127.0.0.1:0".parse().unwrap(), 2).unwrap();
    let error = refusal(&|command| {
        command.env("COUPOND_THREADS", "1");
        pass(command, &two);
    });
    assert!(
        error.contains("2 sockets of one address were passed on, but only 1 threads serve"),
        "{error}"
    );
    let error = refusal(&|command| {
        after_shell(command, "exec 3</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1");
    });
    assert!(error.contains("socket 1") && error.contains("ListenStream="), "{error}");
    let error = refusal(&|command| {
        let peer = TcpStream::connect(two[0].local_addr().unwrap()).unwrap();
        after_shell(command, "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1");
        command.stdin(OwnedFd::from(peer));
    });
    assert!(error.contains("it does not listen"), "{error}");
}

#[test]
fn sockets_announced_to_another_process_are_left_alone() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    });
    assert_eq!(coupond.get("/winter25").status, 302);
}
