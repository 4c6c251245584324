//! Backup of a running network, and its restore beside the same daemon.

use crate::programs::{Network, wait_for};
use serde_json::json;
use std::collections::HashSet;

#[test]
fn a_restored_network_is_served_by_the_live_daemon_and_counts_each_click_once() {
    let network = Network::new();
    let mut admin = network.start_admin();
    let _daemon = network.start_daemon();
    let codes = network.create_winter25();
    for _ in 0..5 {
        assert_eq!(network.visit("/winter25").status, 302);
    }
    wait_for("5 clicks", || (network.gross_clicks() == 5).then_some(()));
    let list = network.done("PUT", "botlist", json!({"patterns": ["linkchecker"]}));
    let (done, said) = network.on_data("backup", "backup.tar.zst");
    assert!(done, "{said}");

    let code = |text: &str| {
        json!({
            "coupon_code": text, "coupon_status": "active",
            "network_offer_id": codes.offer, "network_affiliate_id": codes.partner,
        })
    };
    let lost = network.done("POST", "couponcodes?wait=live", code("LOST10"));
    for target in ["/lost10", "/lost10", "/winter25"] {
        assert_eq!(network.visit(target).status, 302);
    }
    wait_for("8 clicks", || (network.gross_clicks() == 8).then_some(()));

    admin.stop();
    let key = network.lose_data();
    let (done, said) = network.on_data("restore", "backup.tar.zst");
    assert!(done, "{said}");
    network.put_key(&key);
    let _admin = network.start_admin();

    // The restored store skips the generations that the daemon loaded from the lost store.
    let answer = network.call("POST", "couponcodes?wait=live", Some(code("NEW10")));
    assert_eq!(answer.header("x-coupon-live"), Some("true"), "{answer:?}");
    let id = |code: &serde_json::Value| code["network_coupon_code_id"].as_u64().unwrap();
    assert!(id(&answer.json()) > id(&lost), "the id of a lost code was given out again");
    assert_eq!(network.visit("/lost10").status, 404);
    assert_eq!(network.visit("/new10").status, 302);

    let clicks = wait_for("9 clicks", || Some(network.clicks()).filter(|clicks| clicks.len() >= 9));
    let ids: HashSet<&str> =
        clicks.iter().filter_map(|click| click["transaction_id"].as_str()).collect();
    assert_eq!((clicks.len(), ids.len(), network.gross_clicks()), (9, 9, 9));
    assert_eq!(network.call("GET", "botlist", None).json()["patterns"], list["patterns"]);
    let told = network.call("GET", "audit?filter=action=restored", None).json();
    assert_eq!(told["audit"][0]["actor"], "command_line");
}
