//! `POST /v1/networks/conversions/reporting/transaction_ids`.

use coupon_shared::click::Tag;
use serde_json::{Value, json};

use crate::client::{Answer, Running, code, start_with_offers, with};
use crate::recorded::{NOON_MS, Visit};

/// 2026-06-20 10:00:00 UTC.
const SOLD: u64 = 1_781_949_600;

/// Two clicks of offer 1, and their ids.
async fn clicked() -> (Running, Vec<String>) {
    let network = start_with_offers().await;
    let entry = json!({"payout_type": "cpa", "payout_amount": 3, "revenue_type": "rpa",
        "revenue_amount": 5, "is_default": true});
    network.patch("offers/1", json!({"payout_revenue": [entry]})).await.done();
    network.post("couponcodes", code("ANNA10")).await.done();
    let tags: Vec<(Tag, &[u8])> = vec![(Tag::Sub7, b"spring")];
    let later = Visit { unix_ms: NOON_MS + 1_000, tags, ..Visit::new("ANNA10", 1, 1) };
    let ids = network.visit(&[Visit::new("ANNA10", 1, 1), later]).await;
    (network, ids)
}

fn wanted(ids: &[String], over: Value) -> Value {
    let plain = json!({"is_now": false, "date": "2026-06-20 10:00:00", "timezone_id": 67,
        "offer_id": 1, "event_id": 0, "transaction_ids": ids});
    with(plain, over)
}

async fn create(network: &Running, body: Value) -> Answer {
    network.post("conversions/reporting/transaction_ids", body).await
}

async fn conversions(network: &Running) -> Vec<Value> {
    let june = json!({"from": "2026-06-10", "to": "2026-06-30", "timezone_id": 67});
    let answer = network.post("reporting/conversions", june).await.done();
    answer["conversions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn each_click_gets_one_conversion_with_the_amounts_of_the_request_or_of_the_offer() {
    let (network, ids) = clicked().await;
    let over = json!({"payout_amount": 7.5, "is_payout_amount_submitted": true,
        "revenue_amount": 2, "is_revenue_amount_submitted": false, "adv9": "nine",
        "internal_notes": "told by phone", "sale_amount": "100"});
    let made = create(&network, wanted(&ids, over)).await.done();
    assert_eq!(made["result"], true, "{made}");
    let rows = conversions(&network).await;
    assert_eq!(rows.len(), 2);
    for row in &rows {
        for (field, value) in [
            ("status", json!("approved")),
            ("conversion_unix_timestamp", json!(SOLD)),
            ("payout", json!(7.5)),
            ("revenue", json!(5)),
            ("sale_amount", json!(100)),
            ("notes", json!("told by phone")),
            ("adv9", json!("nine")),
            ("coupon_code", json!("ANNA10")),
            ("is_sdk", json!(false)),
        ] {
            assert_eq!(row[field], value, "{field}");
        }
        assert_eq!(row["relationship"]["affiliate"]["network_affiliate_id"], 1);
    }
    // Reports count click and conversion by the values that only some links have.
    let spring = json!({"resource_type": "sub7", "filter_id_value": "spring"});
    for (over, labels) in [
        (json!({"columns": [{"column": "sub7"}]}), vec!["", "spring"]),
        (
            json!({"columns": [{"column": "offer"}], "query": {"filters": [spring]}}),
            vec!["Winter Jackets"],
        ),
    ] {
        let june = json!({"from": "2026-06-10", "to": "2026-06-30", "timezone_id": 67});
        let report = network.post("reporting/entity", with(june, over)).await.done();
        let rows = report["table"].as_array().unwrap();
        let of_rows = rows.iter().map(|row| row["columns"][0]["label"].as_str().unwrap());
        assert_eq!(of_rows.collect::<Vec<_>>(), labels, "{report}");
        for row in rows {
            let counted = ["gross_click", "cv"].map(|name| &row["reporting"][name]);
            assert_eq!(counted, [&json!(1), &json!(1)], "{report}");
        }
    }
    // The same request again, with the zone as text, finds both sales and makes none.
    let again = create(&network, wanted(&ids, json!({"timezone_id": "67"}))).await.done();
    assert_eq!(again["result"], true, "{again}");
    let of = |answer: &Value| answer["conversions"][0]["conversion_id"].clone();
    assert_eq!(of(&again), of(&made));
    assert_eq!(conversions(&network).await.len(), 2);
    let log = network.get("postbacks?filter=network_offer_id%3D1").await.done();
    let outcomes = [0, 1, 2, 3].map(|at| log["postbacks"][at]["outcome"].clone());
    assert_eq!(outcomes, ["repeats", "repeats", "made", "made"], "{log}");
}

#[tokio::test]
async fn nothing_is_created_where_any_click_or_field_is_wrong() {
    let (network, ids) = clicked().await;
    let unknown = "0".repeat(32);
    for (body, field) in [
        (wanted(&ids, json!({"offer_id": 2})), "transaction_ids[0]"),
        (wanted(&ids, json!({"date": "2026-06-15 12:00:00"})), "transaction_ids[1]"),
        (wanted(&[ids[0].clone(), unknown], json!({})), "transaction_ids[1]"),
        (wanted(&["x".into()], json!({})), "transaction_ids[0]"),
        (wanted(&[ids[0].clone(), ids[0].clone()], json!({})), "transaction_ids[1]"),
        (wanted(&[], json!({})), "transaction_ids"),
        (wanted(&ids, json!({"date": null})), "date"),
        (wanted(&ids, json!({"date": "20 June"})), "date"),
        (wanted(&ids, json!({"date": "2999-01-01"})), "date"),
        (wanted(&ids, json!({"timezone_id": 1000})), "timezone_id"),
        (wanted(&ids, json!({"timezone_id": "Paris"})), "timezone_id"),
        (wanted(&ids, json!({"order_id": "A-1"})), "order_id"),
        (wanted(&ids, json!({"is_payout_amount_submitted": true})), "payout_amount"),
        (wanted(&ids, json!({"sale_amount": -1})), "sale_amount"),
    ] {
        let refused = create(&network, body.clone()).await;
        let (status, _, fields) = refused.refusal();
        assert_eq!(status, 400, "{body}");
        assert_eq!(fields[0], field, "{body}");
    }
    assert_eq!(conversions(&network).await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_the_offer_refuses_is_answered_with_its_reason() {
    let (network, ids) = clicked().await;
    let event = wanted(&ids[..1], json!({"event_id": 9}));
    let answer = create(&network, event).await.done();
    assert_eq!(answer["result"], false);
    assert_eq!(answer["conversions"][0]["error_code"], 25, "{answer}");
    // Now, by default.
    let now = json!({"offer_id": 1, "transaction_ids": ids[1..], "order_id": "A-7"});
    let answer = create(&network, now).await.done();
    assert_eq!(answer["conversions"][0]["status"], "approved", "{answer}");
}
