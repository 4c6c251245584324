//! `Idempotency-Key`: a repeated creation creates one object.

use serde_json::{Value, json};

use crate::client::{Answer, Running, all, code, offer, start_with_offers};

async fn post(network: &Running, key: &str, path: &str, body: Value) -> Answer {
    post_as(network, &network.key, key, path, body).await
}

async fn post_as(network: &Running, caller: &str, key: &str, path: &str, body: Value) -> Answer {
    let path = format!("/v1/networks/{path}");
    network.call_with(caller, "POST", &path, &[("idempotency-key", key)], Some(body)).await
}

async fn count(network: &Running, path: &str) -> u64 {
    network.get(path).await.done()["paging"]["total_count"].as_u64().unwrap()
}

#[tokio::test]
async fn a_repeated_creation_of_any_object_is_answered_the_same_and_done_once() {
    let network = start_with_offers().await;
    let generation = json!({
        "pattern": "SUMMER####", "count": 5, "network_offer_id": 1, "coupon_status": "active",
    });
    let creations = [
        ("trackingdomains", "trackingdomains", json!({"base_url": "https://b.example.com"})),
        ("advertisers", "advertisers", json!({"name": "Shop 2", "account_status": "active"})),
        ("offers", "offers", offer("Hats")),
        ("affiliates", "affiliates", json!({"name": "Carl", "account_status": "active"})),
        ("couponcodes", "couponcodes", code("WINTER25")),
        ("couponcodes/bulk", "couponcodes", json!([code("ONE1"), code("TWO2")])),
        ("couponcodes/generate", "couponcodes", generation),
    ];
    for (path, list, body) in creations {
        let before = count(&network, list).await;
        let first = post(&network, path, path, body.clone()).await;
        assert_eq!((first.status, first.header("idempotency-replayed")), (200, None), "{path}");
        let after = count(&network, list).await;
        assert!(after > before, "{path}");
        for _ in 0..3 {
            let again = post(&network, path, path, body.clone()).await;
            assert_eq!(again.header("idempotency-replayed"), Some("true"), "{path}");
            assert_eq!(again.header("etag"), first.header("etag"), "{path}");
            assert_eq!((again.status, &again.body), (200, &first.body), "{path}");
        }
        assert_eq!(count(&network, list).await, after, "{path}");
    }
}

#[tokio::test]
async fn a_key_with_another_request_is_refused() {
    let network = start_with_offers().await;
    post(&network, "k", "couponcodes", code("WINTER25")).await.done();
    let mismatch = (409, "idempotency.mismatch", vec![]);
    let other_body = post(&network, "k", "couponcodes", code("SUMMER25")).await;
    assert_eq!(other_body.refusal(), mismatch);
    let other_path = post(&network, "k", "couponcodes/bulk", json!([code("WINTER25")])).await;
    assert_eq!(other_path.refusal(), mismatch);
    assert_eq!(count(&network, "couponcodes").await, 1);
    // `wait` does not make it another request.
    let waiting = post(&network, "k", "couponcodes?wait=live", code("WINTER25")).await;
    assert_eq!(waiting.header("idempotency-replayed"), Some("true"));
    assert_eq!(waiting.header("x-coupon-live"), Some("false"));
}

#[tokio::test]
async fn simultaneous_repetitions_create_once() {
    let network = start_with_offers().await;
    let partner = json!({"name": "Carl", "account_status": "active"});
    let answers =
        all((0..16).map(|_| post(&network, "repeated", "affiliates", partner.clone()))).await;
    let ids: Vec<&Value> =
        answers.iter().map(|answer| &answer.body["network_affiliate_id"]).collect();
    assert!(ids.iter().all(|id| **id == json!(3)), "{ids:?}");
    let replayed = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_some());
    assert_eq!(replayed.count(), 15);
    assert_eq!(count(&network, "affiliates").await, 3);
}

#[tokio::test]
async fn each_api_key_has_keys_of_its_own() {
    let network = start_with_offers().await;
    let made = network.post("apikeys", json!({"name": "robot", "role": "admin"})).await.done();
    let robot = made["api_key"].as_str().unwrap();
    let partner = json!({"name": "Carl", "account_status": "active"});
    post(&network, "k", "affiliates", partner.clone()).await.done();
    let other = post_as(&network, robot, "k", "affiliates", partner).await;
    assert_eq!(other.done()["network_affiliate_id"], 4);
}

#[tokio::test]
async fn a_refused_creation_is_judged_anew() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("WINTER25")).await.done();
    let again = post(&network, "k", "couponcodes", code("winter25")).await;
    assert_eq!(again.refusal().1, "coupon_code.duplicate");
    network.delete("couponcodes/1").await.done();
    let created = post(&network, "k", "couponcodes", code("winter25")).await;
    assert_eq!(created.header("idempotency-replayed"), None);
    created.done();
}

#[tokio::test]
async fn a_secret_is_answered_once_and_the_repetition_tells_of_the_key_only() {
    let network = start_with_offers().await;
    let robot = json!({"name": "robot", "role": "admin"});
    let first = post(&network, "k", "apikeys", robot.clone()).await.done();
    let secret = first["api_key"].as_str().unwrap().to_owned();
    let again = post(&network, "k", "apikeys", robot).await.done();
    assert_eq!(again["network_api_key_id"], first["network_api_key_id"]);
    assert_eq!(again["api_key"], Value::Null);
    let rotated = post(&network, "r", "apikeys/2/rotate", json!({})).await.done();
    let repeated = post(&network, "r", "apikeys/2/rotate", json!({})).await.done();
    assert_eq!((&repeated["hint"], &repeated["api_key"]), (&rotated["hint"], &Value::Null));
    let new = rotated["api_key"].as_str().unwrap();
    assert_eq!(network.call_as(new, "GET", "/v1/networks/settings", None).await.status, 200);
    let stored = std::fs::read(network.dir().join("admin.db")).unwrap();
    let wal = std::fs::read(network.dir().join("admin.db-wal")).unwrap_or_default();
    for secret in [secret.as_str(), new] {
        let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!has(&stored) && !has(&wal), "a secret stands in the store");
    }
}

#[tokio::test]
async fn after_a_day_a_key_is_free_again() {
    let network = start_with_offers().await;
    let partner = json!({"name": "Carl", "account_status": "active"});
    post(&network, "k", "affiliates", partner.clone()).await.done();
    let store = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    let age = |seconds: i64| {
        let sql = "UPDATE idempotency SET time_created = unixepoch() - ?1";
        store.execute(sql, [seconds]).unwrap();
    };
    age(24 * 3600 - 60);
    let again = post(&network, "k", "affiliates", partner.clone()).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    age(24 * 3600 + 1);
    let kept_on = post(&network, "k", "affiliates", partner.clone()).await;
    assert_eq!(kept_on.header("idempotency-replayed"), Some("true"), "by a clock just set");
    let trust =
        "INSERT OR REPLACE INTO removal_clock VALUES (1, unixepoch() * 1000, 86400000, 0, 0)";
    store.execute(trust, []).unwrap();
    let anew = post(&network, "k", "affiliates", partner).await;
    assert_eq!(anew.header("idempotency-replayed"), None);
    assert_eq!(anew.done()["network_affiliate_id"], 4);
}

#[tokio::test]
async fn a_key_is_short_and_printable() {
    let network = start_with_offers().await;
    let partner = json!({"name": "Carl", "account_status": "active"});
    for key in ["", "a b", &"k".repeat(256)] {
        let refused = post(&network, key, "affiliates", partner.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec!["Idempotency-Key"]));
    }
    post(&network, &"k".repeat(255), "affiliates", partner).await.done();
}
