//! `coupon-admin import-everflow` from a server that answers in Everflow's documented shapes.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::start_with;
use crate::everflow_import::{command, counts, import, printed};
use crate::everflow_server::{EverflowServer, Reply};

const KEY: &str = "ef-Key_of+the/network==";

fn done(body: Value) -> Reply {
    Some((200, "Content-Type: application/json\r\n", body.to_string()))
}

fn paged(name: &str, rows: Value, page: u32, total: u32) -> Reply {
    done(json!({name: rows, "paging": {"page": page, "page_size": 50, "total_count": total}}))
}

fn partner(id: u32) -> Value {
    json!({
        "network_affiliate_id": id, "network_id": 7, "name": format!("Partner {id}"),
        "account_status": "active", "network_employee_id": 3, "internal_notes": "",
        "has_notifications": false, "time_created": 1_500_000_000, "time_saved": 1_500_000_001,
        "referral_percentage": 5, "is_new_dashboard": false,
    })
}

fn coupon_code(id: u32, code: &str, offer: u32, partner: u32) -> Value {
    json!({
        "network_coupon_code_id": id, "network_id": 7, "network_affiliate_id": partner,
        "network_offer_id": offer, "coupon_code": code, "coupon_status": "active",
        "internal_notes": "", "description": "", "is_description_plain_text": true,
        "start_date": "", "end_date": "", "time_created": 1, "time_saved": 2, "time_deleted": 0,
    })
}

fn offer_details(id: u32) -> Value {
    let entries = json!([
        {"network_offer_payout_revenue_id": 500 + id * 10, "network_offer_id": id, "network_id": 7,
         "entry_name": "Base", "payout_type": "cpa", "payout_amount": 4, "payout_percentage": 0,
         "revenue_type": "rpa", "revenue_amount": 6, "revenue_percentage": 0, "is_default": true,
         "time_created": 1, "time_saved": 2},
        {"network_offer_payout_revenue_id": 501 + id * 10, "entry_name": "Lead",
         "payout_type": "cpm_daily", "revenue_type": "rps", "revenue_percentage": 8, "is_default": false},
    ]);
    let countries = match id {
        12 => json!([{"country_id": 227, "country_code": "US", "label": "United States",
                      "targeting_type": "include", "match_type": "exact"}]),
        _ => json!([]),
    };
    // The server's own numbers of cities are not public.
    let cities = match id {
        13 => json!([{"city_id": 4711, "label": "Springfield", "targeting_type": "include"}]),
        _ => json!([]),
    };
    json!({
        "network_offer_id": id, "network_id": 7, "network_advertiser_id": 2, "name": format!("Offer {id}"),
        "offer_status": "active", "visibility": "public", "currency_id": "USD", "thumbnail_url": "",
        "destination_url": "https://shop.example/?t={transaction_id}", "date_live_until": "2031-05-01",
        "network_tracking_domain_id": 3, "conversion_method": "cookie_based", "redirect_mode": "standard",
        "network_offer_group_id": 0, "session_definition": "cookie", "session_duration": 24,
        "is_use_scrub_rate": false, "encoded_value": "ABC", "today_revenue": "$0.00", "daily_clicks": 12,
        "relationship": {
            "payout_revenue": {"total": 2, "entries": entries},
            "ruleset": {"network_ruleset_id": 9, "network_id": 7, "countries": countries, "cities": cities,
                        "is_block_proxy": false, "time_created": 1, "time_saved": 1},
            "advertiser": {"network_advertiser_id": 2, "name": "Shop"},
        },
    })
}

/// Everflow's documented answers. Some requests fail at first.
fn everflow(line: &str, before: usize) -> Reply {
    let (method, target) = line.split_once(' ').unwrap();
    let target = target.strip_prefix("/v1/networks").unwrap();
    match (method, target) {
        ("GET", "") if before == 0 => Some((500, "", "upstream connect error".into())),
        ("GET", "") => done(json!({
            "network_id": 7, "name": "Acme", "timezone_id": 80, "default_currency_id": "EUR",
        })),
        ("GET", "/domains/tracking") => done(json!({"domains": [
            {"network_tracking_domain_id": 3, "url": "go.acme.example", "is_primary_domain": true},
        ]})),
        ("GET", "/advertisers?page=1&page_size=2000") => {
            Some((400, "", json!({"Error": "page_size is too large"}).to_string()))
        }
        ("GET", "/advertisers?page=1&page_size=500") => paged(
            "advertisers",
            json!([
                {"network_advertiser_id": 2, "network_id": 7, "name": "Shop", "account_status": "active",
                 "verification_token": "t0ken", "attribution_method": "last_touch", "sales_manager_id": 4},
                {"network_advertiser_id": 3, "name": "Waiting", "account_status": "pending"},
            ]),
            1,
            2,
        ),
        ("GET", "/affiliates?page=1&page_size=2000") => {
            paged("affiliates", json!([partner(21), partner(22)]), 1, 3)
        }
        ("GET", "/affiliates?page=2&page_size=2000") => {
            paged("affiliates", json!([partner(23)]), 2, 3)
        }
        ("POST", "/offerstable?page=1&page_size=500") => {
            let rows = [11, 12, 13]
                .map(|id| json!({"network_offer_id": id, "name": format!("Offer {id}")}));
            paged("offers", json!(rows), 1, 3)
        }
        ("GET", "/offers/12?relationship=all") if before == 0 => Some((
            429,
            "Retry-After: 1\r\nX-RateLimit-Remaining: 0\r\n",
            "Too Many Requests".into(),
        )),
        ("GET", path) if path.ends_with("?relationship=all") && path.starts_with("/offers/") => {
            done(offer_details(path[8..10].parse().unwrap()))
        }
        ("GET", "/offers/11/visibility") => done(json!({
            "network_id": 7, "network_offer_id": 11, "network_affiliate_visible_ids": [21],
            "network_affiliate_rejected_ids": [22, 99], "network_affiliate_hidden_ids": [],
        })),
        ("GET", path) if path.ends_with("/visibility") => done(json!({
            "network_affiliate_visible_ids": null, "network_affiliate_rejected_ids": [],
            "network_affiliate_hidden_ids": [],
        })),
        ("GET", "/couponcodes?page=1&page_size=2000") => paged(
            "couponcodes",
            json!([
                coupon_code(31, "WINTER25", 11, 21),
                coupon_code(32, "winter25", 12, 21),
                coupon_code(33, "A B", 11, 21),
                coupon_code(34, "LATER", 12, 0),
            ]),
            1,
            6,
        ),
        ("GET", "/couponcodes?page=2&page_size=2000") => paged(
            "couponcodes",
            json!([coupon_code(35, "Winter25", 13, 22), coupon_code(36, "NOWHERE", 404, 21),]),
            2,
            6,
        ),
        ("POST", "/pixelstable?page=1&page_size=2000") => {
            let rows =
                [41, 42].map(|id| json!({"network_pixel_id": id, "network_affiliate_id": 21}));
            paged("pixels", json!(rows), 1, 2)
        }
        ("GET", "/pixels/41?relationship=all") => done(json!({
            "network_pixel_id": 41, "network_affiliate_id": 21, "network_offer_id": 11,
            "delivery_method": "postback", "pixel_level": "specific", "pixel_status": "active",
            "pixel_type": "conversion", "postback_url": "https://p.example/?t={transaction_id}",
            "html_code": "", "delay_ms": 0, "description": "", "fire_count": 4,
        })),
        ("GET", "/pixels/42?relationship=all") => done(json!({
            "network_pixel_id": 42, "network_affiliate_id": 21, "delivery_method": "html",
            "pixel_status": "active", "pixel_type": "conversion", "html_code": "<img>",
        })),
        _ => Some((404, "", json!({"error": "not found"}).to_string())),
    }
}

/// The remarks, as `kind: field`.
fn remarks(report: &Value) -> Vec<String> {
    let remarks = report["not_carried_over"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    remarks.map(|remark| format!("{}: {}", text(&remark["kind"]), text(&remark["field"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_shapes_are_read_with_retries_and_pages() {
    let server = EverflowServer::start(everflow);
    let folder = tempfile::tempdir().unwrap();
    let (output, report) = import(&server.url(), KEY, folder.path(), &[]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains(KEY), "the key was printed");
    for request in server.received() {
        let key = format!("x-eflow-api-key: {KEY}");
        assert!(request.head.lines().any(|line| line == key), "{}", request.head);
    }
    let codes: Vec<String> =
        server.lines().into_iter().filter(|line| line.contains("couponcodes")).collect();
    assert_eq!(codes.len(), 2, "{codes:?}");
    assert_eq!(report["retries"], 2, "{report:#}");
    assert_eq!(
        report["network"],
        json!({"network_id": 7, "name": "Acme", "time_zone": "America/New_York", "currency": "EUR"})
    );
    assert!(text.contains("time zone: America/New_York, but UTC here"), "{text}");
    assert!(text.contains("set network_id = 7 in coupon-admin.toml"), "{text}");
    for (kind, expected) in [
        ("advertisers", [2, 2, 0, 0, 0, 0]),
        ("partners", [3, 3, 0, 0, 0, 0]),
        ("offers", [3, 3, 0, 0, 0, 0]),
        ("access of partners", [1, 1, 0, 0, 0, 0]),
        ("coupon codes", [6, 3, 0, 0, 1, 2]),
        ("partner postbacks", [2, 1, 0, 0, 0, 1]),
    ] {
        assert_eq!(counts(&report, kind), expected, "{kind}: {text}");
    }
    let remarks = remarks(&report);
    for expected in [
        "advertisers: account_status = pending",
        "advertisers: verification_token",
        "partners: referral_percentage",
        "offers: payout_revenue[].payout_type = cpm_daily",
        "offers: conversion_method = cookie_based",
        "offers: network_tracking_domain_id = go.acme.example",
        "offers: ruleset",
        "offers: daily_clicks",
        "access of partners: partner 99",
        "partner postbacks: delivery_method = html",
    ] {
        assert!(remarks.iter().any(|found| found == expected), "{expected}: {remarks:#?}");
    }
    let is_noise =
        |remark: &&String| remark.contains("is_new_dashboard") || remark.contains("redirect_mode");
    assert_eq!(remarks.iter().find(is_noise), None);

    let moved = start_with(|config| config.data_dir = folder.path().to_owned()).await;
    let targeted = moved.get("offers/12").await.done();
    assert_eq!(targeted["ruleset"]["countries"][0]["country_code"], "US");
    assert_eq!(
        (&targeted["offer_status"], &targeted["date_live_until"]),
        (&json!("active"), &json!("2031-05-01"))
    );
    assert_eq!(targeted["payout_revenue"][1]["network_offer_payout_revenue_id"], 621);
    assert_eq!(moved.get("offers/13").await.done()["offer_status"], "paused");
    assert_eq!(moved.get("advertisers/2").await.done()["verification_token"], "t0ken");
    assert_eq!(moved.get("couponcodes/34").await.done()["network_affiliate_id"], 0);
    assert_eq!(moved.get("couponcodes/35").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_import_goes_on_where_it_was() {
    let is_stuck = Arc::new(AtomicBool::new(true));
    let stuck = Arc::clone(&is_stuck);
    let server = EverflowServer::start(move |line, before| {
        let is_second_page = line.contains("/couponcodes?page=2");
        if is_second_page && stuck.load(Ordering::SeqCst) {
            None
        } else {
            everflow(line, before + 1)
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, KEY).unwrap();
    let data = folder.path().join("data");
    let mut child = command(&server.url(), &key_file, &data);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !server.lines().iter().any(|line| line.contains("/couponcodes?page=2")) {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    is_stuck.store(false, Ordering::SeqCst);
    let (_, report) = import(&server.url(), KEY, &data, &[]);
    assert_eq!(counts(&report, "offers"), [3, 0, 0, 3, 0, 0], "{report:#}");
    // Three codes of the first page, and none of the second, which the rules refuse.
    assert_eq!(counts(&report, "coupon codes"), [6, 0, 0, 3, 1, 2]);
    assert_eq!(counts(&report, "partner postbacks"), [2, 1, 0, 0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_network_api_is_told_with_its_remedy() {
    let html = "<html><body>Welcome</body></html>";
    let cases: [(u16, &'static str, &'static str, &str); 7] = [
        (
            401,
            "",
            "No Authentication Method Found",
            "does not accept the key (401: No Authentication Method Found)",
        ),
        (403, "", r#"{"error": "Out Of Realm"}"#, "needs a key of the network portal"),
        (
            200,
            "Content-Type: text/html\r\n",
            html,
            "answered text/html instead of an answer of Everflow's API",
        ),
        (
            302,
            "Location: https://www.example.com/\r\n",
            "",
            "redirects to https://www.example.com/",
        ),
        (
            400,
            "",
            r#"{"Error": "key ef-Key_of+the/network== is odd"}"#,
            "answered 400: key (key) is odd",
        ),
        (418, "Content-Type: text/html\r\n", html, "answered 418: a page of HTML"),
        (200, "Content-Type: application/json\r\n", "{}", "JSON without the list advertisers"),
    ];
    for (status, headers, body, expected) in cases {
        let server = EverflowServer::start(move |_, _| Some((status, headers, body.to_owned())));
        let folder = tempfile::tempdir().unwrap();
        let (output, _) = import(&server.url(), KEY, folder.path(), &["--dry-run"]);
        let text = printed(&output);
        assert!(!output.status.success() && text.contains(expected), "{expected}: {text}");
        assert!(!text.contains(KEY), "{text}");
    }
    // A failure after the first answers leaves what is written.
    let server = EverflowServer::start(|line, before| match line.contains("/couponcodes") {
        true => Some((404, "", String::new())),
        false => everflow(line, before + 1),
    });
    let folder = tempfile::tempdir().unwrap();
    let (output, report) = import(&server.url(), KEY, folder.path(), &[]);
    let text = printed(&output);
    assert!(text.contains("the import is not complete, what was written so far stays"), "{text}");
    assert_eq!((counts(&report, "offers")[1], &report["is_complete"]), (3, &json!(false)));
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (output, _) =
        import(&format!("http://127.0.0.1:{port}"), KEY, folder.path(), &["--dry-run"]);
    assert!(
        printed(&output).contains("cannot be reached after 3 attempts"),
        "{}",
        printed(&output)
    );
    let (output, _) = import("http://127.0.0.1:1", "two words", folder.path(), &[]);
    assert!(
        printed(&output).contains("must hold one key and nothing else"),
        "{}",
        printed(&output)
    );
    let (output, _) = import("api.eflow.team", KEY, folder.path(), &[]);
    assert!(
        printed(&output).contains("write it like https://api.eflow.team"),
        "{}",
        printed(&output)
    );
}
