//! The units that run both programs in production.

use crate::programs::{admin_program, daemon_program};
use std::path::Path;
use std::process::Command;

/// Whether another program that a test needs is there. Where all of them must be, as on a build
/// machine that installs them, a missing one fails the test instead of skipping it.
fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        let must_be = std::env::var_os("COUPON_TESTS_REQUIRE_PROGRAMS").is_some();
        assert!(!must_be, "{program} is not installed");
        eprintln!("skipped: {program} is not installed");
    }
    is_there
}

#[test]
fn the_service_manager_finds_nothing_wrong_with_the_units() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    let folder = tempfile::tempdir().unwrap();
    // The programs lie where they were built, and not installed in /usr/bin.
    let built = daemon_program().parent().unwrap().to_str().unwrap();
    assert!(admin_program().starts_with(built));
    for unit in ["coupond.service", "coupon-admin.service"] {
        let text = std::fs::read_to_string(units.join(unit)).unwrap();
        assert!(text.contains("=/usr/bin/"), "{unit} runs no installed program");
        let path = folder.path().join(unit);
        std::fs::write(&path, text.replace("=/usr/bin/", &format!("={built}/"))).unwrap();
        let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Other units of the machine are not ours to mend.
        let ours: Vec<_> = said.lines().filter(|line| line.contains(unit)).collect();
        assert!(output.status.success() && ours.is_empty(), "{unit}: {said}");
    }
}
