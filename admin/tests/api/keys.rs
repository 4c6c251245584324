//! Who may ask what.

use serde_json::{Value, json};

use crate::client::{Running, start_with_offers};

async fn key(network: &Running, role: &str, partner: Option<u32>) -> String {
    let wanted = json!({"name": role, "role": role, "network_affiliate_id": partner});
    network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned()
}

async fn status(
    network: &Running,
    key: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> u16 {
    network.call_as(key, method, path, body).await.status
}

#[tokio::test]
async fn without_a_key_or_with_a_made_up_one_nothing_is_answered() {
    let network = start_with_offers().await;
    let request = hyper::Request::get("/v1/networks/offers").body(Default::default()).unwrap();
    assert_eq!(network.send(request).await.refusal(), (401, "auth.missing", vec![]));
    let made_up = format!("cpk_{}", "0".repeat(48));
    for key in ["", "x", &made_up, &network.key[..network.key.len() - 1]] {
        let answer = network.call_as(key, "GET", "/v1/networks/offers", None).await;
        assert_eq!(answer.refusal(), (401, "auth.unknown_key", vec![]), "{key:?}");
    }
}

#[tokio::test]
async fn a_read_only_key_reads_and_does_not_write() {
    let network = start_with_offers().await;
    let key = key(&network, "read_only", None).await;
    assert_eq!(status(&network, &key, "GET", "/v1/networks/offers", None).await, 200);
    let partner = json!({"name": "Eve", "account_status": "active"});
    for (method, path) in
        [("POST", "/v1/networks/affiliates"), ("PUT", "/v1/networks/affiliates/1")]
    {
        let answer = network.call_as(&key, method, path, Some(partner.clone())).await;
        assert_eq!(answer.refusal(), (403, "auth.wrong_kind", vec![]));
    }
    assert_eq!(status(&network, &key, "DELETE", "/v1/networks/affiliates/1", None).await, 403);
    assert_eq!(network.get("affiliates").await.done()["paging"]["total_count"], 2);
}

#[tokio::test]
async fn a_read_only_key_sees_no_secret_of_an_advertiser() {
    let network = start_with_offers().await;
    let secrets = json!({"verification_token": "token", "signing_key": "signing"});
    network.patch("advertisers/1", secrets).await.done();
    assert_eq!(network.get("advertisers/1").await.done()["signing_key"], "signing");
    let key = key(&network, "read_only", None).await;
    for path in ["/v1/networks/advertisers", "/v1/networks/advertisers/1"] {
        let answer = network.call_as(&key, "GET", path, None).await.done().to_string();
        assert!(!answer.contains("\"token\"") && !answer.contains("\"signing\""), "{answer}");
    }
}

#[tokio::test]
async fn a_partners_key_and_an_admins_key_do_not_open_each_others_door() {
    let network = start_with_offers().await;
    let partner = key(&network, "partner", Some(1)).await;
    assert_eq!(status(&network, &partner, "GET", "/v1/networks/offers", None).await, 403);
    assert_eq!(status(&network, &partner, "GET", "/v1/affiliates/couponcodes", None).await, 200);
    assert_eq!(
        status(&network, &network.key, "GET", "/v1/affiliates/couponcodes", None).await,
        403
    );
}
