use serde_json::{Value, json};

use super::*;

fn rule(over: &Value) -> Result<SmartSwitchRule, serde_json::Error> {
    let mut rule = json!({
        "name": "Sources that never convert", "rule_status": "active",
        "targeted_entity_type": "offer", "targeted_entity_ids": [1], "variable": "source_id",
        "run_frequency": "1_hour", "data_lookback_window": "24_hours",
        "data_collection_threshold": {"min_clicks": 100},
        "conditions": [{"metric": "cvr", "operator": "lt", "value": "0.2"}], "action": "block",
    });
    rule.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    serde_json::from_value(rule)
}

#[test]
fn a_rule_needs_targets_a_threshold_and_a_condition() {
    let rule = rule(&json!({})).unwrap();
    assert_eq!(rule.check(), Ok(()));
    assert!(rule.is_notify_employees && !rule.is_dry_run);
    assert_eq!(rule.data_collection_threshold.conversion_statuses.len(), 3);
    assert_eq!(rule.unblock, Unblock::default());
}

#[test]
#[rustfmt::skip]
fn each_wrong_field_is_named() {
    let condition = |metric: &str, value: &str| json!({"conditions": [{"metric": metric, "operator": "gt", "value": value}]});
    let twice = json!({"metric": "cvr", "operator": "gt", "value": "1"});
    let cases = [
        (json!({"name": " "}), "name"),
        (json!({"start_date": "2026-12-02", "end_date": "2026-12-01"}), "end_date"),
        (json!({"targeted_entity_ids": []}), "targeted_entity_ids"),
        (json!({"targeted_entity_ids": [3, 1, 3]}), "targeted_entity_ids"),
        (json!({"targeted_entity_type": "network"}), "targeted_entity_ids"),
        (json!({"variable": "referer_host", "data_lookback_window": "14_days"}), "data_lookback_window"),
        (json!({"variable": "asn", "conditions": [{"metric": "duplicate_rate", "operator": "gt", "value": "1"}]}), "conditions[0].metric"),
        (json!({"data_lookback_window": "30_days", "conditions": [{"metric": "proxy_share", "operator": "gt", "value": "40"}]}), "data_lookback_window"),
        (condition("top_ip_share", "101"), "conditions[0].value"),
        (condition("distinct_ip_ratio", "1.1"), "conditions[0].value"),
        (json!({"action": "hold_conversions"}), "action"),
        (json!({"action": "pause_code"}), "action"),
        (json!({"data_collection_threshold": {}}), "data_collection_threshold.min_clicks"),
        (json!({"data_collection_threshold": {"min_conversions": 2_000_000_000}}), "data_collection_threshold.min_conversions"),
        (json!({"data_collection_threshold": {"min_clicks": 1, "conversion_statuses": []}}), "data_collection_threshold.conversion_statuses"),
        (json!({"conditions": []}), "conditions"),
        (json!({"conditions": [twice, twice]}), "conditions[1].metric"),
        (condition("cvr", "0,2"), "conditions[0].value"),
        (condition("cvr", "-1"), "conditions[0].value"),
        (condition("cvr", "NaN"), "conditions[0].value"),
        (condition("cvr", "1."), "conditions[0].value"),
        (condition("cvr", "0.1234567"), "conditions[0].value"),
        (condition("bot_rate", "100.1"), "conditions[0].value"),
        (condition("spike", "2000000000"), "conditions[0].value"),
        (json!({"delay_minutes": 10_081}), "delay_minutes"),
        (json!({"unblock": {"mode": "after"}}), "unblock.after_hours"),
        (json!({"unblock": {"mode": "manual", "after_hours": 2}}), "unblock.after_hours"),
        (json!({"unblock": {"mode": "after", "after_hours": 9000}}), "unblock.after_hours"),
    ];
    for (over, field) in cases {
        let errors = rule(&over).unwrap().check().unwrap_err();
        assert_eq!(errors.len(), 1, "{over}: {errors:?}");
        assert_eq!(errors[0].field, field, "{over}");
    }
}

#[test]
fn what_is_not_measured_is_answered_with_the_metrics_that_are() {
    let over =
        json!({"conditions": [{"metric": "fast_click_share", "operator": "gt", "value": "30"}]});
    let error = rule(&over).unwrap_err().to_string();
    assert!(error.contains("`fast_click_share`") && error.contains("`bot_rate`"), "{error}");
}

#[test]
fn a_condition_compares_exactly() {
    let condition = |operator, value: &str| SmartSwitchCondition {
        metric: SmartSwitchMetric::Cvr,
        operator,
        value: value.into(),
    };
    let holds = |operator, value: &str| condition(operator, value).holds(1, 3);
    assert!(holds(ConditionOperator::GreaterThan, "0.333333"));
    assert!(holds(ConditionOperator::LessThan, "0.333334"));
    for (operator, expected) in [
        (ConditionOperator::LessThan, false),
        (ConditionOperator::AtMost, true),
        (ConditionOperator::GreaterThan, false),
        (ConditionOperator::AtLeast, true),
    ] {
        assert_eq!(condition(operator, "0.5").holds(1, 2), expected, "{operator:?}");
        assert!(!condition(operator, "0").holds(0, 0), "{operator:?}");
    }
}

#[test]
fn a_rule_runs_on_its_days_while_it_is_active() {
    let day = |text: &str| text.parse().unwrap();
    let over = json!({"start_date": "2026-12-02", "end_date": "2026-12-03"});
    let mut rule = rule(&over).unwrap();
    let runs = |rule: &SmartSwitchRule| {
        ["2026-12-01", "2026-12-02", "2026-12-03", "2026-12-04"].map(|d| rule.runs_on(day(d)))
    };
    assert_eq!(runs(&rule), [false, true, true, false]);
    rule.rule_status = SmartSwitchStatus::Inactive;
    assert_eq!(runs(&rule), [false; 4]);
}

fn blocked(over: &Value) -> Result<(), Vec<FieldError>> {
    let mut value = json!({"variable": "source_id", "value": "BAD"});
    value.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    serde_json::from_value::<BlockedValue>(value).unwrap().check()
}

#[test]
fn a_value_is_blocked_by_hand_only_if_visits_can_have_it() {
    assert_eq!(blocked(&json!({})), Ok(()));
    assert_eq!(blocked(&json!({"variable": "country", "value": "de"})), Ok(()));
    let cases = [
        (json!({"value": ""}), "value"),
        (json!({"value": "x".repeat(257)}), "value"),
        (json!({"value": "a\nb"}), "value"),
        (json!({"variable": "affiliate"}), "value"),
        (json!({"variable": "asn", "value": "AS15169"}), "value"),
        (json!({"variable": "country", "value": "UK"}), "value"),
        (json!({"network_offer_id": 1, "network_advertiser_id": 1}), "network_advertiser_id"),
        (
            json!({"variable": "affiliate", "value": "7", "network_affiliate_id": 7}),
            "network_affiliate_id",
        ),
        (json!({"action": "alert"}), "action"),
        (json!({"action": "hold_conversions"}), "action"),
    ];
    for (over, field) in cases {
        let errors = blocked(&over).unwrap_err();
        assert_eq!((errors.len(), errors[0].field.as_str()), (1, field), "{over}");
    }
}
