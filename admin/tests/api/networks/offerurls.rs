//! `/v1/networks/offerurls`, and rules that lead to a URL.

use serde_json::{Value, json};

use crate::client::{Running, start_with_offers, with};

fn boots(over: Value) -> Value {
    let url = json!({
        "network_offer_id": 1, "name": "Boots",
        "destination_url": "https://shop.example.com/boots?tid={transaction_id}",
    });
    with(url, over)
}

async fn ids(network: &Running, query: &str) -> Vec<u64> {
    let list = network.get(&format!("offerurls{query}")).await.done();
    let urls = list["urls"].as_array().unwrap();
    urls.iter().map(|url| url["network_offer_url_id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_url_is_created_listed_replaced_patched_deleted_and_restored() {
    let network = start_with_offers().await;
    let over = json!({
        "preview_url": "https://shop.example.com/", "url_status": "paused",
        "is_apply_specific_affiliates": true, "network_affiliate_ids": [2, 1],
        "is_hidden_affiliate": true,
    });
    let made = network.post("offerurls", boots(over.clone())).await.done();
    let expected = with(
        boots(over),
        json!({
            "network_offer_url_id": 1, "network_id": 1, "time_created": made["time_created"],
            "time_saved": made["time_saved"], "time_deleted": 0,
        }),
    );
    assert_eq!(made, expected);
    assert_eq!(network.get("offerurls/1").await.done(), made);
    let again = network.put("offerurls/1", made.clone()).await.done();
    assert_eq!(again["network_affiliate_ids"], json!([2, 1]));
    network.post("offerurls", boots(json!({"network_offer_id": 2}))).await.done();
    assert_eq!(ids(&network, "?filter=network_offer_id%3D2").await, [2]);
    assert_eq!(ids(&network, "?filter=url_status%3Dpaused").await, [1]);
    let cleared = json!({"network_affiliate_ids": null, "is_apply_specific_affiliates": false,
        "url_status": "active"});
    let patched = network.patch("offerurls/1", cleared).await.done();
    assert_eq!(patched["network_affiliate_ids"], json!([]));
    let related = network.get("offers/1?relationship=urls").await.done();
    let urls = &related["relationship"]["urls"];
    assert_eq!((&urls["total"], &urls["entries"][0]["name"]), (&json!(1), &json!("Boots")));
    let related = network.get("offerurls/1?relationship=offer").await.done();
    assert_eq!(related["relationship"]["offer"]["network_offer_id"], 1);
    network.patch("offerurls/1", json!({"url_status": "deleted"})).await.done();
    assert_eq!(network.get("offerurls/1").await.status, 404);
    assert_eq!(ids(&network, "").await, [2]);
    let restored = network.post("offerurls/1/restore", json!({})).await.done();
    assert_eq!((&restored["url_status"], &restored["name"]), (&json!("active"), &json!("Boots")));
    let audit = network.get("audit?filter=object=offer_url").await.done();
    let entries = audit["audit"].as_array().unwrap().iter().rev();
    let actions: Vec<&str> = entries.map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected = ["created", "changed", "created", "changed", "changed", "deleted", "restored"];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn wrong_urls_are_refused_at_their_fields() {
    let network = start_with_offers().await;
    for (over, field) in [
        (json!({"network_offer_id": 9}), "network_offer_id"),
        (json!({"destination_url": "https://go.example.com/WINTER25/"}), "destination_url"),
        (json!({"network_affiliate_ids": [1, 9]}), "network_affiliate_ids[1]"),
        (json!({"url_status": "deleted"}), "url_status"),
        (json!({"url_status": "gone"}), "url_status"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let refused = network.post("offerurls", boots(over.clone())).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    assert_eq!(ids(&network, "").await, [0; 0]);
    network.post("offerurls", boots(json!({}))).await.done();
    let moved = network.patch("offerurls/1", json!({"network_offer_id": 2})).await;
    assert_eq!(moved.refusal(), (400, "request.invalid", vec!["network_offer_id"]));
    let empty = boots(json!({"destination_url": "https://shop.example.com/?i={idfa}"}));
    let warned = network.put("offerurls/1", empty).await.done();
    assert!(warned["warnings"][0].as_str().unwrap().contains("{idfa}"), "{warned}");
}

#[tokio::test]
async fn rules_lead_to_urls_of_their_destination_which_stay_as_long() {
    let network = start_with_offers().await;
    network.post("offerurls", boots(json!({}))).await.done();
    network.post("offerurls", boots(json!({"network_offer_id": 2}))).await.done();
    let rule = |url: u64| {
        json!({"name": "On", "forwarding_rule_status": "active",
            "destination_network_offer_id": 2, "destination_network_offer_url_id": url})
    };
    let refused = network.post("offers/1/forwardingrules", rule(1)).await;
    assert_eq!(refused.refusal().2, ["destination_network_offer_url_id"]);
    let made = network.post("offers/1/forwardingrules", rule(2)).await.done();
    assert_eq!(made["destination_network_offer_url_id"], 2);
    let redirects = |url: u64| {
        json!({"is_fail_traffic_enabled": true, "internal_redirects": [
            {"redirect_network_offer_id": 2, "redirect_network_offer_url_id": url}]})
    };
    let refused = network.patch("offers/1", redirects(1)).await;
    assert_eq!(refused.refusal().2, ["internal_redirects[0].redirect_network_offer_url_id"]);
    let offer = network.patch("offers/1", redirects(2)).await.done();
    assert_eq!(offer["internal_redirects"][0]["redirect_network_offer_url_id"], 2);
    let kept = network.delete("offerurls/2").await;
    assert_eq!(kept.refusal(), (409, "offer_url.in_use", vec!["network_offer_url_id"]));
    network.delete("offers/1/forwardingrules/1").await.done();
    assert_eq!(network.delete("offerurls/2").await.status, 409);
    network.patch("offers/1", json!({"internal_redirects": []})).await.done();
    network.delete("offerurls/2").await.done();
}

#[tokio::test]
async fn a_built_link_names_a_url_of_its_offer() {
    let network = start_with_offers().await;
    network.post("offerurls", boots(json!({}))).await.done();
    let link = |offer: u64, url: Value| {
        json!({"network_affiliate_id": 1, "network_offer_id": offer, "sub1": "a",
            "network_offer_url_id": url})
    };
    for id in [json!(1), json!("1")] {
        let built = network.post("tracking/offers/clicks", link(1, id)).await.done();
        assert_eq!(built, json!({"url": "https://go.example.com/1/1/?sub1=a&uid=1"}));
    }
    let built = network.post("tracking/offers/clicks", link(1, json!(0))).await.done();
    assert_eq!(built["url"], "https://go.example.com/1/1/?sub1=a");
    let built = network.post("tracking/offers/impressions", link(1, json!(1))).await.done();
    assert_eq!(built["url"], "https://go.example.com/sdk/impression?oid=1&affid=1&sub1=a&uid=1");
    let refused = network.post("tracking/offers/clicks", link(2, json!(1))).await;
    assert_eq!(refused.refusal().2, ["network_offer_url_id"]);
}
