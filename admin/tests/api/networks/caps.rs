//! Caps of offers, groups, partners and codes: `/v1/networks/custom/caps`,
//! `/v1/networks/offergroups`, and the fields of offers.

use serde_json::{Value, json};

use crate::client::{Running, code, offer, start_with_offers, with};
use crate::recorded::{Visit, sale};

fn cap() -> Value {
    json!({"name": "Anna", "network_offer_id": 1, "network_affiliate_id": 1,
        "daily_conversion_cap": 150})
}

async fn ids(network: &Running, list: &str) -> Vec<u64> {
    let list = network.get(list).await.done();
    let rows = list["custom_cap_settings"].as_array().unwrap();
    rows.iter().map(|row| row["network_custom_cap_setting_id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_custom_cap_can_be_created_read_replaced_patched_deleted_and_restored() {
    let network = start_with_offers().await;
    let made = network
        .post(
            "custom/caps",
            with(cap(), json!({"weekly_payout_cap": "99.50", "is_soft_cap": true})),
        )
        .await
        .done();
    let mut expected = json!({
        "network_custom_cap_setting_id": 1, "network_id": 1, "name": "Anna", "network_offer_id": 1,
        "network_affiliate_id": 1, "network_coupon_code_id": 0, "is_soft_cap": true,
        "time_created": made["time_created"], "time_saved": made["time_saved"], "time_deleted": 0,
    });
    for metric in ["conversion", "payout", "revenue", "click"] {
        for period in ["daily", "weekly", "monthly", "global"] {
            expected[format!("{period}_{metric}_cap")] = json!(0);
        }
    }
    expected["daily_conversion_cap"] = json!(150);
    expected["weekly_payout_cap"] = json!(99.5);
    assert_eq!(made, expected);
    assert_eq!(network.get("custom/caps/1").await.done(), made);
    let patched = network.patch("custom/caps/1", json!({"daily_click_cap": 5})).await.done();
    assert_eq!(patched["weekly_payout_cap"], 99.5);
    let replaced = network.put("custom/caps/1", patched).await.done();
    assert_eq!(replaced["daily_click_cap"], 5);
    let replaced = network.put("custom/caps/1", cap()).await.done();
    assert_eq!(
        (&replaced["daily_click_cap"], &replaced["is_soft_cap"]),
        (&json!(0), &json!(false))
    );
    assert_eq!(network.delete("custom/caps/1").await.done(), json!({"result": true}));
    assert_eq!(network.get("custom/caps/1").await.status, 404);
    let restored = network.post("custom/caps/1/restore", json!({})).await.done();
    assert_eq!(restored["daily_conversion_cap"], 150);
    let audit = network.get("audit?filter=object=custom_cap").await.done();
    assert_eq!(audit["paging"]["total_count"], 6, "{audit}");
}

#[tokio::test]
async fn custom_caps_are_filtered_and_changed_together() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("WINTER25")).await.done();
    network.post("custom/caps", cap()).await.done();
    network.post("custom/caps", with(cap(), json!({"network_offer_id": 2}))).await.done();
    let of_code = json!({"network_affiliate_id": 0, "network_coupon_code_id": 1, "name": "Code"});
    network.post("custom/caps", with(cap(), of_code)).await.done();
    for (query, expected) in [
        ("", vec![1, 2, 3]),
        ("?filter=network_offer_id=1", vec![1, 3]),
        ("?filter=network_affiliate_id=0", vec![3]),
        ("?filter=network_coupon_code_id=1", vec![3]),
        ("?filter=time_created%3E1", vec![1, 2, 3]),
        ("?search=cod", vec![3]),
        ("?page=2&page_size=2", vec![3]),
    ] {
        assert_eq!(ids(&network, &format!("custom/caps{query}")).await, expected, "{query}");
    }
    let asked = json!({"filters": {"network_offer_id": 1}});
    let table = network.post("custom/capstable?page=2&page_size=1", asked).await.done();
    assert_eq!(table["paging"]["total_count"], 2);
    assert_eq!(table["custom_cap_settings"][0]["network_custom_cap_setting_id"], 3);
    let all = network.post("custom/capstable", json!({})).await.done();
    assert_eq!(all["paging"]["total_count"], 3);

    let field = |name: &str, value: Value| json!({"field_type": name, "field_value": value});
    let fields =
        json!([field("daily_conversion_cap", json!(7)), field("is_soft_cap", json!(true))]);
    let body = json!({"network_custom_cap_setting_ids": [1, 3], "fields": fields});
    assert_eq!(network.patch("custom/caps", body).await.done(), json!({"result": true}));
    let caps = network.get("custom/caps").await.done();
    let limits = caps["custom_cap_settings"].as_array().unwrap();
    let limits: Vec<&Value> = limits.iter().map(|row| &row["daily_conversion_cap"]).collect();
    assert_eq!(limits, [7, 150, 7]);
    let change = |ids: Value, fields: Value| {
        network
            .patch("custom/caps", json!({"network_custom_cap_setting_ids": ids, "fields": fields}))
    };
    let limit = json!([field("daily_conversion_cap", json!(8))]);
    for (ids, fields, field) in [
        (json!([1, 9]), limit.clone(), "network_custom_cap_setting_ids"),
        (json!([]), limit.clone(), "network_custom_cap_setting_ids"),
        (json!([1]), json!([]), "fields"),
        (json!([1]), json!([field("daily_conversion_cap", json!(-1))]), "daily_conversion_cap"),
        (json!([1]), json!([field("daily_cap", json!(1))]), "daily_cap"),
        (json!([1]), json!([limit[0], limit[0]]), "fields[1].field_type"),
    ] {
        let refused = change(ids.clone(), fields.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{ids} {fields}");
    }
    let caps = network.get("custom/caps/1").await.done();
    assert_eq!(caps["daily_conversion_cap"], 7, "one error changes none");
}

#[tokio::test]
async fn wrong_caps_are_refused_with_their_fields() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("WINTER25")).await.done();
    network.post("custom/caps", with(cap(), json!({"name": "First"}))).await.done();
    let limits = [
        json!(-1),
        json!(1.5),
        json!("NaN"),
        json!(1_000_000_000_001_u64),
        json!(1e300),
        Value::Null,
        json!([1]),
    ];
    for field in ["daily_click_cap", "global_conversion_cap", "weekly_payout_cap"] {
        for limit in &limits {
            if field == "weekly_payout_cap" && *limit == json!(1.5) {
                continue;
            }
            let body = with(cap(), json!({field: limit, "network_affiliate_id": 2}));
            let refused = network.post("custom/caps", body.clone()).await;
            assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{body}");
            let refused = network.patch("offers/1", json!({field: limit})).await;
            assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{limit}");
            let refused = network
                .post("offergroups", json!({"name": "G", "network_advertiser_id": 1, field: limit}))
                .await;
            assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{limit}");
        }
    }
    for (over, field) in [
        (json!({"network_offer_id": 9}), "network_offer_id"),
        (json!({"network_affiliate_id": 9}), "network_affiliate_id"),
        (json!({"network_affiliate_id": 0}), "network_affiliate_id"),
        (json!({"network_coupon_code_id": 9}), "network_coupon_code_id"),
        (json!({"network_coupon_code_id": 1, "network_offer_id": 2}), "network_offer_id"),
        (json!({"network_coupon_code_id": 1, "network_affiliate_id": 2}), "network_affiliate_id"),
        (json!({"daily_conversion_cap": 0}), "daily_conversion_cap"),
        (json!({"daily_cap": 5}), "daily_cap"),
        (json!({"name": ""}), "name"),
    ] {
        let refused = network.post("custom/caps", with(cap(), over.clone())).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    let again = network.post("custom/caps", cap()).await;
    assert_eq!(again.refusal(), (409, "custom_cap.exists", vec!["network_offer_id"]));
}

#[tokio::test]
async fn offers_keep_their_caps_filters_and_blocks() {
    let network = start_with_offers().await;
    let fresh = network.get("offers/1").await.done();
    assert_eq!(fresh["is_caps_enabled"], false);
    assert_eq!(fresh["duplicate_filter_targeting_action"], "block");
    assert_eq!(fresh["session_tracking_minimum_lifespan_second"], 0);
    let fields = json!({
        "is_caps_enabled": false, "is_soft_cap": true, "daily_click_cap": 1_000_000_000_000_u64,
        "monthly_revenue_cap": 0.5, "is_duplicate_filter_enabled": true,
        "duplicate_filter_targeting_action": "fail_traffic", "is_block_already_converted": true,
        "already_converted_action": "fail_traffic", "session_tracking_minimum_lifespan_second": 30,
    });
    let saved = network.put("offers/1", with(offer("Winter"), fields.clone())).await.done();
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(&saved[name], value, "{name}");
    }
    let warnings = saved["warnings"].to_string();
    for field in ["duplicate_filter_targeting_action", "already_converted_action"] {
        assert!(warnings.contains(&format!("{field}: acts as block")), "{warnings}");
    }
    let again = network.put("offers/1", saved.clone()).await.done();
    assert_eq!(again["daily_click_cap"], saved["daily_click_cap"]);
    let plain = network.put("offers/1", offer("Winter")).await.done();
    assert_eq!((&plain["daily_click_cap"], &plain["is_soft_cap"]), (&json!(0), &json!(false)));
    for (over, field) in [
        (json!({"duplicate_filter_targeting_action": "drop"}), "duplicate_filter_targeting_action"),
        (
            json!({"session_tracking_minimum_lifespan_second": 86_401}),
            "session_tracking_minimum_lifespan_second",
        ),
        (json!({"network_offer_group_id": 9}), "network_offer_group_id"),
    ] {
        let refused = network.patch("offers/1", over.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    let by_address = json!({"session_definition": "ip", "is_duplicate_filter_enabled": true});
    let warned = network.patch("offers/1", by_address).await.done();
    let warnings = warned["warnings"].to_string();
    assert!(warnings.contains("session_definition is ip"), "{warnings}");
}

#[tokio::test]
async fn a_group_has_offers_of_one_advertiser_and_is_deleted_without_offers_only() {
    let network = start_with_offers().await;
    network.post("advertisers", json!({"name": "Bank", "account_status": "active"})).await.done();
    let group = json!({"name": "Winter", "network_advertiser_id": 1, "daily_click_cap": 100});
    let made = network.post("offergroups", group.clone()).await.done();
    assert_eq!(
        (&made["network_offer_group_id"], &made["offer_group_status"]),
        (&json!(1), &json!("active"))
    );
    let soft = network.post("offergroups", with(group.clone(), json!({"is_soft_cap": true}))).await;
    assert_eq!(soft.refusal(), (400, "request.invalid", vec!["is_soft_cap"]));
    network.patch("offers/1", json!({"network_offer_group_id": 1})).await.done();
    let banks =
        with(offer("Loans"), json!({"network_advertiser_id": 2, "network_offer_group_id": 1}));
    let refused = network.post("offers", banks).await;
    assert_eq!(refused.refusal(), (400, "request.invalid", vec!["network_offer_group_id"]));
    let moved = network.patch("offergroups/1", json!({"network_advertiser_id": 2})).await;
    assert_eq!(moved.refusal(), (400, "request.invalid", vec!["network_advertiser_id"]));
    let list = network.get("offers?filter=network_offer_group_id=1").await.done();
    assert_eq!(list["paging"]["total_count"], 1);
    let refused = network.delete("offergroups/1").await;
    assert_eq!(refused.refusal(), (409, "offer_group.in_use", vec!["network_offer_group_id"]));
    network.patch("offers/1", json!({"network_offer_group_id": 0})).await.done();
    network.delete("offergroups/1").await.done();
    let gone = network.patch("offers/1", json!({"network_offer_group_id": 1})).await;
    assert_eq!(gone.refusal().2, ["network_offer_group_id"]);
    network.post("offergroups/1/restore", json!({})).await.done();
    assert_eq!(network.get("offergroups?search=wint").await.done()["paging"]["total_count"], 1);
}

#[tokio::test]
async fn the_rest_of_each_limit_is_answered_on_request() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("WINTER25")).await.done();
    let caps = json!({"is_caps_enabled": true, "global_click_cap": 5, "global_conversion_cap": 2,
        "global_payout_cap": "7.25", "daily_click_cap": 9});
    network.patch("offers/1", caps).await.done();
    let of_code = json!({"network_affiliate_id": 0, "network_coupon_code_id": 1,
        "daily_conversion_cap": 0, "global_click_cap": 10});
    network.post("custom/caps", with(cap(), of_code)).await.done();
    network.visit(&[Visit::new("WINTER25", 1, 1), Visit::new("WINTER25", 0, 2)]).await;
    network.convert(vec![sale(1), sale(2), sale(3)]).await;
    let rest = async |path: &str| {
        let path = format!("{path}?relationship=remaining_caps&relationship=used_caps");
        network.get(&path).await.done()["relationship"].clone()
    };
    let offer = rest("offers/1").await;
    let (remaining, used) = (&offer["remaining_caps"], &offer["used_caps"]);
    assert_eq!(
        (&remaining["remaining_global_conversion_cap"], &used["used_global_conversion_cap"]),
        (&json!(0), &json!(3))
    );
    // The clicks are of the past.
    assert_eq!(remaining["remaining_daily_click_cap"], 9);
    assert_eq!(used["used_global_click_cap"], 2);
    assert_eq!(remaining["remaining_weekly_click_cap"], Value::Null);
    let code = rest("custom/caps/1").await;
    assert_eq!(code["remaining_caps"]["remaining_global_click_cap"], 9);
    network.patch("offers/1", json!({"is_caps_enabled": false})).await.done();
    let disabled = rest("offers/1").await;
    assert_eq!(disabled["remaining_caps"]["remaining_global_click_cap"], Value::Null);
}
