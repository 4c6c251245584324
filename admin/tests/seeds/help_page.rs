//! The help page on creating, updating and using coupon codes and their tracking URLs.

use serde_json::{Value, json};

use crate::programs::wait_for;
use crate::shop::{code, day, offer, on, open, open_office, with};

fn id(row: &Value) -> u64 {
    row["network_coupon_code_id"].as_u64().unwrap()
}

// Updates of the feature release.

#[test]
fn the_description_supports_plain_text_and_html_and_is_visible_to_your_affiliates() {
    let shop = open_office();
    let plain = json!({"description": "3 < 4 & more"});
    let html = json!({"description": "<b>3</b> off", "is_description_plain_text": false});
    shop.create(with(code("PLAIN"), plain));
    shop.create(with(code("HTML"), html));
    let list = shop.partners_answer(&shop.partners_key(1)).json();
    let rows = list["coupon_codes"].as_array().unwrap();
    assert_eq!(rows[0]["description"], "3 < 4 & more");
    assert_eq!(rows[0]["is_description_plain_text"], true);
    assert_eq!(rows[1]["description"], "<b>3</b> off");
    assert_eq!(rows[1]["is_description_plain_text"], false);
}

#[test]
fn duplicate_codes_are_allowed_across_different_offers_but_not_across_different_partners() {
    let shop = open_office();
    shop.create(on("SAME", 1, 1));
    assert_eq!(shop.try_create(on("same", 2, 1)), 200);
    assert_eq!(shop.try_create(on("same", 3, 2)), 409);
}

#[test]
fn individual_and_bulk_codes_can_be_created_without_assigning_them_to_a_partner() {
    let shop = open_office();
    assert_eq!(shop.create(on("ALONE", 1, 0))["network_affiliate_id"], 0);
    let rows = json!([on("BULK1", 1, 0), on("BULK2", 2, 0)]);
    let made = shop.network.done("POST", "couponcodes/bulk", rows);
    assert_eq!(made["coupon_codes"].as_array().unwrap().len(), 2);
    let pattern = json!({
        "pattern": "GEN####", "count": 3, "network_offer_id": 1, "coupon_status": "active",
    });
    let made = shop.network.done("POST", "couponcodes/generate", pattern);
    assert_eq!(made["coupon_codes"].as_array().unwrap().len(), 3);
}

// How the coupon code works.

#[test]
fn a_tracking_url_redirects_users_to_the_base_destination_url() {
    let shop = open();
    let made = shop.live(code("GOTO"));
    let answer = shop.follow(&made["tracking_link"]);
    assert_eq!((answer.status, answer.location()), (302, "https://shop.example/jackets"));
}

#[test]
fn when_you_create_a_code_a_tracking_url_with_that_code_is_created_automatically() {
    let shop = open_office();
    let made = shop.create(code("Insta1"));
    let expected = format!("http://{}/Insta1/", shop.network.visitors);
    assert_eq!(made["tracking_link"], expected);
}

#[test]
fn whenever_a_user_visits_that_url_they_are_tracked_as_a_click() {
    let shop = open();
    let made = shop.live(code("CLICKME"));
    for _ in 0..3 {
        shop.follow(&made["tracking_link"]);
    }
    let clicks = shop.clicks(3);
    assert!(clicks.iter().all(|click| click["coupon_code"] == "CLICKME"), "{clicks:?}");
}

#[test]
fn performance_is_tracked_to_the_partner_and_offer_assigned_to_that_code() {
    let shop = open();
    let made = shop.live(on("MINE2", 3, 2));
    shop.follow(&made["tracking_link"]);
    let click = &shop.clicks(1)[0];
    assert_eq!(click["relationship"]["offer"]["network_offer_id"], 3);
    assert_eq!(click["relationship"]["affiliate"]["network_affiliate_id"], 2);
}

#[test]
fn insta1_and_snapdog_of_partners_1_and_2_lead_to_one_destination_and_are_told_apart() {
    let shop = open();
    let insta = shop.live(on("insta1", 1, 1));
    let snap = shop.live(on("snapdog", 1, 2));
    let first = shop.follow(&insta["tracking_link"]);
    let second = shop.follow(&snap["tracking_link"]);
    assert_eq!(first.location(), "https://shop.example/jackets");
    assert_eq!(first.location(), second.location());
    let clicks = shop.clicks(2);
    for (code, partner) in [("insta1", 1), ("snapdog", 2)] {
        let click = clicks.iter().find(|click| click["coupon_code"] == code).unwrap();
        assert_eq!(click["relationship"]["affiliate"]["network_affiliate_id"], partner);
    }
}

// Formatting rules.

#[test]
fn a_code_must_be_more_than_2_characters() {
    let shop = open_office();
    assert_eq!(shop.try_create(code("ab")), 400);
    assert_eq!(shop.try_create(code("abc")), 200);
}

#[test]
fn only_alphanumeric_characters_are_allowed() {
    let shop = open_office();
    for wrong in ["SAVE-20", "SAVE_20", "SAVE.20", "SAVE%20", "SAVE/20", "caf\u{e9}1", "SAVE+"] {
        assert_eq!(shop.try_create(code(wrong)), 400, "{wrong}");
    }
    assert_eq!(shop.try_create(code("Save20")), 200);
}

#[test]
fn no_spaces() {
    let shop = open_office();
    for wrong in ["SAVE 20", " SAVE20", "SAVE20 ", "SAVE\t20", "SAVE\u{a0}20"] {
        assert_eq!(shop.try_create(code(wrong)), 400, "{wrong:?}");
    }
}

#[test]
fn not_case_sensitive() {
    let shop = open();
    shop.live(code("MiXeD"));
    for target in ["/MiXeD/", "/mixed", "/MIXED", "/mIxEd/"] {
        assert_eq!(shop.network.visit(target).status, 302, "{target}");
    }
    assert_eq!(shop.try_create(code("mixed")), 409);
}

// The fields of a code.

#[test]
fn a_code_is_active_or_inactive() {
    let shop = open();
    let made = shop.live(code("ONOFF"));
    assert_eq!(shop.network.visit("/onoff").status, 302);
    shop.patch(id(&made), json!({"coupon_status": "inactive"}));
    assert_eq!(shop.network.visit("/onoff").status, 404);
    shop.patch(id(&made), json!({"coupon_status": "active"}));
    assert_eq!(shop.network.visit("/onoff").status, 302);
}

#[test]
fn a_code_is_associated_with_an_offer_and_a_partner_that_exist() {
    let shop = open_office();
    assert_eq!(shop.try_create(on("OFFER9", 9, 1)), 400);
    assert_eq!(shop.try_create(on("PARTNER9", 1, 9)), 400);
    let made = shop.create(on("RIGHT", 2, 2));
    assert_eq!((&made["network_offer_id"], &made["network_affiliate_id"]), (&json!(2), &json!(2)));
}

#[test]
fn without_a_start_or_end_date_the_code_is_honored_indefinitely() {
    let shop = open();
    let made = shop.live(code("ALWAYS"));
    assert_eq!((&made["start_date"], &made["end_date"]), (&json!(""), &json!("")));
    assert_eq!(shop.network.visit("/always").status, 302);
    for time in ["2001-01-01T00:00:00Z", "2170-01-01T00:00:00Z"] {
        let visit = json!({"code": "always", "time": time});
        assert_eq!(shop.network.done("POST", "explain", visit)["reason"], "redirected", "{time}");
    }
}

#[test]
fn with_dates_the_url_only_functions_as_a_tracking_link_between_those_dates() {
    let shop = open();
    let dates = |start: &str, end: &str| json!({"start_date": start, "end_date": end});
    shop.live(with(code("PAST"), dates("", &day(-2))));
    shop.live(with(code("FUTURE"), dates(&day(2), "")));
    shop.live(with(code("NOW"), dates(&day(-1), &day(1))));
    for (target, status) in [("/past", 404), ("/future", 404), ("/now", 302)] {
        assert_eq!(shop.network.visit(target).status, status, "{target}");
    }
}

// Duplicate coupon codes.

#[test]
fn thebestdeal2012_of_partner_1_cannot_be_created_for_partner_2() {
    let shop = open_office();
    shop.create(on("thebestdeal2012", 1, 1));
    let refused = shop.network.call("POST", "couponcodes", Some(on("thebestdeal2012", 2, 2)));
    assert_eq!(refused.status, 409);
    let sentence = refused.json()["error"].to_string();
    assert!(sentence.contains("thebestdeal2012") && sentence.contains("Partner 1"), "{sentence}");
}

#[test]
fn thebestdeal2012_can_be_applied_for_offers_1_2_and_3_of_partner_1() {
    let shop = open();
    for number in 1..=3 {
        shop.live(on("thebestdeal2012", number, 1));
    }
    for (number, name) in [(1, "jackets"), (2, "pants"), (3, "shoes")] {
        let made = shop.read(number);
        let link = format!("http://{}/thebestdeal2012/?oid={number}", shop.network.visitors);
        assert_eq!(made["tracking_link"], link);
        let answer = shop.follow(&made["tracking_link"]);
        assert_eq!(answer.location(), format!("https://shop.example/{name}"));
    }
}

// Unassigned partner coupon codes.

#[test]
fn codes_without_a_partner_cannot_be_used_until_one_is_assigned() {
    let shop = open();
    let made = shop.live(on("LATER", 1, 0));
    assert_eq!(made["tracking_link"], "");
    assert_eq!(shop.network.visit("/later").status, 404);
    assert!(shop.partners_codes(&shop.partners_key(1)).is_empty());
}

#[test]
fn unassigned_codes_can_be_assigned_to_a_partner_at_a_later_time() {
    let shop = open();
    let made = shop.live(on("LATER", 1, 0));
    let assigned = shop.patch(id(&made), json!({"network_affiliate_id": 2}));
    let answer = shop.follow(&assigned["tracking_link"]);
    assert_eq!(answer.location(), "https://shop.example/jackets");
    assert_eq!(shop.partners_codes(&shop.partners_key(2)), ["LATER"]);
}

#[test]
fn generated_codes_can_be_made_in_bulk_and_assigned_later() {
    let shop = open();
    let pattern = json!({
        "pattern": "GEN######", "count": 50, "network_offer_id": 2, "coupon_status": "active",
    });
    let made = shop.network.done("POST", "couponcodes/generate?wait=live", pattern);
    let rows = made["coupon_codes"].as_array().unwrap();
    assert_eq!(rows.len(), 50);
    assert!(rows.iter().all(|row| row["tracking_link_unavailable_reason"] == "unassigned"));
    let assigned = shop.patch(id(&rows[7]), json!({"network_affiliate_id": 1}));
    assert_eq!(shop.follow(&assigned["tracking_link"]).location(), "https://shop.example/pants");
}

// Status of several codes.

#[test]
fn the_status_of_several_coupon_codes_can_be_updated_in_bulk() {
    let shop = open();
    let ids: Vec<u64> = ["SELECT1", "SELECT2", "OTHER"].map(|c| id(&shop.live(code(c)))).into();
    let wanted = json!({"network_coupon_code_ids": &ids[..2], "coupon_status": "paused"});
    let answer = shop.network.done("PATCH", "couponcodes/status?wait=live", wanted);
    assert_eq!(answer["changed_count"], 2);
    for (target, status) in [("/select1", 404), ("/select2", 404), ("/other", 302)] {
        assert_eq!(shop.network.visit(target).status, status, "{target}");
    }
}

// Tracking URLs.

#[test]
fn no_tracking_url_is_available_for_codes_with_unassigned_partners() {
    let shop = open_office();
    let made = shop.create(on("GREYED", 1, 0));
    assert_eq!(
        (&made["tracking_link"], &made["tracking_link_unavailable_reason"]),
        (&json!(""), &json!("unassigned"))
    );
}

#[test]
fn no_tracking_url_is_available_if_the_code_is_not_formatted_correctly() {
    let shop = open();
    let made = shop.live(with(code("SAVE-20"), json!({"conversion_only": true})));
    assert_eq!(
        (&made["tracking_link"], &made["tracking_link_unavailable_reason"]),
        (&json!(""), &json!("not_url_safe"))
    );
    assert_eq!(shop.network.visit("/SAVE-20").status, 404);
}

// Reporting.

#[test]
fn the_click_report_has_the_coupon_code_column() {
    let shop = open();
    let made = shop.live(code("COLUMN"));
    shop.follow(&made["tracking_link"]);
    assert_eq!(shop.clicks(1)[0]["coupon_code"], "COLUMN");
}

#[test]
fn offer_partner_and_advertiser_reports_can_be_broken_down_by_coupon_code() {
    let shop = open();
    let one = shop.live(on("FIRST", 1, 1));
    let two = shop.live(on("SECOND", 2, 2));
    shop.follow(&one["tracking_link"]);
    shop.follow(&two["tracking_link"]);
    shop.follow(&two["tracking_link"]);
    shop.clicks(3);
    for column in ["offer", "affiliate", "advertiser"] {
        let query = json!({
            "from": day(-1), "to": day(1), "timezone": "UTC",
            "columns": [{"column": column}, {"column": "coupon_code"}],
        });
        let report = wait_for("the report", || {
            let report = shop.network.done("POST", "reporting/entity", query.clone());
            (report["summary"]["gross_click"] == 3).then_some(report)
        });
        let mut rows: Vec<(String, u64)> = report["table"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let columns = row["columns"].as_array().unwrap();
                let code = columns.iter().find(|c| c["column_type"] == "coupon_code").unwrap();
                (
                    code["label"].as_str().unwrap().to_owned(),
                    row["reporting"]["gross_click"].as_u64().unwrap(),
                )
            })
            .collect();
        rows.sort();
        assert_eq!(rows, [("FIRST".into(), 1), ("SECOND".into(), 2)], "{column}");
    }
}

// Partner access.

#[test]
fn once_a_code_exists_for_an_offer_a_partner_is_approved_for_he_can_access_its_tracking_url() {
    let shop = open();
    let key = shop.partners_key(1);
    let private = with(offer("Private"), json!({"visibility": "require_approval"}));
    let number = shop.network.done("POST", "offers", private)["network_offer_id"].clone();
    let number = u32::try_from(number.as_u64().unwrap()).unwrap();
    shop.live(on("APPROVED", number, 1));
    assert!(shop.partners_codes(&key).is_empty());
    assert_eq!(shop.network.visit("/approved").status, 404);
    let said = json!({"network_offer_ids": [number], "status": "visible"});
    shop.network.done("PATCH", "affiliates/1/offers/visibility?wait=live", said);
    let list = shop.partners_answer(&key).json();
    let answer = shop.follow(&list["coupon_codes"][0]["tracking_link"]);
    assert_eq!(answer.location(), "https://shop.example/private");
}

// Frequently asked questions.

#[test]
fn you_need_not_set_up_these_urls_they_are_on_top_of_your_existing_tracking_domain() {
    let shop = open();
    for target in ["/fresh", "/fresh/"] {
        assert_eq!(shop.network.visit(target).status, 404);
    }
    shop.live(code("FRESH"));
    for target in ["/fresh", "/fresh/"] {
        assert_eq!(shop.network.visit(target).location(), "https://shop.example/jackets");
    }
}
