//! Traffic controls on the real daemon: real visits, compared with `explain` and with the click
//! report.

use serde_json::{Value, json};

use crate::programs::{Network, Program, wait_for};

/// Two programs, and offers A and B of one advertiser, each with partners P and Q.
struct Controlled {
    network: Network,
    offers: [u64; 2],
    partners: [u64; 2],
    /// Error codes of the visits so far.
    expected: Vec<u64>,
    _programs: [Program; 2],
}

impl Controlled {
    fn start() -> Controlled {
        let network = Network::new();
        let programs = [network.start_admin(), network.start_daemon()];
        let winter = network.create_winter25();
        network.done("PATCH", "settings", json!({"time_zone": "Europe/Berlin"}));
        let offer = json!({
            "name": "B", "offer_status": "active", "visibility": "public",
            "network_advertiser_id": 1, "destination_url": "https://b.example/",
        });
        let b = network.done("POST", "offers", offer)["network_offer_id"].as_u64().unwrap();
        let q = json!({"name": "Q", "account_status": "active"});
        let q = network.done("POST", "affiliates", q)["network_affiliate_id"].as_u64().unwrap();
        let controlled = Controlled {
            network,
            offers: [winter.offer, b],
            partners: [winter.partner, q],
            expected: Vec::new(),
            _programs: programs,
        };
        let ([a, b], [p, q]) = (controlled.offers, controlled.partners);
        controlled.add_code("ANNAS", a, p);
        controlled.add_code("BENS", a, q);
        // The same code on both offers.
        controlled.add_code("BOTH", a, p);
        controlled.add_code("BOTH", b, p);
        controlled
    }

    fn add_code(&self, code: &str, offer: u64, partner: u64) {
        let code = json!({
            "coupon_code": code, "coupon_status": "active", "network_offer_id": offer,
            "network_affiliate_id": partner,
        });
        self.network.done("POST", "couponcodes?wait=live", code);
    }

    /// Creates a blacklist of the source `BAD` for offer A and all partners, with other fields.
    fn add_control(&self, over: Value) -> u64 {
        let mut control = json!({
            "name": "Bad sources", "status": "active", "control_type": "blacklist",
            "variables": ["source_id"], "values": ["BAD"], "network_offer_ids": [self.offers[0]],
            "is_apply_all_affiliates": true,
        });
        control.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        let made = self.network.done("POST", "trafficcontrols?wait=live", control);
        made["network_traffic_control_id"].as_u64().unwrap()
    }

    fn set(&self, control: u64, over: Value) {
        let path = format!("trafficcontrols/{control}?wait=live");
        self.network.done("PATCH", &path, over);
    }

    /// Visits a code. Returns the host that the visit is led to, or the error code that `explain`
    /// has for it; both must agree, and the click report has to, too.
    fn visit(&mut self, code: &str, query: &str) -> String {
        let mark = self.expected.len().to_string();
        let query = format!("{query}&sub5={mark}");
        let answer = self.network.visit(&format!("/{code}/?{query}"));
        let visit = json!({"code": code, "query": query, "user_agent": "", "ip": "127.0.0.1"});
        let explained = self.network.done("POST", "explain", visit);
        let mut refused = explained["rules"].as_array().unwrap().iter();
        let refused = refused.find(|rule| rule["verdict"] == "refused");
        let (seen, error_code) = match answer.status {
            302 => {
                let host = |address: &str| address.split('/').nth(2).unwrap().to_owned();
                let led_to = host(explained["location"].as_str().unwrap());
                assert_eq!(led_to, host(answer.location()), "{code} {query}");
                (led_to, 0)
            }
            status => {
                assert_eq!((status, answer.location()), (404, ""), "{code} {query}");
                let rule = refused.unwrap_or_else(|| panic!("{code} {query}: {explained}"));
                assert_eq!(rule["kind"], "traffic_control", "{code} {query}: {explained}");
                let error_code = rule["error_code"].as_u64().unwrap();
                (error_code.to_string(), error_code)
            }
        };
        self.expected.push(error_code);
        seen
    }

    /// Checks that the click report has the error codes of all visits.
    fn check_clicks(&self) {
        let clicks = wait_for("all clicks", || {
            Some(self.network.clicks()).filter(|clicks| clicks.len() == self.expected.len())
        });
        for click in clicks {
            let mark: usize = click["sub5"].as_str().unwrap().parse().unwrap();
            assert_eq!(click["error_code"], self.expected[mark], "{click}");
            let name = if self.expected[mark] == 0 { "" } else { "Bad sources" };
            assert_eq!(click["rule_name"], name, "{click}");
        }
    }
}

fn day_from_today(days: i32) -> String {
    let now = jiff::Timestamp::now().in_tz("Europe/Berlin").unwrap();
    now.date().checked_add(jiff::Span::new().days(days)).unwrap().to_string()
}

const A: &str = "shop.example";
const B: &str = "b.example";

/// Cases 72, 43 and 74 of the specification.
#[test]
fn a_blacklist_refuses_its_values_on_its_days_and_no_other_offer_stands_in() {
    let mut controlled = Controlled::start();
    let control = controlled.add_control(json!({}));
    for (query, expected) in [
        ("source_id=bad", "24"),
        ("source_id=BAD", "24"),
        ("source_id=b%61d", "24"),
        ("source_id=bad%31", A),
        ("source_id=xbad", A),
        ("source_id=%FFbad", A),
        ("sub1=bad", A),
        ("", A),
    ] {
        assert_eq!(controlled.visit("ANNAS", query), expected, "{query}");
    }
    // Offer B would take the visit.
    assert_eq!(controlled.visit("BOTH", "source_id=bad"), "24");
    assert_eq!(controlled.visit("BOTH", &format!("source_id=bad&oid={}", controlled.offers[1])), B);
    for (over, expected) in [
        (json!({"date_valid_to": day_from_today(-1)}), A),
        (json!({"date_valid_from": day_from_today(2), "date_valid_to": ""}), A),
        (json!({"date_valid_from": day_from_today(-1), "date_valid_to": day_from_today(1)}), "24"),
        (json!({"status": "inactive"}), A),
        (json!({"status": "active", "network_offer_ids": [], "network_advertiser_ids": [1]}), "24"),
        (json!({"comparison_method": "starts_with", "values": ["ba"]}), "24"),
        (json!({"comparison_method": "ends_with"}), A),
        (json!({"comparison_method": "contains", "values": ["A"]}), "24"),
        (json!({"comparison_method": "does_not_contain"}), A),
        (json!({"comparison_method": "not_present"}), A),
        (json!({"variables": ["source_id", "sub2"]}), "24"),
    ] {
        controlled.set(control, over.clone());
        assert_eq!(controlled.visit("ANNAS", "source_id=bad"), expected, "{over}");
    }
    controlled.network.done("DELETE", &format!("trafficcontrols/{control}?wait=live"), Value::Null);
    assert_eq!(controlled.visit("ANNAS", "source_id=bad"), A);
    controlled.check_clicks();
}

/// Case 73.
#[test]
fn a_whitelist_refuses_what_is_not_on_it_and_a_blacklist_beats_it() {
    let mut controlled = Controlled::start();
    controlled.add_control(json!({
        "control_type": "whitelist", "variables": ["sub1"], "values": ["a", "b"],
    }));
    for (query, expected) in [("sub1=b", A), ("sub1=B", A), ("sub1=c", "24"), ("", "24")] {
        assert_eq!(controlled.visit("ANNAS", query), expected, "{query}");
    }
    controlled.add_control(json!({}));
    assert_eq!(controlled.visit("ANNAS", "sub1=b&source_id=bad"), "24");
    assert_eq!(controlled.visit("ANNAS", "sub1=b&source_id=good"), A);
    controlled.check_clicks();
}

/// Case 75.
#[test]
fn a_control_of_one_partner_is_for_all_offers_and_no_other_partner() {
    let mut controlled = Controlled::start();
    let [p, _] = controlled.partners;
    controlled.add_control(json!({
        "is_apply_all_offers": true, "network_offer_ids": [], "is_apply_all_affiliates": false,
        "network_affiliate_ids": [p],
    }));
    assert_eq!(controlled.visit("ANNAS", "source_id=bad"), "24");
    assert_eq!(controlled.visit("BENS", "source_id=bad"), A);
    let on_b = format!("source_id=bad&oid={}", controlled.offers[1]);
    assert_eq!(controlled.visit("BOTH", &on_b), "24");
    controlled.check_clicks();
}

/// Rows 2 and 3 of the order of checks.
#[test]
fn blocked_addresses_and_filters_of_an_offer_refuse_visits_on_every_way() {
    let controlled = Controlled::start();
    let network = &controlled.network;
    let a = format!("offers/{}?wait=live", controlled.offers[0]);
    let filters = json!([
        {"action": "block", "match_type": "exact_match", "parameter": "sub2", "value": "Bad"},
        {"match_type": "starts_with", "parameter": "source_id", "value": "x"},
    ]);
    let saved = network.done("PATCH", &a, json!({"traffic_filters": filters}));
    assert_eq!(saved["traffic_filters"][0], filters[0]);
    assert_eq!(saved["traffic_filters"][1]["action"], "block");
    let wrong = json!({"traffic_filters": [
        {"match_type": "exact_match", "parameter": "sub1"},
        {"match_type": "not_present", "parameter": "sub1", "value": "x"},
    ]});
    let refused = network.call("PATCH", &a, Some(wrong)).json();
    let fields = ["traffic_filters[0].value", "traffic_filters[1].value"];
    assert_eq!([0, 1].map(|at| refused["fields"][at]["field"].clone()), fields);
    let mut expected = Vec::new();
    // A visit of the code that also stands on offer B.
    let mut visit = |query: &str, kind: &str, error_code: u64| {
        let answer = network.visit(&format!("/BOTH/?{query}"));
        assert_eq!(answer.status, if error_code == 0 { 302 } else { 404 }, "{query}");
        let visit = json!({"code": "BOTH", "query": query, "ip": "127.0.0.1"});
        let explained = network.done("POST", "explain", visit);
        assert_eq!(explained["status"], answer.status, "{query}: {explained}");
        let mut rules = explained["rules"].as_array().unwrap().iter();
        let refused = rules.find(|rule| rule["verdict"] == "refused");
        let refused = refused.map(|rule| (rule["kind"].clone(), rule["error_code"].clone()));
        let wanted = (error_code != 0).then(|| (json!(kind), json!(error_code)));
        assert_eq!(refused, wanted, "{query}: {explained}");
        expected.push(error_code);
    };
    visit("sub2=bad", "traffic_filter", 102);
    visit("source_id=xy", "traffic_filter", 106);
    visit("sub1=bad&sub2=good", "", 0);
    let block = |list: Value| {
        network.done("PATCH", "settings?wait=live", json!({"ip_blocklist": list}));
    };
    block(json!(["127.0.0.0/8", "2001:db8::/32"]));
    visit("", "ip_blocklist", 15);
    let event = |path: &str| {
        let query = format!("{path}?oid={}&affid=1", controlled.offers[1]);
        network.visit(&query).json()["transaction_id"].clone()
    };
    assert_eq!(event("/sdk/click"), "");
    assert_ne!(event("/clk"), "");
    expected.extend([15, 0]);
    block(json!([]));
    assert_ne!(event("/sdk/click"), "");
    expected.push(0);
    let mut seen = wait_for("all clicks", || {
        let clicks = network.clicks();
        let codes = clicks.iter().map(|click| click["error_code"].as_u64().unwrap());
        Some(codes.collect::<Vec<_>>()).filter(|codes| codes.len() == expected.len())
    });
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}
