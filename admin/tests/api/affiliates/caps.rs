//! `/v1/affiliates/caps`.

use serde_json::{Value, json};

use crate::client::{Running, offer, start_with_offers, with};

async fn caps_of(network: &Running, partner: u32) -> Vec<Value> {
    let wanted = json!({"name": "key", "role": "partner", "network_affiliate_id": partner});
    let key = network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned();
    let answer = network.call_as(&key, "GET", "/v1/affiliates/caps", None).await.done();
    answer["caps"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_partner_sees_what_is_left_of_its_own_caps_and_those_of_its_offers() {
    let network = start_with_offers().await;
    let code = json!({
        "coupon_code": "ANNA10", "coupon_status": "active", "network_offer_id": 2,
        "network_affiliate_id": 1,
    });
    network.post("couponcodes", code).await.done();
    network.post("offers", with(offer("Secret"), json!({"visibility": "private"}))).await.done();
    let limits = json!({"is_caps_enabled": true, "daily_click_cap": 9, "global_revenue_cap": 50});
    network.patch("offers/1", limits.clone()).await.done();
    network.patch("offers/3", limits).await.done();
    let only_revenue = json!({"is_caps_enabled": true, "daily_revenue_cap": 77});
    network.patch("offers/2", only_revenue).await.done();
    let cap = |over: Value| {
        with(json!({"name": "Our notes", "network_offer_id": 1, "daily_conversion_cap": 3}), over)
    };
    for over in [
        json!({"network_affiliate_id": 1}),
        json!({"network_affiliate_id": 2, "daily_conversion_cap": 66}),
        json!({"network_affiliate_id": 1, "network_offer_id": 2, "is_soft_cap": true}),
        json!({"network_coupon_code_id": 1, "network_offer_id": 2, "monthly_payout_cap": 12.5}),
    ] {
        network.post("custom/caps", cap(over)).await.done();
    }
    let anna = caps_of(&network, 1).await;
    let seen = anna.iter().map(|cap| {
        let ids = ["network_custom_cap_setting_id", "network_offer_id", "network_coupon_code_id"];
        (ids.map(|id| cap[id].as_u64().unwrap()), cap["caps"].clone())
    });
    let expected = [
        ([4, 2, 1], json!({"daily_conversion_cap": 3, "monthly_payout_cap": 12.5})),
        ([1, 1, 0], json!({"daily_conversion_cap": 3})),
        ([0, 1, 0], json!({"daily_click_cap": 9})),
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    assert_eq!(anna[0]["coupon_code"], "ANNA10");
    let related = json!({
        "offer": {"network_offer_id": 1, "name": "Winter Jackets"},
        "remaining_caps": {"remaining_daily_click_cap": 9},
    });
    assert_eq!(anna[2]["relationship"], related);
    let ben = caps_of(&network, 2).await;
    assert_eq!(ben.len(), 2, "{ben:?}");
    for text in [json!(anna).to_string(), json!(ben).to_string()] {
        assert!(!text.contains("notes") && !text.contains("revenue"), "{text}");
    }
}
