//! Bulk files survive kills of the admin.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::programs::Network;

const ROWS: u64 = 5_000;

fn total(network: &Network) -> u64 {
    let list = network.call("GET", "couponcodes?page_size=1", None).json();
    list["paging"]["total_count"].as_u64().unwrap()
}

#[test]
fn a_commit_killed_at_any_moment_leaves_all_or_nothing_and_the_staged_rows() {
    let network = Network::new();
    let mut admin = network.start_admin();
    let daemon = network.start_daemon();
    let codes = network.create_winter25();
    drop(daemon);
    let mut file = String::from("offer_id,affiliate_id,coupon_code,status\n");
    for row in 0..ROWS {
        let _ = writeln!(file, "{},{},BULK{row:06},active", codes.offer, codes.partner);
    }
    let upload = network.send_csv("couponcodes/uploads?mode=add", &file).unwrap().json();
    assert_eq!((&upload["rows"], &upload["invalid"]), (&json!(ROWS), &json!(0)), "{upload}");
    let path = format!("couponcodes/uploads/{}", upload["upload_id"]);
    let commit = format!("{path}/commit");

    let (mut nothing, mut pause) = (0, Duration::from_millis(10));
    loop {
        std::thread::scope(|scope| {
            // Whether an answer arrives depends on the moment of the kill.
            scope.spawn(|| network.send_csv(&commit, "").ok());
            std::thread::sleep(pause);
            admin.kill();
        });
        admin = network.start_admin();
        let staged: Value = network.call("GET", &path, None).json();
        assert_eq!(staged["rows"], ROWS);
        match (total(&network) - 1, staged["status"].as_str().unwrap()) {
            (0, "staged") => nothing += 1,
            (ROWS, "committed") => break,
            torn => panic!("{torn:?}"),
        }
        pause *= 2;
    }
    assert!(nothing >= 2, "it was never killed in time");
    let again = network.send_csv(&commit, "").unwrap().json();
    assert_eq!(again["committed"]["created"], ROWS);
    assert_eq!(total(&network) - 1, ROWS);
}
