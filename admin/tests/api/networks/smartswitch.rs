//! `/v1/networks/smartswitchrules` and `/v1/networks/blockedvalues`.

use serde_json::{Value, json};

use crate::client::{Running, start_with_offers, with};

fn rule() -> Value {
    json!({
        "name": "Sources that never convert", "rule_status": "active",
        "targeted_entity_type": "offer", "targeted_entity_ids": [1], "variable": "source_id",
        "run_frequency": "3_hours", "data_lookback_window": "24_hours",
        "data_collection_threshold": {"min_clicks": 100},
        "conditions": [{"metric": "cvr", "operator": "lt", "value": "0.2"}], "action": "block",
    })
}

#[tokio::test]
async fn a_rule_can_be_created_read_replaced_patched_deleted_and_restored() {
    let network = start_with_offers().await;
    let made = network.post("smartswitchrules", rule()).await.done();
    let defaults = json!({
        "network_smart_switch_rule_id": 1, "network_id": 1, "start_date": "", "end_date": "",
        "delay_minutes": 0, "is_notify_employees": true, "is_notify_partners": false,
        "is_dry_run": false, "unblock": {"mode": "manual", "after_hours": 0},
        "data_collection_threshold": {
            "min_clicks": 100, "min_conversions": 0,
            "conversion_statuses": ["approved", "pending", "rejected"],
        },
        "time_created": made["time_created"], "time_saved": made["time_saved"], "time_deleted": 0,
    });
    assert_eq!(made, with(rule(), defaults));
    assert_eq!(network.get("smartswitchrules/1").await.done(), made);
    let patch = json!({"action": "fail_traffic", "start_date": "2026-12-01"});
    let patched = network.patch("smartswitchrules/1", patch).await.done();
    assert_eq!(patched["start_date"], "2026-12-01");
    assert!(patched["warnings"][0].as_str().unwrap().contains("acts as block"));
    // A client sends back what it read.
    let replaced = network.put("smartswitchrules/1", patched).await.done();
    assert_eq!(replaced["action"], "fail_traffic");
    let replaced = network.put("smartswitchrules/1", rule()).await.done();
    assert_eq!((&replaced["action"], &replaced["start_date"]), (&json!("block"), &json!("")));
    for (query, count) in [("", 1), ("?filter=action=alert", 0), ("?search=never", 1)] {
        let list = network.get(&format!("smartswitchrules{query}")).await.done();
        assert_eq!(list["smart_switch_rules"].as_array().unwrap().len(), count, "{query}");
    }
    network.delete("smartswitchrules/1").await.done();
    assert_eq!(network.get("smartswitchrules/1").await.status, 404);
    assert_eq!(network.get("smartswitchrules/1/runs").await.status, 404);
    network.post("smartswitchrules/1/restore", json!({})).await.done();
    let audit = network.get("audit?filter=object=smart_switch_rule").await.done();
    let actions: Vec<&Value> =
        audit["audit"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions[..2], ["restored", "deleted"]);
    assert_eq!(*actions.last().unwrap(), "created");
}

#[tokio::test]
async fn a_rule_that_cannot_be_is_refused_with_its_field() {
    let network = start_with_offers().await;
    let condition = |metric: &str, value: &str| json!({"conditions": [{"metric": metric, "operator": "gt", "value": value}]});
    for (over, field) in [
        (json!({"targeted_entity_ids": [1, 9]}), "targeted_entity_ids[1]"),
        (
            json!({"targeted_entity_type": "advertiser", "targeted_entity_ids": [9]}),
            "targeted_entity_ids[0]",
        ),
        (json!({"targeted_entity_type": "partner"}), "targeted_entity_type"),
        (json!({"variable": "asn", "data_lookback_window": "14_days"}), "data_lookback_window"),
        (json!({"variable": "sub6"}), "variable"),
        (json!({"run_frequency": "2_hours"}), "run_frequency"),
        (json!({"data_lookback_window": "1_year"}), "data_lookback_window"),
        (
            json!({"data_collection_threshold": {"min_clicks": -1}}),
            "data_collection_threshold.min_clicks",
        ),
        (condition("cvr", "low"), "conditions[0].value"),
        (condition("mismatch", "5"), "conditions[0].metric"),
        (
            json!({"conditions": [{"metric": "cvr", "operator": "lt", "value": 0.2}]}),
            "conditions[0].value",
        ),
        (json!({"action": "pause_code"}), "action"),
        (json!({"start_date": "01/02/2026"}), "start_date"),
        (json!({"is_dry": true}), "is_dry"),
    ] {
        let answer = network.post("smartswitchrules", with(rule(), over.clone())).await;
        assert_eq!(answer.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    for _ in 0..30 {
        network.post("smartswitchrules", rule()).await.done();
    }
    let answer = network.post("smartswitchrules", rule()).await;
    assert_eq!(answer.refusal(), (409, "smart_switch_rule.too_many", vec!["name"]));
    network.patch("smartswitchrules/1", json!({"name": "Renamed"})).await.done();
}

#[tokio::test]
async fn a_preview_changes_nothing_and_says_that_numbers_are_missing() {
    let network = start_with_offers().await;
    network.post("smartswitchrules", rule()).await.done();
    let preview = network.get("smartswitchrules/1/preview").await.done();
    assert_eq!((&preview["run_id"], &preview["outcome"]), (&json!(0), &json!("dry_run")));
    assert!(preview["reason"].as_str().unwrap().contains("click ingest"), "{preview}");
    let runs = network.get("smartswitchrules/1/runs").await.done();
    assert_eq!(runs["runs"], json!([]));
    let run = network.post("smartswitchrules/1/runs", json!({})).await.done();
    let numbers = (&run["run_id"], &run["outcome"], &run["values_found"]);
    assert_eq!(numbers, (&json!(1), &json!("done"), &json!(0)));
    assert_eq!(
        run["measured_to"].as_u64().unwrap() - run["measured_from"].as_u64().unwrap(),
        86_400
    );
    let runs = network.get("smartswitchrules/1/runs?page=1&page_size=5").await.done();
    assert_eq!((&runs["runs"], &runs["paging"]["total_count"]), (&json!([run]), &json!(1)));
    assert_eq!(network.get("smartswitchrules/2/preview").await.status, 404);
    assert_eq!(network.post("smartswitchrules/2/runs", json!({})).await.status, 404);
}

async fn block(network: &Running, over: Value) -> Value {
    let value = json!({"variable": "source_id", "value": "BAD"});
    network.post("blockedvalues", with(value, over)).await.done()
}

#[tokio::test]
async fn a_value_is_blocked_by_hand_released_and_exempted() {
    let network = start_with_offers().await;
    let made = block(&network, json!({"network_offer_id": 1, "notes": "phoned"})).await;
    assert_eq!((&made["value"], &made["action"]), (&json!("bad"), &json!("block")));
    assert_eq!(made["blocked_value_status"], "active");
    assert!(made["time_blocked"].as_i64() > Some(0));
    assert_eq!((&made["network_smart_switch_rule_id"], &made["measured"]), (&json!(0), &json!([])));
    assert_eq!(network.get("blockedvalues/1").await.done(), made);
    let patch = |status: &str| json!({"blocked_value_status": status});
    let released = network.patch("blockedvalues/1", patch("released")).await.done();
    assert!(released["time_released"].as_i64() > Some(0), "{released}");
    let exempt = network.patch("blockedvalues/1", patch("exempt")).await.done();
    assert_eq!(exempt["blocked_value_status"], "exempt");
    let active = network.patch("blockedvalues/1", patch("active")).await.done();
    assert_eq!((&active["time_released"], &active["notes"]), (&json!(0), &json!("phoned")));
    block(&network, json!({"network_affiliate_id": 2})).await;
    block(&network, json!({"variable": "country", "value": "DE"})).await;
    for (query, ids) in [
        ("", vec![1, 2, 3]),
        ("?filter=network_offer_id=1", vec![1]),
        ("?filter=network_affiliate_id=2", vec![2]),
        ("?filter=variable=country", vec![3]),
        (
            "?filter=network_smart_switch_rule_id=0&filter=blocked_value_status=active",
            vec![1, 2, 3],
        ),
        ("?filter=blocked_value_status=warned", vec![]),
        ("?search=ba", vec![1, 2]),
    ] {
        let list = network.get(&format!("blockedvalues{query}")).await.done();
        let rows = list["blocked_values"].as_array().unwrap();
        let found: Vec<u64> =
            rows.iter().map(|row| row["network_blocked_value_id"].as_u64().unwrap()).collect();
        assert_eq!(found, ids, "{query}");
    }
}

#[tokio::test]
async fn what_cannot_be_blocked_is_refused_with_its_field() {
    let network = start_with_offers().await;
    block(&network, json!({})).await;
    for (over, field) in [
        (json!({"value": ""}), "value"),
        (json!({"value": "x".repeat(257)}), "value"),
        (json!({"variable": "country", "value": "UK"}), "value"),
        (json!({"variable": "affiliate", "value": "9"}), "value"),
        (json!({"network_offer_id": 9}), "network_offer_id"),
        (json!({"network_advertiser_id": 9}), "network_advertiser_id"),
        (json!({"network_affiliate_id": 9}), "network_affiliate_id"),
        (json!({"action": "hold_conversions"}), "action"),
        (json!({"variable": "coupon_code", "action": "pause_code"}), "action"),
        (json!({"blocked_value_status": "warned"}), "blocked_value_status"),
    ] {
        let value = with(json!({"variable": "source_id", "value": "other"}), over.clone());
        let answer = network.post("blockedvalues", value).await;
        assert_eq!(answer.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    let again = json!({"variable": "source_id", "value": "bad"});
    let answer = network.post("blockedvalues", again).await;
    assert_eq!(answer.refusal(), (409, "blocked_value.duplicate", vec!["value"]));
    for (patch, field) in [
        (json!({"value": "other"}), "value"),
        (json!({"network_offer_id": 1}), "value"),
        (json!({"blocked_value_status": "warned"}), "blocked_value_status"),
        (json!({"blocked_value_status": "gone"}), "blocked_value_status"),
    ] {
        let answer = network.patch("blockedvalues/1", patch.clone()).await;
        assert_eq!(answer.refusal(), (400, "request.invalid", vec![field]), "{patch}");
    }
    assert_eq!(network.patch("blockedvalues/9", json!({"notes": "x"})).await.status, 404);
}

#[tokio::test]
async fn a_partner_sees_blocks_of_its_own_traffic_alone() {
    let network = start_with_offers().await;
    let wanted = json!({"name": "Anna", "role": "partner", "network_affiliate_id": 1});
    let key = network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned();
    for over in [
        json!({"value": "of all", "notes": "secret"}),
        json!({"value": "of anna", "network_affiliate_id": 1, "network_advertiser_id": 1}),
        json!({"value": "of ben", "network_affiliate_id": 2}),
        json!({"variable": "affiliate", "value": "2"}),
        json!({"value": "exempt", "blocked_value_status": "exempt"}),
        json!({"variable": "coupon_code", "value": "held", "action": "hold_conversions"}),
    ] {
        block(&network, over).await;
    }
    let answer = network.call_as(&key, "GET", "/v1/affiliates/blockedvalues", None).await.done();
    let rows = answer["blocked_values"].as_array().unwrap();
    let values: Vec<&Value> = rows.iter().map(|row| &row["value"]).collect();
    assert_eq!(values, ["of all", "of anna"]);
    assert_eq!(rows[0]["network_offer_ids"], Value::Null);
    assert!(rows[1]["network_offer_ids"].as_array().is_some_and(|ids| !ids.is_empty()), "{answer}");
    assert!(!answer.to_string().contains("secret"), "{answer}");
}
