//! `edges` with the real programs.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::compare::is_installed;
use super::coupon_loadtest;

/// Builds coupon-admin beside the tested program, if missing or old.
fn build_admin() {
    let mut build = Command::new(env!("CARGO"));
    // Of the workspace, so that dependencies have the features that they were built with already.
    build.args(["build", "--quiet", "--workspace", "--bin", "coupon-admin"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "coupon-admin does not build");
}

fn edges(arguments: &str, data: &Path) -> Command {
    let mut command = coupon_loadtest("edges --json - --codes 500");
    command.arg("--data").arg(data).args(arguments.split(' '));
    command
}

#[test]
fn a_small_fleet_counts_every_click_and_serves_every_edit_on_every_edge() {
    if !is_installed("nats-server") {
        return;
    }
    build_admin();
    let data = tempfile::tempdir().unwrap();
    let arguments = "--nodes 5 --clicks-per-second 200 --edits-per-minute 120 --duration 3s";
    let output = edges(arguments, data.path()).output().unwrap();
    let table = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{table}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = |pointer: &str| {
        let figure = report.pointer(pointer).and_then(Value::as_f64);
        figure.unwrap_or_else(|| panic!("no figure {pointer} in {report}"))
    };
    assert_eq!((figure("/clicks/made"), figure("/clicks/counted")), (600.0, 600.0), "{table}");
    assert_eq!(figure("/clicks/missing"), 0.0);
    // Ten streams with a block every 100 ms.
    assert_eq!(figure("/clicks/blocks_made"), 300.0, "{table}");
    assert!(figure("/clicks/rows") >= 10.0 && figure("/clicks/rows") <= 300.0, "{table}");
    assert_eq!(figure("/clicks/commits"), figure("/clicks/archive_appends"));
    assert!(figure("/clicks/archive_bytes_per_click") > 10.0, "{table}");
    // Six edits, each on five edges.
    assert_eq!(figure("/edits/with_edges_us/count"), 6.0, "{table}");
    assert_eq!(figure("/edits/live_us/count"), 30.0, "{table}");
    assert_eq!(figure("/edits/never_live"), 0.0);
    assert!(figure("/edits/heads") >= 1.0 && figure("/start/all_live_s") > 0.0, "{table}");
    for program in ["coupon_admin", "nats_server", "agent", "generator"] {
        assert!(figure(&format!("/usage/{program}/peak_bytes")) > 1e6, "{program}: {report}");
    }
    for row in ["edit: answer → live on all edges", "each once", "an agent (mean)"] {
        assert!(table.contains(row), "{row} in {table}");
    }
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "files are left");
}

#[test]
fn an_interrupted_fleet_leaves_no_program_and_no_file() {
    if !is_installed("nats-server") {
        return;
    }
    build_admin();
    let data = tempfile::tempdir().unwrap();
    let mut command = edges("--nodes 3 --edits-per-minute 0 --duration 10m", data.path());
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // coupon-admin, nats-server and three agents.
    let programs = super::saturate::wait_for("all programs", || {
        let children = super::saturate::children(running.id());
        (children.len() == 5).then_some(children)
    });
    let id = running.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(130));
    for program in programs {
        assert!(!Path::new(&format!("/proc/{program}")).exists(), "{program} runs on");
    }
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "files are left");
}

#[test]
fn a_missing_program_is_named_with_its_mend() {
    let data = tempfile::tempdir().unwrap();
    let output = edges("--admin-binary /nowhere/coupon-admin", data.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("/nowhere/coupon-admin") && said.contains("--admin-binary"), "{said}");
}
