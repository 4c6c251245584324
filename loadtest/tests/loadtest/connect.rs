//! Ways of connecting, against real servers.

use std::collections::HashSet;
use std::time::Duration;

use super::compare::is_installed;
use super::server::redirect;
use super::tls_server::TlsServer;
use super::{Run, SHOP, always, coupon_loadtest};

const CODES: &str = "ANNA20\nBEN15\n";

fn run(server: &TlsServer, arguments: &str) -> Run {
    Run::at(server.address, CODES, &format!("{arguments} {}", server.options()))
}

#[test]
fn each_visit_on_a_new_connection_leaves_by_itself_as_a_browser_does() {
    let server = always(redirect(SHOP));
    let run = Run::against(&server, "--connect new --rate 200 --duration 500ms");
    assert_eq!(run.exit_code(), 0, "{}", run.text());
    let seen = server.seen();
    let connections: HashSet<usize> = seen.iter().map(|seen| seen.connection).collect();
    assert_eq!((seen.len(), connections.len(), run.count("/answered")), (100, 100, 100));
    assert!(seen.iter().all(|seen| seen.head.contains("Connection: keep-alive\r\n")));
    assert_eq!((run.count("/connecting_us/count"), run.count("/connections_opened")), (100, 100));
    let visitors: HashSet<_> = seen.iter().map(|seen| seen.visitor).collect();
    assert_eq!(visitors.len(), 64);
}

#[test]
fn a_visit_may_ask_the_server_to_close_and_come_from_one_address() {
    let server = always(redirect(SHOP));
    let arguments = "--connect new --connection-close --source-addresses 1 --rate 100 \
                     --duration 200ms";
    let run = Run::against(&server, arguments);
    assert_eq!(run.count("/answered"), 20, "{}", run.text());
    for seen in server.seen() {
        assert!(seen.head.contains("Connection: close\r\n"), "{}", seen.head);
        assert_eq!(seen.visitor.to_string(), "127.0.0.1");
    }
}

#[test]
fn lasting_connections_can_come_from_many_addresses_too() {
    let server = always(redirect(SHOP));
    let arguments = "--source-addresses 5 --connections 10 --rate 100 --duration 500ms";
    let run = Run::against(&server, arguments);
    assert_eq!((run.count("/answered"), run.count("/connections_opened")), (50, 10));
    let visitors: HashSet<_> = server.seen().iter().map(|seen| seen.visitor).collect();
    assert_eq!(visitors.len(), 5);
}

#[test]
fn handshakes_are_full_or_resumed_as_asked_in_both_versions_of_tls() {
    let servers = is_installed("nginx").then(|| TlsServer::nginx(""));
    for server in [TlsServer::hyper()].into_iter().chain(servers) {
        for version in ["1.2", "1.3"] {
            let run = |way: &str| {
                let arguments = "--rate 100 --duration 1s --connections 4";
                let way = format!("--connect {way} --tls-version {version} {arguments}");
                let run = run(&server, &way);
                assert_eq!((run.exit_code(), run.count("/answered")), (0, 100), "{}", run.text());
                let kinds = ["full", "resumed", "retried"];
                (kinds.map(|kind| run.count(&format!("/handshakes/{kind}"))), run)
            };
            assert_eq!(run("tls-new").0, [100, 0, 0]);
            let (resumed, of_resumed) = run("tls-resumed");
            assert_eq!(resumed, [0, 100, 0]);
            assert!(of_resumed.text().contains("TLS handshakes: resumed"));
            // The handshakes are over before the run. Session tickets reach idle connections.
            let (kept, of_kept) = run("tls-keep-alive");
            assert_eq!((kept, of_kept.count("/connections_opened")), ([0, 0, 0], 4));
            assert_eq!(of_kept.count("/connections_closed_while_idle"), 0);
        }
    }
}

#[test]
fn a_post_quantum_key_exchange_is_offered_if_asked_for() {
    let server = TlsServer::hyper();
    let run = run(&server, "--connect tls-new --key-exchange hybrid --rate 50 --duration 200ms");
    assert_eq!((run.count("/answered"), run.count("/handshakes/full")), (10, 10));
}

#[test]
fn a_run_whose_sessions_are_not_resumed_is_void() {
    if !is_installed("nginx") {
        return;
    }
    // nginx gives out sessions and forgets them.
    let server = TlsServer::nginx("ssl_session_tickets off; ssl_session_cache none;");
    let run = run(&server, "--connect tls-resumed --rate 50 --duration 500ms");
    assert_eq!(run.exit_code(), 3, "{}", run.text());
    assert!(run.count("/handshakes/full") > 0);
    assert!(run.text().contains("handshakes were full"), "{}", run.text());
}

#[test]
fn latency_counts_the_handshake_and_shows_its_share() {
    let server = TlsServer::hyper();
    let relay = server.behind_relay(Duration::from_millis(200), usize::MAX);
    let arguments = format!("--connect tls-new --rate 20 --duration 500ms {}", server.options());
    let run = Run::at(relay, CODES, &arguments);
    assert_eq!((run.exit_code(), run.count("/answered")), (0, 10), "{}", run.text());
    let [connecting, latency] =
        ["/connecting_us/p50", "/latency_us/p50"].map(|figure| run.figure(figure));
    assert!((200_000.0..latency).contains(&connecting), "{connecting} {latency}");
}

#[test]
fn a_server_that_breaks_handshakes_off_makes_handshake_errors_and_the_run_goes_on() {
    let server = TlsServer::hyper();
    // The first two are the checks before the run.
    let relay = server.behind_relay(Duration::ZERO, 12);
    let arguments = "--connect tls-new --rate 50 --duration 1s --connections 2";
    let run = Run::at(relay, CODES, &format!("{arguments} {}", server.options()));
    assert_eq!(
        (run.count("/answered"), run.count("/errors/handshake")),
        (10, 40),
        "{}",
        run.text()
    );
    assert_eq!((run.count("/scheduled"), run.count("/sent")), (50, 10));
    assert_eq!(run.count("/never_sent/end_of_run"), 0);
}

#[test]
fn a_server_that_cannot_be_trusted_or_is_silent_is_named_before_the_run() {
    let [server, stranger] = [(); 2].map(|()| TlsServer::hyper());
    let failure = |options: String| {
        let arguments = format!("--connect tls-new --timeout 500ms {options}");
        let run = Run::at(server.address, CODES, &arguments);
        assert_eq!(run.exit_code(), 1, "{}", run.text());
        run.text()
    };
    let said = failure(format!(
        "--server-name go.example.com --tls-ca {}",
        stranger.certificate().display()
    ));
    assert!(said.contains("invalid peer certificate") && said.contains("--tls-ca"), "{said}");
    let said =
        failure(format!("--server-name other.example --tls-ca {}", server.certificate().display()));
    assert!(said.contains("other.example") && said.contains("--server-name"), "{said}");
    let said = failure("--server-name go.example.com".to_owned());
    assert!(said.contains("invalid peer certificate"), "{said}");
    let said = failure("--server-name go.example.com --tls-ca /dev/null".to_owned());
    assert!(said.contains("no certificate in PEM"), "{said}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let arguments = format!("--connect tls-new --timeout 300ms {}", server.options());
    let run = Run::at(silent.local_addr().unwrap(), CODES, &arguments);
    assert!(run.text().contains("no handshake within 300ms"), "{}", run.text());
}

#[test]
fn ways_of_connecting_that_do_not_fit_their_options_are_refused_with_advice() {
    let server = always(redirect(SHOP));
    for (arguments, advice) in [
        ("--connect tls-new", "give --server-name"),
        ("--server-name go.example.com", "add --connect tls-new"),
        ("--tls-ca ca.pem --connect new", "add --connect tls-new"),
        ("--connect new --requests-per-connection 2", "leave out --requests-per-connection"),
        ("--source-addresses 2 --target [::1]:8080", "needs a target in 127.0.0.0/8"),
    ] {
        let run = Run::against(&server, arguments);
        assert_eq!(run.exit_code(), 1, "{arguments}: {}", run.text());
        assert!(run.text().contains(advice), "{arguments}: {}", run.text());
    }
    for (arguments, advice) in [
        ("--connect https", "tls-resumed"),
        ("--server-name a_b!", "a host name such as go.example.com"),
        ("--tls-version 1.1", "1.2, 1.3"),
        ("--source-addresses 0", "1..=32768"),
    ] {
        let run = Run::against(&server, arguments);
        assert_eq!(run.exit_code(), 2, "{arguments}: {}", run.text());
        assert!(run.text().contains(advice), "{arguments}: {}", run.text());
    }
    assert!(server.seen().is_empty());
}

#[test]
fn the_help_of_the_three_commands_teaches_the_ways_of_connecting() {
    for command in ["run", "sweep", "compare"] {
        let output = coupon_loadtest(&format!("{command} --help")).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        for taught in ["--connect", "tls-resumed", "--connection-close", "--tls-version"] {
            assert!(help.contains(taught), "{command} {taught}: {help}");
        }
    }
}
