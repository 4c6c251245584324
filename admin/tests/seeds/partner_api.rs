//! The description of the partner API's coupon codes.

use serde_json::{Value, json};

use crate::shop::{code, day, offer, on, open, open_office, with};

/// Example of the description, with the base URL of our links and a future end.
const EXAMPLE: &str = r#"{
  "coupon_codes": [
    {
      "network_coupon_code_id": 132,
      "network_id": 1,
      "network_offer_id": 16,
      "coupon_code": "WINTER25",
      "coupon_status": "active",
      "tracking_link": "https://www.example-tracking-link.com/WINTER25/",
      "start_date": "2025-01-01",
      "end_date": "2999-06-01",
      "description": "25% off on all winter jackets",
      "is_description_plain_text": true,
      "time_created": 1585177030,
      "time_saved": 1737590006,
      "relationship": {
        "offer": {
          "network_offer_id": 16,
          "network_id": 1,
          "name": "Winter Jackets",
          "offer_status": "active"
        }
      }
    },
    {
      "network_coupon_code_id": 152,
      "network_id": 1,
      "network_offer_id": 18,
      "coupon_code": "PANTS35",
      "coupon_status": "active",
      "tracking_link": "https://www.example-tracking-link.com/PANTS35/",
      "start_date": "",
      "end_date": "",
      "description": "35$ off on <strong>dress pants</strong> at all times",
      "is_description_plain_text": false,
      "time_created": 1586909228,
      "time_saved": 1586909228,
      "relationship": {
        "offer": {
          "network_offer_id": 18,
          "network_id": 1,
          "name": "Dress Pants",
          "offer_status": "active"
        }
      }
    }
  ]
}"#;

/// The text without white space between tokens.
fn compact(json: &str) -> String {
    let mut is_inside = false;
    let kept = json.chars().filter(|c| {
        is_inside ^= *c == '"';
        is_inside || !c.is_whitespace()
    });
    kept.collect()
}

#[test]
fn the_response_is_the_examples_field_by_field_and_in_their_order() {
    let shop = open_office();
    let domain = json!({"base_url": "https://www.example-tracking-link.com"});
    let domain = shop.network.done("POST", "trackingdomains", domain);
    let domain = json!({"network_tracking_domain_id": domain["network_tracking_domain_id"]});
    let store = rusqlite::Connection::open(shop.network.path("admin/admin.db")).unwrap();
    let number = |table: &str, last: u32| {
        let sql = "INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) VALUES \
                   ((SELECT rowid FROM sqlite_sequence WHERE name = ?1), ?1, ?2)";
        store.execute(sql, (table, last)).unwrap();
    };
    for (last, name) in [(15, "Winter Jackets"), (17, "Dress Pants")] {
        number("offer", last);
        shop.network.done("POST", "offers", with(offer(name), domain.clone()));
    }
    number("coupon_code", 131);
    let first = json!({
        "start_date": "2025-01-01", "end_date": "2999-06-01",
        "description": "25% off on all winter jackets", "internal_notes": "not for partners",
    });
    shop.create(with(on("WINTER25", 16, 1), first));
    number("coupon_code", 151);
    let second = json!({
        "description": "35$ off on <strong>dress pants</strong> at all times",
        "is_description_plain_text": false,
    });
    shop.create(with(on("PANTS35", 18, 1), second));
    for (id, created, saved) in
        [(132, 1_585_177_030, 1_737_590_006), (152, 1_586_909_228, 1_586_909_228)]
    {
        let sql = "UPDATE coupon_code SET time_created = ?2, time_saved = ?3 WHERE id = ?1";
        assert_eq!(store.execute(sql, (id, created, saved)).unwrap(), 1);
    }
    let answer = shop.partners_answer(&shop.partners_key(1));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, compact(EXAMPLE));
}

#[test]
fn there_can_be_0_1_or_more_coupon_codes_with_any_given_offer() {
    let shop = open_office();
    shop.create(on("ONLY", 2, 1));
    shop.create(on("FIRST", 3, 1));
    shop.create(on("SECOND", 3, 1));
    for (offer, count) in [(1, 0), (2, 1), (3, 2)] {
        let path = format!("couponcodes?filter=network_offer_id%3D{offer}");
        let list = shop.network.call("GET", &path, None).json();
        assert_eq!(list["paging"]["total_count"], count, "offer {offer}");
    }
}

#[test]
fn codes_are_returned_only_for_offers_on_which_you_can_currently_run_traffic() {
    let shop = open_office();
    let key = shop.partners_key(1);
    shop.create(on("OPEN", 1, 1));
    shop.create(on("BLOCKED", 2, 1));
    shop.create(on("PENDING", 3, 1));
    let said = json!({"network_offer_ids": [2], "status": "rejected"});
    shop.network.done("PATCH", "affiliates/1/offers/visibility", said);
    shop.network.done("PATCH", "offers/3", json!({"visibility": "require_approval"}));
    assert_eq!(shop.partners_codes(&key), ["OPEN"]);
    shop.network.done("PATCH", "offers/1", json!({"date_live_until": day(-2)}));
    assert!(shop.partners_codes(&key).is_empty(), "an offer that has ended is not run");
}

#[test]
fn only_active_coupon_codes_are_returned() {
    let shop = open_office();
    shop.create(code("ACTIVE"));
    shop.create(with(code("PAUSED"), json!({"coupon_status": "paused"})));
    assert_eq!(shop.partners_codes(&shop.partners_key(1)), ["ACTIVE"]);
}

#[test]
fn the_tracking_link_with_the_coupon_code_can_be_used() {
    let shop = open();
    shop.live(code("LINKED"));
    let list = shop.partners_answer(&shop.partners_key(1)).json();
    let answer = shop.follow(&list["coupon_codes"][0]["tracking_link"]);
    assert_eq!((answer.status, answer.location()), (302, "https://shop.example/jackets"));
}

#[test]
fn before_its_start_date_a_code_is_not_valid_and_is_listed_with_that_date() {
    let shop = open();
    let start = day(3);
    shop.live(with(code("SOON"), json!({"start_date": start})));
    let list = shop.partners_answer(&shop.partners_key(1)).json();
    assert_eq!(list["coupon_codes"][0]["start_date"], start);
    assert_eq!(shop.network.visit("/soon").status, 404);
}

#[test]
fn after_its_end_date_a_code_is_not_valid_and_not_listed() {
    let shop = open();
    shop.live(with(code("OVER"), json!({"end_date": day(-1)})));
    shop.live(with(code("LASTDAY"), json!({"end_date": day(1)})));
    assert_eq!(shop.partners_codes(&shop.partners_key(1)), ["LASTDAY"]);
    assert_eq!(shop.network.visit("/over").status, 404);
    assert_eq!(shop.network.visit("/lastday").status, 302);
}

#[test]
fn dates_have_the_format_yyyy_mm_dd() {
    let shop = open_office();
    for wrong in ["01/02/2026", "2026-1-2", "2026-02-30", "20260102", "2026-01-02T00:00:00Z"] {
        assert_eq!(
            shop.try_create(with(code("DATE"), json!({"start_date": wrong}))),
            400,
            "{wrong}"
        );
        assert_eq!(shop.try_create(with(code("DATE"), json!({"end_date": wrong}))), 400, "{wrong}");
    }
    assert_eq!(shop.try_create(with(code("DATE"), json!({"start_date": "2026-01-02"}))), 200);
}

#[test]
fn time_created_stays_and_time_saved_moves_when_the_code_is_saved() {
    let shop = open_office();
    let made = shop.create(code("TIMED"));
    let now = jiff::Timestamp::now().as_second();
    assert!((now - made["time_created"].as_i64().unwrap()).abs() <= 60);
    assert_eq!(made["time_saved"], made["time_created"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let saved: Value = shop.network.done("PATCH", "couponcodes/1", json!({"description": "new"}));
    assert_eq!(saved["time_created"], made["time_created"]);
    assert!(saved["time_saved"].as_i64() > made["time_saved"].as_i64());
}

#[test]
fn the_endpoint_fetches_all_the_active_codes_you_have_access_to_and_nobody_elses() {
    let shop = open_office();
    let rows: Vec<Value> = (0..120).map(|n| on(&format!("MINE{n}"), 1 + n % 3, 1)).collect();
    shop.network.done("POST", "couponcodes/bulk", rows.into());
    shop.create(on("THEIRS", 1, 2));
    let list = shop.partners_answer(&shop.partners_key(1)).json();
    assert_eq!(list["coupon_codes"].as_array().unwrap().len(), 120);
    assert_eq!(list.get("paging"), None);
    assert_eq!(shop.partners_codes(&shop.partners_key(2)), ["THEIRS"]);
}

#[test]
fn it_returns_an_empty_array_if_no_coupon_code_exists() {
    let shop = open_office();
    let answer = shop.partners_answer(&shop.partners_key(1));
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"coupon_codes":[]}"#));
}
