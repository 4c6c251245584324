//! Webhooks: real caps, rules, sales and codes, told to a receiver that checks signatures.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use coupon_admin::webhooks::signature::signatures;
use serde_json::{Value, json};

use crate::http;
use crate::programs::{Codes, Network, Program, wait_for};

const SETTINGS: [(&str, &str); 2] = [
    ("COUPON_ADMIN_PIXELS_ALLOWED_NETWORKS", "127.0.0.0/8"),
    ("COUPON_ADMIN_PIXELS_FIRST_RETRY_MS", "100"),
];

/// All messages that came.
#[derive(Default)]
struct Received {
    accepts: AtomicBool,
    messages: Mutex<Vec<Message>>,
}

#[derive(Clone)]
struct Message {
    head: BTreeMap<String, String>,
    body: String,
    was_accepted: bool,
}

impl Received {
    /// The data of accepted messages of a type, each message once.
    fn accepted(&self, kind: &str) -> Vec<Value> {
        let messages = self.messages.lock().unwrap();
        let accepted = messages.iter().filter(|message| message.was_accepted);
        let parsed = accepted.map(|message| serde_json::from_str::<Value>(&message.body).unwrap());
        let once: BTreeMap<String, Value> = parsed
            .filter(|message| message["type"] == kind)
            .map(|message| (message["id"].to_string(), message["data"].clone()))
            .collect();
        once.into_values().collect()
    }

    fn wait_for(&self, kind: &str) -> Value {
        wait_for(kind, || self.accepted(kind).pop())
    }
}

fn receive(received: &Arc<Received>) -> u16 {
    // The tracking domain is 127.0.0.1, where nothing is sent.
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Arc::clone(received);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let received = Arc::clone(&received);
            std::thread::spawn(move || answer(connection.unwrap(), &received));
        }
    });
    port
}

/// Answers requests until the peer disconnects.
fn answer(mut connection: TcpStream, received: &Received) -> Option<()> {
    loop {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            connection.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let head: BTreeMap<String, String> =
            lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut body = vec![0; head["content-length"].parse().ok()?];
        connection.read_exact(&mut body).ok()?;
        let was_accepted = received.accepts.load(Ordering::SeqCst);
        let body = String::from_utf8(body).ok()?;
        received.messages.lock().unwrap().push(Message { head, body, was_accepted });
        let status = if was_accepted { 200 } else { 500 };
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        connection.write_all(answer.as_bytes()).ok()?;
    }
}

struct Shop {
    network: Network,
    codes: Codes,
    admin: Program,
    _daemon: Program,
}

impl Shop {
    fn start() -> Shop {
        let network = Network::new();
        let admin = network.start_admin_with(&SETTINGS);
        let daemon = network.start_daemon_with(&[("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8")]);
        let codes = network.create_winter25();
        Shop { network, codes, admin, _daemon: daemon }
    }

    fn visit(&self, visitors: std::ops::Range<u32>, query: &str) {
        let to = self.network.visitors;
        for visitor in visitors {
            let address = Ipv4Addr::from(0x0a00_0000 + visitor);
            let request = format!(
                "GET /WINTER25?{query} HTTP/1.1\r\nHost: {to}\r\nX-Forwarded-For: {address}\r\n\
                 User-Agent: Mozilla/5.0 (X11; Linux)\r\nConnection: close\r\n\r\n"
            );
            http::send(to, &request).unwrap();
        }
    }

    fn set_offer(&self, fields: Value) {
        self.network.done("PATCH", &format!("offers/{}?wait=live", self.codes.offer), fields);
    }
}

#[test]
fn caps_rules_sales_and_codes_are_told_signed_and_over_a_kill() {
    let mut shop = Shop::start();
    let received = Arc::<Received>::default();
    let port = receive(&received);
    let webhook = json!({"name": "All", "url": format!("http://127.0.0.2:{port}/hook"),
        "webhook_status": "active"});
    let made = shop.network.done("POST", "webhooks", webhook);

    // At nine of ten clicks the alert is told, once, and survives a kill before it arrives.
    shop.set_offer(json!({"is_caps_enabled": true, "daily_click_cap": 10}));
    shop.visit(0..8, "");
    wait_for("the clicks", || (shop.network.gross_clicks() == 8).then_some(()));
    let was_told = || {
        let messages = received.messages.lock().unwrap();
        messages.iter().any(|message| message.body.contains("cap.near"))
    };
    assert!(!was_told());
    shop.visit(8..9, "");
    wait_for("a refused message", || was_told().then_some(()));
    shop.admin.kill();
    received.accepts.store(true, Ordering::SeqCst);
    shop.admin = shop.network.start_admin_with(&SETTINGS);
    let near = received.wait_for("cap.near");
    let expected = json!({
        "network_offer_id": shop.codes.offer, "metric": "click", "period": "daily", "used": 9,
        "limit": 10, "is_soft_cap": false, "from": near["from"], "to": near["to"],
    });
    assert_eq!(near, expected);
    shop.visit(9..12, "");
    assert_eq!(received.wait_for("cap.reached")["used"], 10);
    shop.set_offer(json!({"is_caps_enabled": false}));

    // A rule blocks a source.
    shop.visit(100..250, "sub1=x");
    shop.visit(300..400, "source_id=BAD");
    wait_for("the clicks", || (shop.network.gross_clicks() == 262).then_some(()));
    let rule = json!({
        "name": "Watch", "rule_status": "active", "targeted_entity_type": "offer",
        "targeted_entity_ids": [shop.codes.offer], "variable": "source_id",
        "run_frequency": "1_hour", "data_lookback_window": "24_hours",
        "data_collection_threshold": {"min_clicks": 100}, "action": "block",
        "conditions": [{"metric": "cvr", "operator": "lt", "value": "0.2"}],
    });
    shop.network.done("POST", "smartswitchrules", rule);
    shop.network.done("POST", "smartswitchrules/1/runs", json!({}));
    let blocked = received.wait_for("smart_switch.blocked");
    assert_eq!((&blocked["value"], &blocked["rule_name"]), (&json!("bad"), &json!("Watch")));
    assert_eq!(blocked["network_blocked_value_id"], 1, "{blocked}");
    // The value recovers by another condition, and the rule releases it.
    let run = |rule: u32, change: Value| {
        shop.network.done("PATCH", &format!("smartswitchrules/{rule}"), change);
        shop.network.done("POST", &format!("smartswitchrules/{rule}/runs"), json!({}))
    };
    let recovered = json!({
        "unblock": {"mode": "when_recovered"},
        "conditions": [{"metric": "cvr", "operator": "gt", "value": "90"}],
    });
    run(1, recovered);
    let released = received.wait_for("smart_switch.released");
    assert_eq!((&released["value"], &released["former_status"]), (&json!("bad"), &json!("active")));
    assert_eq!(released["network_blocked_value_id"], 1);
    // The circuit breaker: 150 of 262 visits.
    let warning = json!({
        "variable": "sub1", "delay_minutes": 60, "unblock": {"mode": "manual"},
        "conditions": [{"metric": "cvr", "operator": "lt", "value": "0.2"}],
    });
    assert_eq!(run(1, warning.clone())["outcome"], "circuit_breaker");
    let withheld = received.wait_for("smart_switch.alert");
    assert_eq!(
        (&withheld["outcome"], &withheld["values_found"]),
        (&json!("circuit_breaker"), &json!(1))
    );
    assert!(withheld["reason"].as_str().unwrap().contains("above 50 %"), "{withheld}");
    // 150 of 312 visits: the value is warned.
    shop.visit(500..550, "");
    wait_for("the clicks", || (shop.network.gross_clicks() == 312).then_some(()));
    run(1, warning);
    let warned = received.wait_for("smart_switch.warned");
    assert_eq!((&warned["value"], &warned["variable"]), (&json!("x"), &json!("sub1")));
    assert!(warned["time_due"].as_i64() > Some(jiff::Timestamp::now().as_second() + 3_000));
    // A quiet rule tells alerts only.
    let quiet = json!({"is_notify_employees": false, "action": "alert", "variable": "affiliate", "delay_minutes": 0});
    shop.network.done("PATCH", "smartswitchrules/1", quiet);
    shop.network.done("POST", "smartswitchrules/1/runs", json!({}));
    wait_for("the second alert", || {
        let alerts = received.accepted("smart_switch.alert");
        alerts.iter().any(|alert| alert["action"] == "alert").then_some(())
    });

    // A code that was never clicked is sold and looked at.
    let code = json!({"coupon_code": "LEAKED", "coupon_status": "active",
        "network_offer_id": shop.codes.offer, "network_affiliate_id": shop.codes.partner});
    shop.network.done("POST", "couponcodes?wait=live", code);
    assert_eq!(received.wait_for("coupon_code.changed")["codes"], 1);
    for order in ["A-1", "A-2"] {
        shop.network.visit(&format!("/?nid=1&coupon_code=leaked&amount=5&order_id={order}"));
    }
    let created = wait_for("both sales", || {
        let created = received.accepted("conversion.created");
        (created.len() == 2).then(|| created[0].clone())
    });
    assert_eq!(
        (&created["coupon_code"], created["sale_amount"].as_f64()),
        (&json!("LEAKED"), Some(5.0))
    );
    assert_eq!(received.wait_for("code.leak_suspected")["sign"], "never_clicked");
    // One rule holds the sales of the code, another one pauses the code.
    let rule = json!({
        "name": "Leaks", "rule_status": "active", "targeted_entity_type": "network",
        "variable": "coupon_code", "run_frequency": "1_hour", "data_lookback_window": "24_hours",
        "data_collection_threshold": {"min_conversions": 2}, "action": "hold_conversions",
        "conditions": [{"metric": "clickless_share", "operator": "gte", "value": "90"}],
    });
    shop.network.done("POST", "smartswitchrules", rule.clone());
    run(2, json!({}));
    assert_eq!(received.wait_for("smart_switch.held")["value"], "leaked");
    let decision =
        json!({"conversion_ids": [created["conversion_id"]], "conversion_status": "rejected"});
    shop.network.done("PATCH", "reporting/conversions", decision);
    let changed = received.wait_for("conversion.status_changed");
    let expected = [&json!("rejected"), &json!("approved"), &created["conversion_id"]];
    assert_eq!(
        [&changed["change"], &changed["former_status"], &changed["conversion_id"]],
        expected
    );

    // Visits of the code from one address, in a network that looks at few visits.
    shop.network.done("PATCH", "settings?wait=live", json!({"address_alert_minimum": 10}));
    for _ in 0..10 {
        assert_eq!(shop.network.visit("/leaked").status, 302);
    }
    let alert = received.wait_for("traffic.one_address");
    assert_eq!(
        (&alert["coupon_code"], &alert["visits"]),
        (&json!("LEAKED"), &json!(10)),
        "{alert}"
    );
    assert_eq!((&alert["from_one_address"], &alert["percentage"]), (&json!(10), &json!(100)));
    assert!(alert["network_affiliate_id"].is_null());
    assert!(!alert.to_string().contains("127.0.0"), "{alert}");

    shop.network.done("POST", "smartswitchrules", rule);
    run(3, json!({"action": "pause_code"}));
    assert_eq!(received.wait_for("smart_switch.paused")["value"], "leaked");

    for once in [
        "cap.near",
        "cap.reached",
        "code.leak_suspected",
        "smart_switch.blocked",
        "smart_switch.released",
        "smart_switch.warned",
        "smart_switch.held",
        "smart_switch.paused",
        "traffic.one_address",
    ] {
        assert_eq!(received.accepted(once).len(), 1, "{once}");
    }
    let secret = [made["secret"].as_str().unwrap().to_owned()];
    for Message { head, body, .. } in received.messages.lock().unwrap().iter() {
        let unix_s = head["webhook-timestamp"].parse().unwrap();
        let expected = signatures(&secret, &head["webhook-id"], unix_s, body);
        assert_eq!(head["webhook-signature"], expected, "{body}");
    }
}
