//! SmartSwitch: real visits and postbacks, measured by rules that block what does not convert and
//! hold the sales of leaked codes.

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::programs::{Codes, Network, Program, wait_for};

struct Watched {
    network: Network,
    codes: Codes,
    _programs: [Program; 2],
}

impl Watched {
    fn start() -> Watched {
        let network = Network::new();
        let trusted = [("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8")];
        let programs = [network.start_admin(), network.start_daemon_with(&trusted)];
        let codes = network.create_winter25();
        Watched { network, codes, _programs: programs }
    }

    /// A visit by a visitor of its own, so no visit is a duplicate.
    fn visit(&self, visitor: u32, query: &str) -> Answer {
        let to = self.network.visitors;
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + visitor);
        let request = format!(
            "GET /WINTER25?{query} HTTP/1.1\r\nHost: {to}\r\nX-Forwarded-For: {address}\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux)\r\nConnection: close\r\n\r\n"
        );
        http::send(to, &request).unwrap()
    }

    fn visits(&self, visitors: std::ops::Range<u32>, query: &str) {
        for visitor in visitors {
            let answer = self.visit(visitor, query);
            assert_eq!(answer.status, 302, "{answer:?}");
        }
    }

    fn count_clicks(&self, expected: u64) {
        wait_for("the clicks in the report", || {
            (self.network.gross_clicks() == expected).then_some(())
        });
    }

    fn create_rule(&self, over: &Value) {
        let mut rule = json!({
            "name": "Watch", "rule_status": "active", "targeted_entity_type": "offer",
            "targeted_entity_ids": [self.codes.offer], "variable": "source_id",
            "run_frequency": "1_hour", "data_lookback_window": "24_hours",
            "data_collection_threshold": {"min_clicks": 100},
            "conditions": [{"metric": "cvr", "operator": "lt", "value": "0.2"}],
            "action": "block",
        });
        rule.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        self.network.done("POST", "smartswitchrules", rule);
    }

    fn run(&self) -> Value {
        self.network.done("POST", "smartswitchrules/1/runs", json!({}))
    }

    fn blocked_values(&self) -> Vec<Value> {
        let list = self.network.call("GET", "blockedvalues", None).json();
        list["blocked_values"].as_array().unwrap().clone()
    }

    /// The error code of the newest click with this source.
    fn error_of(&self, visitor: u32) -> Value {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + visitor).to_string();
        wait_for("the click", || {
            let clicks = self.network.clicks();
            let found = clicks.iter().find(|click| click["user_ip"] == address.as_str());
            found.map(|click| click["error_code"].clone())
        })
    }
}

#[test]
fn a_source_that_never_converts_is_blocked_and_stays_open_after_an_undo() {
    let watched = Watched::start();
    // 85: visits without a source, and of what a partner calls like the hidden ones.
    watched.visits(0..150, "sub1=x");
    watched.visits(150..260, "source_id=(other)");
    watched.visits(300..399, "source_id=BAD");
    watched.count_clicks(359);
    watched.create_rule(&json!({}));
    // 83: one click too few.
    let run = watched.run();
    assert_eq!((&run["outcome"], &run["values_found"]), (&json!("done"), &json!(0)), "{run}");
    assert_eq!((watched.blocked_values().len(), &run["hidden_clicks"]), (0, &json!(110)));
    watched.visits(399..400, "source_id=bad");
    watched.count_clicks(360);
    let preview = watched.network.call("GET", "smartswitchrules/1/preview", None).json();
    assert_eq!(preview["findings"][0]["outcome"], "would_act", "{preview}");
    assert_eq!(watched.blocked_values().len(), 0);
    let run = watched.run();
    assert_eq!(
        (&run["values_found"], &run["findings"][0]["outcome"]),
        (&json!(1), &json!("acted"))
    );
    wait_for("the block to be served", || {
        (watched.visit(899, "source_id=Bad").status == 404).then_some(())
    });
    assert_eq!(watched.visit(900, "source_id=Bad").status, 404);
    assert_eq!(watched.error_of(900), 28);
    assert_eq!(watched.visit(901, "source_id=good").status, 302);
    assert_eq!(watched.visit(902, "").status, 302);
    let blocked = &watched.blocked_values()[0];
    let expected = (&json!("bad"), &json!(watched.codes.offer), &json!(watched.codes.partner));
    let scope = ("value", "network_offer_id", "network_affiliate_id");
    assert_eq!((&blocked[scope.0], &blocked[scope.1], &blocked[scope.2]), expected);
    assert_eq!(blocked["measured"][0]["clicks"], 100);
    // 85: nothing else was blocked.
    assert_eq!(watched.blocked_values().len(), 1);
    // 84: one call undoes the block, and the next run leaves the value alone.
    let released = json!({"blocked_value_status": "released"});
    watched.network.done("PATCH", "blockedvalues/1?wait=live", released.clone());
    assert_eq!(watched.visit(903, "source_id=bad").status, 302);
    // The undo makes one event, a second undo none.
    watched.network.done("PATCH", "blockedvalues/1?wait=live", released);
    let page = watched.network.call("GET", "events?types=smart_switch.released", None).json();
    let events = page["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{page}");
    let expected = json!({
        "network_smart_switch_rule_id": 1, "rule_name": blocked["rule_name"], "run_id": 0,
        "network_blocked_value_id": 1, "action": "block", "variable": "source_id", "value": "bad",
        "network_offer_id": watched.codes.offer, "network_advertiser_id": 0,
        "network_affiliate_id": watched.codes.partner, "former_status": "active",
    });
    assert_eq!(events[0]["data"], expected);
    let run = watched.run();
    assert_eq!(run["findings"][0]["outcome"], "exempt", "{run}");
    assert_eq!(watched.visit(904, "source_id=bad").status, 302);
    let audit = watched.network.call("GET", "audit?filter=object=blocked_value", None).json();
    let actions: Vec<&Value> =
        audit["audit"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["changed", "changed", "blocked"]);
}

#[test]
fn a_value_or_partner_that_a_person_blocks_is_refused_at_once() {
    let watched = Watched::start();
    let block = |variable: &str, value: &str, status: &str| {
        let value = json!({
            "variable": variable, "value": value, "blocked_value_status": status,
        });
        watched.network.done("POST", "blockedvalues?wait=live", value)
    };
    block("sub1", "Spam", "active");
    assert_eq!(watched.visit(1, "sub1=sPAM").status, 404);
    assert_eq!(watched.error_of(1), 14);
    assert_eq!(watched.visit(2, "sub1=spam2").status, 302);
    let partner = watched.codes.partner.to_string();
    let blocked = block("affiliate", &partner, "active");
    assert_eq!(watched.visit(3, "").status, 404);
    assert_eq!(watched.error_of(3), 14);
    let path = format!("blockedvalues/{}?wait=live", blocked["network_blocked_value_id"]);
    watched.network.done("PATCH", &path, json!({"blocked_value_status": "released"}));
    assert_eq!(watched.visit(4, "").status, 302);
    // An exempt value is refused by no other block.
    let of_offer = json!({
        "variable": "sub1", "value": "SPAM", "network_offer_id": watched.codes.offer,
        "blocked_value_status": "active",
    });
    watched.network.done("POST", "blockedvalues?wait=live", of_offer);
    let exempt = json!({"blocked_value_status": "exempt"});
    watched.network.done("PATCH", "blockedvalues/1?wait=live", exempt);
    assert_eq!(watched.visit(5, "sub1=spam").status, 302);
}

/// 86: nine of ten sales by a code come without a click.
#[test]
fn sales_of_a_leaked_code_are_held() {
    let watched = Watched::start();
    let sale = |query: String| {
        let request = format!(
            "GET /?nid=1&{query} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\
             Connection: close\r\n\r\n",
            watched.network.visitors
        );
        http::send(watched.network.visitors, &request).unwrap().json()
    };
    for order in 0..2 {
        let visit = watched.visit(order, "");
        let id = visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap();
        let answer = sale(format!("transaction_id={id}&coupon_code=winter25&order_id=C{order}"));
        assert_eq!(answer["status"], "approved", "{answer}");
    }
    for order in 0..18 {
        let answer = sale(format!("coupon_code=winter25&order_id={order}"));
        assert_eq!(answer["status"], "approved", "{answer}");
    }
    let conditions = json!([{"metric": "clickless_share", "operator": "gte", "value": "90"}]);
    watched.create_rule(&json!({
        "variable": "coupon_code", "action": "hold_conversions", "conditions": conditions,
        "data_collection_threshold": {"min_conversions": 20},
    }));
    let run = watched.run();
    assert_eq!(run["findings"][0]["outcome"], "acted", "{run}");
    assert_eq!(run["findings"][0]["measured"][0]["measured"], "90");
    let held = sale("coupon_code=WINTER25&order_id=20".into());
    assert_eq!((&held["status"], &held["error_code"]), (&json!("pending"), &json!(1017)), "{held}");
    // Visits go on, and so do sales after the release.
    assert_eq!(watched.visit(7, "").status, 302);
    let released = json!({"blocked_value_status": "released"});
    watched.network.done("PATCH", "blockedvalues/1", released);
    assert_eq!(sale("coupon_code=winter25&order_id=21".into())["status"], "approved");
}

#[test]
fn a_code_that_a_rule_paused_is_active_again_after_the_release() {
    let watched = Watched::start();
    watched.visits(0..100, "");
    watched.network.create_thebestcodeever(&watched.codes, [watched.codes.offer, 2]);
    // As many visits of another code, because a rule refuses at most half of an offer's.
    for visitor in 100..200 {
        let to = watched.network.visitors;
        let request = format!(
            "GET /TheBestCodeEver?oid={} HTTP/1.1\r\nHost: {to}\r\n\
             X-Forwarded-For: 10.1.0.{visitor}\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\n\
             Connection: close\r\n\r\n",
            watched.codes.offer
        );
        assert_eq!(http::send(to, &request).unwrap().status, 302);
    }
    watched.count_clicks(200);
    let path = "couponcodes/1";
    watched.create_rule(&json!({
        "variable": "coupon_code", "action": "pause_code",
        "conditions": [
            {"metric": "cvr", "operator": "lt", "value": "1"},
            {"metric": "bot_rate", "operator": "lt", "value": "1"},
        ],
    }));
    let run = watched.run();
    // Both codes have 100 visits: together they are all visits of the offer.
    assert_eq!(
        (&run["outcome"], &run["values_found"]),
        (&json!("circuit_breaker"), &json!(2)),
        "{run}"
    );
    assert_eq!(watched.network.call("GET", path, None).json()["coupon_status"], "active");
    let exempt = json!({
        "variable": "coupon_code", "value": "TheBestCodeEver", "blocked_value_status": "exempt",
    });
    watched.network.done("POST", "blockedvalues", exempt);
    assert_eq!(watched.run()["outcome"], "done");
    assert_eq!(watched.network.call("GET", path, None).json()["coupon_status"], "paused");
    let released = json!({"blocked_value_status": "released"});
    watched.network.done("PATCH", "blockedvalues/2", released);
    assert_eq!(watched.network.call("GET", path, None).json()["coupon_status"], "active");
}
