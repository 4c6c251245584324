//! `/v1/affiliates/apikey`.

use serde_json::{Value, json};

use crate::client::{Running, start_with_offers};

const PATH: &str = "/v1/affiliates/apikey";
const CODES: &str = "/v1/affiliates/couponcodes";

/// Makes a key for a partner as staff does.
async fn key_by_staff(network: &Running, partner: u32) -> String {
    let wanted = json!({"name": "by staff", "role": "partner", "network_affiliate_id": partner});
    network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned()
}

async fn status(network: &Running, key: &str, method: &str, path: &str) -> u16 {
    network.call_as(key, method, path, None).await.status
}

/// Makes or replaces the own key; returns the secret.
async fn make(network: &Running, key: &str) -> String {
    let made = network.call_as(key, "POST", PATH, Some(json!({}))).await.done();
    made["api_key_secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_partner_makes_replaces_and_revokes_one_key_of_its_own() {
    let network = start_with_offers().await;
    let anna = key_by_staff(&network, 1).await;
    let own = async || network.call_as(&anna, "GET", PATH, None).await.done();
    assert_eq!(own().await, json!({"api_key": null}));
    // Without a key there is nothing to revoke.
    assert_eq!(status(&network, &anna, "DELETE", PATH).await, 200);

    let first = make(&network, &anna).await;
    assert_eq!(status(&network, &first, "GET", CODES).await, 200);
    let shown = own().await;
    let hint = shown["api_key"]["hint"].as_str().unwrap();
    assert!(first.starts_with(hint) && hint.len() < first.len() / 2, "{shown}");
    assert!(!shown.to_string().contains(&first), "the secret is shown again");

    let second = make(&network, &anna).await;
    assert_ne!(second, first);
    assert_eq!(status(&network, &first, "GET", CODES).await, 401);
    assert_eq!(status(&network, &second, "GET", CODES).await, 200);
    // The same key with another secret; the one of staff stays.
    let id = |shown: &Value| shown["api_key"]["network_api_key_id"].clone();
    assert_eq!(id(&own().await), id(&shown));
    let listed = network.get("apikeys").await.done();
    let of_anna = listed["api_keys"].as_array().unwrap().iter();
    assert_eq!(of_anna.filter(|key| key["network_affiliate_id"] == 1).count(), 2);

    assert_eq!(status(&network, &second, "DELETE", PATH).await, 200);
    assert_eq!(status(&network, &second, "GET", CODES).await, 401);
    assert_eq!(own().await, json!({"api_key": null}));
}

#[tokio::test]
async fn the_key_of_one_partner_is_nothing_to_others() {
    let network = start_with_offers().await;
    let (anna, ben) = (key_by_staff(&network, 1).await, key_by_staff(&network, 2).await);
    let annas = make(&network, &anna).await;
    assert_eq!(network.call_as(&ben, "GET", PATH, None).await.done(), json!({"api_key": null}));
    assert_eq!(status(&network, &ben, "DELETE", PATH).await, 200);
    assert_eq!(status(&network, &annas, "GET", CODES).await, 200);
    let bens = make(&network, &ben).await;
    for own in [&annas, &bens] {
        assert_eq!(status(&network, own, "GET", CODES).await, 200);
    }
    // Staff has no key of this kind.
    for method in ["GET", "POST", "DELETE"] {
        assert_eq!(status(&network, &network.key, method, PATH).await, 403, "{method}");
    }
}

#[tokio::test]
async fn a_repeated_creation_shows_no_secret_and_the_audit_never_does() {
    let network = start_with_offers().await;
    let anna = key_by_staff(&network, 1).await;
    let header = [("idempotency-key", "once")];
    let send =
        async || network.call_with(&anna, "POST", PATH, &header, Some(json!({}))).await.done();
    let (first, again) = (send().await, send().await);
    let secret = first["api_key_secret"].as_str().unwrap();
    assert_eq!(again["api_key"], first["api_key"]);
    assert_eq!(again.get("api_key_secret"), None, "{again}");
    assert_eq!(status(&network, secret, "GET", CODES).await, 200, "made once, not replaced");
    let audit = network.get("audit?page_size=100").await;
    assert!(!audit.text.contains(secret), "{}", audit.text);
}
