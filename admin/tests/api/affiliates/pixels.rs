//! `/v1/affiliates/pixels`.

use serde_json::{Value, json};

use crate::client::{Running, offer, start_with_offers, with};

async fn key_of(network: &Running, partner: u32) -> String {
    let wanted = json!({"name": "key", "role": "partner", "network_affiliate_id": partner});
    network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned()
}

fn wanted() -> Value {
    json!({
        "delivery_method": "postback", "pixel_level": "global", "pixel_status": "active", "pixel_type": "conversion",
        "postback_url": "https://anna.example.com/pb?tid={transaction_id}",
    })
}

#[tokio::test]
async fn a_partner_has_its_own_postbacks_and_sees_no_secret() {
    let network = start_with_offers().await;
    let (anna, ben) = (key_of(&network, 1).await, key_of(&network, 2).await);
    let path = "/v1/affiliates/pixels";
    let signed = with(wanted(), json!({"signing_key": "annas-secret"}));
    let made = network.call_as(&anna, "POST", path, Some(signed)).await.done();
    let expected = json!({
        "network_pixel_id": 1, "network_id": 1, "network_affiliate_id": 1, "network_offer_id": 0,
        "network_offer_payout_revenue_id": 0, "delivery_method": "postback", "pixel_level": "global",
        "pixel_status": "active", "pixel_type": "conversion", "delay_ms": 0,
        "postback_url": "https://anna.example.com/pb?tid={transaction_id}",
        "time_created": made["time_created"], "time_saved": made["time_saved"],
    });
    assert_eq!(made, expected);
    let by_network = json!({"network_affiliate_id": 1, "pixel_status": "active", "description": "our notes",
        "postback_url": "https://anna.example.com/2", "signing_key": "annas-secret"});
    network.post("pixels", by_network).await.done();
    let list = network.call_as(&anna, "GET", path, None).await;
    assert_eq!(list.body["pixels"].as_array().unwrap().len(), 2);
    assert_eq!(list.body["pixels"][0], expected);
    assert!(
        !list.text.contains("annas-secret") && !list.text.contains("our notes"),
        "{}",
        list.text
    );
    assert_eq!(network.call_as(&ben, "GET", path, None).await.done(), json!({"pixels": []}));
    let bens =
        network.call_as(&ben, "GET", &format!("{path}?filter=network_pixel_id=1"), None).await;
    assert_eq!(bens.done(), json!({"pixels": []}));
    assert_eq!(network.get("pixels/1").await.done()["signing_key"], "annas-secret");
}

#[tokio::test]
async fn a_partner_cannot_speak_for_others_nor_find_offers_it_does_not_see() {
    let network = start_with_offers().await;
    network.post("offers", with(offer("Secret"), json!({"visibility": "private"}))).await.done();
    let anna = key_of(&network, 1).await;
    let refusal = |over: Value| {
        let (network, anna) = (&network, &anna);
        async move {
            network.call_as(anna, "POST", "/v1/affiliates/pixels", Some(with(wanted(), over))).await
        }
    };
    for (over, field) in [
        (json!({"network_affiliate_id": 2}), "network_affiliate_id"),
        (json!({"description": "x"}), "description"),
        (json!({"postback_url": "http://169.254.169.254/"}), "postback_url"),
        (json!({"postback_url": "https://Go.Example.com./?nid=1"}), "postback_url"),
    ] {
        assert_eq!(
            refusal(over.clone()).await.refusal(),
            (400, "request.invalid", vec![field]),
            "{over}"
        );
    }
    let specific = |offer: u32| json!({"pixel_level": "specific", "network_offer_id": offer});
    let (hidden, missing) = (refusal(specific(3)).await, refusal(specific(4)).await);
    assert_eq!(hidden.text.replace('3', "N"), missing.text.replace('4', "N"));
    assert_eq!(hidden.status, 400);
    assert_eq!(refusal(specific(2)).await.status, 200);
    let list = network.call_as(&anna, "GET", "/v1/affiliates/pixels", None).await.done();
    assert_eq!(list["pixels"].as_array().unwrap().len(), 1);
}
