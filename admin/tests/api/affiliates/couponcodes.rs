//! `/v1/affiliates/couponcodes`.

use serde_json::{Value, json};

use crate::client::{Running, code, start_with_offers, with};

async fn annas_key(network: &Running) -> String {
    let wanted = json!({"name": "Anna's", "role": "partner", "network_affiliate_id": 1});
    network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned()
}

async fn annas_list(network: &Running, key: &str, query: &str) -> Value {
    network.call_as(key, "GET", &format!("/v1/affiliates/couponcodes{query}"), None).await.done()
}

async fn annas_codes(network: &Running, key: &str) -> Vec<String> {
    let list = annas_list(network, key, "").await;
    let rows = list["coupon_codes"].as_array().unwrap();
    rows.iter().map(|row| row["coupon_code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_partner_sees_exactly_the_published_fields_of_his_codes() {
    let network = start_with_offers().await;
    let key = annas_key(&network).await;
    assert_eq!(annas_list(&network, &key, "").await, json!({"coupon_codes": []}));
    let secret = with(
        code("WINTER25"),
        json!({"internal_notes": "secret", "start_date": "2999-01-01", "description": "25% off"}),
    );
    let made = network.post("couponcodes", secret).await.done();
    let expected = json!({"coupon_codes": [{
        "network_coupon_code_id": 1, "network_id": 1, "network_offer_id": 1, "coupon_code": "WINTER25",
        "coupon_status": "active", "tracking_link": "https://go.example.com/WINTER25/", "start_date": "2999-01-01",
        "end_date": "", "description": "25% off", "is_description_plain_text": true,
        "time_created": made["time_created"], "time_saved": made["time_saved"],
        "relationship": {"offer": {"network_offer_id": 1, "network_id": 1, "name": "Winter Jackets", "offer_status": "active"}},
    }]});
    assert_eq!(annas_list(&network, &key, "").await, expected);
}

#[tokio::test]
async fn a_partner_sees_only_what_he_can_use() {
    let network = start_with_offers().await;
    let key = annas_key(&network).await;
    let rows = json!([
        code("SEEN"),
        with(code("PAUSED"), json!({"coupon_status": "paused"})),
        with(code("ENDED"), json!({"end_date": "2020-01-01"})),
        with(code("BENS"), json!({"network_affiliate_id": 2})),
        with(code("NOBODYS"), json!({"network_affiliate_id": 0})),
        with(code("SECOND"), json!({"network_offer_id": 2})),
    ]);
    network.post("couponcodes/bulk", rows).await.done();
    assert_eq!(annas_codes(&network, &key).await, ["SEEN", "SECOND"]);
    let said = json!({"network_offer_ids": [1], "status": "hidden"});
    network.patch("affiliates/1/offers/visibility", said).await.done();
    assert_eq!(annas_codes(&network, &key).await, ["SECOND"]);
    network.patch("offers/2", json!({"visibility": "require_approval"})).await.done();
    assert_eq!(annas_codes(&network, &key).await, [""; 0]);
    network
        .patch(
            "affiliates/1/offers/visibility",
            json!({"network_offer_ids": [2], "status": "visible"}),
        )
        .await
        .done();
    assert_eq!(annas_codes(&network, &key).await, ["SECOND"]);
    network.patch("offers/2", json!({"offer_status": "paused"})).await.done();
    assert_eq!(annas_codes(&network, &key).await, [""; 0]);
}

#[tokio::test]
async fn all_codes_come_at_once_unless_a_page_is_asked_for() {
    let network = start_with_offers().await;
    let key = annas_key(&network).await;
    let rows: Vec<Value> = (0..120).map(|number| code(&format!("CODE{number}"))).collect();
    network.post("couponcodes/bulk", rows.into()).await.done();
    let all = annas_list(&network, &key, "").await;
    assert_eq!((all["coupon_codes"].as_array().unwrap().len(), all.get("paging")), (120, None));
    let page = annas_list(&network, &key, "?page=3").await;
    assert_eq!(page["paging"], json!({"page": 3, "page_size": 50, "total_count": 120}));
    assert_eq!(page["coupon_codes"].as_array().unwrap().len(), 20);
}
