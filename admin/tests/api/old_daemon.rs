//! A coupond of an older version, which would refuse a catalog with rules.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::client::{Running, offer, start_with_offers_and, with};

/// Answers every request as an older coupond answers `/reload`.
async fn serve(listener: UnixListener) {
    let body = json!({"generation": 1, "sequence": 1, "lineage": "0".repeat(32)}).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

async fn beside_an_old_daemon() -> Running {
    let network = start_with_offers_and(|config| {
        let listener = UnixListener::bind(&config.daemon_socket).unwrap();
        tokio::spawn(serve(listener));
    })
    .await;
    for _ in 0..200 {
        let publication = network.get("status").await.done()["publication"].clone();
        if publication["is_daemon_too_old_for_rules"] == true {
            return network;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody noticed the age of the daemon");
}

#[tokio::test]
async fn rules_wait_until_the_daemon_knows_them() {
    let network = beside_an_old_daemon().await;
    let germany = json!([{"country_code": "DE", "targeting_type": "exclude"}]);
    let control = json!({
        "name": "Bad sources", "status": "active", "control_type": "blacklist",
        "is_apply_all_affiliates": true, "is_apply_all_offers": true,
        "variables": ["source_id"], "values": ["bad"],
    });
    let capped = with(offer("Capped"), json!({"is_caps_enabled": true, "daily_click_cap": 3}));
    for (method, path, body) in [
        ("PATCH", "offers/1", json!({"ruleset": {"countries": germany}})),
        ("POST", "offers", capped),
        ("POST", "trafficcontrols", control),
    ] {
        let path = format!("/v1/networks/{path}");
        let answer = network.call_as(&network.key, method, &path, Some(body)).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (409, &json!("daemon_too_old")),
            "{path}"
        );
        let error = answer.body["error"].as_str().unwrap();
        assert!(error.contains("upgrade coupond"), "{error}");
    }
    // Everything else goes on.
    network.patch("offers/1", json!({"name": "Winter Jackets 2"})).await.done();
    network.get("trafficcontrols").await.done();
}
