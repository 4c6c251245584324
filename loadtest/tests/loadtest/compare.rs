//! `compare` with the real servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::coupon_loadtest;

/// Builds coupond and the fixtures beside the tested program, if missing or old.
pub(crate) fn build_contenders() {
    let mut build = Command::new(env!("CARGO"));
    // Of the workspace, so that dependencies have the features that they were built with already.
    build.args(["build", "--quiet", "--workspace", "--bin", "coupond"]);
    build.args(["--bin", "constant-redirect-hyper", "--bin", "constant-redirect-epoll"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the contenders do not build");
}

/// Whether a system program is installed; if required, its absence fails the test.
pub(crate) fn is_installed(program: &str) -> bool {
    let is_there =
        ["/usr/sbin", "/usr/bin"].iter().any(|dir| Path::new(dir).join(program).exists());
    let must_be_there = std::env::var_os("COUPON_TESTS_REQUIRE_PROGRAMS").is_some();
    assert!(is_there || !must_be_there, "{program} is not installed");
    if !is_there {
        eprintln!("skipped with {program}: it is not installed");
    }
    is_there
}

fn compare(
    codes: &str,
    contenders: &str,
    more: &str,
) -> (tempfile::TempDir, Result<Value, String>) {
    build_contenders();
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("codes");
    std::fs::write(&path, codes).unwrap();
    let mut command = coupon_loadtest("compare --slice 200ms");
    for (option, value) in [("--connections", "4"), ("--rounds", "2")] {
        if !more.contains(option) {
            command.args([option, value]);
        }
    }
    command.arg("--codes").arg(&path).arg("--out").arg(folder.path());
    let output = command.args(["--contenders", contenders]).args(more.split(' ')).output().unwrap();
    let json = std::fs::read(folder.path().join("compare.json"));
    let json = json.ok().filter(|_| output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let result = json.map(|json| serde_json::from_slice(&json).unwrap()).ok_or(said);
    (folder, result)
}

const CODES: &str = "ANNA20\nBEN15\nSummer2026\n";

#[test]
fn real_servers_are_compared_by_the_cpu_time_of_the_same_requests() {
    let mut contenders = vec!["coupond", "hyper", "epoll"];
    contenders.extend(["nginx", "haproxy"].into_iter().filter(|program| is_installed(program)));
    let (folder, result) = compare(CODES, &contenders.join(","), "--rate 500");
    let comparison = result.unwrap();
    for (mix, servers) in [(0, contenders.len()), (2, contenders.len() - 2)] {
        let costs = comparison["loads"][mix]["costs"].as_array().unwrap();
        assert_eq!(costs.len(), servers, "{costs:?}");
        for cost in costs {
            assert!(cost["micros"]["median"].as_f64().unwrap() > 0.0, "{cost}");
            assert!(cost["ratio"]["lowest"].as_f64() <= cost["ratio"]["highest"].as_f64());
        }
    }
    for server in comparison["servers"].as_array().unwrap() {
        assert!(server["resident_bytes"].as_u64().unwrap() > 10_000, "{server}");
    }
    let svg = std::fs::read_to_string(folder.path().join("compare.svg")).unwrap();
    assert!(
        svg.starts_with("<svg") && svg.contains("coupond (keep-alive, 4 at a time, zipf)"),
        "{svg}"
    );
}

#[test]
fn real_servers_are_compared_on_tls_connections_kept_new_and_resumed() {
    let mut contenders = vec!["coupond", "hyper"];
    contenders.extend(["nginx", "haproxy"].into_iter().filter(|program| is_installed(program)));
    contenders.extend(is_installed("nginx").then_some("nginx-coupond"));
    let ways = ["tls-keep-alive", "tls-new", "tls-resumed"];
    let arguments = format!("--connect {} --mix zipf --rounds 1", ways.join(","));
    // The epoll loop knows no TLS.
    let (_, result) = compare(CODES, &(contenders.join(",") + ",epoll"), &arguments);
    let comparison = result.unwrap();
    let loads = comparison["loads"].as_array().unwrap();
    assert!(loads.iter().map(|load| load["connect"].as_str().unwrap()).eq(ways), "{loads:?}");
    for load in loads {
        let costs = load["costs"].as_array().unwrap();
        let named = costs.iter().map(|cost| cost["contender"].as_str().unwrap());
        assert!(named.eq(contenders.iter().copied()), "{load}");
        for cost in costs {
            assert!(cost["micros"]["median"].as_f64().unwrap() > 0.0, "{cost}");
            let connects = cost["connecting_us"]["count"].as_u64().unwrap() > 0;
            assert_eq!(connects, load["connect"] != "tls-keep-alive", "{load} {cost}");
        }
    }
}

#[test]
fn each_number_of_connections_at_a_time_has_its_table() {
    let arguments = "--connect new --connections 1,4 --mix zipf --rounds 1";
    let (_, result) = compare(CODES, "coupond,hyper,epoll", arguments);
    let comparison = result.unwrap();
    let loads = comparison["loads"].as_array().unwrap();
    let named = loads.iter().map(|load| (load["connect"].as_str(), load["connections"].as_u64()));
    assert!(named.eq([(Some("new"), Some(1)), (Some("new"), Some(4))]), "{loads:?}");
    for cost in loads.iter().flat_map(|load| load["costs"].as_array().unwrap()) {
        assert!(cost["connecting_us"]["count"].as_u64().unwrap() > 0, "{cost}");
        let busy = cost["core_busy"]["median"].as_f64().unwrap();
        assert!(busy > 0.0 && busy < 2.0, "{cost}");
    }
}

#[test]
fn at_a_rate_latencies_are_compared_from_the_due_time_to_the_last_byte() {
    let arguments = "--connect tls-new --rate 50 --mix zipf";
    let (_, result) = compare(CODES, "hyper,nginx-coupond", arguments);
    if !is_installed("nginx") {
        assert!(result.unwrap_err().contains("only 1 server"));
        return;
    }
    for cost in result.unwrap()["loads"][0]["costs"].as_array().unwrap() {
        let [latency, connecting] = ["latency_us", "connecting_us"]
            .map(|times| ["p50", "p99", "p99_9"].map(|at| cost[times][at].as_f64().unwrap()));
        assert!(latency.is_sorted() && latency[0] > connecting[0], "{cost}");
        // Two rounds of 200 ms.
        assert_eq!(cost["latency_us"]["count"], 20, "{cost}");
    }
}

#[test]
fn a_rate_that_a_server_cannot_keep_up_with_is_no_comparison() {
    let (_, result) = compare(CODES, "hyper,epoll", "--rate 900000 --mix zipf");
    let said = result.unwrap_err();
    assert!(said.contains("lower --rate"), "{said}");
}
