//! Create, publish, redirect, click, report.

use crate::http;
use crate::programs::{Network, wait_for};
use serde_json::json;

#[test]
fn a_created_code_redirects_and_its_click_is_reported_once_with_all_it_carries() {
    let network = Network::new();
    let _admin = network.start_admin();
    let _daemon = network.start_daemon();
    let codes = network.create_winter25();

    let visit = network.visit("/WiNtEr25?sub1=story%201");
    assert_eq!(visit.status, 302, "{visit:?}");
    let id = visit.location().split(['=', '&']).nth(1).unwrap().to_owned();
    assert_eq!(id.len(), 32);
    assert_eq!(visit.location(), format!("https://shop.example/w?t={id}&c=WiNtEr25&s=story%201"));
    assert_eq!(visit.header("cache-control"), Some("private, no-store"));

    let clicks = wait_for("the click in the report", || {
        Some(network.clicks()).filter(|clicks| !clicks.is_empty())
    });
    assert_eq!(clicks.len(), 1);
    let click = &clicks[0];
    assert_eq!(click["transaction_id"], id.as_str());
    assert_eq!(click["coupon_code"], "WiNtEr25");
    assert_eq!(click["sub1"], "story 1");
    assert_eq!(click["user_ip"], "127.0.0.1");
    assert_eq!(click["relationship"]["offer"]["network_offer_id"], codes.offer);
    assert_eq!(click["relationship"]["affiliate"]["network_affiliate_id"], codes.partner);
    let path = format!("reporting/clicks/{id}");
    assert_eq!(network.call("GET", &path, None).json()["transaction_id"], id.as_str());
    assert_eq!(network.gross_clicks(), 1);
}

#[test]
fn a_head_redirects_like_a_get_and_does_not_count() {
    let network = Network::new();
    let _admin = network.start_admin();
    let _daemon = network.start_daemon();
    network.create_winter25();
    let head = http::visit(network.visitors, "HEAD", "/winter25/").unwrap();
    assert_eq!((head.status, head.body.as_str()), (302, ""));
    assert!(head.location().starts_with("https://shop.example/w?t="));
    network.visit("/winter25/");
    wait_for("the GET in the report", || (network.gross_clicks() > 0).then_some(()));
    assert_eq!(network.gross_clicks(), 1);
}

#[test]
fn unknown_paused_unassigned_and_expired_codes_get_the_same_answer() {
    let network = Network::new();
    let _admin = network.start_admin();
    let _daemon = network.start_daemon();
    let codes = network.create_winter25();
    for (code, change) in [
        ("paused1", json!({"coupon_status": "paused"})),
        ("unassigned1", json!({"network_affiliate_id": 0})),
        ("expired1", json!({"end_date": "2020-01-01"})),
        ("upcoming1", json!({"start_date": "2099-01-01"})),
    ] {
        let mut row = json!({
            "coupon_code": code, "coupon_status": "active",
            "network_offer_id": codes.offer, "network_affiliate_id": codes.partner,
        });
        row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        network.done("POST", "couponcodes?wait=live", row);
    }
    let unknown = network.visit("/nosuchcode");
    assert_eq!(unknown.status, 404);
    for target in ["/paused1", "/unassigned1/", "/EXPIRED1", "/upcoming1", "/x", "/a%62c", "/"] {
        let answer = network.visit(target);
        assert_eq!(
            (answer.status, answer.stable_head(), &answer.body),
            (404, unknown.stable_head(), &unknown.body),
            "{target}"
        );
    }
    // Unusable codes also leave a click, with the reason.
    let reasons = wait_for("four clicks", || {
        let clicks = network.clicks();
        let mut reasons: Vec<_> =
            clicks.iter().map(|click| click["error_message"].to_string()).collect();
        reasons.sort();
        (reasons.len() >= 4).then_some(reasons)
    });
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert!(reasons.windows(2).all(|pair| pair[0] != pair[1]), "{reasons:?}");
}

#[test]
fn an_edited_code_and_an_edited_offer_redirect_to_their_new_place_without_a_restart() {
    let network = Network::new();
    let _admin = network.start_admin();
    let _daemon = network.start_daemon();
    let codes = network.create_winter25();
    let offer = format!("offers/{}?wait=live", codes.offer);
    network.done("PATCH", &offer, json!({"destination_url": "https://new.example/{sub1}"}));
    assert_eq!(network.visit("/winter25?sub1=a").location(), "https://new.example/a");
    let code = format!("couponcodes/{}?wait=live", codes.winter25);
    network.done("PATCH", &code, json!({"coupon_code": "SUMMER26"}));
    assert_eq!(network.visit("/winter25").status, 404);
    assert_eq!(network.visit("/summer26?sub1=b").location(), "https://new.example/b");
    network.done("DELETE", &code, json!({}));
    assert_eq!(network.visit("/summer26").status, 404);
}

#[test]
fn codes_imported_from_a_file_while_both_run_go_live() {
    let network = Network::new();
    let _admin = network.start_admin();
    let _daemon = network.start_daemon();
    let codes = network.create_winter25();
    let rows = format!(
        "offer_id,affiliate_id,coupon_code,status\r\n{0},{1},IMPORT1,active\r\n{0},{1},IMPORT2,active\r\n",
        codes.offer, codes.partner
    );
    let (done, said) = network.import(&rows);
    assert!(done, "{said}");
    wait_for("an imported code to redirect", || {
        (network.visit("/import2").status == 302).then_some(())
    });
    let bad = format!("{rows}{},{},bad code,active\r\n", codes.offer, codes.partner);
    let (done, said) = network.import(&bad.replace("IMPORT", "AGAIN"));
    assert!(!done && said.contains('4') && said.contains("coupon_code"), "{said}");
    assert_eq!(network.visit("/again1").status, 404);
}
