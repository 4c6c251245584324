//! `ETag` and `If-Match`: two editors of one object do not overwrite each other unknowingly.

use serde_json::{Value, json};

use crate::client::{Answer, Running, all, code, offer, start_with_offers, with};

async fn with_tag(
    network: &Running,
    tag: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let path = format!("/v1/networks/{path}");
    network.call_with(&network.key, method, &path, &[("if-match", tag)], body).await
}

async fn tag(network: &Running, path: &str) -> String {
    network.get(path).await.header("etag").unwrap().to_owned()
}

/// One object of each kind, with a replacement and a patch.
async fn objects() -> (Running, Vec<(&'static str, Value, Value)>) {
    let network = start_with_offers().await;
    network.post("couponcodes", code("WINTER25")).await.done();
    network.post("apikeys", json!({"name": "robot", "role": "admin"})).await.done();
    let domain = json!({"base_url": "https://other.example.com"});
    network.post("trackingdomains", domain.clone()).await.done();
    let control = json!({
        "name": "Bad", "status": "active", "control_type": "blacklist", "variables": ["sub1"],
        "values": ["bad"],
    });
    network.post("trafficcontrols", control.clone()).await.done();
    let status = json!({"account_status": "inactive"});
    let objects = vec![
        (
            "couponcodes/1",
            with(code("WINTER25"), json!({"description": "a"})),
            json!({"description": "b"}),
        ),
        ("offers/2", offer("Trousers"), json!({"name": "Slacks"})),
        ("affiliates/2", json!({"name": "Benno", "account_status": "active"}), status.clone()),
        ("advertisers/1", json!({"name": "Store", "account_status": "active"}), status),
        ("trackingdomains/2", domain, json!({"fallback_url": "https://a.example/"})),
        ("trafficcontrols/1", control, json!({"values": ["worse"]})),
        ("apikeys/2", json!({"name": "robot 2", "role": "admin"}), json!({"name": "robot 3"})),
    ];
    (network, objects)
}

#[tokio::test]
async fn an_edit_meant_for_an_older_state_is_refused_whatever_the_object() {
    let (network, objects) = objects().await;
    for (path, whole, part) in objects {
        let first = tag(&network, path).await;
        let answer = with_tag(&network, &first, "PUT", path, Some(whole.clone())).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        // Within the same second, so times cannot distinguish the two states.
        let second = answer.header("etag").unwrap().to_owned();
        assert_ne!(first, second, "{path}");
        assert_eq!(tag(&network, path).await, second, "{path}");

        for (method, body) in
            [("PUT", Some(whole)), ("PATCH", Some(part.clone())), ("DELETE", None)]
        {
            let stale = with_tag(&network, &first, method, path, body).await;
            assert_eq!(stale.refusal(), (412, "object.changed", vec![]), "{method} {path}");
        }
        assert_eq!(tag(&network, path).await, second, "{path}: a refused edit changed it");

        let either = format!("\"0\", {second}");
        with_tag(&network, &either, "PATCH", path, Some(part.clone())).await.done();
        with_tag(&network, "*", "PATCH", path, Some(part.clone())).await.done();
        network.patch(path, part).await.done();
        let last = tag(&network, path).await;
        if path != "advertisers/1" {
            let forced = format!("{path}?force=true");
            let takes_force = ["offers/2", "affiliates/2", "trackingdomains/2"].contains(&path);
            let deletion = if takes_force { &forced } else { path };
            with_tag(&network, &last, "DELETE", deletion, None).await.done();
            assert_eq!(with_tag(&network, "*", "DELETE", path, None).await.status, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn a_created_object_is_answered_with_its_tag() {
    let network = start_with_offers().await;
    let created = network.post("couponcodes", code("WINTER25")).await;
    assert_eq!(created.header("etag"), Some(tag(&network, "couponcodes/1").await.as_str()));
}

#[tokio::test]
async fn settings_have_a_tag_too() {
    let network = start_with_offers().await;
    let settings = network.get("settings").await;
    let first = settings.header("etag").unwrap().to_owned();
    let edited = with(settings.body, json!({"currency": "EUR"}));
    let answer = with_tag(&network, &first, "PUT", "settings", Some(edited.clone())).await;
    assert_ne!(answer.header("etag"), Some(first.as_str()));
    answer.done();
    let stale = with_tag(&network, &first, "PUT", "settings", Some(edited)).await;
    assert_eq!(stale.refusal(), (412, "object.changed", vec![]));
}

#[tokio::test]
async fn what_is_said_of_partners_is_part_of_the_offers_state() {
    let network = start_with_offers().await;
    let offer = tag(&network, "offers/1").await;
    let path = "offers/1/visibility";
    assert_eq!(tag(&network, path).await, offer);
    network
        .patch(
            "affiliates/1/offers/visibility",
            json!({"network_offer_ids": [1], "status": "hidden"}),
        )
        .await
        .done();
    let stale =
        with_tag(&network, &offer, "PUT", path, Some(json!({"visibility": "public"}))).await;
    assert_eq!(stale.refusal(), (412, "object.changed", vec![]));
    assert_ne!(tag(&network, "offers/1").await, offer);
    let now = tag(&network, path).await;
    with_tag(&network, &now, "PUT", path, Some(json!({"visibility": "public"}))).await.done();
}

#[tokio::test]
async fn making_a_domain_the_default_changes_the_one_that_was() {
    let network = start_with_offers().await;
    let was_default = tag(&network, "trackingdomains/1").await;
    let other = json!({"base_url": "https://other.example.com", "is_default": true});
    network.post("trackingdomains", other).await.done();
    assert_ne!(tag(&network, "trackingdomains/1").await, was_default);
}

#[tokio::test]
async fn of_many_editors_who_saw_the_same_state_one_succeeds() {
    let network = start_with_offers().await;
    let seen = tag(&network, "affiliates/1").await;
    let edits = (0..12).map(|number| {
        let part = json!({"name": format!("Anna {number}")});
        with_tag(&network, &seen, "PATCH", "affiliates/1", Some(part))
    });
    let answers = all(edits).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 11, "{statuses:?}");
}

#[tokio::test]
async fn a_tag_that_is_none_is_named_and_a_weak_one_matches_nothing() {
    let network = start_with_offers().await;
    let part = || Some(json!({"name": "Anna B"}));
    let bare = with_tag(&network, "7", "PATCH", "affiliates/1", part()).await;
    assert_eq!(bare.refusal(), (400, "request.invalid", vec!["If-Match"]));
    let weak = format!("W/{}", tag(&network, "affiliates/1").await);
    let answer = with_tag(&network, &weak, "PATCH", "affiliates/1", part()).await;
    assert_eq!(answer.refusal(), (412, "object.changed", vec![]));
}
