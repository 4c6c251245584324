//! Alerts for operators, and metrics, as Prometheus' own tool judges them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::published::sample;
use crate::running::{Coupond, is_installed};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/monitoring").join(name)
}

fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&text));
}

#[test]
fn prometheus_accepts_the_alerts_and_the_metrics() {
    if !is_installed("promtool", "--version") {
        return;
    }
    promtool(&["check", "rules", file("coupon.rules.yml").to_str().unwrap()], "");
    promtool(&["test", "rules", file("coupon.rules.test.yml").to_str().unwrap()], "");
    let coupond = Coupond::serving(&sample());
    coupond.get("/winter25");
    promtool(&["check", "metrics"], &coupond.control("GET", "/metrics").body);
}
