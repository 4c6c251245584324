//! Fields of Everflow's clients without a meaning here.

use serde_json::{Value, json};

use crate::client::{Running, offer, start_with_offers, with};

/// What a client of Everflow sends for a new offer.
fn sent_offer() -> Value {
    with(
        offer("Coats"),
        json!({
            "conversion_method": "server_postback", "redirect_mode": "standard",
            "internal_notes": "Managed elsewhere", "labels": ["winter", "shop"],
            "network_category_id": 3, "html_description": "<p>Warm</p>",
            "duplicate_filter_targeting_action": "unknown", "already_converted_action": "unknown",
            "redirect_routing_method": "null_value", "redirect_internal_routing_type": "null_value",
            "is_session_tracking_enabled": false, "session_tracking_lifespan_hour": 48,
            "is_use_scrub_rate": false, "scrub_rate_status": "null_value",
            "payout_revenue": [
                {"entry_name": "Base", "payout_type": "cpa", "payout_amount": 10.5,
                 "revenue_type": "rpa", "revenue_amount": 12, "is_default": true,
                 "is_private": false, "is_postback_disabled": false,
                 "global_advertiser_event_id": 0},
                {"entry_name": "Lead", "payout_type": "null_value", "revenue_type": "blank",
                 "is_default": false, "is_private": true, "is_postback_disabled": true},
            ],
        }),
    )
}

async fn entry_ids(network: &Running) -> Vec<Value> {
    let offer = network.get("offers/3").await.done();
    let entries = offer["relationship"]["payout_revenue"]["entries"].as_array().unwrap().clone();
    entries.iter().map(|entry| entry["network_offer_payout_revenue_id"].clone()).collect()
}

#[tokio::test]
async fn an_offer_is_read_overlaid_and_written_back_as_clients_of_everflow_do() {
    let network = start_with_offers().await;
    let created = network.post("offers", sent_offer()).await.done();
    let mut read = network.get("offers/3").await.done();
    assert_eq!(created, read);
    for field in ["conversion_method", "internal_notes", "labels", "network_category_id"] {
        assert_eq!(read[field], sent_offer()[field], "{field}");
    }
    assert_eq!(read["session_tracking_lifespan_hour"], 0);
    assert_eq!(read["is_session_tracking_enabled"], false);
    assert_eq!(read["relationship"]["labels"], json!({"total": 2, "entries": ["winter", "shop"]}));
    let nested = &read["relationship"]["payout_revenue"];
    assert_eq!(
        (&nested["total"], &nested["entries"][1]["payout_type"]),
        (&json!(2), &json!("null_value"))
    );
    assert_eq!(nested["entries"][1]["network_offer_id"], 3);
    assert_eq!(
        read["warnings"],
        json!([
            "payout_revenue[1].is_postback_disabled: kept as sent and given back, without effect",
            "conversion_method, redirect_mode: kept as sent and given back, without effect",
        ])
    );

    let before = entry_ids(&network).await;
    read["name"] = json!("Warm Coats");
    read["payout_revenue"] = sent_offer()["payout_revenue"].clone();
    let written = network.put("offers/3", read).await.done();
    assert_eq!(written["name"], "Warm Coats");
    assert_eq!(written["internal_notes"], "Managed elsewhere");
    assert_eq!(entry_ids(&network).await, before);

    // The entries as they stand in the answer are taken, too.
    let nested = written["relationship"]["payout_revenue"].clone();
    network.patch("offers/3", json!({"payout_revenue": nested})).await.done();
    assert_eq!(entry_ids(&network).await, before);
    // A form that does not know a kept field of an entry leaves it.
    let mut entries = written["payout_revenue"].clone();
    entries[1].as_object_mut().unwrap().remove("is_private");
    let patched = network.patch("offers/3", json!({"payout_revenue": entries})).await.done();
    assert_eq!(patched["payout_revenue"][1]["is_private"], true);
    let whole = with(offer("Coats"), json!({"offer_status": "paused"}));
    assert_eq!(network.put("offers/3", whole).await.done().get("internal_notes"), None);
    let typo = network.patch("offers/3", json!({"internal_note": "x"})).await;
    assert_eq!(typo.refusal(), (400, "request.invalid", vec!["internal_note"]));
}

#[tokio::test]
async fn partners_and_advertisers_take_the_fields_of_everflow() {
    let network = start_with_offers().await;
    let billing =
        json!({"billing_frequency": "monthly", "tax_id": "123", "details": {"day_of_month": 1}});
    let partner = json!({
        "name": "Cleo", "account_status": "pending", "network_employee_id": 2,
        "default_currency_id": "USD", "billing": billing, "labels": ["premium"],
        "users": [{"email": "cleo@example.com", "initial_password": "s3cret-s3cret"}],
        "contact_address": {"address_1": "1 Road", "city": "Miami"},
    });
    let created = network.post("affiliates?notification=false", partner.clone()).await.done();
    assert_eq!((&created["account_status"], &created["billing"]), (&json!("pending"), &billing));
    assert_eq!(created["relationship"]["labels"]["entries"], json!(["premium"]));
    assert!(!created.to_string().contains("s3cret"));
    let warning = "billing, contact_address, default_currency_id, network_employee_id, users: kept as sent and given back, without effect";
    assert_eq!(created["warnings"], json!([warning]));
    let path = "affiliates/3";
    let approved = with(created, json!({"account_status": "active"}));
    let approved = network.put(path, approved).await.done();
    assert_eq!((&approved["account_status"], &approved["billing"]), (&json!("active"), &billing));

    let advertiser = json!({
        "name": "Store", "account_status": "active", "reporting_timezone_id": 80, "billing": billing,
        "internal_notes": "of the fair", "offer_id_macro": "",
    });
    let created = network.post("advertisers", advertiser).await.done();
    assert_eq!(
        (&created["billing"], &created["internal_notes"]),
        (&billing, &json!("of the fair"))
    );
    let pending = network.patch("advertisers/2", json!({"account_status": "pending"})).await;
    assert_eq!(pending.refusal().2, ["account_status"]);
    let large = network.patch(path, json!({"labels": ["x".repeat(17_000)]})).await;
    assert_eq!(large.refusal(), (400, "request.invalid", vec!["labels"]));
}
