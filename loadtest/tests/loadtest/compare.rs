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
fn is_installed(program: &str) -> bool {
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
    let mut command = coupon_loadtest("compare --rounds 2 --slice 200ms --connections 4");
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
        let costs = comparison["mixes"][mix]["costs"].as_array().unwrap();
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
    assert!(svg.starts_with("<svg") && svg.contains("coupond (zipf)"), "{svg}");
}

#[test]
fn a_rate_that_a_server_cannot_keep_up_with_is_no_comparison() {
    let (_, result) = compare(CODES, "hyper,epoll", "--rate 900000 --mix zipf");
    let said = result.unwrap_err();
    assert!(said.contains("lower --rate"), "{said}");
}
