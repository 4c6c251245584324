//! URLs that would redirect visitors back to a tracking domain, in circles.

use serde_json::json;

use crate::client::{offer, start_with_offers, with};

#[tokio::test]
async fn no_url_leads_visitors_back_to_a_tracking_domain() {
    let network = start_with_offers().await;
    for circle in [
        "https://go.example.com/WINTER25",
        "https://go.example.com/WINTER25/?x={sub1}",
        "http://GO.example.com/{sub1}",
        "https://go.example.com:443/winter25",
        "https://go.example.com./winter25",
        "https://go.example.com",
    ] {
        let change = json!({"destination_url": circle});
        let refused = network.patch("offers/1", change.clone()).await;
        assert_eq!(
            refused.refusal(),
            (400, "request.invalid", vec!["destination_url"]),
            "{circle}"
        );
        let refused = network.post("offers", with(offer("New"), change)).await;
        assert_eq!(refused.refusal().2, ["destination_url"], "{circle}");
    }
    for elsewhere in [
        "https://go.example.com/shop/jackets?c={coupon_code}",
        "https://go.example.com:8443/winter25",
        "https://shop.example.com/winter25",
    ] {
        network.patch("offers/1", json!({"destination_url": elsewhere})).await.done();
    }
    let fallback = json!({"fallback_url": "https://go.example.com/sorry/page"});
    for path in ["offers/1", "trackingdomains/1", "settings"] {
        let refused = network.patch(path, fallback.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec!["fallback_url"]), "{path}");
    }
}

#[tokio::test]
async fn no_domain_comes_to_where_something_leads_already() {
    let network = start_with_offers().await;
    let second = json!({"base_url": "https://shop.example.com"});
    let there = "https://shop.example.com/WINTER25";
    network.patch("offers/1", json!({"destination_url": "https://a.example/"})).await.done();
    network.patch("offers/2", json!({"destination_url": "https://a.example/"})).await.done();
    for (path, leading, back) in [
        (
            "offers/2",
            json!({"destination_url": there}),
            json!({"destination_url": "https://a.example/"}),
        ),
        ("offers/2", json!({"fallback_url": there}), json!({"fallback_url": ""})),
        ("trackingdomains/1", json!({"fallback_url": there}), json!({"fallback_url": ""})),
        ("settings", json!({"fallback_url": there}), json!({"fallback_url": ""})),
    ] {
        network.patch(path, leading.clone()).await.done();
        let refused = network.post("trackingdomains", second.clone()).await;
        let expected = (409, "tracking_domain.led_to", vec!["base_url"]);
        assert_eq!(refused.refusal(), expected, "{path} {leading}");
        let refused = network.patch("trackingdomains/1", second.clone()).await;
        assert!([400, 409].contains(&refused.status), "{path} {leading}: {refused:?}");
        network.patch(path, back).await.done();
    }
    network
        .patch("offers/1", json!({"destination_url": "https://shop.example.com/a/b"}))
        .await
        .done();
    network.post("trackingdomains", second).await.done();
}

#[tokio::test]
async fn an_offer_that_led_in_circles_before_can_still_be_paused() {
    let network = start_with_offers().await;
    let store = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    let sql = "UPDATE offer SET destination_url = 'https://go.example.com/WINTER25' WHERE id = 1";
    store.execute(sql, []).unwrap();
    network.patch("offers/1", json!({"offer_status": "paused"})).await.done();
    network.delete("offers/1").await.done();
    let refused = network.post("offers/1/restore", json!(null)).await;
    assert_eq!(refused.refusal(), (409, "object.not_restorable", vec!["destination_url"]));
}
