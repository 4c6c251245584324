//! `saturate` with the real daemon.

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
    // One more is the visit by which it was seen that the daemon serves.
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
