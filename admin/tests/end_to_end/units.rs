//! The units that run both programs in production.

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
