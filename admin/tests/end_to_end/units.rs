//! The systemd units of both programs.

use crate::programs::{admin_program, daemon_program, is_installed};
use std::path::Path;
use std::process::Command;

#[test]
fn the_service_manager_finds_nothing_wrong_with_the_units() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    let folder = tempfile::tempdir().unwrap();
    // The programs are in the build folder, not in /usr/bin.
    let built = daemon_program().parent().unwrap().to_str().unwrap();
    assert!(admin_program().starts_with(built));
    let all = [
        "coupond.service",
        "coupond.socket",
        "coupond-https.socket",
        "coupon-admin.service",
        "coupon-edge.service",
        "coupon-backup.service",
        "coupon-backup.timer",
    ];
    for unit in all {
        let text = std::fs::read_to_string(units.join(unit)).unwrap();
        let runs_installed = text.contains("=/usr/bin/") == unit.ends_with(".service");
        assert!(runs_installed, "{unit} runs no installed program");
        let text = text.replace("=/usr/bin/", &format!("={built}/"));
        std::fs::write(folder.path().join(unit), text).unwrap();
    }
    for unit in all {
        let path = folder.path().join(unit);
        let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Ignores messages about other units of the machine, and that a service manager before
        // version 254 has no growing waits.
        let is_newer_key =
            |line: &str| line.contains("'RestartSteps'") || line.contains("'RestartMaxDelaySec'");
        let ours: Vec<_> =
            said.lines().filter(|line| line.contains(unit) && !is_newer_key(line)).collect();
        assert!(output.status.success() && ours.is_empty(), "{unit}: {said}");
    }
}

#[test]
fn the_service_manager_counts_both_services_as_little_exposed() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    let services =
        ["coupond.service", "coupon-admin.service", "coupon-edge.service", "coupon-backup.service"];
    for unit in services {
        // Of 0 to 10; more than 1.3 fails.
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold=13"])
            .arg(units.join(unit))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("exposure level"), "{unit}: {said}");
    }
}
