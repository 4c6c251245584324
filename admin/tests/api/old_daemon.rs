//! A coupond of an older version, which would refuse a catalog with rules.

use std::time::Duration;

use coupon_shared::snapshot::catalog::CatalogFile;
use coupon_shared::snapshot::manifest::{CURRENT, Manifest};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::client::{Running, offer, start_with_offers, start_with_offers_and, with};
use crate::new_york::{html, sign_in};

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
    published(&network, |publication| publication["is_daemon_too_old_for_rules"] == true).await;
    network
}

/// Waits until the status of publication satisfies a condition.
async fn published(network: &Running, is_met: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..200 {
        let publication = network.get("status").await.done()["publication"].clone();
        if is_met(&publication) {
            return publication;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the status does not change");
}

/// The published catalog: the activity of each offer, and whether there are rules.
fn catalog(network: &Running) -> (Vec<(u32, bool)>, bool) {
    let index = network.folder.path().join("index");
    let manifest = Manifest::parse(&std::fs::read(index.join(CURRENT)).unwrap()).unwrap();
    let bytes = std::fs::read(index.join(manifest.catalog.catalog_file())).unwrap();
    let catalog = CatalogFile::open(&bytes).unwrap();
    let offers = [1, 2].map(|id| (id, catalog.offer(id).unwrap().active));
    (offers.into(), catalog.offer(1).unwrap().rules.is_empty())
}

#[tokio::test]
async fn an_older_daemon_gets_offers_with_rules_closed_and_the_others_open() {
    let network = start_with_offers().await;
    let mac = json!([{"name": "macOS", "targeting_type": "include"}]);
    network.patch("offers/1", json!({"ruleset": {"platforms": mac}})).await.done();
    let socket = network.folder.path().join("nobody.sock");
    let old = tokio::spawn(serve(UnixListener::bind(&socket).unwrap()));
    let is_closed = |publication: &Value| publication["offers_closed_for_old_daemon"] == 1;
    published(&network, is_closed).await;
    assert_eq!(catalog(&network), (vec![(1, false), (2, true)], true));
    let cookie = sign_in(&network).await;
    for (page, has_banner) in [("offers", true), ("offers/1/edit", true), ("status", false)] {
        let html = html(&network, &cookie, &format!("/console/{page}")).await;
        let (_, main) = html.split_once("<main").unwrap();
        assert_eq!(main.contains("<a href=\"/console/status\">Status</a>"), has_banner, "{page}");
        assert!(main.contains("coupond is too old for the rules of 1 offer"), "{page}");
    }
    // Other edits go on, and an offer without its rules is open again.
    network.patch("offers/2", json!({"name": "Coats"})).await.done();
    network.patch("offers/1", json!({"ruleset": null})).await.done();
    published(&network, |publication| publication["offers_closed_for_old_daemon"] == 0).await;
    assert_eq!(catalog(&network), (vec![(1, true), (2, true)], true));
    assert!(!html(&network, &cookie, "/console/offers").await.contains("too old"));
    old.abort();
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
