//! The pages of an offer's URLs, forwarding and fail traffic.

use serde_json::{Value, json};

use crate::cdp::Chromium;
use crate::http::Answer;
use crate::signed_in::Console;
use crate::structure::assert_well_formed;

const FAIL_TRAFFIC: &str = "/console/offers/1/failtraffic";
const FORWARDING: &str = "/console/offers/1/forwarding";

/// A console with offers 1, 2 (Coats) and 3 (Hats).
fn start() -> Console {
    let console = Console::start();
    console.network.create_winter25();
    for name in ["Coats", "Hats"] {
        let offer = json!({
            "name": name, "offer_status": "active", "network_advertiser_id": 1,
            "destination_url": "https://shop.example/",
        });
        console.network.done("POST", "offers", offer);
    }
    console
}

fn read(console: &Console, path: &str) -> Value {
    console.network.call("GET", path, None).json()
}

/// The entity tag in a page's form.
fn etag(console: &Console, path: &str) -> String {
    let html = console.html(path);
    let (_, rest) = html.split_once("name=\"etag\" value=\"").unwrap();
    rest.split_once("\">").unwrap().0.replace("&#34;", "\"")
}

/// Sends a form in the state that its page shows now.
fn send(console: &Console, page: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
    let etag = etag(console, page);
    console.post(to, &[fields, &[("etag", &etag)]].concat())
}

fn destinations(console: &Console) -> Vec<u64> {
    let offer = read(console, "offers/1");
    let redirects = offer["internal_redirects"].as_array().unwrap();
    redirects.iter().map(|to| to["redirect_network_offer_id"].as_u64().unwrap()).collect()
}

const TWO_REDIRECTS: [(&str, &str); 12] = [
    ("is_fail_traffic_enabled", "true"),
    ("redirect_internal_routing_type", "weight"),
    ("internal_redirects[0].redirect_network_offer_id", "2"),
    ("internal_redirects[0].routing_value", "75"),
    ("internal_redirects[0].caps", "true"),
    ("internal_redirects[0].ruleset", "Countries never: US\nDevices only: Mobile"),
    ("internal_redirects[1].redirect_network_offer_id", "3 – Hats"),
    ("internal_redirects[1].routing_value", "25"),
    ("internal_redirects[1].ruleset", ""),
    ("internal_redirects[2].redirect_network_offer_id", ""),
    ("internal_redirects[2].routing_value", ""),
    ("internal_redirects[2].ruleset", ""),
];

#[test]
fn fail_traffic_is_saved_ordered_and_removed() {
    let console = start();
    let saved = send(&console, FAIL_TRAFFIC, FAIL_TRAFFIC, &TWO_REDIRECTS);
    assert_eq!(saved.status, 303, "{}", saved.body);
    let offer = read(&console, "offers/1");
    assert_eq!(offer["is_fail_traffic_enabled"], true);
    assert_eq!(offer["redirect_internal_routing_type"], "weight");
    assert_eq!(destinations(&console), [2, 3]);
    let first = &offer["internal_redirects"][0];
    assert_eq!((&first["routing_value"], &first["fail_reasons"]), (&json!(75), &json!(["caps"])));
    assert_eq!(first["ruleset"]["countries"][0]["country_code"], "US");
    let page = console.html(FAIL_TRAFFIC);
    assert!(page.contains("Countries never: US\nDevices only: Mobile"), "{page}");
    assert!(console.html("/console/offers/1").contains("By weight; 2 redirects."));

    // Hours that the API set stay through the page.
    let mut hours = offer["internal_redirects"].clone();
    hours[1]["ruleset"]["is_block_proxy"] = json!(true);
    console.network.done("PATCH", "offers/1", json!({"internal_redirects": hours}));
    let id = |at: usize| hours[at]["network_offer_redirect_id"].to_string();
    let order = format!("{FAIL_TRAFFIC}/order");
    let moved = send(&console, FAIL_TRAFFIC, &order, &[("id", &id(1)), ("move", "up")]);
    assert_eq!(moved.status, 303, "{}", moved.body);
    assert_eq!(destinations(&console), [3, 2]);
    let page = console.html(FAIL_TRAFFIC);
    assert!(page.contains("which the API set, stay"), "{page}");
    assert!(page.contains("&#34;is_block_proxy&#34;:true"), "{page}");

    let removed = send(
        &console,
        FAIL_TRAFFIC,
        FAIL_TRAFFIC,
        &[
            ("redirect_internal_routing_type", "priority"),
            ("internal_redirects[0].network_offer_redirect_id", &id(1)),
            ("internal_redirects[0].redirect_network_offer_id", "3"),
            ("internal_redirects[0].remove", "true"),
            ("internal_redirects[1].network_offer_redirect_id", &id(0)),
            ("internal_redirects[1].redirect_network_offer_id", "2"),
        ],
    );
    assert_eq!(removed.status, 303, "{}", removed.body);
    assert_eq!(destinations(&console), [2]);
    let page = console.html("/console/offers/1");
    assert!(page.contains("Refused visitors get the fallback."), "{page}");
}

#[test]
fn wrong_fail_traffic_is_refused_at_its_inputs() {
    let console = start();
    let with = |name: &'static str, value: &'static str| {
        let mut form = TWO_REDIRECTS.to_vec();
        form.retain(|(known, _)| *known != name);
        form.push((name, value));
        send(&console, FAIL_TRAFFIC, FAIL_TRAFFIC, &form)
    };
    for (name, value, sentence) in [
        (
            "internal_redirects[0].ruleset",
            "Devices only: TV\nCountries never: UK",
            "“Countries never: UK”: country_code",
        ),
        ("internal_redirects[0].ruleset", "Germany", "“Germany” is no line of it"),
        ("internal_redirects[1].redirect_network_offer_id", "1", "is this offer itself"),
        ("internal_redirects[1].routing_value", "-5", "must be a whole number"),
    ] {
        let refused = with(name, value);
        assert_eq!(refused.status, 422, "{name}: {}", refused.body);
        assert!(refused.body.contains(&format!("id=\"{name}-error\"")), "{name}: {}", refused.body);
        let body = refused.body.replace("Country code", "country_code");
        assert!(body.contains(sentence), "{name}: {}", refused.body);
        assert!(refused.body.contains("3 – Hats"), "{}", refused.body);
    }
    assert_eq!(destinations(&console), [0; 0]);
    // Another user was faster.
    let stale = etag(&console, FAIL_TRAFFIC);
    console.network.done("PATCH", "offers/1", json!({"is_fail_traffic_enabled": true}));
    let form = [&TWO_REDIRECTS[..], &[("etag", &stale)]].concat();
    let conflict = console.post(FAIL_TRAFFIC, &form);
    assert_eq!(conflict.status, 412, "{}", conflict.body);
    assert!(conflict.body.contains("Countries never: US"), "{}", conflict.body);
}

#[test]
fn forwarding_rules_are_created_ordered_and_deleted() {
    let console = start();
    let new = format!("{FORWARDING}/new");
    let create = |name: &str, more: &[(&str, &str)]| {
        let fields = [("name", name), ("forwarding_rule_status", "active")];
        console.post(&new, &[&fields, more].concat())
    };
    let rule = [
        ("destination_network_offer_id", "2"),
        ("date_valid_from", "2026-12-01"),
        ("partners[0].network_affiliate_id", "1"),
        ("partners[1].network_affiliate_id", ""),
        ("variables[0].variable", "sub1"),
        ("variables[0].comparison_method", "starts_with"),
        ("variables[0].variable_value", "x"),
        ("variables[1].variable", ""),
        ("variables[1].comparison_method", ""),
        ("variables[1].variable_value", ""),
        ("ruleset", "Devices only: Mobile"),
    ];
    assert_eq!(create("Phones", &rule).status, 303);
    assert_eq!(create("Rest", &[("destination_network_offer_id", "3")]).status, 303);
    let saved = read(&console, "offers/1/forwardingrules");
    let first = &saved["forwarding_rules"][0];
    assert_eq!(first["network_affiliate_ids"], json!([1]));
    let variable =
        json!([{"variable": "sub1", "comparison_method": "starts_with", "variable_value": "x"}]);
    assert_eq!((&first["variables"], &first["date_valid_to"]), (&variable, &json!("")));
    assert_eq!(first["ruleset"]["device_types"][0]["name"], "Mobile");
    let page = console.html("/console/offers/1");
    assert!(page.contains("2 rules, 2 of them active."), "{page}");

    for (more, input) in [
        (&[("destination_network_offer_id", "1")][..], "destination_network_offer_id"),
        (&[("destination_network_offer_id", "2"), ("ruleset", "Sky only: blue")], "ruleset"),
        (
            &[("destination_network_offer_id", "2"), ("partners[0].network_affiliate_id", "9")],
            "partners[0].network_affiliate_id",
        ),
        (
            &[("destination_network_offer_id", "2"), ("variables[0].variable", "sub1")],
            "variables[0].variable_value",
        ),
    ] {
        let refused = create("Wrong", more);
        assert_eq!(refused.status, 422, "{input}: {}", refused.body);
        assert!(refused.body.contains(&format!("href=\"#{input}\"")), "{input}: {}", refused.body);
    }

    let order = format!("{FORWARDING}/order");
    let moved = send(&console, FORWARDING, &order, &[("id", "2"), ("move", "up")]);
    assert_eq!(moved.status, 303, "{}", moved.body);
    let page = console.html(FORWARDING);
    assert!(page.find("Rest").unwrap() < page.find("Phones").unwrap(), "{page}");
    let one = format!("{FORWARDING}/1");
    let edited = send(&console, &one, &one, &[("name", "All"), ("ruleset", "")]);
    assert_eq!(edited.status, 303, "{}", edited.body);
    let rule = read(&console, "offers/1/forwardingrules/1");
    assert_eq!((&rule["name"], &rule["ruleset"]["device_types"]), (&json!("All"), &json!([])));
    assert_eq!(console.post(&format!("{FORWARDING}/2/delete"), &[]).status, 303);
    let rules = read(&console, "offers/1/forwardingrules");
    assert_eq!(rules["forwarding_rules"].as_array().unwrap().len(), 1);
}

#[test]
fn urls_are_created_edited_used_by_rules_and_deleted() {
    let console = start();
    let urls = "/console/offers/2/urls";
    let page = "https://shop.example/boots";
    let boots = [("name", "Boots"), ("url_status", "active"), ("destination_url", page)];
    let new = format!("{urls}/new");
    let named = [
        ("is_apply_specific_affiliates", "true"),
        ("partners[0].network_affiliate_id", "1"),
        ("partners[1].network_affiliate_id", ""),
    ];
    assert_eq!(console.post(&new, &[&boots[..], &named].concat()).status, 303);
    let saved = read(&console, "offerurls/1");
    assert_eq!(
        (&saved["network_offer_id"], &saved["network_affiliate_ids"]),
        (&json!(2), &json!([1]))
    );
    assert_well_formed(&console.html(urls));
    assert_well_formed(&console.html(&new));
    let shown = console.html("/console/offers/2");
    assert!(shown.contains("1 URL, 1 of them active."), "{shown}");
    for (over, input) in [
        (&[("destination_url", "shop")][..], "destination_url"),
        (&[("is_apply_specific_affiliates", "true")], "partners[0].network_affiliate_id"),
        (&[("partners[0].network_affiliate_id", "9")], "partners[0].network_affiliate_id"),
    ] {
        let refused = console.post(&new, &[over, &boots].concat());
        assert_eq!(refused.status, 422, "{input}: {}", refused.body);
        assert!(refused.body.contains(&format!("href=\"#{input}\"")), "{input}: {}", refused.body);
    }
    let rule = [
        ("name", "On"),
        ("forwarding_rule_status", "active"),
        ("destination_network_offer_id", "2"),
        ("destination_network_offer_url_id", "1 – Boots"),
    ];
    assert_eq!(console.post(&format!("{FORWARDING}/new"), &rule).status, 303);
    let rule = read(&console, "offers/1/forwardingrules/1");
    assert_eq!(rule["destination_network_offer_url_id"], 1);
    let redirects = [
        ("is_fail_traffic_enabled", "true"),
        ("redirect_internal_routing_type", "priority"),
        ("internal_redirects[0].redirect_network_offer_id", "2"),
        ("internal_redirects[0].redirect_network_offer_url_id", "1"),
        ("internal_redirects[0].routing_value", "0"),
    ];
    assert_eq!(send(&console, FAIL_TRAFFIC, FAIL_TRAFFIC, &redirects).status, 303);
    let offer = read(&console, "offers/1");
    assert_eq!(offer["internal_redirects"][0]["redirect_network_offer_url_id"], 1);
    assert_eq!(console.post(&format!("{urls}/1/delete"), &[]).status, 409);
    let one = format!("{urls}/1");
    let paused = [("name", "Boots"), ("url_status", "paused"), ("destination_url", page)];
    assert_eq!(send(&console, &one, &one, &paused).status, 303);
    assert_eq!(read(&console, "offerurls/1")["network_affiliate_ids"], json!([]));
    console.network.done("DELETE", "offers/1/forwardingrules/1", json!({}));
    console.network.done("PATCH", "offers/1", json!({"internal_redirects": []}));
    assert_eq!(console.post(&format!("{urls}/1/delete"), &[]).status, 303);
    assert!(console.html(urls).contains("All links lead to the destination."));
}

#[test]
fn the_global_url_is_set_on_the_page_of_settings() {
    let console = start();
    let path = "/console/settings";
    let fields = [
        ("time_zone", "UTC"),
        ("currency", "USD"),
        ("is_global_fail_traffic_enabled", "true"),
        ("global_fail_traffic_url", ""),
    ];
    let refused = send(&console, path, path, &fields);
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("id=\"global_fail_traffic_url-error\""), "{}", refused.body);
    let fields = [&fields[..3], &[("global_fail_traffic_url", "https://all.example/")]].concat();
    assert_eq!(send(&console, path, path, &fields).status, 303);
    let settings = read(&console, "settings");
    assert_eq!(settings["global_fail_traffic_url"], "https://all.example/");
    assert_eq!(settings["is_fail_traffic_on_paused_enabled"], false);
}

#[test]
fn the_pages_are_well_formed_fit_a_phone_and_move_rules_with_the_keyboard() {
    let Some(chromium) = Chromium::start() else { return };
    let console = start();
    assert_eq!(send(&console, FAIL_TRAFFIC, FAIL_TRAFFIC, &TWO_REDIRECTS).status, 303);
    for (name, destination) in [("One", 2), ("Two", 3)] {
        let rule = json!({
            "name": name, "forwarding_rule_status": "active",
            "destination_network_offer_id": destination,
        });
        console.network.done("POST", "offers/1/forwardingrules", rule);
    }
    let page = console.page(&chromium, 1280);
    for path in [FAIL_TRAFFIC, FORWARDING, "/console/offers/1/forwarding/1"] {
        assert_well_formed(&console.html(path));
        for width in [1280, 360] {
            page.set_size(width, 844);
            page.goto(&console.url(path));
            page.assert_accessible();
            let fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth");
            assert_eq!(fits, true, "{path} is wider than {width}");
            page.screenshot(&format!("{}-{width}.png", path.replace('/', "-")));
        }
    }
    page.set_size(1280, 844);
    page.goto(&console.url(FORWARDING));
    let down = page.by_role("button", "Move One down");
    down.focus();
    page.press("Enter");
    page.wait_for_text("Saved, and live.");
    let rules = read(&console, "offers/1/forwardingrules");
    assert_eq!(rules["forwarding_rules"][0]["name"], "Two");
    page.assert_clean();
}
