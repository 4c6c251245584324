//! `/v1/networks/privacy`: erasure of personal data. The tests of search and erasure are beside
//! that code; here are tests of requests, rights and answers.

use serde_json::json;

use crate::client::start_with_offers;

const ID: &str = "0192f0c1d2e3f405a6b7c8d9eaf00112";

#[tokio::test]
async fn an_erasure_is_answered_when_it_is_done_and_can_be_asked_for_again() {
    let network = start_with_offers().await;
    for (at, body) in [
        json!({"transaction_id": ID}),
        json!({"ip": "2001:db8::7"}),
        json!({"email": "Visitor@Example.com", "dry_run": true}),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = network.post("privacy/erase", body.clone()).await.done();
        assert_eq!((&answer["stage"], &answer["clicks"]), (&json!("done"), &json!(0)), "{answer}");
        assert_eq!(answer["dry_run"], body["dry_run"] == json!(true));
        assert!(answer["not_erased"][0].as_str().unwrap().contains("clicks.retention_days"));
        let again = network.get(&format!("privacy/erasures/{}", at + 1)).await.done();
        assert_eq!(again, answer);
    }
    let status = network.get("status").await.done();
    assert_eq!(status["privacy"]["click_retention_days"], 90);
    assert_eq!(status["privacy"]["erasures_unfinished"], 0);
}

#[tokio::test]
async fn whose_data_it_is_must_be_said_once_and_readably() {
    let network = start_with_offers().await;
    for (body, field) in [
        (json!({}), ""),
        (json!({"ip": "192.0.2.1", "email": "a@b.example"}), ""),
        (json!({"transaction_id": "0192"}), "transaction_id"),
        (json!({"ip": "192.0.2.0/24"}), "ip"),
        (json!({"email": "nobody"}), "email"),
        (json!({"phone": "1"}), "phone"),
    ] {
        let answer = network.post("privacy/erase", body).await;
        assert_eq!(answer.refusal(), (400, "request.invalid", vec![field]), "{answer:?}");
    }
    assert_eq!(network.get("privacy/erasures/1").await.status, 404);
}

#[tokio::test]
async fn the_audit_tells_who_asked_and_never_for_whom() {
    let network = start_with_offers().await;
    network.post("privacy/erase", json!({"email": "visitor@example.com"})).await.done();
    let told = network.get("audit?filter=object=personal_data").await;
    assert!(!told.text.contains("visitor"), "{told:?}");
    let told = told.done();
    let told = told["audit"].as_array().unwrap();
    let mut by: Vec<_> = told.iter().map(|e| (e["action"].as_str(), e["actor"].as_str())).collect();
    by.sort_unstable();
    assert_eq!(by, [(Some("erased"), Some("program")), (Some("requested"), Some("api_key"))]);
}

#[tokio::test]
async fn only_admin_keys_erase() {
    let network = start_with_offers().await;
    for key in [
        json!({"name": "r", "role": "read_only"}),
        json!({"name": "p", "role": "partner", "network_affiliate_id": 1}),
    ] {
        let made = network.post("apikeys", key).await.done();
        let key = made["api_key"].as_str().unwrap();
        let body = Some(json!({"ip": "192.0.2.1"}));
        let answer = network.call_as(key, "POST", "/v1/networks/privacy/erase", body).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
}
