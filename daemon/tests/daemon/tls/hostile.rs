//! Bytes that are no TLS, or TLS of another age.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::ClientConnection;

use super::TlsCoupond;
use super::client::Client;
use crate::published::HOST;
use crate::running::{Answer, until};

/// All bytes that come back.
fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The daemon may close before it has read everything.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

/// A TLS record with a hello of an old version, with one cipher suite and no extension.
fn old_hello(version: u8) -> Vec<u8> {
    let mut hello = vec![3, version];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x00, 0x2f, 1, 0]);
    let mut record = vec![0x16, 3, version.min(1), 0, hello.len() as u8 + 4, 1, 0, 0];
    record.push(hello.len() as u8);
    record.extend(hello);
    record
}

#[test]
fn plain_http_at_a_port_that_speaks_tls_is_told_so() {
    let served = TlsCoupond::start();
    let request = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let large = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    for request in [request, large] {
        let answer = Answer::parse(&answer_to(served.address(), request.as_bytes()));
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("https://"), "{answer:?}");
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    }
    let count = "tls_connections_refused_total{reason=\"plain_http\"}";
    assert_eq!(served.labelled_metric(count), 2);
}

#[test]
fn tls_at_a_plain_port_is_a_bad_request() {
    let served = TlsCoupond::start();
    let client = Client::new(&served.authority);
    assert!(client.connect(served.coupond.address, HOST).is_err());
    assert_eq!(served.coupond.get("/winter25").status, 302);
}

#[test]
fn old_versions_and_garbage_are_refused_without_a_word_of_http() {
    let served = TlsCoupond::start();
    let ssl2 = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80".repeat(4);
    for version in [0, 1, 2] {
        // A fatal alert: handshake_failure or protocol_version.
        let answer = answer_to(served.address(), &old_hello(version));
        let is_alert = answer.starts_with(&[0x15, 3, 3, 0, 2, 2]) && [40, 70].contains(&answer[6]);
        assert!(is_alert, "version 3.{version}: {answer:?}");
    }
    for garbage in
        [&ssl2[..], b"\0\0\0\0", b"\xff\xfe\xfd", b"\x16garbage of a record", b"\r\n\r\n"]
    {
        let answer = answer_to(served.address(), garbage);
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    }
    assert_eq!(answer_to(served.address(), b""), b"");
    assert!(served.labelled_metric("tls_connections_refused_total{reason=\"failed\"}") >= 7);
    let client = Client::new(&served.authority);
    assert_eq!(client.get(served.address(), HOST, "/winter25").unwrap().status, 302);
    until("all are closed", || (served.coupond.metric("connections_open") == 0).then_some(()));
}

/// The first record that the client sends.
pub(super) fn hello(served: &TlsCoupond) -> Vec<u8> {
    let client = Client::new(&served.authority);
    let name = HOST.to_owned().try_into().unwrap();
    let mut connection = ClientConnection::new(client.0, name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_hello_in_records_of_one_byte_is_answered_and_a_huge_one_ends() {
    let served = TlsCoupond::start();
    let whole = hello(&served);
    let pieces: Vec<u8> = whole[5..].iter().flat_map(|byte| [0x16, 3, 1, 0, 1, *byte]).collect();
    let answer = answer_to(served.address(), &pieces);
    assert_eq!(answer.first(), Some(&0x16), "a server hello");

    // A hello of 16 KiB, and one that announces more than any server takes.
    for announced in [[0, 0x40, 0], [0xff, 0xff, 0xff]] {
        let mut huge = vec![1];
        huge.extend(announced);
        huge.extend([0; 16_384]);
        let pieces: Vec<u8> = huge.iter().flat_map(|byte| [0x16, 3, 1, 0, 1, *byte]).collect();
        let answer = answer_to(served.address(), &pieces);
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    }
    let client = Client::new(&served.authority);
    assert_eq!(client.get(served.address(), HOST, "/winter25").unwrap().status, 302);
}

#[test]
fn any_damage_to_a_hello_ends_the_connection_and_nothing_else() {
    let served = TlsCoupond::start();
    let whole = hello(&served);
    for at in (0..whole.len()).step_by(whole.len() / 150 + 1) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        let answer = answer_to(served.address(), &damaged);
        assert!(answer.is_empty() || [0x15, 0x16, b'H'].contains(&answer[0]), "byte {at}");
        answer_to(served.address(), &whole[..at]);
    }
    let client = Client::new(&served.authority);
    assert_eq!(client.get(served.address(), HOST, "/winter25").unwrap().status, 302);
}

#[test]
fn neither_early_data_nor_renegotiation_is_offered() {
    let served = TlsCoupond::start();
    let mut config = Client::config(&served.authority, &[&rustls::version::TLS13]);
    config.enable_early_data = true;
    let client = Client(config.into());
    assert_eq!(client.get(served.address(), HOST, "/winter25").unwrap().status, 302);
    let name = HOST.to_owned().try_into().unwrap();
    let mut resumed = ClientConnection::new(client.0, name).unwrap();
    assert!(resumed.early_data().is_none(), "the ticket must not allow early data");
}
