//! A disk that fills up under the admin: bulk work is refused while edits go on; later edits are
//! refused, too, and each accepted edit is complete. coupond serves throughout. With free space
//! again, everything works without a restart.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::programs::{Codes, Network, wait_for};
use crate::small_disk::SmallDisk;

const DISK_BYTES: u64 = 32 << 20;
const RESERVE_BYTES: u64 = 12 << 20;

fn network() -> Option<(Network, SmallDisk)> {
    let network = Network::new();
    let disk = SmallDisk::mount(&network.path("admin"), DISK_BYTES)?;
    Some((network, disk))
}

fn code(codes: &Codes, name: &str) -> Value {
    json!({
        "coupon_code": name, "coupon_status": "active",
        "network_offer_id": codes.offer, "network_affiliate_id": codes.partner,
    })
}

fn file(codes: &Codes, prefix: &str, rows: u32) -> String {
    let mut file = String::from("offer_id,affiliate_id,coupon_code,status\n");
    for row in 0..rows {
        let _ = writeln!(file, "{},{},{prefix}{row:06},active", codes.offer, codes.partner);
    }
    file
}

#[test]
fn bulk_work_is_refused_in_time_and_edits_go_on_with_what_it_left() {
    let Some((network, disk)) = network() else { return };
    let reserve = RESERVE_BYTES.to_string();
    let variables = [("COUPON_ADMIN_DISK_RESERVE_BYTES", reserve.as_str())];
    let _admin = network.start_admin_with(&variables);
    let _daemon = network.start_daemon();
    let codes = network.create_winter25();
    let staged = network.send_csv("couponcodes/uploads?mode=add", &file(&codes, "STAGED", 9_000));
    let staged = staged.unwrap().json();
    assert_eq!(staged["invalid"], 0, "{staged}");
    let disk_now = |network: &Network| network.call("GET", "status", None).json()["disk"].clone();
    let room = disk_now(&network);
    assert_eq!((&room["is_low"], &room["reserve_bytes"]), (&json!(false), &json!(RESERVE_BYTES)));

    // Enough space to start, too little to finish: an upload is aborted, and a commit that would
    // not fit is refused before it starts.
    disk.fill_up_to(RESERVE_BYTES + (1 << 20));
    let upload = "couponcodes/uploads?mode=add";
    let large = network.send_csv(upload, &file(&codes, "LARGE", 300_000)).unwrap();
    assert_eq!((large.status, &large.json()["code"]), (507, &json!("disk.low")), "{large:?}");
    let commit = format!("couponcodes/uploads/{}/commit", staged["upload_id"]);
    let commit = |network: &Network| network.call("POST", &commit, None);
    let refused = commit(&network);
    assert_eq!((refused.status, &refused.json()["code"]), (507, &json!("disk.low")));
    assert!(disk.free() >= RESERVE_BYTES, "what was broken off is not removed");
    let (done, said) = network.import(&file(&codes, "COMMAND", 30_000));
    assert!(!done && said.contains("disk_reserve_bytes"), "{said}");

    disk.fill_up_to(RESERVE_BYTES / 2);
    assert_eq!(disk_now(&network)["is_low"], true);
    let refused = network.send_csv(upload, &file(&codes, "SMALL", 1)).unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (507, &json!("disk.low")));
    assert!(refused.json()["error"].as_str().unwrap().contains("disk_reserve_bytes"));
    let generation = json!({
        "pattern": "GEN######", "count": 5, "coupon_status": "active",
        "network_offer_id": codes.offer, "network_affiliate_id": codes.partner,
    });
    let refused = network.call("POST", "couponcodes/generate", Some(generation));
    assert_eq!((refused.status, &refused.json()["code"]), (507, &json!("disk.low")), "{refused:?}");
    for n in 0..20 {
        let saved = network.call(
            "POST",
            "couponcodes?wait=live",
            Some(code(&codes, &format!("SINGLE{n}"))),
        );
        assert_eq!(saved.header("x-coupon-live"), Some("true"), "{saved:?}");
    }
    assert_eq!(network.visit("/single19").status, 302);

    std::fs::remove_file(disk.filler()).unwrap();
    assert_eq!(disk_now(&network)["is_low"], false);
    let done = commit(&network);
    assert_eq!((done.status, &done.json()["committed"]["created"]), (200, &json!(9_000)));
}

#[test]
fn a_full_disk_refuses_edits_whole_and_is_recovered_from_without_a_restart() {
    let Some((network, disk)) = network() else { return };
    let _admin = network.start_admin();
    let _daemon = network.start_daemon();
    let codes = network.create_winter25();
    let mut accepted = vec!["WINTER25".to_owned()];
    let (mut refused, mut visits) = (0, 0);
    for n in 0..400 {
        // The last page is used up, too, between two edits.
        disk.fill_up_to(if n < 40 { 1 << 16 } else { 0 });
        let name = format!("EDIT{n}");
        let answer = network.call("POST", "couponcodes", Some(code(&codes, &name)));
        match answer.status {
            200 => accepted.push(name),
            507 | 500 => refused += 1,
            _ => panic!("{answer:?}"),
        }
        assert_eq!(network.visit("/winter25").status, 302);
        visits += 1;
        if refused >= 30 {
            break;
        }
    }
    assert!(refused >= 30, "{refused} of {visits} edits were refused");
    assert_eq!(saved(&network), accepted.iter().cloned().map(Some).collect::<Vec<_>>());
    let last = network.call("POST", "couponcodes", Some(code(&codes, "LAST10")));
    assert_eq!((last.status, &last.json()["code"]), (507, &json!("store.full")), "{last:?}");

    std::fs::remove_file(disk.filler()).unwrap();
    let live = wait_for("an edit to be live", || {
        let name = format!("AFTER{}", accepted.len());
        let answer = network.call("POST", "couponcodes?wait=live", Some(code(&codes, &name)));
        if answer.status == 200 {
            accepted.push(name);
        }
        (answer.header("x-coupon-live") == Some("true")).then_some(answer)
    });
    assert_eq!(live.status, 200);
    for name in &accepted {
        assert_eq!(network.visit(&format!("/{name}")).status, 302, "{name}");
        visits += 1;
    }
    assert_eq!(saved(&network), accepted.into_iter().map(Some).collect::<Vec<_>>());
    wait_for("all clicks", || (network.gross_clicks() == visits).then_some(()));
    let status = network.call("GET", "status", None).json();
    assert!(status["publication"]["last_error"].is_null(), "{status}");
    assert!(status["intake"]["last_error"].is_null(), "{status}");
}

/// Codes by id, each with its audit entry.
fn saved(network: &Network) -> Vec<Option<String>> {
    let codes = network.call("GET", "couponcodes?page_size=1000", None).json();
    let mut codes: Vec<_> = codes["coupon_codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| (code["network_coupon_code_id"].as_u64(), code["coupon_code"].as_str()))
        .collect();
    codes.sort_unstable();
    let audit = "audit?page_size=1000&filter=object=coupon_code&filter=action=created";
    let audit = network.call("GET", audit, None).json();
    let mut told: Vec<_> =
        audit["audit"].as_array().unwrap().iter().map(|told| told["first_id"].as_u64()).collect();
    told.sort_unstable();
    assert_eq!(codes.iter().map(|(id, _)| *id).collect::<Vec<_>>(), told);
    codes.into_iter().map(|(_, code)| code.map(str::to_owned)).collect()
}
