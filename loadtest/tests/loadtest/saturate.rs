//! `saturate` with the real daemon.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::compare::build_contenders;
use super::coupon_loadtest;

#[test]
fn at_saturation_every_redirect_is_in_the_click_log_once() {
    build_contenders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codes");
    std::fs::write(&path, "ANNA20\nBEN15\nSummer2026\n").unwrap();
    let mut command = coupon_loadtest("saturate --rounds 2 --slice 300ms --connections 8");
    command.arg("--codes").arg(&path).arg("--data").arg(folder.path());
    let output = command.arg("--out").arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let json = std::fs::read(folder.path().join("saturate.json")).unwrap();
    let saturation: Value = serde_json::from_slice(&json).unwrap();
    let figure = |pointer: &str| {
        let figure = saturation.pointer(pointer).and_then(Value::as_f64);
        figure.unwrap_or_else(|| panic!("no figure {pointer} in {saturation}"))
    };
    // Plus one: the visit that showed the daemon was serving.
    assert_eq!(figure("/ledger/kept/clicks"), figure("/ledger/redirects") + 1.0, "{said}");
    assert!(figure("/ledger/redirects") > 300.0, "{said}");
    for nothing in ["unanswered", "unexpected", "unlogged", "kept/missing", "kept/repeated"] {
        assert_eq!(figure(&format!("/ledger/{nothing}")), 0.0, "{nothing}: {said}");
    }
    for bytes in ["wal_bytes", "store_bytes"] {
        let per_click = figure(&format!("/ledger/kept/{bytes}")) / figure("/ledger/kept/clicks");
        assert!(per_click > 10.0, "{bytes}: {said}");
    }
    for measured in ["hits/per_second", "misses/per_second", "hits/serving_us", "hits/click_log_us"]
    {
        assert!(figure(&format!("/{measured}/median")) > 0.0, "{measured}: {said}");
    }
    assert!(figure("/misses_per_hit/median") > 0.0, "{said}");
    assert!(said.contains("every redirect is in the click log, once"), "{said}");
}

/// Running child processes of a process.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_each = tasks.map(|task| {
        std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()
    });
    let all: String = of_each.collect();
    all.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match look() {
            Some(found) => return found,
            None => assert!(Instant::now() < deadline, "{what} did not come about"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_measurement_that_is_ended_by_a_signal_leaves_no_server_and_no_folder() {
    build_contenders();
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let folder = tempfile::tempdir().unwrap();
        let codes = folder.path().join("codes");
        std::fs::write(&codes, "ANNA20\n").unwrap();
        let mut command = coupon_loadtest("saturate --rounds 1 --slice 60s --connections 2");
        command.arg("--codes").arg(&codes).arg("--data").arg(folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut measuring = command.spawn().unwrap();
        let server = wait_for("the server", || children(measuring.id()).first().copied());
        let in_memory = format!("/dev/shm/coupon-loadtest-{}-run", measuring.id());
        wait_for("its folder", || {
            Path::new(&in_memory).join("coupond.sock").exists().then_some(())
        });
        let id = measuring.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        assert_eq!(measuring.wait().unwrap().code(), Some(code));
        assert!(!Path::new(&in_memory).exists());
        assert!(!Path::new(&format!("/proc/{server}")).exists(), "it runs on");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
