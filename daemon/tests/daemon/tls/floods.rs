//! Handshakes by the thousand that only cost work: good visitors are answered beside them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use coupon_serve::raise_descriptor_limit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use super::TlsCoupond;
use super::client::{Client, visit};
use super::hostile::hello;
use crate::hostile::idle::connect;
use crate::hostile::slow::{good_visits_beside, resident_bytes_of};
use crate::published::HOST;

/// Sends bytes from an address of this machine, and waits until the daemon closes.
async fn send_from(address: [u8; 4], server: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((address, 0)))?;
    let mut stream = socket.connect(server).await?;
    stream.write_all(bytes).await?;
    let mut answer = [0; 4096];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

/// Keeps `count` handshakes open that never go on; one that is closed is begun again.
fn begin_handshakes(served: &TlsCoupond, count: usize, lasting: Duration) -> u64 {
    let (runtime, server) = (Runtime::new().unwrap(), served.address());
    let begun = std::sync::Arc::new(AtomicU64::new(0));
    let hello = hello(served);
    for number in 0..count {
        // Nothing, half a hello, or a whole one, which costs a signature.
        let length = [0, hello.len() / 2, hello.len()][number % 3];
        let (bytes, begun) = (hello[..length].to_vec(), begun.clone());
        runtime.spawn(async move {
            loop {
                begun.fetch_add(1, Ordering::Relaxed);
                let address = [127, 0, 1, (number % 250 + 1) as u8];
                // Every end of the connection counts.
                let _ = send_from(address, server, &bytes).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    std::thread::sleep(lasting);
    runtime.shutdown_timeout(Duration::from_secs(1));
    begun.load(Ordering::Relaxed)
}

/// Begins `rate` handshakes a second, all from one address.
fn flood(served: &TlsCoupond, rate: u64, lasting: Duration) -> u64 {
    let (runtime, server, hello) = (Runtime::new().unwrap(), served.address(), hello(served));
    let begun = runtime.block_on(async {
        let began = Instant::now();
        let mut begun = 0;
        while began.elapsed() < lasting {
            while begun < began.elapsed().as_micros() as u64 * rate / 1_000_000 {
                let hello = hello.clone();
                tokio::spawn(async move { send_from([127, 0, 3, 1], server, &hello).await });
                begun += 1;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        begun
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    begun
}

/// Good visits, each on a connection of its own, beside `attack`: all are answered. Returns the
/// duration below which 99 % of them stay.
fn beside(what: &str, served: &TlsCoupond, attack: impl FnOnce() -> u64) -> Duration {
    let client = Client::new(&served.authority);
    let (process, address) = (served.coupond.id(), served.address());
    let (before, peak) = (resident_bytes_of(process), AtomicU64::new(0));
    let visits = AtomicUsize::new(0);
    let good_visit = || {
        let number = visits.fetch_add(1, Ordering::Relaxed);
        let mut stream = client.over(connect(address, number), HOST).unwrap();
        assert_eq!(visit(&mut stream, HOST, "/winter25").unwrap().status, 302);
        peak.fetch_max(resident_bytes_of(process), Ordering::Relaxed);
    };
    let mut begun = 0;
    let took = good_visits_beside(good_visit, || begun = attack());
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let grown = peak.load(Ordering::Relaxed).saturating_sub(before) >> 20;
    println!(
        "{begun} {what}: {} of {} good visits answered; p50 {:?}, p99 {:?}, slowest {:?}; at most \
         {grown} MiB more",
        took.len(),
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    assert!(took.len() > 50, "only {} good visits", took.len());
    assert!(grown < 160, "{grown} MiB more");
    assert_eq!(served.coupond.metric("accept_errors_total"), 0);
    at(0.99)
}

fn beside_unfinished_handshakes(count: usize, lasting: Duration) -> Duration {
    assert!(raise_descriptor_limit() > 2 * count as u64 + 200, "too few descriptors (ulimit -n)");
    let served = TlsCoupond::start_with(|command| {
        command.env("COUPOND_LIMITS_CLIENT_TIMEOUT_MS", "5000");
    });
    let mut open = 0;
    let p99 = beside("handshakes begun and never finished", &served, || {
        let begun = begin_handshakes(&served, count, lasting);
        open = served.coupond.metric("connections_timed_out_total");
        begun
    });
    assert!(open > 0, "no handshake was ever closed");
    p99
}

fn beside_a_flood(rate: u64, lasting: Duration) -> Duration {
    let served = TlsCoupond::start();
    let p99 = beside("handshakes of one address", &served, || flood(&served, rate, lasting));
    let limited = served.labelled_metric("tls_connections_refused_total{reason=\"limited\"}");
    println!("{limited} of them closed before the costly part");
    assert!(limited > 0);
    served.coupond.wait_for_log("limits.handshakes_per_minute");
    p99
}

#[test]
fn handshakes_without_end_do_not_keep_good_visitors_from_their_answers() {
    beside_unfinished_handshakes(600, Duration::from_secs(7));
}

#[test]
fn handshakes_of_one_address_do_not_keep_good_visitors_from_their_answers() {
    beside_a_flood(400, Duration::from_secs(5));
}

#[test]
#[ignore = "a minute; HANDSHAKES says how many"]
fn five_thousand_handshakes_without_end() {
    let count = std::env::var("HANDSHAKES").map_or(5000, |text| text.parse().unwrap());
    let p99 = beside_unfinished_handshakes(count, Duration::from_secs(30));
    assert!(p99 < Duration::from_millis(100), "p99 {p99:?}");
}

#[test]
#[ignore = "a minute; HANDSHAKES_A_SECOND says how many"]
fn two_thousand_handshakes_a_second() {
    let rate = std::env::var("HANDSHAKES_A_SECOND").map_or(2000, |text| text.parse().unwrap());
    let p99 = beside_a_flood(rate, Duration::from_secs(30));
    assert!(p99 < Duration::from_millis(100), "p99 {p99:?}");
}
