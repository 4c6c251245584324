//! What a connection with TLS costs while its client does nothing.

use std::io::Write;

use super::TlsCoupond;
use super::client::{Client, Stream};
use super::hostile::hello;
use crate::hostile::idle::{assert_estimate, connect, each_of, limits_for, request_redirect};
use crate::published::HOST;

fn for_connections(count: usize) -> TlsCoupond {
    TlsCoupond::start_with(|command| {
        for (key, value) in limits_for(count) {
            command.env(format!("COUPOND_LIMITS_{key}"), value);
        }
    })
}

/// Completes a handshake from one of many addresses.
fn open(served: &TlsCoupond, client: &Client, number: usize) -> Box<Stream> {
    Box::new(client.over(connect(served.address(), number), HOST).unwrap())
}

/// Resident bytes for each of `count` connections, a half of them without any request.
fn bytes_of_an_idle_connection(count: usize, bound: u64) -> u64 {
    // Each of the two threads has half of the places, and the kernel deals unequally.
    let served = for_connections(count * 2);
    let client = Client::new(&served.authority);
    let (each, idle) = each_of(count, &served.coupond, bound, |number| {
        let mut stream = open(&served, &client, number);
        if number % 2 == 0 {
            request_redirect(&mut stream);
        }
        stream
    });
    for mut stream in idle {
        request_redirect(&mut stream);
    }
    each.resident
}

#[test]
fn an_idle_connection_with_tls_holds_no_buffers() {
    let each = bytes_of_an_idle_connection(1500, 16_384);
    println!("{each} bytes for each of 1500 idle connections with TLS");
    // Buffers of hyper and of rustls take more than 30 KiB.
    assert!(each < 16_384, "{each} bytes");
}

#[test]
#[ignore = "minutes; IDLE_CONNECTIONS says how many"]
fn fifty_thousand_idle_tls_connections() {
    let count = std::env::var("IDLE_CONNECTIONS").map_or(50_000, |text| text.parse().unwrap());
    let each = bytes_of_an_idle_connection(count, 12_288);
    println!("{each} bytes for each of {count} idle connections with TLS");
    assert!(each < 12_288, "{each} bytes");
}

#[test]
fn the_estimate_of_a_tls_connections_memory_covers_each_stage() {
    let served = for_connections(6500);
    let client = Client::new(&served.authority);
    assert_estimate("open", &served.coupond, |number| open(&served, &client, number));

    let served = for_connections(6500);
    let hello = hello(&served);
    assert_estimate("a handshake without its end", &served.coupond, |number| {
        let mut socket = connect(served.address(), number);
        socket.write_all(&hello).unwrap();
        socket
    });

    let served = for_connections(6500);
    // The header of a record, and of a hello that announces 15,000 bytes, most of which follow.
    let mut long = vec![0x16, 3, 1, 0x3a, 0x9c, 1, 0, 0x3a, 0x98];
    long.resize(14_900, 0);
    assert_estimate("a hello without its end", &served.coupond, |number| {
        let mut socket = connect(served.address(), number);
        socket.write_all(&long).unwrap();
        socket
    });
}
