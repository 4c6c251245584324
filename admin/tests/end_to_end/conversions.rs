//! A sale reported by the advertiser's server is attributed.

use crate::http::{self, Answer};
use crate::programs::{Network, wait_for};
use serde_json::{Value, json};

/// Offers of the published examples: the code is on both, and the order names one.
const EXAMPLE_OFFERS: [u64; 2] = [24, 448];

/// Sends a postback as an advertiser's server, and asks for JSON.
fn postback(network: &Network, query: &str) -> Answer {
    let request = format!(
        "GET /?nid=1&{query} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\
         Connection: close\r\n\r\n",
        network.visitors
    );
    http::send(network.visitors, &request).unwrap()
}

/// The immediate verdict.
pub(crate) fn decided(network: &Network, query: &str) -> Value {
    let answer = postback(network, query);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn related(row: &Value) -> (Value, Value) {
    let related = &row["relationship"];
    let id = |of: &str, id: &str| related[of][id].clone();
    (id("offer", "network_offer_id"), id("affiliate", "network_affiliate_id"))
}

#[test]
fn a_clickless_sale_is_attributed_by_the_example_to_offer_448() {
    let network = Network::new();
    let _programs = [network.start_admin(), network.start_daemon()];
    let codes = network.create_winter25();
    network.create_thebestcodeever(&codes, EXAMPLE_OFFERS);

    let plain =
        network.visit("/?nid=1&amount=59.90&coupon_code=thebestcodeever&oid=448&order_id=7");
    assert_eq!((plain.status, plain.body.as_str()), (200, "OK"));
    let row = network.conversion();
    assert_eq!(related(&row), (json!(448), json!(codes.partner)));
    assert_eq!((&row["status"], &row["error_code"]), (&json!("approved"), &json!(0)));
    assert_eq!(
        (&row["coupon_code"], &row["transaction_id"]),
        (&json!("TheBestCodeEver"), &json!(""))
    );
    assert_eq!(row["is_sdk"], false);

    // A repeat gives the same result; the code alone is ambiguous.
    let again = decided(&network, "coupon_code=THEBESTCODEEVER&oid=448&order_id=7&amount=59.90");
    assert_eq!(again["conversion_id"], row["conversion_id"]);
    let ambiguous = decided(&network, "coupon_code=thebestcodeever");
    assert_eq!((&ambiguous["status"], &ambiguous["error_code"]), (&json!("invalid"), &json!(1006)));
    let elsewhere = decided(&network, "coupon_code=thebestcodeever&oid=25");
    assert_eq!((&elsewhere["status"], &elsewhere["error_code"]), (&json!("invalid"), &json!(1007)));
    let on_24 = decided(&network, "coupon_code=thebestcodeever&oid=24");
    assert_eq!(on_24["status"], "approved");
    assert_ne!(on_24["conversion_id"], row["conversion_id"]);
}

#[test]
fn a_sale_after_a_click_belongs_to_the_clicks_partner_and_counts_in_reports() {
    let network = Network::new();
    let _programs = [network.start_admin(), network.start_daemon()];
    let codes = network.create_winter25();
    let visit = network.visit("/winter25?sub1=story");
    let id = visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap();
    wait_for("the click in the report", || (network.gross_clicks() == 1).then_some(()));
    let sale = decided(&network, &format!("transaction_id={id}&amount=20"));
    assert_eq!((&sale["status"], &sale["transaction_id"]), (&json!("approved"), &json!(id)));
    let row = network.conversion();
    assert_eq!(related(&row), (json!(codes.offer), json!(codes.partner)));
    assert_eq!((&row["conversion_id"], &row["sub1"]), (&sale["conversion_id"], &json!("story")));
    assert_eq!((&row["coupon_code"], &row["sale_amount"]), (&json!("winter25"), &json!(20)));
}

#[test]
fn a_shop_sends_its_whole_order_in_the_body_and_a_rejected_one_is_answered_204_if_wished() {
    let network = Network::new();
    let admin = network.start_admin();
    let rejections = [("COUPOND_POSTBACKS_ANSWER_REJECTED_WITH_204", "true")];
    let _programs = [admin, network.start_daemon_with(&rejections)];
    let codes = network.create_winter25();
    let post = |content_type: &str, body: &str| {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            network.visitors,
            body.len()
        );
        http::send(network.visitors, &request).unwrap()
    };
    let json = "application/json";
    let order = json!({
        "nid": 1,
        "order": {"oid": "A-7", "amt": "1,129.50", "cc": "FREESHIP,Winter25", "items": []},
    });
    let answer = post(json, &order.to_string());
    assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
    let row = network.conversion();
    assert_eq!(related(&row), (json!(codes.offer), json!(codes.partner)));
    assert_eq!((&row["order_id"], &row["sale_amount"]), (&json!("A-7"), &json!(1129.5)));
    let form = "application/x-www-form-urlencoded";
    for (kind, body) in [(form, "nid=1&coupon_code=NOBODYS"), (json, r#"{"nid":1,"cc":"X1,Y2"}"#)] {
        let answer = post(kind, body);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{body}: {answer:?}");
    }
    assert_eq!(post(form, "coupon_code=winter25").status, 400);
    assert_eq!(network.conversions().len(), 1);
}

#[test]
fn a_sale_that_outruns_its_click_is_decided_when_that_comes() {
    let network = Network::new();
    let mut daemon = network.start_daemon();
    let admin = network.start_admin();
    let codes = network.create_winter25();
    drop(admin);
    let visit = network.visit("/winter25?sub1=early");
    let id = visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap();
    let queued = decided(&network, &format!("transaction_id={id}"));
    assert_eq!(queued["status"], "queued");
    // Both postbacks are only on the daemon's disk.
    daemon.kill();
    let _programs = [network.start_admin(), network.start_daemon()];
    let row = network.conversion();
    assert_eq!(row["conversion_id"], queued["conversion_id"]);
    assert_eq!((&row["transaction_id"], &row["sub1"]), (&json!(id), &json!("early")));
    assert_eq!(related(&row), (json!(codes.offer), json!(codes.partner)));
}

#[test]
fn a_sale_that_comes_while_the_admin_is_away_is_decided_when_it_is_back() {
    let network = Network::new();
    let mut admin = network.start_admin();
    let _daemon = network.start_daemon();
    network.create_winter25();
    admin.kill();
    let queued = decided(&network, "coupon_code=winter25&order_id=9");
    assert_eq!(queued["status"], "queued");
    let _admin = network.start_admin();
    let row = network.conversion();
    assert_eq!(row["conversion_id"], queued["conversion_id"]);
    assert_eq!((&row["order_id"], &row["status"]), (&json!("9"), &json!("approved")));
    wait_for("the repeat to be known", || {
        let again = decided(&network, "coupon_code=winter25&order_id=9");
        (again["conversion_id"] == row["conversion_id"]).then_some(())
    });
    assert_eq!(network.conversions().len(), 1);
}

/// The click feed lags by some 100 ms; the sender's answer waits for the click.
#[test]
fn a_sale_right_after_its_click_is_answered_with_its_verdict() {
    let network = Network::new();
    let mut daemon = network.start_daemon();
    let admin = network.start_admin();
    let codes = network.create_winter25();
    let click = || {
        let visit = network.visit("/winter25?sub1=quick");
        visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap().to_owned()
    };
    for order in 0..10 {
        let id = click();
        let sale = decided(&network, &format!("transaction_id={id}&order_id=Q{order}&amount=20"));
        assert_eq!((&sale["status"], &sale["transaction_id"]), (&json!("approved"), &json!(id)));
    }
    let rows = network.conversions();
    assert_eq!(rows.len(), 10);
    assert!(rows.iter().all(|row| row["sub1"] == "quick"), "{rows:?}");
    assert_eq!(related(&rows[0]), (json!(codes.offer), json!(codes.partner)));
    // While the admin is away, two seconds pass without a verdict.
    let id = click();
    drop(admin);
    let asked = std::time::Instant::now();
    let queued = decided(&network, &format!("transaction_id={id}"));
    assert_eq!(queued["status"], "queued");
    assert!(asked.elapsed() < std::time::Duration::from_secs(4), "{:?}", asked.elapsed());
    daemon.kill();
}

#[test]
fn a_backlog_is_decided_in_the_order_in_which_it_came() {
    let network = Network::new();
    let _daemon = network.start_daemon();
    let mut admin = network.start_admin();
    network.create_winter25();
    admin.kill();
    let visit = network.visit("/winter25?sub1=first");
    let id = visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap();
    let sale = decided(&network, &format!("transaction_id={id}&order_id=B1&amount=20"));
    let repeat = decided(&network, "coupon_code=winter25&order_id=B1&amount=20");
    assert_eq!((&sale["status"], &repeat["status"]), (&json!("queued"), &json!("queued")));
    let _admin = network.start_admin();
    let row = network.conversion();
    assert_eq!(row["conversion_id"], sale["conversion_id"]);
    assert_eq!((&row["transaction_id"], &row["sub1"]), (&json!(id), &json!("first")));
    wait_for("the repeat to be decided", || {
        let path = format!("postbacks/{}", repeat["conversion_id"].as_str().unwrap());
        let postback = network.call("GET", &path, None);
        (postback.status == 200 && postback.json()["outcome"] == "repeats").then_some(())
    });
    assert_eq!(network.conversions().len(), 1);
}
