//! The offer of a visit, and the fallback of a visit without one.

use crate::http::{self, Answer};
use crate::programs::{Codes, Network, Program};
use serde_json::{Value, json};

struct Running {
    network: Network,
    codes: Codes,
    _programs: [Program; 2],
}

/// `WINTER25` on the first offer; two more offers of its advertiser and one of another.
fn start() -> Running {
    let network = Network::new();
    let programs = [network.start_admin(), network.start_daemon()];
    let codes = network.create_winter25();
    network.done("POST", "advertisers", json!({"name": "Other", "account_status": "active"}));
    for (name, advertiser) in [("second", 1), ("third", 1), ("foreign", 2)] {
        let offer = json!({
            "name": name, "offer_status": "active", "network_advertiser_id": advertiser,
            "destination_url": format!("https://{name}.example/"),
        });
        network.done("POST", "offers", offer);
    }
    Running { network, codes, _programs: programs }
}

impl Running {
    /// Puts a code on offers, in this order.
    fn put(&self, code: &str, offers: &[u64]) -> Vec<u64> {
        let rows = offers.iter().map(|offer| {
            json!({
                "coupon_code": code, "coupon_status": "active", "network_offer_id": offer,
                "network_affiliate_id": self.codes.partner,
            })
        });
        let rows: Vec<Value> = rows.collect();
        let made = self.network.done("POST", "couponcodes/bulk?wait=live", rows.into());
        let made = made["coupon_codes"].as_array().unwrap();
        made.iter().map(|row| row["network_coupon_code_id"].as_u64().unwrap()).collect()
    }

    fn edit(&self, path: &str, change: Value) {
        self.network.done("PATCH", &format!("{path}?wait=live"), change);
    }

    fn led_to(&self, target: &str) -> String {
        self.network.visit(target).location().to_owned()
    }

    fn visit_at(&self, host: &str, target: &str) -> Answer {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        http::send(self.network.visitors, &request).unwrap()
    }
}

#[test]
fn oid_picks_the_offer_and_one_the_code_is_not_on_leads_nowhere() {
    let running = start();
    running.put("many", &[2, 3]);
    for (target, expected) in [
        ("/many", "https://second.example/"),
        ("/many?oid=2", "https://second.example/"),
        ("/MANY/?sub1=x&oid=3", "https://third.example/"),
        ("/many?oid=4", ""),
        ("/many?oid=99", ""),
        ("/many?oid=x", "https://second.example/"),
        ("/many?oid=", "https://second.example/"),
    ] {
        assert_eq!(running.led_to(target), expected, "{target}");
    }
    let reasons = crate::programs::wait_for("the clicks", || {
        let clicks = running.network.clicks();
        (clicks.len() == 7).then(|| clicks.iter().filter(|c| c["error_code"] != 0).count())
    });
    assert_eq!(reasons, 2, "those that were led nowhere have a reason");
}

#[test]
fn an_oid_that_cannot_redirect_is_not_replaced_by_another_offer() {
    let running = start();
    let ids = running.put("many", &[2, 3]);
    running.edit(&format!("couponcodes/{}", ids[1]), json!({"coupon_status": "paused"}));
    assert_eq!(running.led_to("/many?oid=3"), "");
    assert_eq!(running.led_to("/many"), "https://second.example/");
}

#[test]
fn the_lowest_id_wins_and_the_next_of_the_same_advertiser_stands_in_without_an_edit_of_it() {
    let running = start();
    let ids = running.put("many", &[3, 4, 2]);
    assert_eq!(running.led_to("/many"), "https://third.example/");
    let first = format!("couponcodes/{}", ids[0]);
    for (what, off, on) in [
        (first.as_str(), json!({"coupon_status": "paused"}), json!({"coupon_status": "active"})),
        (&first, json!({"end_date": "2020-01-01"}), json!({"end_date": ""})),
        (&first, json!({"start_date": "2999-01-01"}), json!({"start_date": ""})),
        ("offers/3", json!({"offer_status": "paused"}), json!({"offer_status": "active"})),
        ("offers/3", json!({"date_live_until": "2020-01-01"}), json!({"date_live_until": ""})),
        ("offers/3", json!({"visibility": "private"}), json!({"visibility": "public"})),
    ] {
        running.edit(what, off.clone());
        assert_eq!(running.led_to("/many"), "https://second.example/", "{what} {off}");
        running.edit(what, on);
        assert_eq!(running.led_to("/many"), "https://third.example/", "{what} {off}");
    }
}

#[test]
fn an_offer_of_another_advertiser_never_stands_in() {
    let running = start();
    let ids = running.put("many", &[2, 4]);
    running.edit(&format!("couponcodes/{}", ids[0]), json!({"coupon_status": "paused"}));
    assert_eq!(running.led_to("/many"), "");
    assert_eq!(running.led_to("/many?oid=4"), "https://foreign.example/");
}

#[test]
fn visits_that_are_not_redirected_go_to_the_fallback_of_offer_domain_or_network() {
    let running = start();
    running.edit(
        &format!("couponcodes/{}", running.codes.winter25),
        json!({"coupon_status": "paused"}),
    );
    assert_eq!(running.network.visit("/winter25").status, 404);
    running.edit("settings", json!({"fallback_url": "https://network.example/"}));
    assert_eq!(running.led_to("/winter25"), "https://network.example/");
    assert_eq!(running.led_to("/nobody"), "https://network.example/");
    running.edit("trackingdomains/1", json!({"fallback_url": "https://domain.example/"}));
    assert_eq!(running.led_to("/winter25"), "https://domain.example/");
    assert_eq!(running.led_to("/nobody"), "https://domain.example/");
    let offer = format!("offers/{}", running.codes.offer);
    running.edit(&offer, json!({"fallback_url": "https://offer.example/"}));
    assert_eq!(running.led_to("/winter25"), "https://offer.example/");
    assert_eq!(running.led_to("/winter25?oid=2"), "https://domain.example/");
    assert_eq!(running.led_to("/nobody"), "https://domain.example/");
}

#[test]
fn each_tracking_domain_serves_all_codes_under_its_own_host_with_its_own_fallback() {
    let running = start();
    for (host, fallback) in
        [("promo.example", "https://promo-fallback.example/"), ("go.example", "")]
    {
        let domain = json!({"base_url": format!("https://{host}"), "fallback_url": fallback});
        running.network.done("POST", "trackingdomains?wait=live", domain);
    }
    running.edit("offers/2", json!({"network_tracking_domain_id": 2}));
    let id = running.put("onpromo", &[2])[0];
    let made = running.network.call("GET", &format!("couponcodes/{id}"), None).json();
    assert_eq!(made["tracking_link"], "https://promo.example/onpromo/");
    for host in ["promo.example", "PROMO.example:443", "go.example", "go.example:8080"] {
        let answer = running.visit_at(host, "/onpromo");
        assert_eq!(answer.location(), "https://second.example/", "{host}");
    }
    assert_eq!(
        running.visit_at("promo.example", "/no1").location(),
        "https://promo-fallback.example/"
    );
    assert_eq!(running.visit_at("go.example", "/no1").status, 404);
    let unknown = running.visit_at("elsewhere.example", "/onpromo");
    assert_eq!((unknown.status, unknown.location()), (404, ""));
}

#[test]
fn clicks_from_before_a_change_of_partner_stay_his() {
    let running = start();
    let account = json!({"name": "Ben", "account_status": "active"});
    let ben = running.network.done("POST", "affiliates", account)["network_affiliate_id"].clone();
    running.network.visit("/winter25?sub1=before");
    let code = format!("couponcodes/{}", running.codes.winter25);
    running.edit(&code, json!({"network_affiliate_id": ben}));
    running.network.visit("/winter25?sub1=after");
    let clicks = crate::programs::wait_for("both clicks", || {
        Some(running.network.clicks()).filter(|clicks| clicks.len() == 2)
    });
    for (when, partner) in [("before", json!(running.codes.partner)), ("after", ben)] {
        let click = clicks.iter().find(|click| click["sub1"] == when).unwrap();
        assert_eq!(click["relationship"]["affiliate"]["network_affiliate_id"], partner, "{when}");
    }
}

#[test]
fn a_link_without_a_code_leads_to_the_offer_and_counts_for_the_partner() {
    let running = start();
    let partner = running.codes.partner;
    running.put("wait4live", &[2]);
    for link in [format!("/{partner}/2/?sub1=held"), format!("/{partner}/2?sub1=held")] {
        assert_eq!(running.led_to(&link), "https://second.example/", "{link}");
    }
    let clicks = crate::programs::wait_for("both clicks", || {
        Some(running.network.clicks()).filter(|clicks| clicks.len() == 2)
    });
    for click in clicks {
        let related = &click["relationship"];
        assert_eq!(related["affiliate"]["network_affiliate_id"], json!(partner));
        assert_eq!(related["offer"]["network_offer_id"], 2);
        assert_eq!((&click["coupon_code"], &click["sub1"]), (&json!(""), &json!("held")));
    }
    let unknown = running.network.visit("/nobody");
    for invented in [format!("/{partner}/99/"), "/99/2/".into(), "/1/2/3".into()] {
        let answer = running.network.visit(&invented);
        assert_eq!(answer.stable_head(), unknown.stable_head(), "{invented}");
        assert_eq!(answer.body, unknown.body, "{invented}");
    }
}

#[test]
fn what_is_explained_is_what_happens() {
    let running = start();
    let ids = running.put("many", &[3, 4, 2]);
    running.edit(&format!("couponcodes/{}", ids[0]), json!({"coupon_status": "paused"}));
    let fallback = json!({"fallback_url": "https://fallback.example/"});
    running.edit("trackingdomains/1", fallback);
    let before = running.network.gross_clicks();
    let host = running.network.visitors.to_string();
    for (code, query) in [
        ("many", ""),
        ("many", "oid=2"),
        ("many", "oid=3"),
        ("many", "oid=9"),
        ("WINTER25", "sub1=a%20b"),
        ("nobody", ""),
    ] {
        let visit = json!({"code": code, "query": query, "host": host});
        let told = running.network.done("POST", "explain", visit);
        let answer = running.network.visit(&format!("/{code}?{query}"));
        assert_eq!(told["status"], answer.status, "{code}?{query}");
        let sample = told["sample_transaction_id"].as_str().unwrap();
        let location = told["location"].as_str().unwrap();
        let real = answer.location().split("t=").nth(1).and_then(|rest| rest.get(..32));
        let expected = real.map_or(location.to_owned(), |id| location.replace(sample, id));
        assert_eq!(expected, answer.location(), "{code}?{query}");
    }
    let (done, said) = running.network.explain_on_the_command_line("many");
    assert!(done && said.contains("the next of advertiser 1"), "{said}");
    // Five visits of known codes; the explanations recorded none.
    crate::programs::wait_for("the clicks", || {
        (running.network.gross_clicks() == before + 5).then_some(())
    });
}
