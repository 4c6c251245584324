//! `/v1/networks/settings`, `trackingdomains`, `advertisers`, `affiliates`: common behaviour, and
//! the specifics of each.

use serde_json::json;

use crate::client::{start, start_with_offers};

#[tokio::test]
async fn an_object_can_be_created_read_replaced_patched_and_deleted() {
    let network = start().await;
    let created = network
        .post(
            "affiliates",
            json!({"name": "Anna", "account_status": "active", "internal_notes": "kind"}),
        )
        .await
        .done();
    let id = created["network_affiliate_id"].as_u64().unwrap();
    let path = format!("affiliates/{id}");
    assert_eq!(network.get(&path).await.done(), created);
    assert_eq!((&created["network_id"], &created["time_deleted"]), (&json!(1), &json!(0)));

    let patched = network.patch(&path, json!({"name": "Anna B"})).await.done();
    assert_eq!((&patched["name"], &patched["internal_notes"]), (&json!("Anna B"), &json!("kind")));
    let replaced =
        network.put(&path, json!({"name": "Anna C", "account_status": "inactive"})).await.done();
    assert_eq!(
        (&replaced["account_status"], &replaced["internal_notes"]),
        (&json!("inactive"), &json!(""))
    );

    assert_eq!(network.delete(&path).await.done(), json!({"result": true}));
    assert_eq!(network.get(&path).await.status, 404);
    assert_eq!(network.delete(&path).await.status, 404);
    let next =
        network.post("affiliates", json!({"name": "Ben", "account_status": "active"})).await.done();
    assert_eq!(next["network_affiliate_id"], id + 1, "ids are never used again");
}

#[tokio::test]
async fn an_answer_can_be_edited_and_sent_back() {
    let network = start_with_offers().await;
    for path in ["settings", "trackingdomains/1", "advertisers/1", "offers/1", "affiliates/1"] {
        let answered = network.get(path).await.done();
        let mut again = network.put(path, answered.clone()).await.done();
        again["time_saved"] = answered["time_saved"].clone();
        assert_eq!(again, answered, "{path}");
    }
}

#[tokio::test]
async fn settings_are_replaced_as_a_whole() {
    let network = start_with_offers().await;
    let before = network.get("settings").await.done();
    assert_eq!(
        (&before["time_zone"], &before["default_tracking_domain_id"]),
        (&json!("UTC"), &json!(1))
    );
    let default = json!({"action": "flag", "spike_factor": 10, "spike_minimum": 20});
    let wanted = json!({
        "time_zone": "Europe/Berlin", "currency": "EUR", "fallback_url": "https://example.com/",
        "default_tracking_domain_id": 1, "code_leak_guard": default,
        "second_factor_required":
            {"admin": true, "manager": false, "read_only": true, "partner": false},
        "is_global_fail_traffic_enabled": true,
        "global_fail_traffic_url": "https://all.example.com/",
        "is_fail_traffic_on_paused_enabled": true,
        "ip_blocklist": ["203.0.113.7", "198.51.100.0/24"],
        "cap_alert_percentage": 80,
        "address_alert_percentage": 0, "address_alert_minimum": 7,
    });
    let after = network.put("settings", wanted.clone()).await.done();
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&after[field], value);
    }
    let wrong = json!({"time_zone": "Mars", "currency": "x", "fallback_url": "x"});
    assert_eq!(
        network.patch("settings", wrong).await.refusal().2,
        ["time_zone", "currency", "fallback_url"]
    );
    let guard = json!({"action": "hold", "spike_factor": 3, "spike_minimum": 5});
    let held = network.patch("settings", json!({"code_leak_guard": guard})).await.done();
    assert_eq!(held["code_leak_guard"], guard);
    assert_eq!(network.get("settings").await.done()["code_leak_guard"], guard);
    let beyond = network.patch("settings", json!({"cap_alert_percentage": 100})).await;
    assert_eq!(beyond.refusal().2, ["cap_alert_percentage"]);
    for (field, value) in [
        ("address_alert_percentage", 9),
        ("address_alert_percentage", 100),
        ("address_alert_minimum", 0),
    ] {
        let refused = network.patch("settings", json!({field: value})).await;
        assert_eq!(refused.refusal().2, [field], "{value}");
    }
    let never = json!({"code_leak_guard": {"spike_factor": 0}});
    assert_eq!(
        network.patch("settings", never).await.refusal().2,
        ["code_leak_guard.spike_factor"]
    );
    let overlapping = json!({"ip_blocklist": ["10.0.0.0/8", "10.1.2.3"]});
    assert_eq!(network.patch("settings", overlapping).await.refusal().2, ["ip_blocklist[1]"]);
    let nowhere = json!({"default_tracking_domain_id": 9});
    assert_eq!(
        network.patch("settings", nowhere).await.refusal().2,
        ["default_tracking_domain_id"]
    );
}

#[tokio::test]
async fn a_replacement_of_the_settings_that_leaves_fields_out_names_them_and_changes_nothing() {
    let network = start_with_offers().await;
    let before = network.get("settings").await.done();
    let part = json!({"time_zone": "Europe/Berlin", "currency": "EUR", "fallback_url": ""});
    let refused = network.put("settings", part).await;
    assert_eq!(
        refused.refusal(),
        (
            400,
            "request.invalid",
            vec![
                "default_tracking_domain_id",
                "code_leak_guard",
                "second_factor_required",
                "is_global_fail_traffic_enabled",
                "global_fail_traffic_url",
                "is_fail_traffic_on_paused_enabled",
                "ip_blocklist",
                "cap_alert_percentage",
                "address_alert_percentage",
                "address_alert_minimum",
            ]
        )
    );
    assert_eq!(network.get("settings").await.done(), before);
    let changed = network.patch("settings", json!({"currency": "EUR"})).await.done();
    assert_eq!(
        (&changed["currency"], &changed["default_tracking_domain_id"]),
        (&json!("EUR"), &json!(1))
    );
}

#[tokio::test]
async fn the_first_tracking_domain_becomes_the_default_and_the_second_does_not() {
    let network = start().await;
    for (host, is_default) in [("one", true), ("two", false)] {
        let domain = json!({"base_url": format!("https://{host}.example.com")});
        let made = network.post("trackingdomains", domain).await.done();
        assert_eq!(made["is_default"], is_default, "{host}");
    }
    assert_eq!(network.get("settings").await.done()["default_tracking_domain_id"], 1);
}

#[tokio::test]
async fn one_domain_is_the_default_and_one_host_has_one_domain() {
    let network = start_with_offers().await;
    let second = network
        .post(
            "trackingdomains",
            json!({"base_url": "HTTPS://Two.example.com:443/", "is_default": true}),
        )
        .await
        .done();
    assert_eq!(
        (&second["base_url"], &second["is_default"]),
        (&json!("https://two.example.com"), &json!(true))
    );
    assert_eq!(network.get("trackingdomains/1").await.done()["is_default"], false);

    for base_url in ["http://TWO.example.com:80", "https://two.example.com:8443"] {
        let again = network.post("trackingdomains", json!({"base_url": base_url})).await;
        assert_eq!(again.refusal(), (409, "tracking_domain.duplicate", vec!["base_url"]));
        assert!(
            again.body["error"].as_str().unwrap().contains("a port does not tell"),
            "{again:?}"
        );
    }
    let moved = json!({"base_url": "https://two.example.com:8443"});
    network.patch("trackingdomains/2", moved).await.done();
}

#[tokio::test]
async fn a_domain_or_advertiser_in_use_cannot_be_deleted() {
    let network = start_with_offers().await;
    assert_eq!(network.delete("trackingdomains/1").await.refusal().1, "tracking_domain.in_use");
    assert_eq!(network.delete("advertisers/1").await.refusal().1, "advertiser.in_use");
    network.post("trackingdomains", json!({"base_url": "https://two.example.com"})).await.done();
    network.patch("offers/1", json!({"network_tracking_domain_id": 2})).await.done();
    assert_eq!(network.delete("trackingdomains/2").await.refusal().1, "tracking_domain.in_use");
    network.patch("offers/1", json!({"network_tracking_domain_id": 0})).await.done();
    network.delete("trackingdomains/2").await.done();
}

#[tokio::test]
async fn an_advertiser_keeps_what_decides_its_conversions() {
    let network = start().await;
    let wanted = json!({
        "name": "Shop", "account_status": "active", "attribution_priority": "coupon_code",
        "attribution_method": "first_touch", "verification_token": "t0ken", "ip_allow_list": ["192.0.2.0/24", "2001:db8::1"],
        "signing_key": "k",
    });
    let created = network.post("advertisers", wanted.clone()).await.done();
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&created[field], value);
    }
    let rules = json!(["verification_token", "ip_allow_list", "signing_key"]);
    assert_eq!(created["trust_rules"], rules);
    let wrong = network.patch("advertisers/1", json!({"ip_allow_list": ["192.0.2.0/33"]})).await;
    assert_eq!(wrong.refusal().2, ["ip_allow_list[0]"]);
}

#[tokio::test]
async fn a_domain_asks_for_a_certificate_for_a_dns_name_alone() {
    let network = start_with_offers().await;
    for (base_url, certificate) in [
        ("http://127.0.0.1:8080", "acme"),
        ("https://[::1]", "acme"),
        ("https://localhost", "acme"),
        ("https://go.example.org", "letsencrypt"),
    ] {
        let domain = json!({"base_url": base_url, "certificate": certificate});
        let refused = network.post("trackingdomains", domain).await;
        let expected = (400, "request.invalid", vec!["certificate"]);
        assert_eq!(refused.refusal(), expected, "{base_url}");
    }
    let domain = json!({"base_url": "https://go.example.org:8443", "certificate": "acme"});
    let made = network.post("trackingdomains", domain).await.done();
    let pending = json!({
        "status": "pending", "expires_at": 0, "fingerprint": "", "error": "", "next_attempt": 0,
    });
    assert_eq!((&made["certificate"], &made["certificate_state"]), (&json!("acme"), &pending));
    let path = format!("trackingdomains/{}", made["network_tracking_domain_id"]);
    let mut again = network.put(&path, made.clone()).await.done();
    again["time_saved"] = made["time_saved"].clone();
    assert_eq!(again, made, "an answer cannot be sent back");
    let asking = network.get("trackingdomains?filter=certificate=acme").await.done();
    assert_eq!(asking["paging"]["total_count"], 1);
    let moved = network.patch(&path, json!({"base_url": "http://127.0.0.1:1"})).await;
    assert_eq!(moved.refusal(), (400, "request.invalid", vec!["certificate"]));
}

#[tokio::test]
async fn a_certificate_can_be_requested_before_its_time_where_the_domain_asks_for_one() {
    let network = start_with_offers().await;
    let renew = "trackingdomains/1/certificate/renew";
    let refused = network.post(renew, json!({})).await;
    assert_eq!(refused.refusal(), (409, "tracking_domain.no_certificate", vec!["certificate"]));
    assert_eq!(network.post("trackingdomains/99/certificate/renew", json!({})).await.status, 404);
    let asks = json!({"base_url": "https://go.example.com", "certificate": "acme"});
    network.patch("trackingdomains/1", asks).await.done();
    let answer = network.post(renew, json!({})).await.done();
    assert_eq!(answer["certificate_state"]["status"], "pending");
    let audit = network.get("audit?filter=object=certificate").await.done();
    let entry = &audit["audit"][0];
    assert_eq!((&entry["action"], &entry["first_id"]), (&json!("requested"), &json!(1)));
}
