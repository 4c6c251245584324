//! `/v1/networks/postbacks`, and `reporting/codeleaks`: received postbacks, their outcome, and
//! codes with sales without clicks.

use coupon_admin::store::conversions::{Channel, ConversionId, Status};
use coupon_admin::store::postbacks::{self, Outcome, Postback, VerdictWord};
use coupon_admin::store::{Store, StoreError};
use serde_json::json;

use crate::client::{Running, start_with_offers};
use crate::recorded::{NOON_MS, money, sale};

fn postback(number: u8) -> Postback {
    Postback {
        id: ConversionId([number; 16]),
        spool: [9; 16],
        sequence: u64::from(number),
        received_ms: NOON_MS + u64::from(number) * 1_000,
        node: 3,
        channel: Channel::Server,
        is_post: number == 2,
        address: "192.0.2.7".into(),
        host: "go.example.com".into(),
        user_agent: "Shop/1".into(),
        referer: String::new(),
        content_type: String::new(),
        query: "nid=1&coupon_code=anna10&verification_token=…".into(),
        body: String::new(),
        raw: None,
        unidentified_bytes: 0,
        network_id: 1,
        transaction_id: String::new(),
        coupon_code: "anna10".into(),
        folded_code: "anna10".into(),
        offer_id: 1,
        affiliate_id: 0,
        event: String::new(),
        order_id: format!("A{number}"),
        amount: "59.9".into(),
        currency: "EUR".into(),
        email: "buyer@example.com".into(),
        verdict: VerdictWord::Approved,
        outcome: Outcome::Made,
        error_code: 0,
        error: String::new(),
        conversion_id: Some(ConversionId([number; 16])),
        decided_ms: NOON_MS + 60_000,
        steps: r#"[{"step": "coupon_code_chosen", "detail": "the coupon code identifies it"}]"#
            .into(),
    }
}

async fn keep(network: &Running, rows: Vec<Postback>) {
    let store = Store::open(network.dir()).unwrap();
    let written = store
        .write(move |tx| rows.iter().try_for_each(|row| postbacks::insert(tx, row).map(|_| ())));
    let written: Result<(), StoreError> = written.await;
    written.unwrap();
}

fn id(number: u8) -> String {
    format!("{number:02x}").repeat(16)
}

#[tokio::test]
async fn postbacks_are_listed_the_newest_first_in_pages() {
    let network = start_with_offers().await;
    keep(&network, (1..=3).map(postback).collect()).await;
    let page = network.get("postbacks?page=1&page_size=2").await.done();
    let ids: Vec<_> =
        page["postbacks"].as_array().unwrap().iter().map(|row| &row["postback_id"]).collect();
    assert_eq!(ids, [&json!(id(3)), &json!(id(2))]);
    assert_eq!(page["paging"], json!({"page": 1, "page_size": 2, "total_count": 3}));
    let oldest = network.get("postbacks?sort=time_received&page_size=1").await.done();
    assert_eq!(oldest["postbacks"][0]["postback_id"], id(1));
}

#[tokio::test]
async fn a_postback_is_found_by_what_an_advertiser_can_tell_of_it() {
    let network = start_with_offers().await;
    let unknown = Postback {
        coupon_code: "Gone,Gone2".into(),
        folded_code: String::new(),
        verdict: VerdictWord::Invalid,
        error_code: 1019,
        conversion_id: None,
        ..postback(4)
    };
    keep(&network, vec![postback(1), postback(2), unknown]).await;
    for (filters, wanted) in [
        ("filter=order_id=A2", vec![2]),
        ("filter=coupon_code=ANNA10", vec![2, 1]),
        ("filter=coupon_code=ANNA10&filter=order_id=A1", vec![1]),
        ("filter=status=invalid", vec![4]),
        ("filter=error_code=1019", vec![4]),
        ("filter=network_offer_id=1&filter=status=approved", vec![2, 1]),
        ("filter=time_received%3E1781524801&filter=time_received%3C1781524803", vec![2]),
        ("filter=transaction_id=0192f0c1d2e3f405a6b7c8d9eaf00112", vec![]),
    ] {
        let list = network.get(&format!("postbacks?{filters}")).await.done();
        let found: Vec<_> = list["postbacks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["postback_id"].clone())
            .collect();
        let wanted: Vec<_> = wanted.into_iter().map(|number| json!(id(number))).collect();
        assert_eq!(found, wanted, "{filters}");
    }
    assert_eq!(network.get("postbacks?filter=email=x").await.refusal().0, 400);
}

#[tokio::test]
async fn one_postback_is_shown_as_it_was_sent_with_the_steps_of_its_decision() {
    let network = start_with_offers().await;
    keep(&network, vec![postback(2)]).await;
    let shown = network.get(&format!("postbacks/{}", id(2))).await.done();
    assert_eq!((&shown["method"], &shown["node"]), (&json!("POST"), &json!(3)));
    assert_eq!(shown["query"], "nid=1&coupon_code=anna10&verification_token=…");
    assert_eq!(shown["steps"][0]["step"], "coupon_code_chosen");
    assert_eq!((&shown["status"], &shown["conversion_id"]), (&json!("approved"), &json!(id(2))));
    for missing in [id(7), "x".into()] {
        assert_eq!(network.get(&format!("postbacks/{missing}")).await.status, 404);
    }
}

#[tokio::test]
async fn codes_that_seem_to_leak_come_first() {
    let network = start_with_offers().await;
    let mut held = sale(2);
    (held.coupon_code, held.folded_code) = ("LEAKED".into(), "leaked".into());
    (held.status, held.error_code) = (Status::Pending, 1017);
    (held.suspicion, held.payout) = ("spike".into(), money("2.5"));
    network.convert(vec![sale(1), held, sale(3)]).await;
    let report = network.get("reporting/codeleaks?from=2026-06-15&to=2026-06-15").await.done();
    assert_eq!(
        report,
        json!({"incomplete_results": false, "codes": [
            {"coupon_code": "LEAKED", "network_affiliate_id": 1, "affiliate_name": "Anna",
             "conversions": 1, "never_clicked": 0, "spike": 1, "held": 1,
             "suspicious_payout": 2.5, "currency_id": "USD", "last_conversion": NOON_MS / 1000 + 2},
            {"coupon_code": "ANNA10", "network_affiliate_id": 1, "affiliate_name": "Anna",
             "conversions": 2, "never_clicked": 0, "spike": 0, "held": 0,
             "suspicious_payout": 0, "currency_id": "", "last_conversion": NOON_MS / 1000 + 3},
        ]})
    );
    let mut in_euro = sale(4);
    (in_euro.coupon_code, in_euro.folded_code) = ("LEAKED".into(), "leaked".into());
    (in_euro.suspicion, in_euro.currency) = ("spike".into(), "EUR".into());
    network.convert(vec![in_euro]).await;
    let report = network.get("reporting/codeleaks?from=2026-06-15&to=2026-06-15").await.done();
    let leaked = &report["codes"][0];
    assert_eq!((&leaked["suspicious_payout"], &leaked["currency_id"]), (&json!(null), &json!("")));
    let before = network.get("reporting/codeleaks?from=2026-06-01&to=2026-06-02").await.done();
    assert_eq!(before["codes"], json!([]));
    assert_eq!(network.get("reporting/codeleaks?from=2026-06-01").await.refusal().2, ["to"]);
    assert_eq!(network.get("reporting/codeleaks?from=1&to=2&zone=x").await.refusal().2, ["zone"]);
}

#[tokio::test]
async fn sales_of_a_code_without_a_click_are_held_and_released_together() {
    let network = start_with_offers().await;
    let mut clicked = sale(3);
    clicked.transaction_id = "0192f0c1d2e3f405a6b7c8d9eaf00112".into();
    let mut other = sale(4);
    (other.coupon_code, other.folded_code) = ("OTHER".into(), "other".into());
    let mut waiting = sale(5);
    waiting.status = Status::Pending;
    let mut sales = vec![sale(1), sale(2), clicked, other, waiting];
    sales.iter_mut().for_each(|sale| sale.payout = money("2.5"));
    network.convert(sales).await;
    let decide = async |decision: &str, dry_run: bool| {
        let body = json!({
            "coupon_code": "Anna10", "network_affiliate_id": 1, "from": "2026-06-15",
            "to": "2026-06-15", "decision": decision, "dry_run": dry_run,
            "notes": if decision == "hold" { "seen on a coupon site" } else { "" },
        });
        network.patch("reporting/codeleaks", body).await.done()
    };
    let statuses = async || {
        let day = json!({"from": "2026-06-15", "to": "2026-06-15", "timezone": "UTC"});
        let report = network.post("reporting/conversions", day).await.done();
        let rows = report["conversions"].as_array().unwrap().clone();
        // The newest first.
        let word = |row: &serde_json::Value| {
            format!("{} {} {}", row["status"].as_str().unwrap(), row["error_code"], row["notes"])
        };
        rows.iter().rev().map(word).collect::<Vec<_>>()
    };
    let counted = json!({"conversions": 2, "payout": 5, "currency_id": "USD"});
    assert_eq!(decide("hold", true).await, counted);
    let before = statuses().await;
    assert_eq!(before[0], "approved 0 \"\"");
    assert_eq!(decide("hold", false).await, counted);
    let held = "pending 1017 \"seen on a coupon site\"";
    let expected = [held, held, &before[2], &before[3], &before[4]];
    assert_eq!(statuses().await, expected);
    let report = network.get("reporting/codeleaks?from=2026-06-15&to=2026-06-15").await.done();
    let anna = report["codes"].as_array().unwrap().iter().find(|c| c["coupon_code"] == "ANNA10");
    assert_eq!(anna.unwrap()["held"], 2);
    let audit = network.get("audit?filter=object=conversion").await.done();
    let entry = &audit["audit"][0];
    assert_eq!((&entry["action"], &entry["objects"]), (&json!("pending"), &json!(2)));
    assert_eq!(decide("hold", false).await["conversions"], 0, "a repetition changes nothing");

    assert_eq!(decide("release", true).await, counted);
    assert_eq!(decide("release", false).await, counted);
    let released = "approved 0 \"seen on a coupon site\"";
    let expected = [released, released, &before[2], &before[3], &before[4]];
    assert_eq!(statuses().await, expected, "the sale that waited before waits on");

    let wrong = json!({
        "coupon_code": "", "network_affiliate_id": 1, "from": "2026-06-15", "to": "2026-06-15",
        "decision": "hold",
    });
    assert_eq!(network.patch("reporting/codeleaks", wrong).await.refusal().2, ["coupon_code"]);
}
