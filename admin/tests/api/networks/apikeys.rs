//! `/v1/networks/apikeys`.

use serde_json::json;

use crate::client::{start, start_with_offers, with};

#[tokio::test]
async fn a_secret_is_answered_once_and_never_listed() {
    let network = start().await;
    let made = network.post("apikeys", json!({"name": "robot", "role": "admin"})).await.done();
    let secret = made["api_key"].as_str().unwrap().to_owned();
    for path in ["apikeys", "apikeys/2"] {
        let answer = network.get(path).await.done().to_string();
        assert!(
            !answer.contains(&secret) && answer.contains(made["hint"].as_str().unwrap()),
            "{answer}"
        );
    }
    assert_eq!(network.call_as(&secret, "GET", "/v1/networks/settings", None).await.status, 200);
}

#[tokio::test]
async fn a_rotated_or_revoked_key_stops_working_at_once() {
    let network = start().await;
    let made = network.post("apikeys", json!({"name": "robot", "role": "read_only"})).await.done();
    let old = made["api_key"].as_str().unwrap();
    let rotated = network.post("apikeys/2/rotate", json!({})).await.done();
    let new = rotated["api_key"].as_str().unwrap();
    assert_eq!(rotated["network_api_key_id"], made["network_api_key_id"]);
    assert_eq!(network.call_as(old, "GET", "/v1/networks/settings", None).await.status, 401);
    assert_eq!(network.call_as(new, "GET", "/v1/networks/settings", None).await.status, 200);
    network.delete("apikeys/2").await.done();
    assert_eq!(network.call_as(new, "GET", "/v1/networks/settings", None).await.status, 401);
}

#[tokio::test]
async fn the_last_admin_key_stays() {
    let network = start().await;
    assert_eq!(network.delete("apikeys/1").await.refusal().1, "api_key.last_admin");
    assert_eq!(
        network.patch("apikeys/1", json!({"role": "read_only"})).await.refusal().1,
        "api_key.last_admin"
    );
    network.post("apikeys", json!({"name": "second", "role": "admin"})).await.done();
    network.delete("apikeys/1").await.done();
}

#[tokio::test]
async fn a_partners_key_has_its_partner_and_no_other_has() {
    let network = start_with_offers().await;
    for wrong in [
        json!({"name": "x", "role": "partner"}),
        json!({"name": "x", "role": "partner", "network_affiliate_id": 9}),
        json!({"name": "x", "role": "admin", "network_affiliate_id": 1}),
    ] {
        assert_eq!(
            network.post("apikeys", wrong.clone()).await.refusal().2,
            ["network_affiliate_id"],
            "{wrong}"
        );
    }
    let made = network
        .post("apikeys", json!({"name": "Anna's", "role": "partner", "network_affiliate_id": 1}))
        .await
        .done();
    assert_eq!(made["network_affiliate_id"], 1);
    let renamed = network.patch("apikeys/2", json!({"name": "Anna's own"})).await.done();
    assert_eq!((&renamed["name"], &renamed["role"]), (&json!("Anna's own"), &json!("partner")));
}

#[tokio::test]
async fn an_advertisers_key_has_its_advertiser_and_opens_nothing_without_an_active_one() {
    let network = start_with_offers().await;
    for wrong in [
        json!({"name": "x", "role": "advertiser"}),
        json!({"name": "x", "role": "advertiser", "network_advertiser_id": 9}),
        json!({"name": "x", "role": "admin", "network_advertiser_id": 1}),
        json!({"name": "x", "role": "partner", "network_affiliate_id": 1, "network_advertiser_id": 1}),
    ] {
        let refused = network.post("apikeys", wrong.clone()).await;
        assert_eq!(refused.refusal().2, ["network_advertiser_id"], "{wrong}");
    }
    let both = json!({"name": "x", "role": "advertiser", "network_affiliate_id": 1, "network_advertiser_id": 1});
    assert_eq!(network.post("apikeys", both).await.refusal().2, ["network_affiliate_id"]);
    let shops = json!({"name": "Shop's", "role": "advertiser", "network_advertiser_id": 1});
    let made = network.post("apikeys", shops).await.done();
    assert_eq!(
        (&made["network_advertiser_id"], &made["network_affiliate_id"]),
        (&json!(1), &json!(0))
    );
    let listed = network.get("apikeys?filter=network_advertiser_id=1").await.done();
    assert_eq!(listed["paging"]["total_count"], 1);
    let key = made["api_key"].as_str().unwrap();
    let status = async || network.call_as(key, "GET", "/v1/advertisers/offers", None).await.status;
    assert_eq!(status().await, 200);
    for (account, expected) in [("inactive", 401), ("suspended", 401), ("active", 200)] {
        network.patch("advertisers/1", json!({"account_status": account})).await.done();
        assert_eq!(status().await, expected, "{account}");
    }
    for offer in [1, 2] {
        network.delete(&format!("offers/{offer}")).await.done();
    }
    network.delete("advertisers/1").await.done();
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_kept_over_a_restart_and_is_no_edit() {
    let network = start().await;
    let made = network.post("apikeys", json!({"name": "robot", "role": "read_only"})).await.done();
    assert_eq!((&made["time_last_used"], &made["last_used_address"]), (&json!(0), &json!("")));
    let etag = |answer: &crate::client::Answer| answer.header("etag").map(str::to_owned);
    let before = network.get("apikeys/2").await;
    let secret = made["api_key"].as_str().unwrap();
    let used = jiff::Timestamp::now().as_second();
    assert_eq!(network.call_as(secret, "GET", "/v1/networks/settings", None).await.status, 200);
    let network = network.restart(|_| {}).await;
    let after = network.get("apikeys/2").await;
    assert_eq!(etag(&after), etag(&before), "a use is no edit");
    let key = after.done();
    assert!((used..used + 30).contains(&key["time_last_used"].as_i64().unwrap()), "{key}");
    assert_eq!(key["last_used_address"], "127.0.0.1");
    let renamed = network.put("apikeys/2", with(key, json!({"name": "robot 2"}))).await.done();
    assert_eq!(
        (&renamed["name"], &renamed["last_used_address"]),
        (&json!("robot 2"), &json!("127.0.0.1"))
    );
}
