//! Handshakes: versions, names, tickets, limits, proxies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coupon_shared::click::block::DecodedBlock;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion};

use super::client::{Client, visit};
use super::{OTHER_HOST, TlsCoupond};
use crate::hostile::idle::request_redirect;
use crate::published::HOST;
use crate::running::{connect_from, until};

#[test]
fn a_link_of_each_domain_leads_to_its_offer_in_both_versions_beside_plain_http() {
    let served = TlsCoupond::start();
    for (version, number) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let client = Client::speaking(&served.authority, &[version]);
        for host in [HOST, OTHER_HOST] {
            let mut stream = client.connect(served.address(), host).unwrap();
            assert_eq!(stream.conn.protocol_version(), Some(number));
            assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            let answer = visit(&mut stream, host, "/Winter25/").unwrap();
            assert_eq!(answer.status, 302);
            assert!(answer.location().starts_with("https://shop.example/buy?c=Winter25"));
        }
    }
    // Port 80 leads to the offer at once, without a detour.
    let plain = served.coupond.get("/winter25");
    assert!(plain.location().starts_with("https://shop.example/buy"), "{plain:?}");
    assert_eq!(served.coupond.feed(5).iter().flat_map(DecodedBlock::clicks).count(), 5);
    assert_eq!(served.labelled_metric("tls_handshakes_total{kind=\"full\"}"), 4);
}

#[test]
fn the_key_exchange_also_resists_later_quantum_computers() {
    let served = TlsCoupond::start();
    let stream = Client::new(&served.authority).connect(served.address(), HOST).unwrap();
    let group = stream.conn.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn the_cheapest_suite_is_taken_and_a_client_without_it_gets_another() {
    let served = TlsCoupond::start();
    let taken = |version, offered: &[CipherSuite]| {
        let mut provider = aws_lc_rs::default_provider();
        // By default the client offers AES-256 first.
        assert_eq!(provider.cipher_suites[0].suite(), CipherSuite::TLS13_AES_256_GCM_SHA384);
        let is_offered = |suite: CipherSuite| offered.is_empty() || offered.contains(&suite);
        provider.cipher_suites.retain(|suite| is_offered(suite.suite()));
        let config = Client::config_with(provider, &served.authority, &[version]);
        let stream = Client(Arc::new(config)).connect(served.address(), HOST).unwrap();
        stream.conn.negotiated_cipher_suite().unwrap().suite()
    };
    assert_eq!(taken(&TLS13, &[]), CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert_eq!(taken(&TLS12, &[]), CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    for only in [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256]
    {
        assert_eq!(taken(&TLS13, &[only]), only);
    }
}

#[test]
fn a_connection_carries_many_visits() {
    let served = TlsCoupond::start();
    let client = Client::new(&served.authority);
    let mut stream = client.connect(served.address(), HOST).unwrap();
    for _ in 0..5 {
        write!(stream, "GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
        let head = crate::running::read_head(&mut stream).unwrap();
        assert!(head.starts_with("HTTP/1.1 302"), "{head}");
    }
    // Idle for longer than it takes to be parked; the connection goes on.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(visit(&mut stream, HOST, "/winter25").unwrap().status, 302);
}

#[test]
fn tickets_of_one_thread_resume_sessions_on_each() {
    let served = TlsCoupond::start();
    for version in [&TLS12, &TLS13] {
        let client = Client::speaking(&served.authority, &[version]);
        assert_eq!(client.get(served.address(), HOST, "/winter25").unwrap().status, 302);
        for _ in 0..8 {
            let mut stream = client.connect(served.address(), HOST).unwrap();
            assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Resumed));
            assert_eq!(visit(&mut stream, HOST, "/winter25").unwrap().status, 302);
        }
    }
    assert_eq!(served.labelled_metric("tls_handshakes_total{kind=\"resumed\"}"), 16);
}

#[test]
fn a_request_for_another_host_than_the_handshake_named_is_misdirected() {
    let served = TlsCoupond::start();
    let client = Client::new(&served.authority);
    let mut stream = client.connect(served.address(), HOST).unwrap();
    let answer = visit(&mut stream, OTHER_HOST, "/winter25").unwrap();
    assert_eq!((answer.status, &*answer.body), (421, MISDIRECTED));
    let mut stream = client.connect(served.address(), HOST).unwrap();
    let port = format!("{}:{}", HOST.to_ascii_uppercase(), served.address().port());
    assert_eq!(visit(&mut stream, &port, "/winter25").unwrap().status, 302);
}

const MISDIRECTED: &str = "This connection was opened for another host: open one for this host\n";

#[test]
fn a_name_without_certificate_is_refused_and_the_default_host_serves_it() {
    let served = TlsCoupond::start();
    let client = Client::new(&served.authority);
    let refusal = client.connect(served.address(), "unknown.example").unwrap_err().to_string();
    assert!(refusal.contains("UnrecognisedName"), "{refusal}");
    let count = "tls_connections_refused_total{reason=\"unknown_name\"}";
    assert_eq!(served.labelled_metric(count), 1);

    let mut no_name = Client::config(&served.authority, &[&TLS13]);
    no_name.enable_sni = false;
    let no_name = Client(Arc::new(no_name));
    assert!(no_name.connect(served.address(), HOST).is_err());
    let with_default = TlsCoupond::start_with(|command| {
        command.env("COUPOND_TLS_DEFAULT_HOST", HOST);
    });
    let mut no_name = Client::config(&with_default.authority, &[&TLS13]);
    no_name.enable_sni = false;
    let no_name = Client(Arc::new(no_name));
    assert_eq!(no_name.get(with_default.address(), HOST, "/winter25").unwrap().status, 302);
}

#[test]
fn a_client_that_speaks_only_another_protocol_is_told_in_the_handshake() {
    let served = TlsCoupond::start();
    let mut config = Client::config(&served.authority, &[&TLS13]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let refusal = Client(Arc::new(config)).connect(served.address(), HOST).unwrap_err();
    assert!(refusal.to_string().contains("NoApplicationProtocol"), "{refusal}");
}

#[test]
fn an_address_above_its_handshakes_is_closed_and_others_are_served() {
    let served = TlsCoupond::start_with(|command| {
        command
            .env("COUPOND_LIMITS_HANDSHAKES_PER_MINUTE", "1")
            .env("COUPOND_LIMITS_HANDSHAKES_BURST", "3");
    });
    let client = Client::new(&served.authority);
    let opened = (0..6).filter(|_| client.connect(served.address(), HOST).is_ok()).count();
    assert_eq!(opened, 3);
    let count = "tls_connections_refused_total{reason=\"limited\"}";
    assert_eq!(served.labelled_metric(count), 3);
    served.coupond.wait_for_log("limits.handshakes_per_minute");
    let socket = connect_from([127, 0, 0, 9], served.address());
    let mut stream = client.over(socket, HOST).unwrap();
    assert_eq!(visit(&mut stream, HOST, "/winter25").unwrap().status, 302);
}

#[test]
fn the_limit_on_handshakes_changes_while_the_daemon_runs() {
    let served = TlsCoupond::start_with(|command| {
        let folder = command.get_envs().find_map(|(name, value)| {
            (name == "COUPOND_DATA_DIR").then(|| std::path::PathBuf::from(value.unwrap()))
        });
        let file = folder.unwrap().with_file_name("coupond.toml");
        std::fs::write(&file, "[limits]\nhandshakes_per_minute = 1\nhandshakes_burst = 1\n")
            .unwrap();
        command.env("COUPOND_CONFIG", file);
    });
    let client = Client::new(&served.authority);
    assert!(client.connect(served.address(), HOST).is_ok());
    assert!(client.connect(served.address(), HOST).is_err());
    std::fs::write(served.coupond.path("coupond.toml"), "").unwrap();
    served.coupond.signal(rustix::process::Signal::HUP);
    until("the limit is changed", || client.connect(served.address(), HOST).ok());
}

#[test]
fn a_proxy_names_the_client_before_the_handshake() {
    let served = TlsCoupond::start_with(|command| {
        command
            .env("COUPOND_LISTENERS", "127.0.0.1:0, 127.0.0.1:0 tls proxy_protocol")
            .env("COUPOND_TRUSTED_PROXIES", "127.0.0.1")
            .env("COUPOND_LIMITS_HANDSHAKES_PER_MINUTE", "1")
            .env("COUPOND_LIMITS_HANDSHAKES_BURST", "1");
    });
    let client = Client::new(&served.authority);
    let visit_of = |address: &str| {
        let mut socket = TcpStream::connect(served.address())?;
        write!(socket, "PROXY TCP4 {address} 127.0.0.1 4711 443\r\n")?;
        visit(&mut client.over(socket, HOST)?, HOST, "/winter25")
    };
    for address in ["203.0.113.7", "203.0.113.8"] {
        assert_eq!(visit_of(address).unwrap().status, 302);
        // The limit counts the client, not the proxy.
        assert!(visit_of(address).is_err());
    }
    let blocks = served.coupond.feed(2);
    let clicks = blocks.iter().flat_map(DecodedBlock::clicks);
    let mut addresses: Vec<_> = clicks.map(|click| click.address().unwrap().to_string()).collect();
    addresses.sort();
    assert_eq!(addresses, ["203.0.113.7", "203.0.113.8"]);
}

#[test]
fn a_handshake_that_never_ends_is_closed_at_the_deadline_and_delays_nobody() {
    let served = TlsCoupond::start_with(|command| {
        command.env("COUPOND_LIMITS_CLIENT_TIMEOUT_MS", "800");
    });
    let began = Instant::now();
    let stuck: Vec<_> = (0..200)
        .map(|number| {
            let mut socket = TcpStream::connect(served.address()).unwrap();
            // Nothing, a part of a record, or the header of one.
            let begun: &[u8] = [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01"][number % 3];
            socket.write_all(begun).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket
        })
        .collect();
    let client = Client::new(&served.authority);
    for _ in 0..20 {
        assert_eq!(client.get(served.address(), HOST, "/winter25").unwrap().status, 302);
    }
    for mut socket in stuck {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = socket.read_to_end(&mut rest);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    until("all are closed", || (served.coupond.metric("connections_open") == 0).then_some(()));
}

#[test]
fn a_connection_that_is_closed_for_idleness_or_for_others_is_told_so() {
    // Closed with buffers, and after a second without.
    for idle_timeout_ms in ["300", "2500"] {
        let served = TlsCoupond::start_with(|command| {
            command
                .env("COUPOND_THREADS", "1")
                .env("COUPOND_LIMITS_MAX_CONNECTIONS", "2")
                .env("COUPOND_LIMITS_IDLE_TIMEOUT_MS", idle_timeout_ms);
        });
        let client = Client::new(&served.authority);
        let open = || {
            let mut stream = client.connect(served.address(), HOST).unwrap();
            request_redirect(&mut stream);
            stream
        };
        let mut idle = open();
        // An end without TLS's goodbye is an error.
        assert_eq!(idle.read(&mut [0]).unwrap(), 0);
        assert_eq!(served.coupond.metric("connections_timed_out_total"), 1);

        let mut first = open();
        let _others = [open(), open()];
        assert_eq!(first.read(&mut [0]).unwrap(), 0);
        assert_eq!(served.coupond.metric("connections_evicted_total"), 1);
    }
}
