//! The state of a code on its page, beside the API's explanation and the answer to a real visit.

use crate::signed_in::Console;
use serde_json::{Value, json};

/// A code that is not live for one reason.
struct Obstacle {
    code: &'static str,
    /// The state on the pages.
    state: &'static str,
    /// The reason of the explanation.
    reason: &'static str,
}

const OBSTACLES: [Obstacle; 6] = [
    Obstacle { code: "PAUSED", state: "Paused", reason: "paused" },
    Obstacle { code: "ENDED", state: "Ended", reason: "expired" },
    Obstacle { code: "FUTURE", state: "Not started", reason: "not_started" },
    Obstacle { code: "OFFPAUSED", state: "Offer not active", reason: "offer_not_active" },
    Obstacle { code: "INACTIVE", state: "Partner not active", reason: "partner_not_active" },
    Obstacle { code: "HIDDEN", state: "Partner not approved", reason: "not_runnable" },
];

/// Creates a second offer and a second partner; returns the code's object.
fn create_obstacles(console: &Console) {
    let network = &console.network;
    let code = |code: &str, offer: u32, partner: u32, further: Value| {
        let mut object = json!({
            "coupon_code": code, "coupon_status": "active", "network_offer_id": offer,
            "network_affiliate_id": partner,
        });
        for (name, value) in further.as_object().unwrap() {
            object[name] = value.clone();
        }
        network.done("POST", "couponcodes?wait=live", object);
    };
    for (name, visibility) in [("Paused offer", "public"), ("Hidden offer", "private")] {
        let offer = json!({
            "name": name, "offer_status": "active", "visibility": visibility,
            "network_advertiser_id": 1, "destination_url": "https://shop.example/x",
        });
        network.done("POST", "offers", offer);
    }
    network.done("POST", "affiliates", json!({"name": "Ben", "account_status": "active"}));
    code("PAUSED", 1, 1, json!({"coupon_status": "paused"}));
    code("ENDED", 1, 1, json!({"start_date": "2020-01-01", "end_date": "2020-01-31"}));
    code("FUTURE", 1, 1, json!({"start_date": "2099-01-01"}));
    code("OFFPAUSED", 2, 1, json!({}));
    code("INACTIVE", 1, 2, json!({}));
    code("HIDDEN", 3, 1, json!({}));
    network.done("PATCH", "offers/2", json!({"offer_status": "paused"}));
    network.done("PATCH", "affiliates/2?wait=live", json!({"account_status": "inactive"}));
}

#[test]
fn six_obstacles_have_six_states_and_are_the_reasons_of_the_explanation() {
    let console = Console::start();
    console.network.create_winter25();
    create_obstacles(&console);
    let list = console.html("/console/coupon-codes?page_size=100");
    for Obstacle { code, state, reason } in OBSTACLES {
        let row = list.split("<tr").find(|row| row.contains(&format!("Tick {code}"))).unwrap();
        assert!(row.contains(&format!("\">{state}</span>")), "{code} is not {state}: {row}");
        let explained = console.network.done("POST", "explain", json!({"code": code}));
        assert_eq!(explained["rows"][0]["reason"], *reason, "{explained}");
        assert_eq!(explained["answer"], "not_found", "{code}");
        assert_eq!(console.network.visit(&format!("/{code}")).status, 404, "{code}");
    }
    let row = list.split("<tr").find(|row| row.contains("Tick WINTER25")).unwrap();
    assert!(row.contains("\">Live</span>"), "{row}");
}

#[test]
fn a_code_stands_on_offers_of_one_partner_only() {
    let console = Console::start();
    console.network.create_winter25();
    create_obstacles(&console);
    console.network.done("PATCH", "offers/2", json!({"offer_status": "active"}));
    console.network.done("PATCH", "affiliates/2", json!({"account_status": "active"}));
    let form = |offer: &'static str, partner: &'static str| {
        [
            ("coupon_code", "winter25"),
            ("coupon_status", "active"),
            ("network_offer_id", offer),
            ("network_affiliate_id", partner),
        ]
    };
    let second = console.post("/console/coupon-codes/new", &form("2", "1"));
    assert_eq!(second.status, 303, "{second:?}");
    assert_eq!(console.network.visit("/winter25?oid=1").status, 302);
    let on_second = console.network.visit("/winter25?oid=2");
    assert_eq!((on_second.status, on_second.location()), (302, "https://shop.example/x"));
    let refused = console.post("/console/coupon-codes/new", &form("3", "2"));
    assert_eq!(refused.status, 422, "{refused:?}");
    for part in ["belongs to partner 1 (Anna)", "all rows of a code belong to one partner"] {
        assert!(refused.body.contains(part), "{part}: {}", refused.body);
    }
    let codes = console.network.call("GET", "couponcodes?filter=coupon_code%3Dwinter25", None);
    assert_eq!(codes.json()["paging"]["total_count"], 2);
}

#[test]
fn a_test_of_the_redirect_shows_the_location_of_a_visit_and_counts_nothing() {
    let console = Console::start();
    console.network.create_winter25();
    let location_without_id = |location: &str| {
        let (before, id) = location.split_once("t=").unwrap();
        format!("{before}{}", id.split_once('&').unwrap().1)
    };
    let page = console.html("/console/offers/1?code=winter25");
    assert!(page.contains("coupond would answer 302 and lead to this offer."), "{page}");
    let shown = page.split("<pre>").last().unwrap().split_once("</pre>").unwrap().0;
    let shown = location_without_id(&shown.replace("&#38;", "&"));
    let head = crate::http::visit(console.network.visitors, "HEAD", "/winter25").unwrap();
    assert_eq!(head.status, 302);
    assert_eq!(shown, location_without_id(head.location()));
    assert_eq!(shown, location_without_id(console.network.visit("/winter25").location()));
    let clicks = crate::programs::wait_for("the click of the visit", || {
        Some(console.network.clicks()).filter(|clicks| !clicks.is_empty())
    });
    assert_eq!(clicks.len(), 1, "neither the test nor the HEAD is a click: {clicks:?}");

    let edit = |destination: &str| {
        let html = console.html("/console/offers/1/edit");
        let etag = crate::http_browser::hidden(&html, "etag");
        let form = [("etag", etag.as_str()), ("destination_url", destination)];
        console.post("/console/offers/1/edit", &form)
    };
    let unknown = edit("https://shop.example/?t={transaciton_id}");
    assert_eq!(unknown.status, 422);
    assert!(unknown.body.contains("{transaction_id}"), "the nearest macro is named: {unknown:?}");
    let empty = edit("https://shop.example/?o={order_id}");
    assert_eq!(empty.status, 303, "{empty:?}");
    let page = console.html("/console/offers/1");
    let warnings = page.split("<div class=\"notice warning\">").nth(1).unwrap();
    assert!(warnings.split("</div>").next().unwrap().contains("{order_id}"), "{page}");
}
