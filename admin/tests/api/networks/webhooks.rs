//! `/v1/networks/webhooks`, and the delivery of events.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coupon_admin::config::Config;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::{Running, code, start_with_offers, start_with_offers_and, with};
use crate::partner_server::{Partner, Reply, Seen};

fn webhook() -> Value {
    json!({"name": "Chat", "url": "https://hooks.example.com/x", "webhook_status": "active"})
}

/// Allows all addresses of this machine, and sets short waits.
fn quick(config: &mut Config) {
    config.pixels.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    config.pixels.retry_policy.first_retry = Duration::from_millis(20);
    config.pixels.retry_policy.max_attempts = 3;
}

/// Answers with the status that the number has at that time.
async fn receiver(status: &Arc<AtomicU16>) -> Partner {
    let status = Arc::clone(status);
    Partner::start(move |_| Reply::Status(status.load(Ordering::SeqCst), String::new())).await
}

/// Waits until the condition holds for all deliveries, and returns the deliveries, newest first.
async fn until(network: &Running, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let list = network.get("webhookdeliveries").await.done();
        let found = list["webhook_deliveries"].as_array().unwrap().clone();
        if !found.is_empty() && found.iter().all(&wanted) {
            return found;
        }
        assert!(Instant::now() < deadline, "{found:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// As a receiver computes the signature.
fn signature(secret: &str, seen: &Seen) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let header = |name: &str| seen.header(name).unwrap().trim().to_owned();
    let signed = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), seen.body);
    mac.update(signed.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn signatures(seen: &Seen) -> Vec<&str> {
    seen.header("webhook-signature").unwrap().trim().split(' ').collect()
}

#[tokio::test]
async fn a_webhook_is_edited_like_other_objects_and_shows_its_secret_once() {
    let network = start_with_offers().await;
    let made = network.post("webhooks", webhook()).await.done();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    assert_eq!((&made["network_webhook_id"], &made["events"]), (&json!(1), &json!([])));
    let read = network.get("webhooks/1").await.done();
    assert_eq!((&read["secret"], &read["name"]), (&Value::Null, &json!("Chat")));
    let chosen = json!({"events": ["cap.reached", "smart_switch.blocked"]});
    let patched = network.patch("webhooks/1", chosen.clone()).await.done();
    assert_eq!((&patched["events"], &patched["secret"]), (&chosen["events"], &Value::Null));
    let replaced = network.put("webhooks/1", webhook()).await.done();
    assert_eq!(replaced["events"], json!([]));
    let rotated = network.post("webhooks/1/secret", json!({})).await.done();
    assert_ne!(rotated["secret"], json!(secret));
    let listed = network.get("webhooks?filter=webhook_status=active&search=cHAT").await.done();
    assert_eq!(listed["paging"]["total_count"], 1);
    assert!(!listed.to_string().contains("whsec_"));
    network.delete("webhooks/1").await.done();
    assert_eq!(network.get("webhooks/1").await.status, 404);
    let restored = network.post("webhooks/1/restore", json!({})).await.done();
    assert_eq!((&restored["name"], &restored["secret"]), (&json!("Chat"), &Value::Null));
    let audit = network.get("audit?filter=object=webhook").await.done().to_string();
    assert!(!audit.contains("whsec_") && audit.contains("rotated"), "{audit}");
}

#[tokio::test]
async fn wrong_fields_are_named_and_nothing_is_sent_inside() {
    let network = start_with_offers().await;
    for (over, field) in [
        (json!({"name": ""}), "name"),
        (json!({"url": "http://hooks.example.com/"}), "url"),
        (json!({"url": "https://127.0.0.1/"}), "url"),
        (json!({"url": "https://[::ffff:a9fe:a9fe]/"}), "url"),
        (json!({"url": "http://10.0.0.1/"}), "url"),
        (json!({"webhook_status": "on"}), "webhook_status"),
        (json!({"events": ["cap.passed"]}), "events[0]"),
        (json!({"events": ["cap.near", "cap.near"]}), "events[1]"),
        (json!({"secret": "mine"}), "secret"),
    ] {
        let refused = network.post("webhooks", with(webhook(), over.clone())).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    let domain = json!({"base_url": "https://go.example.net", "is_default": false});
    network.post("trackingdomains", domain).await.done();
    let own = json!({"url": "https://GO.example.net/x"});
    let refused = network.post("webhooks", with(webhook(), own)).await;
    assert_eq!(refused.refusal(), (400, "request.invalid", vec!["url"]));
    assert_eq!(network.get("webhooks").await.done()["paging"]["total_count"], 0);
    for number in 0..20 {
        let name = json!({"name": number.to_string()});
        network.post("webhooks", with(webhook(), name)).await.done();
    }
    assert_eq!(network.post("webhooks", webhook()).await.refusal().1, "webhook.too_many");
    let since = network.post("webhooks/1/replay", json!({"since": -1})).await;
    assert_eq!(since.refusal(), (400, "request.invalid", vec!["since"]));
    for path in ["webhooks/99/replay", "webhookdeliveries/9/replay", "webhooks/99/test"] {
        assert_eq!(network.post(path, json!({})).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn an_event_is_signed_retried_given_up_and_replayed_with_the_same_id() {
    let network = start_with_offers_and(quick).await;
    let status = Arc::new(AtomicU16::new(500));
    let receiver = receiver(&status).await;
    let chosen = json!({"url": receiver.url("/hook?x=1"), "events": ["coupon_code.changed"]});
    let made = network.post("webhooks", with(webhook(), chosen)).await.done();
    let others = json!({"url": receiver.url("/other"), "events": ["cap.reached"]});
    network.post("webhooks", with(webhook(), others)).await.done();
    network.post("couponcodes", code("SUMMER")).await.done();
    let dead = until(&network, |delivery| delivery["state"] == "dead").await;
    assert_eq!((dead.len(), &dead[0]["attempts"]), (1, &json!(3)), "{dead:?}");
    assert_eq!((&dead[0]["last_status"], &dead[0]["time_due"]), (&json!(500), &json!(0)));
    let backlog = async || network.get("status").await.done()["webhooks"].clone();
    assert_eq!(backlog().await, json!({"pending": 0, "dead": 1, "oldest_pending": null}));
    status.store(202, Ordering::SeqCst);
    let late = json!({"since": dead[0]["time_created"].as_i64().unwrap() + 1});
    let none = network.post("webhooks/1/replay", late).await.done();
    assert_eq!(none["replayed"], 0);
    let all = network.post("webhooks/1/replay", json!({})).await.done();
    assert_eq!(all["replayed"], 1);
    until(&network, |delivery| delivery["state"] == "delivered").await;
    assert_eq!(backlog().await["dead"], 0);
    let seen = receiver.seen();
    assert_eq!(seen.len(), 4);
    let message: Value = serde_json::from_str(&seen[0].body).unwrap();
    assert_eq!((&message["type"], &message["version"]), (&json!("coupon_code.changed"), &json!(1)));
    assert_eq!(message["data"]["action"], "created", "{message}");
    for request in &seen {
        assert_eq!((request.target.as_str(), &request.body), ("/hook?x=1", &seen[0].body));
        assert_eq!(request.header("webhook-id").unwrap().trim(), message["id"]);
        assert_eq!(request.header("content-type").unwrap().trim(), "application/json");
        let secret = made["secret"].as_str().unwrap();
        assert_eq!(signatures(request), [signature(secret, request)]);
        assert_eq!(signature_of_the_manual(secret, request), signature(secret, request));
    }
    // The former secret signs beside the new one.
    let rotated = network.post("webhooks/1/secret", json!({})).await.done();
    network.post("webhookdeliveries/1/replay", json!({})).await.done();
    until(&network, |delivery| delivery["attempts"] == 1).await;
    let last = receiver.seen().pop().unwrap();
    let both = [&rotated["secret"], &made["secret"]];
    assert_eq!(signatures(&last), both.map(|secret| signature(secret.as_str().unwrap(), &last)));
}

/// The signature by the command in the README; the own one where openssl is not installed.
fn signature_of_the_manual(secret: &str, seen: &Seen) -> String {
    let manual = include_str!("../../../README.md");
    let end = manual.find("-binary | base64").unwrap() + "-binary | base64".len();
    let begin = manual[..end].rfind("```sh\n").unwrap() + "```sh\n".len();
    let output = Command::new("sh")
        .args(["-c", &manual[begin..end]])
        .env("secret", secret)
        .env("id", seen.header("webhook-id").unwrap().trim())
        .env("timestamp", seen.header("webhook-timestamp").unwrap().trim())
        .env("body", &seen.body)
        .output()
        .unwrap();
    if !Command::new("openssl").arg("version").output().is_ok_and(|ran| ran.status.success()) {
        return signature(secret, seen);
    }
    format!("v1,{}", String::from_utf8_lossy(&output.stdout).trim())
}

#[tokio::test]
async fn a_webhook_that_is_off_gets_nothing_and_a_test_tells_the_answer() {
    let network = start_with_offers_and(quick).await;
    let status = Arc::new(AtomicU16::new(200));
    let receiver = receiver(&status).await;
    let url = json!({"url": receiver.url("/hook"), "webhook_status": "inactive"});
    let made = network.post("webhooks", with(webhook(), url)).await.done();
    network.post("couponcodes", code("SUMMER")).await.done();
    let none = network.get("webhookdeliveries").await.done();
    assert_eq!(none["paging"]["total_count"], 0);
    let tested = network.post("webhooks/1/test", json!({})).await.done();
    assert_eq!((&tested["status"], &tested["body"]), (&json!(200), &json!("OK")), "{tested}");
    let seen = receiver.seen();
    assert!(seen[0].body.contains(r#""type":"webhook.test""#), "{seen:?}");
    assert_eq!(signatures(&seen[0]), [signature(made["secret"].as_str().unwrap(), &seen[0])]);
    // A deletion gives up what waits, and no replay sends to an inactive webhook.
    network.patch("webhooks/1", json!({"webhook_status": "active"})).await.done();
    status.store(503, Ordering::SeqCst);
    network.post("couponcodes", code("WINTER")).await.done();
    network.patch("webhooks/1", json!({"webhook_status": "inactive"})).await.done();
    let given_up = until(&network, |delivery| delivery["state"] == "dead").await;
    assert_eq!(given_up.len(), 1);
    let refused = network.post("webhooks/1/replay", json!({})).await;
    assert_eq!(refused.refusal(), (409, "webhook.inactive", vec!["webhook_status"]));
}
