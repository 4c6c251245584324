//! Fail traffic: the redirects of `/v1/networks/offers`, and the global URL of the settings.

use serde_json::{Value, json};

use crate::client::{offer, start_with_offers, with};

fn to(offer: u32, over: Value) -> Value {
    with(json!({"redirect_network_offer_id": offer}), over)
}

fn fail_traffic(routing: &str, redirects: Value) -> Value {
    json!({
        "is_fail_traffic_enabled": true, "redirect_routing_method": "internal",
        "redirect_internal_routing_type": routing, "internal_redirects": redirects,
    })
}

#[tokio::test]
async fn redirects_are_kept_in_order_and_answered_in_both_places() {
    let network = start_with_offers().await;
    network.post("offers", offer("Coats")).await.done();
    let ruleset = json!({"device_types": [{"name": "Mobile", "targeting_type": "include"}]});
    let first = json!({
        "routing_value": 50, "ruleset": ruleset, "fail_reasons": ["geotargeting", "caps"],
        "redirect_network_offer_url_id": 0, "redirect_network_offer_group_id": 0,
    });
    let wanted = fail_traffic("weight", json!([to(3, first), to(2, json!({"routing_value": 25}))]));
    let saved = network.patch("offers/1", wanted.clone()).await.done();
    assert_eq!(saved.get("warnings"), None);
    let read = network.get("offers/1?relationship=internal_redirects&relationship=redirects");
    let read = read.await.done();
    for field in
        ["is_fail_traffic_enabled", "redirect_routing_method", "redirect_internal_routing_type"]
    {
        assert_eq!(read[field], wanted[field], "{field}");
    }
    let redirects = read["internal_redirects"].as_array().unwrap();
    assert_eq!(
        (&redirects[0]["redirect_network_offer_id"], &redirects[1]["redirect_network_offer_id"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(redirects[0]["fail_reasons"], json!(["geotargeting", "caps"]));
    assert_eq!(redirects[0]["redirect_network_offer_url_id"], 0);
    assert_eq!(redirects[0]["ruleset"]["device_types"][0]["device_type_id"], 2);
    for name in ["internal_redirects", "redirects"] {
        let related = &read["relationship"][name];
        assert_eq!(
            (&related["total"], &related["entries"]),
            (&json!(2), &read["internal_redirects"])
        );
    }
    // A client sends back what it read, and the redirects keep their ids.
    let again = network.put("offers/1", read.clone()).await.done();
    assert_eq!(again["internal_redirects"], read["internal_redirects"]);
    let swapped = json!([redirects[1], redirects[0]]);
    let swapped = network.patch("offers/1", json!({"internal_redirects": swapped})).await.done();
    assert_eq!(swapped["internal_redirects"][0], redirects[1]);
    let cleared = json!({"internal_redirects": [with(redirects[0].clone(), json!({"ruleset": null, "fail_reasons": null}))]});
    let cleared = network.patch("offers/1", cleared).await.done();
    assert_eq!(cleared["internal_redirects"][0]["ruleset"]["device_types"], json!([]));
    assert_eq!(cleared["internal_redirects"][0]["fail_reasons"], json!([]));
    // Only its own redirects are an offer's.
    let theft = network.patch(
        "offers/2",
        json!({"internal_redirects": [to(3, json!({"network_offer_redirect_id": 1}))]}),
    );
    assert_eq!(theft.await.refusal().2, ["internal_redirects[0].network_offer_redirect_id"]);
    let none = network.patch("offers/1", json!({"internal_redirects": null})).await.done();
    assert_eq!(none["internal_redirects"], json!([]));
}

#[tokio::test]
async fn wrong_redirects_are_refused_at_their_fields() {
    let network = start_with_offers().await;
    let country = |code: &str, side: &str| json!({"country_code": code, "targeting_type": side});
    let both = json!({"countries": [country("US", "exclude"), country("US", "include")]});
    let unknown = json!({"countries": [country("US", "exclude"), country("UK", "exclude")]});
    let cases = [
        (
            "weight",
            json!([to(2, json!({})), to(2, json!({"routing_value": 0}))]),
            "internal_redirects",
        ),
        (
            "priority",
            json!([to(2, json!({"routing_value": -1}))]),
            "internal_redirects[0].routing_value",
        ),
        (
            "priority",
            json!([to(2, json!({"routing_value": 1.5}))]),
            "internal_redirects[0].routing_value",
        ),
        (
            "priority",
            json!([to(2, json!({"routing_value": 1_000_001}))]),
            "internal_redirects[0].routing_value",
        ),
        ("priority", json!([to(1, json!({}))]), "internal_redirects[0].redirect_network_offer_id"),
        ("priority", json!([to(9, json!({}))]), "internal_redirects[0].redirect_network_offer_id"),
        ("priority", json!([{}]), "internal_redirects[0].redirect_network_offer_id"),
        (
            "priority",
            json!([{"redirect_network_offer_group_id": 4}]),
            "internal_redirects[0].redirect_network_offer_group_id",
        ),
        (
            "priority",
            json!([to(2, json!({"redirect_network_offer_url_id": 4}))]),
            "internal_redirects[0].redirect_network_offer_url_id",
        ),
        (
            "priority",
            json!([to(2, json!({"ruleset": both}))]),
            "internal_redirects[0].ruleset.countries[1]",
        ),
        (
            "priority",
            json!([to(2, json!({"ruleset": unknown}))]),
            "internal_redirects[0].ruleset.countries[1]",
        ),
        (
            "priority",
            json!([to(2, json!({"fail_reasons": ["caps", "caps"]}))]),
            "internal_redirects[0].fail_reasons[1]",
        ),
        (
            "priority",
            json!([to(2, json!({"fail_reasons": ["cap"]}))]),
            "internal_redirects[0].fail_reasons[0]",
        ),
        ("random", json!([]), "redirect_internal_routing_type"),
    ];
    for (routing, redirects, field) in cases {
        let refused = network.patch("offers/1", fail_traffic(routing, redirects.clone())).await;
        let (status, _, fields) = refused.refusal();
        assert_eq!((status, fields[0]), (400, field), "{redirects}: {refused:?}");
    }
    let included = json!([to(2, json!({"ruleset": {"countries": [country("US", "include")]}}))]);
    let refused = network.patch("offers/1", json!({"internal_redirects": included})).await;
    assert_eq!(refused.refusal().2, ["internal_redirects[0].ruleset.countries"]);
    assert!(refused.body["error"].as_str().unwrap().contains("no database"), "{refused:?}");
    let unsaved = network.get("offers/1").await.done();
    assert_eq!(unsaved["internal_redirects"], json!([]));
    network.delete("offers/2").await.done();
    let deleted =
        network.patch("offers/1", fail_traffic("priority", json!([to(2, json!({}))]))).await;
    assert_eq!(deleted.refusal().2, ["internal_redirects[0].redirect_network_offer_id"]);
}

#[tokio::test]
async fn an_offer_with_redirects_to_it_is_not_deleted() {
    let network = start_with_offers().await;
    let redirects = json!([to(2, json!({}))]);
    network.patch("offers/1", json!({"internal_redirects": redirects})).await.done();
    let refused = network.delete("offers/2").await;
    assert_eq!(refused.refusal(), (409, "offer.is_destination", vec!["network_offer_id"]));
    let sentence = refused.body["error"].as_str().unwrap();
    assert!(sentence.contains("the fail traffic of offer 1 (Winter Jackets)"), "{sentence}");
    let refused = network.patch("offers/2", json!({"offer_status": "deleted"})).await;
    assert_eq!(refused.refusal().1, "offer.is_destination");
    network.patch("offers/1", json!({"internal_redirects": []})).await.done();
    network.delete("offers/2").await.done();
}

#[tokio::test]
async fn fail_traffic_that_leads_nowhere_is_warned_of() {
    let network = start_with_offers().await;
    let warnings = async |change: Value| {
        let saved = network.patch("offers/1", change).await.done();
        assert_eq!(network.get("offers/1").await.done()["warnings"], saved["warnings"]);
        saved["warnings"].clone()
    };
    let none = warnings(fail_traffic("priority", json!([]))).await;
    assert!(none[0].as_str().unwrap().contains("internal_redirects: is empty"), "{none}");
    let global = warnings(fail_traffic("priority_global", json!([]))).await;
    assert!(global[0].as_str().unwrap().contains("needs a global_fail_traffic_url"), "{global}");
    let url = json!({
        "is_global_fail_traffic_enabled": true, "global_fail_traffic_url": "https://all.example/",
    });
    network.patch("settings", url).await.done();
    assert_eq!(warnings(fail_traffic("priority_global", json!([]))).await, Value::Null);
    let redirects = json!([to(2, json!({"routing_value": 1})), to(2, json!({}))]);
    let idle = warnings(fail_traffic("weight", redirects)).await;
    assert!(idle[0].as_str().unwrap().starts_with("internal_redirects[1].routing_value"), "{idle}");
    network.patch("offers/2", json!({"offer_status": "paused"})).await.done();
    let paused = warnings(fail_traffic("priority", json!([to(2, json!({}))]))).await;
    assert!(paused[0].as_str().unwrap().contains("offer 2 is paused"), "{paused}");
}

#[tokio::test]
async fn the_global_url_is_checked_like_a_fallback() {
    let network = start_with_offers().await;
    let field = "global_fail_traffic_url";
    for wrong in [
        json!({"is_global_fail_traffic_enabled": true}),
        json!({field: "ftp://x.example/"}),
        json!({field: "https://go.example.com/x"}),
    ] {
        let refused = network.patch("settings", wrong.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{wrong}");
    }
    let wanted = json!({
        "is_global_fail_traffic_enabled": true, field: "https://all.example/",
        "is_fail_traffic_on_paused_enabled": true,
    });
    network.patch("settings", wanted.clone()).await.done();
    let read = network.get("settings").await.done();
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&read[name], value, "{name}");
    }
    let taken = network.post("trackingdomains", json!({"base_url": "https://all.example"})).await;
    assert_eq!(taken.refusal(), (409, "tracking_domain.led_to", vec!["base_url"]));
}
