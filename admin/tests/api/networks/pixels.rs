//! `/v1/networks/pixels`.

use serde_json::{Value, json};

use crate::client::{start_with_offers, with};

fn pixel() -> Value {
    json!({
        "network_affiliate_id": 1, "pixel_status": "active",
        "postback_url": "https://partner.example.com/pb?tid={transaction_id}",
    })
}

#[tokio::test]
async fn a_postback_can_be_created_read_replaced_patched_and_deleted() {
    let network = start_with_offers().await;
    let everflow = json!({"network_offer_id": 1, "delivery_method": "postback", "pixel_level": "specific",
        "pixel_type": "conversion", "description": "Anna's tracker", "delay_ms": 250, "signing_key": "k"});
    let made = network.post("pixels", with(pixel(), everflow)).await.done();
    assert_eq!(
        made,
        json!({
            "network_pixel_id": 1, "network_id": 1, "network_affiliate_id": 1, "network_offer_id": 1,
            "network_offer_payout_revenue_id": 0, "delivery_method": "postback", "pixel_level": "specific",
            "pixel_status": "active", "pixel_type": "conversion", "delay_ms": 250, "description": "Anna's tracker",
            "postback_url": "https://partner.example.com/pb?tid={transaction_id}", "signing_key": "k",
            "time_created": made["time_created"], "time_saved": made["time_saved"], "time_deleted": 0,
        })
    );
    assert_eq!(network.get("pixels/1").await.done(), made);
    let patched = network.patch("pixels/1", json!({"network_offer_id": 0})).await.done();
    assert_eq!((&patched["pixel_level"], &patched["delay_ms"]), (&json!("global"), &json!(250)));
    let replaced = network.put("pixels/1", patched).await.done();
    assert_eq!(replaced["description"], "Anna's tracker");
    let replaced = network.put("pixels/1", pixel()).await.done();
    assert_eq!((&replaced["description"], &replaced["signing_key"]), (&json!(""), &json!("")));
    assert_eq!(network.delete("pixels/1").await.done(), json!({"result": true}));
    assert_eq!(network.get("pixels/1").await.status, 404);
    assert_eq!(network.get("pixels").await.done()["paging"]["total_count"], 0);
}

#[tokio::test]
async fn lists_are_filtered_and_searched() {
    let network = start_with_offers().await;
    network.post("pixels", pixel()).await.done();
    network
        .post("pixels", with(pixel(), json!({"network_offer_id": 2, "pixel_status": "inactive"})))
        .await
        .done();
    let bens = json!({"network_affiliate_id": 2, "postback_url": "https://ben.example.com/"});
    network.post("pixels", with(pixel(), bens)).await.done();
    for (query, expected) in [
        ("", vec![1, 2, 3]),
        ("?filter=network_affiliate_id=1", vec![1, 2]),
        ("?filter=network_offer_id=0", vec![1, 3]),
        ("?filter=pixel_status=inactive", vec![2]),
        ("?search=BEN.example", vec![3]),
        ("?page=2&page_size=2", vec![3]),
        ("?sort=-network_pixel_id&page_size=1", vec![3]),
    ] {
        let list = network.get(&format!("pixels{query}")).await.done();
        let ids: Vec<u64> = list["pixels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["network_pixel_id"].as_u64().unwrap())
            .collect();
        assert_eq!(ids, expected, "{query}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_field() {
    let network = start_with_offers().await;
    let event = network.get("offers/1").await.done()["payout_revenue"].clone();
    for (over, field) in [
        (json!({"network_affiliate_id": 9}), "network_affiliate_id"),
        (json!({"network_offer_id": 9}), "network_offer_id"),
        (
            json!({"network_offer_id": 2, "pixel_type": "post_conversion", "network_offer_payout_revenue_id": 1 + event.as_array().unwrap().len() + 9}),
            "network_offer_payout_revenue_id",
        ),
        (json!({"postback_url": "https://partner.example.com/?t={transactionid}"}), "postback_url"),
        (json!({"postback_url": "https://{sub1}.example.com/"}), "postback_url"),
        (json!({"delivery_method": "html"}), "delivery_method"),
        (json!({"delivery_method": "facebook"}), "delivery_method"),
        (json!({"pixel_type": "cpc"}), "pixel_type"),
        (json!({"pixel_level": "global_offer"}), "pixel_level"),
        (json!({"html_code": "<img>"}), "html_code"),
    ] {
        let refused = network.post("pixels", with(pixel(), over.clone())).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    assert_eq!(network.get("pixels").await.done()["paging"]["total_count"], 0);
}

#[tokio::test]
async fn addresses_inside_are_refused_however_they_are_written() {
    let network = start_with_offers().await;
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[fd00::1]",
        "100.64.1.1",
        "0.0.0.0",
    ] {
        let there = json!({"postback_url": format!("http://{host}/pb?t={{transaction_id}}")});
        let refused = network.post("pixels", with(pixel(), there)).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec!["postback_url"]), "{host}");
        assert!(refused.body["error"].as_str().unwrap().contains("public internet"), "{refused:?}");
    }
    network.post("pixels", pixel()).await.done();
    let inside = json!({"postback_url": "http://192.168.1.1/"});
    assert_eq!(network.patch("pixels/1", inside).await.status, 400);
    assert_eq!(network.get("pixels/1").await.done()["postback_url"], pixel()["postback_url"]);
}

#[tokio::test]
async fn the_signing_key_is_answered_to_admin_keys_only_and_never_audited() {
    let network = start_with_offers().await;
    network.post("pixels", with(pixel(), json!({"signing_key": "hush-hush"}))).await.done();
    let wanted = json!({"name": "Looks", "role": "read_only"});
    let made = network.post("apikeys", wanted).await.done();
    let key = made["api_key"].as_str().unwrap();
    for path in ["pixels", "pixels/1", "audit"] {
        let seen = network.call_as(key, "GET", &format!("/v1/networks/{path}"), None).await;
        assert!(!seen.text.contains("hush-hush") && seen.status == 200, "{path}: {seen:?}");
    }
    assert!(!network.get("audit").await.text.contains("hush-hush"));
    assert_eq!(network.get("pixels/1").await.done()["signing_key"], "hush-hush");
    let refused = network.call_as(key, "POST", "/v1/networks/pixels/1/test", None).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn editors_are_kept_apart_and_repetitions_create_nothing() {
    let network = start_with_offers().await;
    let send = |headers: &'static [(&str, &str)]| {
        network.call_with(&network.key, "POST", "/v1/networks/pixels", headers, Some(pixel()))
    };
    let (first, again) =
        (send(&[("idempotency-key", "a")]).await, send(&[("idempotency-key", "a")]).await);
    assert_eq!(first.header("etag"), again.header("etag"));
    assert_eq!(
        (first.body["network_pixel_id"].clone(), again.header("idempotency-replayed")),
        (json!(1), Some("true"))
    );
    let etag = [("if-match", first.header("etag").unwrap())];
    let patch = || {
        let body = Some(json!({"delay_ms": 5}));
        network.call_with(&network.key, "PATCH", "/v1/networks/pixels/1", &etag, body)
    };
    assert_eq!((patch().await.status, patch().await.status), (200, 412));
}

#[tokio::test]
async fn a_partner_has_two_hundred_postbacks_at_most() {
    let network = start_with_offers().await;
    for _ in 0..200 {
        network.post("pixels", pixel()).await.done();
    }
    let refused = network.post("pixels", pixel()).await;
    assert_eq!(refused.refusal(), (409, "pixel.too_many", vec!["network_affiliate_id"]));
    network.patch("pixels/1", json!({"delay_ms": 1})).await.done();
    network.post("pixels", with(pixel(), json!({"network_affiliate_id": 2}))).await.done();
    network.delete("pixels/1").await.done();
    network.post("pixels", pixel()).await.done();
}

#[tokio::test]
async fn replaying_needs_an_active_postback() {
    let network = start_with_offers().await;
    network.post("pixels", with(pixel(), json!({"pixel_status": "inactive"}))).await.done();
    let refused = network.post("pixels/1/replay", json!({})).await;
    assert_eq!(refused.refusal(), (409, "pixel.inactive", vec!["pixel_status"]));
    assert_eq!(network.post("pixels/7/replay", json!({})).await.status, 404);
    assert_eq!(network.post("pixeldeliveries/7/replay", json!({})).await.status, 404);
    assert_eq!(network.get("pixeldeliveries/7").await.status, 404);
    assert_eq!(network.get("pixels/7/deliveries").await.status, 404);
    assert_eq!(network.get("pixels/1/deliveries").await.done()["pixel_deliveries"], json!([]));
}

#[tokio::test]
async fn a_postback_to_a_tracking_domain_is_refused_however_its_host_is_written() {
    let network = start_with_offers().await;
    let address = json!({"base_url": "https://198.41.0.4"});
    network.post("trackingdomains", address).await.done();
    for host in [
        "go.example.com",
        "GO.example.com.",
        "go.example.com:8443",
        "g%6F.example.com",
        "go\u{3002}example.com",
        "198.41.0.4:8080",
        "[::ffff:198.41.0.4]",
        "3324575748",
    ] {
        for status in ["active", "inactive"] {
            let there = json!({"postback_url": format!("http://{host}/?nid=1&oid=1"), "pixel_status": status});
            let refused = network.post("pixels", with(pixel(), there)).await;
            assert_eq!(refused.refusal(), (400, "request.invalid", vec!["postback_url"]), "{host}");
        }
    }
    network.post("pixels", pixel()).await.done();
    let there = json!({"postback_url": "https://go.example.com/?nid=1"});
    assert_eq!(network.patch("pixels/1", there.clone()).await.refusal().2, ["postback_url"]);
    assert_eq!(network.put("pixels/1", with(pixel(), there)).await.status, 400);
    assert_eq!(network.get("pixels/1").await.done()["postback_url"], pixel()["postback_url"]);
}

#[tokio::test]
async fn a_postback_that_leads_to_a_domain_which_came_later_can_only_be_switched_off_or_mended() {
    let network = start_with_offers().await;
    network.post("pixels", pixel()).await.done();
    let domain = json!({"base_url": "https://partner.example.com"});
    network.post("trackingdomains", domain).await.done();
    assert_eq!(
        network.patch("pixels/1", json!({"delay_ms": 5})).await.refusal().2,
        ["postback_url"]
    );
    network.patch("pixels/1", json!({"pixel_status": "inactive"})).await.done();
    let active = json!({"pixel_status": "active"});
    assert_eq!(network.patch("pixels/1", active).await.refusal().2, ["postback_url"]);
    let mended =
        json!({"pixel_status": "active", "postback_url": "https://elsewhere.example.com/"});
    network.patch("pixels/1", mended).await.done();
}

#[tokio::test]
async fn an_address_inside_is_refused_also_while_the_postback_is_inactive() {
    let network = start_with_offers().await;
    let inside = json!({"pixel_status": "inactive", "postback_url": "http://127.0.0.1/pb"});
    let refused = network.post("pixels", with(pixel(), inside.clone())).await;
    assert_eq!(refused.refusal(), (400, "request.invalid", vec!["postback_url"]));
    network.post("pixels", pixel()).await.done();
    assert_eq!(network.patch("pixels/1", inside).await.refusal().2, ["postback_url"]);
}
