//! `/v1/networks/offers`.

use serde_json::{Value, json};

use crate::client::{offer, start_with_offers, with};

fn entry(name: &str, amount: Value, is_default: bool) -> Value {
    json!({"entry_name": name, "payout_type": "cpa", "revenue_type": "rpa", "payout_amount": amount, "is_default": is_default})
}

#[tokio::test]
async fn all_fields_of_an_offer_are_kept() {
    let network = start_with_offers().await;
    let wanted = with(
        offer("Coats"),
        json!({
            "offer_status": "paused", "network_tracking_domain_id": 1, "visibility": "require_approval",
            "date_live_until": "2027-01-31", "currency_id": "EUR", "session_definition": "ip", "session_duration": 48,
            "session_tracking_lifespan_hour": 720, "is_must_approve_conversion": true, "is_allow_duplicate_conversion": true,
            "append_transaction_id": true, "fallback_url": "https://example.com/gone",
        }),
    );
    let created = network.post("offers", wanted.clone()).await.done();
    let read = network.get("offers/3").await.done();
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&created[field], value, "{field}");
        assert_eq!(&read[field], value, "{field}");
    }
}

#[tokio::test]
async fn money_comes_back_exactly_whether_sent_as_number_or_text() {
    let network = start_with_offers().await;
    let entries = json!([
        entry("", json!("12.50"), true),
        entry("sale", json!(0.1), false),
        entry("big", json!("999999999.999999"), false)
    ]);
    network.patch("offers/1", json!({"payout_revenue": entries})).await.done();
    let answered = network.get("offers/1").await.done();
    let amounts: Vec<String> = answered["payout_revenue"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["payout_amount"].to_string())
        .collect();
    assert_eq!(amounts, ["12.5", "0.1", "999999999.999999"]);
    let inexact = json!({"payout_revenue": [entry("", json!("0.1234567"), true)]});
    assert_eq!(
        network.patch("offers/1", inexact).await.refusal().2,
        ["payout_revenue[0].payout_amount"]
    );
}

#[tokio::test]
async fn entries_keep_their_ids_through_edits() {
    let network = start_with_offers().await;
    let entries = json!([entry("", json!(1), true), entry("sale", json!(2), false)]);
    let first = network.patch("offers/1", json!({"payout_revenue": entries})).await.done();
    let sale = first["payout_revenue"][1].clone();
    let again = network
        .patch("offers/1", json!({"payout_revenue": [entry("", json!(9), true), sale]}))
        .await
        .done();
    assert_eq!(again["payout_revenue"][1], sale);
    let id = |offer: &Value, at: usize| {
        offer["payout_revenue"][at]["network_offer_payout_revenue_id"].clone()
    };
    assert_eq!(id(&again, 0), id(&first, 0));
    // Clients that write all of an offer leave the ids out.
    let renamed = json!([
        entry("lead", json!(2), false),
        entry("sale", json!(3), false),
        entry("", json!(9), true)
    ]);
    let renamed = network.patch("offers/1", json!({"payout_revenue": renamed})).await.done();
    assert_eq!((id(&renamed, 1), id(&renamed, 2)), (id(&first, 1), id(&first, 0)));
    assert!(id(&renamed, 0).as_u64() > id(&first, 1).as_u64());
    let theft = with(sale, json!({"is_default": true}));
    let refused = network.patch("offers/2", json!({"payout_revenue": [theft]})).await;
    assert_eq!(refused.refusal().2, ["payout_revenue[0].network_offer_payout_revenue_id"]);
}

#[tokio::test]
async fn a_destination_that_leads_nowhere_is_refused_and_one_with_empty_macros_warned_of() {
    let network = start_with_offers().await;
    for wrong in [
        "shop.example.com",
        "https://{sub1}.example.com/",
        "https://shop.example.com/{subb1}",
        "javascript:alert(1)",
    ] {
        let answer = network.patch("offers/1", json!({"destination_url": wrong})).await;
        assert_eq!(answer.refusal(), (400, "request.invalid", vec!["destination_url"]), "{wrong}");
    }
    let warned = network
        .patch("offers/1", json!({"destination_url": "https://shop.example.com/?o={order_id}"}))
        .await
        .done();
    assert_eq!(warned["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(network.get("offers/1").await.done()["warnings"], warned["warnings"]);
    let sent_back = network.put("offers/1", warned.clone()).await.done();
    assert_eq!(sent_back["warnings"], warned["warnings"]);
    let fine = network
        .patch("offers/1", json!({"destination_url": "https://shop.example.com/"}))
        .await
        .done();
    assert_eq!(fine.get("warnings"), None);
}

#[tokio::test]
async fn an_offer_names_what_is_there() {
    let network = start_with_offers().await;
    let lost = with(offer("x"), json!({"network_advertiser_id": 9}));
    assert_eq!(network.post("offers", lost).await.refusal().2, ["network_advertiser_id"]);
    let lost = with(offer("x"), json!({"network_tracking_domain_id": 9}));
    assert_eq!(network.post("offers", lost).await.refusal().2, ["network_tracking_domain_id"]);
    let related = network.get("offers/1?relationship=advertiser").await.done();
    assert_eq!(related["relationship"]["advertiser"]["name"], "Shop");
}

#[tokio::test]
async fn setting_the_status_deleted_deletes() {
    let network = start_with_offers().await;
    let deleted = network.patch("offers/1", json!({"offer_status": "deleted"})).await.done();
    assert_ne!(deleted["time_deleted"], 0);
    assert_eq!(network.get("offers/1").await.status, 404);
    let born_dead = with(offer("x"), json!({"offer_status": "deleted"}));
    assert_eq!(network.post("offers", born_dead).await.refusal().2, ["offer_status"]);
}
