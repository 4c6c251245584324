//! Connections through a proxy that names the client first.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use coupon_shared::click::block::DecodedBlock;

use crate::published::{HOST, sample};
use crate::running::{Answer, Coupond, folder, until};

/// A daemon behind a proxy on this machine.
fn proxied() -> Coupond {
    behind("127.0.0.1")
}

fn behind(proxies: &str) -> Coupond {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    Coupond::start(folder, |command| {
        command
            .env("COUPOND_PROXY_PROTOCOL", "true")
            .env("COUPOND_TRUSTED_PROXIES", proxies)
            .env("COUPOND_LIMITS_CLIENT_TIMEOUT_MS", "400")
            .env("COUPOND_LIMITS_MISSES_PER_MINUTE", "1")
            .env("COUPOND_LIMITS_MISSES_BURST", "1");
    })
}

/// A version 2 header with two bytes of an unknown field behind the addresses.
fn binary(command: u8, source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, 0x11, 0, 12 + 5]);
    header.extend(source);
    header.extend([127, 0, 0, 1, 0x10, 0, 0, 80]);
    header.extend([0xe0, 0, 2, 1, 2]);
    header
}

fn text(source: &str) -> Vec<u8> {
    let kind = if source.contains(':') { "TCP6" } else { "TCP4" };
    let local = if source.contains(':') { "::1" } else { "127.0.0.1" };
    format!("PROXY {kind} {source} {local} 4711 80\r\n").into_bytes()
}

fn visit(target: &str, more: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{more}Connection: close\r\n\r\n").into_bytes()
}

/// The answer; `None` if the daemon closes or resets the connection without one.
fn sent(coupond: &Coupond, pieces: &[&[u8]]) -> Option<Answer> {
    let mut stream = coupond.connect();
    for piece in pieces {
        // The daemon may have closed the connection already.
        let _ = stream.write_all(piece);
        std::thread::sleep(Duration::from_millis(if pieces.len() > 1 { 20 } else { 0 }));
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| Answer::parse(&answer))
}

fn refused(coupond: &Coupond, reason: &str, count: u64) {
    let line = format!("coupond_proxy_connections_refused_total{{reason=\"{reason}\"}} {count}\n");
    until(&line, || coupond.control("GET", "/metrics").body.contains(&line).then_some(()));
}

fn recorded(coupond: &Coupond, clicks: usize) -> Vec<String> {
    let blocks = coupond.feed(clicks);
    let clicks = blocks.iter().flat_map(DecodedBlock::clicks);
    let mut addresses: Vec<_> = clicks.map(|click| click.address().unwrap().to_string()).collect();
    addresses.sort();
    addresses
}

#[test]
fn the_address_in_the_header_is_the_visitors_of_every_request_on_the_connection() {
    let coupond = proxied();
    let kept = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n").into_bytes();
    let last = visit("/winter25", "X-Forwarded-For: 192.0.2.99\r\n");
    for header in [text("203.0.113.7"), text("2001:db8::7"), binary(1, [203, 0, 113, 8])] {
        let answer = sent(&coupond, &[&[header, kept.clone(), last.clone()].concat()]).unwrap();
        assert_eq!(answer.status, 302);
    }
    let expected =
        ["2001:db8::7", "2001:db8::7", "203.0.113.7", "203.0.113.7", "203.0.113.8", "203.0.113.8"];
    assert_eq!(recorded(&coupond, 6), expected);
}

#[test]
fn a_header_may_come_in_pieces() {
    let coupond = proxied();
    let header = text("203.0.113.7");
    let (first, second) = header.split_at(17);
    let answer = sent(&coupond, &[first, second, &visit("/winter25", "")]).unwrap();
    assert_eq!(answer.status, 302);
    let header = binary(1, [203, 0, 113, 8]);
    let (first, second) = header.split_at(20);
    let answer = sent(&coupond, &[first, &[second, &visit("/winter25", "")].concat()]).unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(recorded(&coupond, 2), ["203.0.113.7", "203.0.113.8"]);
}

#[test]
fn a_proxy_that_speaks_for_itself_is_the_visitor() {
    let coupond = proxied();
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), binary(0, [203, 0, 113, 7])] {
        let answer = sent(&coupond, &[&[header, visit("/winter25", "")].concat()]).unwrap();
        assert_eq!(answer.status, 302);
    }
    assert_eq!(recorded(&coupond, 2), ["127.0.0.1", "127.0.0.1"]);
}

#[test]
fn misses_are_limited_by_the_address_in_the_header() {
    let coupond = proxied();
    let statuses = ["203.0.113.1", "203.0.113.1", "203.0.113.2"].map(|source| {
        sent(&coupond, &[&[text(source), visit("/nobody", "")].concat()]).unwrap().status
    });
    assert_eq!(statuses, [404, 429, 404]);
}

#[test]
fn without_a_header_nobody_is_answered() {
    let coupond = proxied();
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 500]].concat();
    let too_long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".as_slice(), &[0; 8000]].concat();
    let starts = [
        visit("/winter25", ""),
        b"PROXY TCP4 203.0.113.7 127.0.0.1 x 80\r\n".to_vec(),
        endless,
        too_long,
    ];
    for start in &starts {
        let answer = sent(&coupond, &[&[start.clone(), visit("/winter25", "")].concat()]);
        assert_eq!(answer, None, "{:?}", String::from_utf8_lossy(start));
    }
    refused(&coupond, "malformed", starts.len() as u64);
    assert_eq!(coupond.health()["clicks"]["answered"], 0);
}

#[test]
fn who_only_looks_whether_somebody_listens_is_nothing_malformed() {
    let coupond = proxied();
    drop(coupond.connect());
    let whole = [text("203.0.113.7"), visit("/winter25", "")].concat();
    assert_eq!(sent(&coupond, &[&whole]).unwrap().status, 302);
    refused(&coupond, "malformed", 0);
}

#[test]
fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let coupond = proxied();
    let began = Instant::now();
    let mut silent = coupond.connect();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    // Single bytes are no progress.
    let mut slow = coupond.connect();
    let closed = text("203.0.113.7").chunks(1).cycle().take(300).any(|byte| {
        std::thread::sleep(Duration::from_millis(20));
        slow.write_all(byte).is_err()
    });
    assert!(closed, "a header of {:?} was waited for", began.elapsed());
}

#[test]
fn connections_of_others_than_trusted_proxies_are_closed_and_told_of_once() {
    let coupond = behind("10.0.0.0/8");
    for _ in 0..10 {
        let whole = [text("203.0.113.7"), visit("/winter25", "")].concat();
        assert_eq!(sent(&coupond, &[&whole]), None);
    }
    refused(&coupond, "untrusted", 10);
    let refusals_logged = coupond.log().matches("not among trusted_proxies").count();
    // Each serving thread logs the refusal.
    assert!((1..=2).contains(&refusals_logged), "{}", coupond.log());
}

#[test]
fn the_proxy_protocol_without_a_proxy_is_refused_at_the_start() {
    let folder = folder();
    let output = crate::running::command(folder.path())
        .env("COUPOND_PROXY_PROTOCOL", "true")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("trusted_proxies"), "{error}");
}
