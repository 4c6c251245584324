//! Where visits go that an offer forwards or refuses: real visits, compared with `explain` and with
//! the click report.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::conversions::decided;
use crate::programs::{today, wait_for};
use crate::targeting::{LONDON, MILTON, PERSON, Targeted, Visitor, country, from, include};

/// Where a visit of offer A ends.
const FALLBACK: &str = "https://fallback.example/";
const GLOBAL: &str = "https://global.example/";

/// A network with offers of one advertiser, by name, and a code on A for partner 1.
struct Offers {
    targeted: Targeted,
    ids: HashMap<&'static str, u64>,
}

impl Offers {
    fn start(names: &[&'static str]) -> Offers {
        let targeted = Targeted::start(&[]);
        targeted.network.done("PATCH", "settings", json!({"fallback_url": FALLBACK}));
        let mut offers = Offers { targeted, ids: HashMap::new() };
        for name in names {
            let id = offers.create(name, 1);
            offers.ids.insert(name, id);
        }
        let code = offers.code("CODE", "A", 1);
        offers.done("POST", "couponcodes", &code);
        offers
    }

    fn create(&self, name: &str, advertiser: u32) -> u64 {
        let offer = json!({
            "name": name, "offer_status": "active", "network_advertiser_id": advertiser,
            "destination_url": destination(name),
        });
        self.done("POST", "offers", &offer)["network_offer_id"].as_u64().unwrap()
    }

    fn code(&self, code: &str, offer: &str, partner: u32) -> Value {
        json!({
            "coupon_code": code, "coupon_status": "active", "network_offer_id": self.ids[offer],
            "network_affiliate_id": partner,
        })
    }

    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        self.targeted.network.done(method, path, body.clone())
    }

    fn edit(&self, offer: &str, change: Value) {
        self.done("PATCH", &format!("offers/{}?wait=live", self.ids[offer]), &change);
    }

    fn forward(&self, from: &str, to: &str, more: Value) {
        let mut rule = json!({
            "name": format!("{from} to {to}"), "forwarding_rule_status": "active",
            "destination_network_offer_id": self.ids[to],
        });
        for (field, value) in more.as_object().unwrap() {
            rule[field] = value.clone();
        }
        let path = format!("offers/{}/forwardingrules?wait=live", self.ids[from]);
        self.done("POST", &path, &rule);
    }

    fn redirect(&self, to: &str, more: Value) -> Value {
        let mut redirect = more;
        redirect["redirect_network_offer_id"] = self.ids[to].into();
        redirect
    }

    fn fail(&self, from: &str, routing: &str, redirects: &[Value]) {
        let change = json!({
            "is_fail_traffic_enabled": true, "redirect_internal_routing_type": routing,
            "internal_redirects": redirects,
        });
        self.edit(from, change);
    }

    /// Where a visit of a code goes, as coupond and `explain` say alike.
    fn way(&self, code: &str, visitor: Visitor) -> String {
        self.way_with(&format!("/{code}/"), code, visitor)
    }

    fn way_with(&self, target: &str, code: &str, visitor: Visitor) -> String {
        let answer = self.targeted.visit(target, &visitor);
        if target.ends_with('/') {
            let explained = self.targeted.explain(code, &visitor);
            assert_eq!(explained["location"], answer.location(), "{visitor:?}: {explained}");
        }
        answer.location().to_owned()
    }

    /// Where visits of the code from London and from Milton go.
    fn ways(&self) -> [String; 2] {
        [from(LONDON), from(MILTON)].map(|visitor| self.way("CODE", visitor))
    }

    /// The number of clicks by offer, error code and former offer.
    fn clicks(&self, visits: usize) -> HashMap<(u64, u64, u64), usize> {
        let clicks = wait_for("all clicks", || {
            Some(self.targeted.network.clicks()).filter(|clicks| clicks.len() == visits)
        });
        let mut counts = HashMap::new();
        for click in clicks {
            let offer = click["relationship"]["offer"]["network_offer_id"].as_u64().unwrap_or(0);
            let number = |field: &str| click[field].as_u64().unwrap();
            let kind = (offer, number("error_code"), number("previous_network_offer_id"));
            *counts.entry(kind).or_default() += 1;
        }
        counts
    }
}

fn destination(name: &str) -> String {
    format!("https://shop.example/{name}")
}

fn only_in(code: &str) -> Value {
    json!({"ruleset": include("countries", country(code))})
}

#[test]
fn a_refused_visitor_gets_the_first_offer_that_takes_the_visitor() {
    let offers = Offers::start(&["A", "B", "C", "D"]);
    offers.edit("A", only_in("SE"));
    assert_eq!(offers.ways(), [FALLBACK, FALLBACK]);
    // Case 46: the redirect's ruleset.
    let to_b = offers.redirect("B", only_in("US"));
    offers.fail("A", "priority", &[to_b, offers.redirect("C", json!({}))]);
    assert_eq!(offers.ways(), [destination("C"), destination("B")]);
    // Case 47: the ruleset of the redirect's offer.
    offers.edit("B", only_in("GB"));
    assert_eq!(offers.ways(), [destination("C"), destination("C")]);
    // … its forwarding is followed, and its own fail traffic is not.
    offers.edit("B", json!({"ruleset": null}));
    offers.forward("B", "D", json!({}));
    assert_eq!(offers.ways(), [destination("C"), destination("D")]);
    offers.edit("D", only_in("GB"));
    offers.fail("D", "priority", &[offers.redirect("B", json!({}))]);
    assert_eq!(offers.ways(), [destination("C"), destination("C")]);
    // Case 51: the redirect's reasons.
    let caps = offers.redirect("C", json!({"fail_reasons": ["caps", "offer_expired"]}));
    offers.fail("A", "priority", &[caps]);
    assert_eq!(offers.ways(), [FALLBACK, FALLBACK]);
    let places = offers.redirect("C", json!({"fail_reasons": ["geotargeting"]}));
    offers.fail("A", "priority", &[places]);
    assert_eq!(offers.ways(), [destination("C"), destination("C")]);
    offers.edit("A", json!({"date_live_until": "2020-01-01"}));
    assert_eq!(offers.ways(), [FALLBACK, FALLBACK]);
    offers.edit("A", json!({"is_fail_traffic_enabled": false, "date_live_until": ""}));
    assert_eq!(offers.ways(), [FALLBACK, FALLBACK]);

    let [a, b, c, d] = ["A", "B", "C", "D"].map(|name| offers.ids[name]);
    let expected = [((a, 9, 0), 6), ((a, 1, 0), 2), ((b, 0, a), 1), ((c, 0, a), 8), ((d, 0, a), 1)];
    assert_eq!(offers.clicks(18), HashMap::from(expected));
    let mut question = today();
    question["columns"] = json!([{"column": "offer"}]);
    let report = offers.done("POST", "reporting/entity", &question);
    let count = |id: u64, measure: &str| {
        let id = id.to_string();
        let is_row = |row: &&Value| row["columns"][0]["id"] == id.as_str();
        let row = report["table"].as_array().unwrap().iter().find(is_row).unwrap();
        row["reporting"][measure].clone()
    };
    assert_eq!([count(a, "fail_traffic_click"), count(a, "gross_click")], [10, 8], "{report}");
    assert_eq!([count(c, "fail_traffic_click"), count(c, "gross_click")], [0, 8], "{report}");
}

/// Case 46: the cap of the offer is the reason, and the redirect's ruleset decides who goes where.
#[test]
fn visitors_behind_a_reached_cap_go_to_the_first_redirect_that_is_for_them() {
    let offers = Offers::start(&["A", "B", "C"]);
    let to_b = offers.redirect("B", only_in("US"));
    offers.fail("A", "priority", &[to_b, offers.redirect("C", json!({}))]);
    offers.edit("A", json!({"is_caps_enabled": true, "global_click_cap": 1}));
    assert_eq!(offers.targeted.visit("/CODE/", &PERSON).location(), destination("A"));
    let visit = |address| offers.targeted.visit("/CODE/", &from(address)).location().to_owned();
    assert_eq!([LONDON, MILTON].map(visit), [destination("C"), destination("B")]);
    let [a, b, c] = ["A", "B", "C"].map(|name| offers.ids[name]);
    let expected = [((a, 0, 0), 1), ((b, 0, a), 1), ((c, 0, a), 1)];
    assert_eq!(offers.clicks(3), HashMap::from(expected));
    // `explain` knows of the reached cap once the click is counted.
    wait_for("the same way by explain", || {
        let explained = offers.targeted.explain("CODE", &from(LONDON));
        (explained["location"] == destination("C").as_str()).then_some(())
    });
    let mut question = today();
    question["columns"] = json!([{"column": "offer"}]);
    let report = offers.done("POST", "reporting/entity", &question);
    let counts = |id: u64| {
        let id = id.to_string();
        let is_row = |row: &&Value| row["columns"][0]["id"] == id.as_str();
        let row = report["table"].as_array().unwrap().iter().find(is_row).unwrap();
        ["gross_click", "fail_traffic_click"].map(|measure| row["reporting"][measure].clone())
    };
    assert_eq!([a, b, c].map(counts), [[1, 2], [1, 0], [1, 0]], "{report}");
}

#[test]
fn links_and_rules_lead_to_urls_of_an_offer_and_clicks_tell_which() {
    let offers = Offers::start(&["A", "B"]);
    let url = |offer: &str, page: &str, more: Value| {
        let mut url = more;
        url["network_offer_id"] = offers.ids[offer].into();
        url["name"] = page.into();
        url["destination_url"] = format!("https://shop.example/{page}?u={{offer_url_id}}").into();
        let made = offers.done("POST", "offerurls?wait=live", &url);
        made["network_offer_url_id"].as_u64().unwrap()
    };
    let ben = json!({"name": "Ben", "account_status": "active"});
    assert_eq!(offers.done("POST", "affiliates", &ben)["network_affiliate_id"], 2);
    let boots = url("A", "boots", json!({}));
    let of_2 = json!({"is_apply_specific_affiliates": true, "network_affiliate_ids": [2]});
    let of_2 = url("A", "of-2", of_2);
    let hats = url("B", "hats", json!({}));
    let page = |page: &str, id: u64| format!("https://shop.example/{page}?u={id}");
    let way = |target: String| offers.way_with(&target, "CODE", from(LONDON));
    assert_eq!(way(format!("/CODE/?uid={boots}")), page("boots", boots));
    assert_eq!(way(format!("/1/{}/?sub1=x&uid={boots}", offers.ids["A"])), page("boots", boots));
    for other in [of_2, hats, 999] {
        assert_eq!(way(format!("/CODE/?uid={other}")), destination("A"), "{other}");
    }
    offers.forward("A", "B", json!({"destination_network_offer_url_id": hats}));
    assert_eq!(way("/CODE/".into()), page("hats", hats));
    assert_eq!(way(format!("/CODE/?uid={boots}")), page("hats", hats));
    // A paused URL leads to its offer.
    offers.done("PATCH", &format!("offerurls/{hats}?wait=live"), &json!({"url_status": "paused"}));
    assert_eq!(way("/CODE/".into()), destination("B"));

    let clicks = wait_for("all clicks", || {
        Some(offers.targeted.network.clicks()).filter(|clicks| clicks.len() == 8)
    });
    let told = |click: &Value| {
        let name = click["offer_url"].as_str().unwrap().to_owned();
        (click["network_offer_url_id"].as_u64().unwrap(), name)
    };
    let mut told: Vec<(u64, String)> = clicks.iter().map(told).collect();
    told.sort_unstable();
    let mut expected = vec![(0, String::new()); 4];
    expected.extend([(boots, "boots".into()), (boots, "boots".into())]);
    expected.extend([(hats, "hats".into()), (hats, "hats".into())]);
    assert_eq!(told, expected);
    let network = &offers.targeted.network;
    let click = clicks.iter().find(|click| click["offer_url"] == "boots").unwrap();
    let id = click["transaction_id"].as_str().unwrap();
    assert_eq!(network.visit(&format!("/?nid=1&transaction_id={id}&amount=5")).status, 200);
    let sale = network.conversion();
    assert_eq!(
        (&sale["network_offer_url_id"], &sale["offer_url"]),
        (&json!(boots), &json!("boots"))
    );
}

#[test]
fn an_offer_forwards_only_to_offers_of_active_advertisers() {
    let offers = Offers::start(&["A", "B"]);
    offers.forward("A", "B", json!({}));
    assert_eq!(offers.ways(), [destination("B"), destination("B")]);
    for (status, expected) in [("inactive", "A"), ("active", "B")] {
        let status = json!({"account_status": status});
        offers.done("PATCH", "advertisers/1?wait=live", &status);
        assert_eq!(offers.ways(), [destination(expected), destination(expected)]);
    }
}

#[test]
fn a_code_that_does_not_run_goes_nowhere_else() {
    let offers = Offers::start(&["A", "B"]);
    offers.edit("A", only_in("US"));
    // Case 44: an offer of another advertiser does not stand in.
    let other = json!({"name": "Other", "account_status": "active"});
    let advertiser = offers.done("POST", "advertisers", &other)["network_advertiser_id"].clone();
    let foreign = offers.create("Foreign", u32::try_from(advertiser.as_u64().unwrap()).unwrap());
    let row = json!({
        "coupon_code": "CODE", "coupon_status": "active", "network_offer_id": foreign,
        "network_affiliate_id": 1,
    });
    offers.done("POST", "couponcodes?wait=live", &row);
    assert_eq!(offers.ways(), [FALLBACK.to_owned(), destination("A")]);
    // Case 45: a code that is paused, over or not begun has no fail traffic.
    offers.fail("A", "priority", &[offers.redirect("B", json!({}))]);
    assert_eq!(offers.ways(), [destination("B"), destination("A")]);
    let codes = offers.targeted.network.call("GET", "couponcodes?search=CODE", None).json();
    let set_codes = |change: &Value| {
        for code in codes["coupon_codes"].as_array().unwrap() {
            let path = format!("couponcodes/{}?wait=live", code["network_coupon_code_id"]);
            offers.done("PATCH", &path, change);
        }
    };
    for change in [
        json!({"coupon_status": "paused"}),
        json!({"coupon_status": "active", "end_date": "2020-01-01"}),
        json!({"end_date": "", "start_date": "2099-01-01"}),
    ] {
        set_codes(&change);
        assert_eq!(offers.ways(), [FALLBACK, FALLBACK], "{change}");
    }
    set_codes(&json!({"start_date": ""}));
    assert_eq!(offers.ways(), [destination("B"), destination("A")]);
}

#[test]
fn the_network_ends_fail_traffic_and_decides_about_paused_offers() {
    let offers = Offers::start(&["A", "B"]);
    offers.edit("A", only_in("SE"));
    let to_b = offers.redirect("B", only_in("US"));
    // Case 50; without a URL the fallback is left.
    offers.fail("A", "priority_global", &[to_b]);
    assert_eq!(offers.ways(), [FALLBACK.to_owned(), destination("B")]);
    let url = json!({"is_global_fail_traffic_enabled": true, "global_fail_traffic_url": GLOBAL});
    offers.done("PATCH", "settings?wait=live", &url);
    assert_eq!(offers.ways(), [GLOBAL.to_owned(), destination("B")]);
    let off = json!({"is_global_fail_traffic_enabled": false});
    offers.done("PATCH", "settings?wait=live", &off);
    assert_eq!(offers.ways(), [FALLBACK.to_owned(), destination("B")]);
    // Case 52.
    let paused = json!({"ruleset": null, "offer_status": "paused"});
    offers.edit("A", paused);
    assert_eq!(offers.ways(), [FALLBACK, FALLBACK]);
    let on = json!({"is_fail_traffic_on_paused_enabled": true});
    offers.done("PATCH", "settings?wait=live", &on);
    assert_eq!(offers.ways(), [FALLBACK.to_owned(), destination("B")]);
    let [a, b] = ["A", "B"].map(|name| offers.ids[name]);
    let expected = [((a, 9, 0), 2), ((a, 9, a), 1), ((a, 1006, 0), 3), ((b, 0, a), 4)];
    assert_eq!(offers.clicks(10), HashMap::from(expected));
}

#[test]
fn weights_divide_the_visitors_who_always_go_the_same_way() {
    let offers = Offers::start(&["A", "B", "C", "D"]);
    offers.edit("A", only_in("SE"));
    // Case 48.
    let weighted = |to: &str, weight: u32| offers.redirect(to, json!({"routing_value": weight}));
    offers.fail("A", "weight", &[weighted("B", 50), weighted("C", 25), weighted("D", 25)]);
    let addresses: Vec<String> =
        (0..2_000).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect();
    let visit = |address: &str| {
        let visitor = Visitor { address: address.to_owned().leak(), ..PERSON };
        offers.targeted.visit("/CODE/", &visitor).location().to_owned()
    };
    let ways: Vec<String> = addresses.iter().map(|address| visit(address)).collect();
    for (name, share) in [("B", 1_000), ("C", 500), ("D", 500)] {
        let count = ways.iter().filter(|way| **way == destination(name)).count();
        assert!(count.abs_diff(share) < 110, "{name}: {count}");
    }
    for (address, way) in addresses.iter().zip(&ways).take(20) {
        assert_eq!(visit(address), *way, "{address}");
        let visitor = Visitor { address: address.clone().leak(), ..PERSON };
        assert_eq!(offers.targeted.explain("CODE", &visitor)["location"], *way, "{address}");
    }
    // Case 49: only the redirects that take a visitor are drawn.
    let mut only_americans = weighted("B", 1_000_000);
    only_americans["ruleset"] = only_in("US")["ruleset"].clone();
    offers.fail("A", "weight", &[only_americans, weighted("C", 1)]);
    assert!(addresses.iter().take(50).all(|address| visit(address) == destination("C")));
    assert_eq!(offers.way("CODE", from(MILTON)), destination("B"));
}

#[test]
fn forwarding_comes_before_the_offer_and_ends() {
    let offers = Offers::start(&["A", "B", "C"]);
    // Case 53.
    offers.forward("A", "B", json!({}));
    assert_eq!(offers.ways(), [destination("B"), destination("B")]);
    offers.forward("B", "A", json!({}));
    let [london, _] = offers.ways();
    assert!([destination("A"), destination("B")].contains(&london), "{london}");
    offers.edit("B", json!({"offer_status": "paused"}));
    assert_eq!(offers.ways(), [destination("A"), destination("A")]);
    offers.edit("B", json!({"offer_status": "active"}));
    let rules = format!("offers/{}/forwardingrules", offers.ids["B"]);
    offers.targeted.network.call("DELETE", &format!("{rules}/2?wait=live"), None);
    // Case 56: the fail traffic of the offer that refused.
    offers.edit("B", only_in("SE"));
    assert_eq!(offers.ways(), [FALLBACK, FALLBACK]);
    offers.fail("B", "priority", &[offers.redirect("C", json!({}))]);
    assert_eq!(offers.ways(), [destination("C"), destination("C")]);
    // The offer in front forwards also those whom its own ruleset refuses.
    offers.edit("B", json!({"ruleset": null}));
    offers.edit("A", only_in("SE"));
    assert_eq!(offers.ways(), [destination("B"), destination("B")]);
    // Paused, it forwards only if the network says so.
    offers.edit("A", json!({"offer_status": "paused"}));
    assert_eq!(offers.ways(), [FALLBACK, FALLBACK]);
    let on = json!({"is_fail_traffic_on_paused_enabled": true});
    offers.done("PATCH", "settings?wait=live", &on);
    assert_eq!(offers.ways(), [destination("B"), destination("B")]);
}

#[test]
fn forwarding_rules_are_for_partners_visitors_links_and_days() {
    let offers = Offers::start(&["A", "B", "C", "D"]);
    let quinn = json!({"name": "Quinn", "account_status": "active"});
    let quinn = offers.done("POST", "affiliates", &quinn)["network_affiliate_id"].clone();
    let quinn = u32::try_from(quinn.as_u64().unwrap()).unwrap();
    offers.done("POST", "couponcodes", &offers.code("QUINN", "A", quinn));
    // Case 54: the rule that names the partner comes first, though it was added later.
    offers.forward("A", "B", json!({}));
    offers.forward("A", "C", json!({"network_affiliate_ids": [quinn]}));
    let person = from(LONDON);
    assert_eq!(offers.way("CODE", person), destination("B"));
    assert_eq!(offers.way("QUINN", person), destination("C"));
    // Case 55: a destination that the partner may not run is skipped.
    let private = json!({"visibility": "private"});
    offers.edit("C", private.clone());
    assert_eq!(offers.way("QUINN", person), destination("B"));
    offers.edit("B", private);
    assert_eq!(offers.way("QUINN", person), destination("A"));
    offers.edit("B", json!({"visibility": "public"}));

    let path = format!("offers/{}/forwardingrules/1?wait=live", offers.ids["A"]);
    let rule = |change: Value| drop(offers.done("PATCH", &path, &change));
    rule(only_in("US"));
    assert_eq!(offers.ways(), [destination("A"), destination("B")]);
    // Nobody knows where this visitor is.
    assert_eq!(offers.way("CODE", PERSON), destination("A"));
    let variable = |method: &str, value: &str| {
        json!({"ruleset": null, "variables": [
            {"variable": "sub1", "comparison_method": method, "variable_value": value},
        ]})
    };
    for (method, value, sub1, expected) in [
        ("exact_match", "Summer", "summer", "B"),
        ("exact_match", "Summer", "summer2", "A"),
        ("starts_with", "sum", "SUMMER", "B"),
        ("ends_with", "er", "summer", "B"),
        ("contains", "mm", "winter", "A"),
        ("does_not_contain", "mm", "winter", "B"),
        ("does_not_match", "summer", "summer", "A"),
        ("not_present", "", "", "B"),
        ("not_present", "", "summer", "A"),
    ] {
        rule(variable(method, value));
        let target = format!("/CODE/?sub1={sub1}");
        let way = offers.way_with(&target, "CODE", person);
        assert_eq!(way, destination(expected), "{method} {value} {sub1}");
    }
    rule(json!({"variables": [], "date_valid_to": "2020-01-01"}));
    assert_eq!(offers.way("CODE", person), destination("A"));
    rule(json!({"date_valid_from": "2020-01-01", "date_valid_to": ""}));
    assert_eq!(offers.way("CODE", person), destination("B"));
    rule(json!({"date_valid_from": "2099-01-01"}));
    assert_eq!(offers.way("CODE", person), destination("A"));
    rule(json!({"date_valid_from": "", "forwarding_rule_status": "inactive"}));
    assert_eq!(offers.way("CODE", person), destination("A"));
    // Order counts among rules for the same partners.
    offers.forward("A", "D", json!({}));
    rule(json!({"forwarding_rule_status": "active"}));
    assert_eq!(offers.way("CODE", person), destination("B"));
    let order = format!("offers/{}/forwardingrules/order?wait=live", offers.ids["A"]);
    offers.done("PUT", &order, &json!({"ids": [3, 1, 2]}));
    assert_eq!(offers.way("CODE", person), destination("D"));
    let path = format!("offers/{}/forwardingrules/3?wait=live", offers.ids["A"]);
    offers.targeted.network.call("DELETE", &path, None);
    assert_eq!(offers.way("CODE", person), destination("B"));
}

#[test]
fn a_sale_belongs_to_the_offer_that_the_visitor_got() {
    let offers = Offers::start(&["A", "B"]);
    offers.edit("A", only_in("SE"));
    offers.edit("B", json!({"destination_url": "https://shop.example/B?t={transaction_id}"}));
    offers.fail("A", "priority", &[offers.redirect("B", json!({}))]);
    let network = &offers.targeted.network;
    let click = || {
        let answer = offers.targeted.visit("/CODE/", &from(LONDON));
        answer.location().split_once("t=").unwrap().1.to_owned()
    };
    // Case 79.
    for (number, named) in ["A", "B"].into_iter().enumerate() {
        let id = click();
        wait_for("the click", || (network.clicks().len() > number).then_some(()));
        let query = format!("transaction_id={id}&oid={}&amount=20", offers.ids[named]);
        let sale = decided(network, &query);
        assert_eq!(
            (&sale["status"], &sale["error_code"]),
            (&json!("approved"), &json!(0)),
            "{named}"
        );
        let path = format!("reporting/conversions/{}", sale["conversion_id"].as_str().unwrap());
        let sale = network.call("GET", &path, None).json();
        assert_eq!(sale["relationship"]["offer"]["network_offer_id"], offers.ids["B"], "{sale}");
        assert_eq!(sale.to_string().contains("which sent the visit on"), named == "A", "{sale}");
    }
    // Another offer than the two has no part in the click.
    let query = format!("transaction_id={}&oid=1&amount=20", click());
    assert_eq!(decided(network, &query)["error_code"], 14);
    // Case 78: nothing was sold through a click that was refused.
    offers.edit("A", json!({"is_fail_traffic_enabled": false}));
    assert_eq!(offers.targeted.visit("/CODE/", &from(LONDON)).location(), FALLBACK);
    let refused = wait_for("the refused click", || {
        network.clicks().into_iter().find(|click| click["error_code"] == 9)
    });
    let query = format!("transaction_id={}&amount=20", refused["transaction_id"].as_str().unwrap());
    let sale = decided(network, &query);
    assert_eq!((&sale["status"], &sale["error_code"]), (&json!("invalid"), &json!(13)), "{sale}");
}
