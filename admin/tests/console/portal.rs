//! The portal: a partner sees its own codes and figures, and nothing else of the network.

use crate::cdp::Chromium;
use crate::http;
use crate::programs::{today, wait_for};
use crate::signed_in::{Console, PASSWORD, post};
use serde_json::{Value, json};

/// Parts of all texts and amounts that partners must not learn; they occur nowhere else.
const MARKERS: [&str; 6] =
    ["mark", "7654.32", "8765.4", "4321.1", "benscode", "secret-of-the-pixel"];

/// A network of two partners. Everything that is not of partner 1 has a marker.
struct World {
    console: Console,
    /// Session of a user of partner 1.
    anna: String,
    annas_code: u64,
    bens_code: u64,
}

fn payout(amount: &str, revenue: &str) -> Value {
    json!([{
        "is_default": true, "payout_type": "cpa", "payout_amount": amount,
        "revenue_type": "rpa", "revenue_amount": revenue,
    }])
}

fn world() -> World {
    let console = Console::start();
    let network = &console.network;
    let codes = network.create_winter25();
    network.done("PATCH", "advertisers/1", json!({"name": "MARK Shop"}));
    let terms = json!({
        "payout_revenue": payout("4.25", "7654.32"),
        "destination_url": "https://mark.example/?t={transaction_id}",
    });
    network.done("PATCH", "offers/1", terms);
    network.done("PATCH", "affiliates/1", json!({"internal_notes": "MARK about Anna"}));
    let ben = json!({"name": "MARK Ben", "account_status": "active"});
    network.done("POST", "affiliates", ben);
    for (partner, conversions) in [(1, 500), (2, 4321)] {
        let cap = json!({
            "name": "MARK cap", "network_offer_id": 1, "network_affiliate_id": partner,
            "daily_conversion_cap": conversions, "daily_revenue_cap": 8765.4,
        });
        network.done("POST", "custom/caps", cap);
    }
    network.done("PATCH", "couponcodes/1", json!({"internal_notes": "MARK about the code"}));
    let offer = json!({
        "name": "MARK Offer", "offer_status": "active", "visibility": "public",
        "network_advertiser_id": 1, "payout_revenue": payout("4321.1", "8765.4"),
        "destination_url": "https://mark.example/2?t={transaction_id}",
    });
    network.done("POST", "offers", offer);
    let code = json!({
        "coupon_code": "BENSCODE", "coupon_status": "active", "network_offer_id": 2,
        "network_affiliate_id": 2,
    });
    let bens = network.done("POST", "couponcodes?wait=live", code);
    for (name, partners, values) in [("MARK about Anna", [1], ["annas"]), ("MARK", [2], ["marks"])]
    {
        let control = json!({
            "name": name, "status": "active", "control_type": "blacklist", "variables": ["sub2"],
            "values": values, "is_apply_all_offers": true, "network_affiliate_ids": partners,
        });
        network.done("POST", "trafficcontrols", control);
    }
    for (value, partner) in [("annas", 1), ("MARK value", 2)] {
        let block = json!({
            "variable": "sub3", "value": value, "network_affiliate_id": partner,
            "notes": "MARK about it",
        });
        network.done("POST", "blockedvalues", block);
    }
    for partner in [1, 2] {
        let pixel = json!({
            "network_affiliate_id": partner, "pixel_status": "active", "description": "MARK pixel",
            "postback_url": if partner == 1 { "https://anna.example/pb" } else { "https://mark.example/" },
            "signing_key": "secret-of-the-pixel",
        });
        network.done("POST", "pixels", pixel);
    }
    for code in ["winter25", "benscode"] {
        let visit = network
            .visit(&format!("/{code}?sub1={}", if code == "winter25" { "story" } else { "mark" }));
        let id = visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap();
        let sale = format!("/?nid=1&transaction_id={id}&amount=8765.4&order_id=MARK-{code}");
        assert_eq!(network.visit(&sale).status, 200);
    }
    wait_for("both sales", || (network.conversions().len() == 2).then_some(()));
    wait_for("both clicks", || (network.gross_clicks() == 2).then_some(()));
    let anna = console.add_user("anna-user", "partner", Some(1));
    let bens_code = bens["network_coupon_code_id"].as_u64().unwrap();
    World { console, anna, annas_code: codes.winter25, bens_code }
}

/// Calls the API with a partner's key.
fn call(world: &World, key: &str, method: &str, path: &str, body: Option<&Value>) -> Value {
    let path = format!("/v1/affiliates/{path}");
    let answer = http::call(world.console.network.admin_address, key, method, &path, body);
    assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    answer.json()
}

/// Makes the partner's key on its page.
fn make_key(world: &World) -> String {
    let answer = post(&world.console.network, "/portal/key", &world.anna, &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let (_, secret) = answer.body.split_once("value=\"cpk_").unwrap();
    format!("cpk_{}", secret.split_once('"').unwrap().0)
}

/// The texts between two tags, in their order.
fn texts<'h>(html: &'h str, start: &str, end: &str) -> Vec<&'h str> {
    html.split(start).skip(1).map(|rest| rest.split_once(end).unwrap().0).collect()
}

#[test]
fn a_partner_sees_its_own_codes_and_figures_and_nothing_else() {
    let world = world();
    let get = |path: &str| world.console.get_as(&world.anna, path);
    let period = today();
    let (from, to) = (period["from"].as_str().unwrap(), period["to"].as_str().unwrap());
    let days = format!("from={from}&to={to}");
    for path in [
        "/portal".to_owned(),
        "/portal/codes".into(),
        "/portal/codes/sheet".into(),
        format!("/portal/codes/{}/qr.svg", world.annas_code),
        format!("/portal/reports?{days}"),
        format!("/portal/reports?{days}&by=offer"),
        format!("/portal/reports?{days}&by=sub1"),
        // A dimension of staff, and filters for another partner.
        format!("/portal/reports?{days}&by=affiliate"),
        format!("/portal/reports?{days}&by=advertiser&network_affiliate_id=2"),
        format!("/portal/reports.csv?{days}&by=offer"),
        format!("/portal/reports.csv?{days}&by=affiliate&filter=affiliate%3D2"),
        format!("/portal/conversions?{days}"),
        format!("/portal/conversions?{days}&network_affiliate_id=2"),
        format!("/portal/clicks?{days}"),
        "/portal/blocked-traffic".into(),
        "/portal/postbacks".into(),
        "/portal/key".into(),
    ] {
        let answer = get(&path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let body = answer.body.to_ascii_lowercase().replace(',', "");
        for marker in MARKERS {
            assert!(!body.contains(marker), "{path} shows {marker}: {}", answer.body);
        }
        assert!(!body.contains("revenue"), "{path}: {}", answer.body);
    }
    // What the markers stand for is there for staff, so the pages could have shown it.
    assert!(world.console.html("/console/coupon-codes").contains("BENSCODE"));

    for id in [world.bens_code, 999_999] {
        let strange = get(&format!("/portal/codes/{id}/qr.svg"));
        let nobody = get("/portal/codes/888888/qr.svg");
        assert_eq!((strange.status, &strange.body), (404, &nobody.body), "{id}");
        assert_eq!(strange.stable_head(), nobody.stable_head());
    }

    let key = make_key(&world);
    let listed = call(&world, &key, "GET", "couponcodes", None);
    let listed = listed["coupon_codes"].as_array().unwrap();
    let names: Vec<&str> =
        listed.iter().map(|code| code["coupon_code"].as_str().unwrap()).collect();
    let page = get("/portal/codes").body;
    assert_eq!(texts(&page, "<h2 class=\"code\">", "</h2>"), names);
    for code in listed {
        let link = code["tracking_link"].as_str().unwrap();
        assert!(page.contains(&format!("value=\"{link}\"")), "{link}: {page}");
    }

    let asked = json!({
        "from": from, "to": to, "timezone": "UTC", "columns": [{"column": "coupon_code"}],
    });
    let report = call(&world, &key, "POST", "reporting/entity", Some(&asked));
    let page = get(&format!("/portal/reports?{days}")).body;
    let total = texts(&page, "<tfoot>", "</tfoot>")[0];
    let figures: Vec<&str> = ["Clicks", "Conversions", "Payout"]
        .map(|name| texts(total, &format!("data-label=\"{name}\">"), "</td>")[0])
        .into();
    let (clicks, sales) = (&report["summary"]["total_click"], &report["summary"]["cv"]);
    assert_eq!(figures[..2], [clicks.to_string(), sales.to_string()]);
    assert_eq!((clicks, sales), (&json!(1), &json!(1)));
    assert_eq!(report["summary"]["payout"], json!(4.25));
    assert!(figures[2].starts_with("4.25 "), "{figures:?}");
    let sales = get(&format!("/portal/conversions?{days}")).body;
    assert!(sales.contains("4.25 ") && sales.contains("story"), "{sales}");
}

#[test]
fn a_partner_makes_replaces_and_revokes_its_api_key() {
    let world = world();
    let works = |key: &str| {
        let address = world.console.network.admin_address;
        http::call(address, key, "GET", "/v1/affiliates/couponcodes", None).status
    };
    let page = || world.console.get_as(&world.anna, "/portal/key").body;
    assert!(page().contains("Make a key") && !page().contains("Revoke"));
    let first = make_key(&world);
    assert_eq!(works(&first), 200);
    // Shown once; from then on by its first characters.
    assert!(!page().contains(&first) && page().contains(&first[..8]), "{}", page());
    let second = make_key(&world);
    assert_ne!(first, second);
    assert_eq!((works(&first), works(&second)), (401, 200));
    let revoked = post(&world.console.network, "/portal/key/revoke", &world.anna, &[]);
    assert_eq!((revoked.status, works(&second)), (303, 401));
    assert!(page().contains("Make a key"));
    let audit = world.console.network.call("GET", "audit?page_size=100", None).body;
    assert!(!audit.contains(&first) && !audit.contains(&second), "a secret is in the audit");
}

#[test]
fn an_invited_user_of_a_partner_copies_a_code_on_a_phone_with_two_taps() {
    let Some(chromium) = Chromium::start_with_clipboard() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let invitation = console.invite("phone", "partner", Some(1));
    let page = chromium.new_page(390, 844);
    page.goto(&console.url(&invitation));
    page.assert_accessible();
    for id in ["password", "password_again"] {
        page.evaluate(&format!("document.getElementById('{id}').value = '{PASSWORD}'"));
    }
    page.by_role("button", "Set the password").click();
    page.wait_for_text("Your coupon codes");
    page.by_role("link", "Your coupon codes").click();
    page.wait_for_text("WINTER25");
    let copy = page.all_by_role("button").into_iter().find(|button| button.name().contains("Copy"));
    copy.expect("a button to copy the code").click();
    page.wait_for_text("Copied");
    assert_eq!(page.clipboard(), "WINTER25");
    let fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(fits, true, "the page is wider than the phone");
    page.assert_clean();
}
