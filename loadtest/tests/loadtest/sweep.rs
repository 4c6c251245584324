//! `sweep` against a real server.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::server::{Reply, TestServer, redirect};
use super::tls_server::TlsServer;
use super::{SHOP, always, coupon_loadtest};

fn sweep(target: SocketAddr, arguments: &str) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let codes = folder.path().join("codes");
    std::fs::write(&codes, "ANNA20\nBEN15\n").unwrap();
    let mut command = coupon_loadtest("sweep --duration 300ms --factor 2 --max-lag 1h");
    command.arg("--codes").arg(codes).arg("--out").arg(folder.path());
    command.args(["--target", &target.to_string()]).args(arguments.split(' '));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = std::fs::read(folder.path().join("sweep.json")).unwrap();
    let svg = std::fs::read_to_string(folder.path().join("sweep.svg")).unwrap();
    (serde_json::from_slice(&json).unwrap(), svg)
}

#[test]
fn each_way_of_connecting_and_share_of_misses_has_its_line() {
    let server = always(redirect(SHOP));
    let (sweep, svg) = sweep(server.address, "--from 50 --to 100 --miss-ratio 0,1");
    let lines = sweep["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 6);
    for line in lines {
        let rates = line["steps"].as_array().unwrap().iter().map(|step| step["rate"].as_f64());
        assert_eq!(rates.collect::<Vec<_>>(), [Some(50.0), Some(100.0)], "{line}");
        for step in line["steps"].as_array().unwrap() {
            assert_eq!(step["status"]["302"], step["answered"], "{step}");
        }
    }
    assert!(svg.contains("1 request a connection, 100 % misses"), "{svg}");
}

#[test]
fn a_line_ends_at_the_first_rate_beyond_the_knee() {
    // Each answer takes 20 ms and there are two connections: 100 requests a second fit through.
    let server = TestServer::start(|_, _| Reply::After(Duration::from_millis(20), redirect(SHOP)));
    let arguments =
        "--from 40 --to 10000 --connections 2 --miss-ratio 0 --requests-per-connection 0";
    let (sweep, _) = sweep(server.address, arguments);
    let line = &sweep["lines"][0];
    assert_eq!(line["end"], "knee", "{line}");
    assert!((2..=4).contains(&line["steps"].as_array().unwrap().len()), "{line}");
}

#[test]
fn a_single_stall_ends_no_line() {
    let stall = Duration::from_secs(1);
    let server = TestServer::start(move |number, _| match number {
        // Of the first step, after its warm-up of 25.
        30 => Reply::After(stall, redirect(SHOP)),
        _ => Reply::Answer(redirect(SHOP)),
    });
    let arguments = "--from 50 --to 100 --miss-ratio 0 --requests-per-connection 0 --knee 500ms";
    let (sweep, _) = sweep(server.address, arguments);
    let line = &sweep["lines"][0];
    assert_eq!(
        (line["end"].as_str(), &line["steps"][1]["rate"]),
        (Some("last_rate"), &100.0.into())
    );
}

#[test]
fn new_and_resumed_tls_connections_have_lines_of_their_own() {
    let server = TlsServer::hyper();
    let arguments = format!(
        "--connect tls-new,tls-resumed,tls-keep-alive --requests-per-connection 0,2 --from 50 \
         --to 50 --connections 4 --miss-ratio 0 {}",
        server.options()
    );
    let (sweep, svg) = sweep(server.address, &arguments);
    let lines = sweep["lines"].as_array().unwrap();
    let kinds = lines.iter().map(|line| {
        let step = &line["steps"][0];
        let kinds = ["full", "resumed"].map(|kind| step["handshakes"][kind].as_u64().unwrap());
        (line["connect"].as_str().unwrap(), kinds)
    });
    let expected = [("tls-new", [15, 0]), ("tls-resumed", [0, 15]), ("tls-keep-alive", [0, 0])];
    assert_eq!(kinds.take(3).collect::<Vec<_>>(), expected, "{sweep}");
    // Of connections that are used up after two requests, new ones are full.
    let used_up = lines[3]["steps"][0]["handshakes"]["full"].as_u64().unwrap();
    assert!((5..=8).contains(&used_up), "{sweep}");
    assert!(svg.contains("2 requests a TLS connection, 0 % misses"), "{svg}");
}

#[test]
fn ways_with_and_without_tls_need_two_sweeps() {
    let mut command = coupon_loadtest("sweep --codes none --connect new,tls-new");
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("run `sweep` for each"), "{said}");
}
