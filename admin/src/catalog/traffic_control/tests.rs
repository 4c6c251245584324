use serde_json::{Value, json};

use super::*;

fn control(over: Value) -> Result<TrafficControl, serde_json::Error> {
    let mut base = json!({
        "name": "Bad sources", "status": "active", "control_type": "blacklist",
        "is_apply_all_affiliates": true, "is_apply_all_offers": true,
        "variables": ["source_id"], "values": ["BAD"],
    });
    base.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    serde_json::from_value(base)
}

fn numbered(count: usize) -> Value {
    (0..count).map(|number| format!("source {number}")).collect()
}

#[test]
fn a_control_needs_few_fields() {
    let control = control(json!({})).unwrap();
    assert_eq!(control.check(), Ok(()));
    assert_eq!(control.warnings(), Vec::<String>::new());
    assert_eq!(control.comparison_method, ComparisonMethod::ExactMatch);
    assert_eq!(control.targeting_action, TargetingAction::Block);
}

#[test]
fn what_cannot_be_compared_is_refused_field_by_field() {
    let cases = [
        (json!({"name": " "}), "name", "must not be empty"),
        (json!({"variables": []}), "variables", "name at least one variable"),
        (json!({"values": []}), "values", "write at least one value"),
        (json!({"values": null}), "values", "write at least one value"),
        (json!({"values": ["ok", ""]}), "values[1]", "is empty"),
        (json!({"values": ["ok", " \t"]}), "values[1]", "is empty"),
        (json!({"values": ["a\nb"]}), "values[0]", "control character"),
        (json!({"values": ["x".repeat(257)]}), "values[0]", "257 bytes; at most 256"),
        (json!({"values": numbered(3_001)}), "values", "3001 values; at most 3000"),
        (
            json!({"values": numbered(101), "comparison_method": "contains"}),
            "values",
            "101 values; at most 100 fit for contains",
        ),
        (json!({"network_offer_ids": Vec::from_iter(0..1_001)}), "network_offer_ids", "1001 ids"),
        (
            json!({"date_valid_from": "2026-12-02", "date_valid_to": "2026-12-01"}),
            "date_valid_to",
            "is before date_valid_from",
        ),
        (
            json!({"variables": ["country_name"], "values": ["Germany", "US"]}),
            "values[1]",
            "`US` is no English name of a country; write United States",
        ),
        (json!({"variables": ["asn"], "values": ["AS15169"]}), "values[0]", "write it like 15169"),
    ];
    for (over, field, sentence) in cases {
        let errors = control(over.clone()).unwrap().check().unwrap_err();
        assert_eq!(errors.len(), 1, "{over}: {errors:?}");
        assert_eq!(errors[0].field, field, "{over}");
        assert!(errors[0].error.contains(sentence), "{over}: {errors:?}");
    }
}

#[test]
fn the_largest_lists_are_taken() {
    for over in [
        json!({"values": numbered(3_000)}),
        json!({"values": numbered(100), "comparison_method": "starts_with"}),
        json!({"values": ["x".repeat(256)]}),
        json!({"date_valid_from": "2026-12-01", "date_valid_to": "2026-12-01"}),
        json!({"values": [], "comparison_method": "not_present"}),
        json!({"variables": ["country_name", "sub1"], "values": ["US"]}),
        json!({"variables": ["country_name"], "values": ["unit"], "comparison_method": "contains"}),
    ] {
        assert_eq!(control(over.clone()).unwrap().check(), Ok(()), "{over}");
    }
}

#[test]
fn unknown_words_are_answered_with_the_known_ones() {
    for (over, word) in [
        (json!({"variables": ["sub6"]}), "`sub5`"),
        (json!({"comparison_method": "regex"}), "`does_not_match`"),
        (json!({"targeting_action": "pause"}), "`fail_traffic`"),
        (json!({"control_type": "greylist"}), "`whitelist`"),
        (json!({"status": "paused"}), "`inactive`"),
    ] {
        let error = control(over.clone()).unwrap_err().to_string();
        assert!(error.contains(word), "{over}: {error}");
    }
}

#[test]
fn repetitions_are_kept_once() {
    let over = json!({
        "values": ["Bad", "BAD", "other", "bad"], "variables": ["sub1", "sub1"],
        "network_offer_ids": [7, 3, 7],
    });
    let control = control(over).unwrap();
    assert_eq!(control.values, ["Bad", "other"]);
    assert_eq!(control.variables, [TrafficVariable::Sub1]);
    assert_eq!(control.network_offer_ids, [7, 3]);
}

#[test]
fn effects_that_nobody_may_expect_are_warned_of() {
    let warned = |over: Value| control(over).unwrap().warnings().join("\n");
    for (over, sentence) in [
        (json!({"targeting_action": "fail_traffic"}), "acts as block"),
        (json!({"is_apply_all_offers": false}), "is for no offer yet"),
        (json!({"is_apply_all_affiliates": false}), "is for no partner yet"),
        (json!({"control_type": "whitelist"}), "refuses every visit of the network"),
        (json!({"comparison_method": "not_present"}), "compares no values"),
        (json!({"network_offer_ids": [1]}), "network_offer_ids: has no effect"),
    ] {
        let warnings = warned(over.clone());
        assert!(warnings.contains(sentence) && warnings.lines().count() == 1, "{over}: {warnings}");
    }
    let of_one = json!({"is_apply_all_offers": false, "network_advertiser_ids": [1]});
    assert_eq!(warned(of_one), "");
}

#[test]
fn an_open_end_of_the_days_or_the_period_is_open() {
    let days = json!({"date_valid_from": "2026-12-10", "date_valid_to": "2026-12-20"});
    let (limited, unlimited) = (control(days).unwrap(), control(json!({})).unwrap());
    let day = |day: i8| Some(jiff::civil::date(2026, 12, day));
    for (first, last, expected) in [
        (day(1), day(9), false),
        (day(1), day(10), true),
        (day(20), day(30), true),
        (day(21), day(30), false),
        (None, day(9), false),
        (day(21), None, false),
        (None, None, true),
    ] {
        assert_eq!(limited.is_valid_between(first, last), expected, "{first:?} {last:?}");
        assert!(unlimited.is_valid_between(first, last));
    }
}

#[test]
fn offers_are_named_themselves_or_by_their_advertiser() {
    let known = [(1, 10), (2, 10), (3, 11), (4, 12)];
    let over = json!({
        "is_apply_all_offers": false, "network_offer_ids": [3, 1, 9],
        "network_advertiser_ids": [12],
    });
    assert_eq!(control(over).unwrap().named_offers(known), [1, 3, 4]);
    let of_all = control(json!({"network_offer_ids": [1]})).unwrap();
    assert_eq!(of_all.named_offers(known), Vec::<u32>::new());
    let over = json!({"is_apply_all_affiliates": false, "network_affiliate_ids": [7]});
    let of_one = control(over).unwrap();
    assert!(of_one.is_for_partner(7) && !of_one.is_for_partner(8));
    assert!(control(json!({})).unwrap().is_for_partner(8));
}

#[test]
fn a_published_control_is_one_that_the_daemon_takes() {
    let over = json!({
        "control_type": "whitelist", "targeting_action": "fail_traffic", "variables": ["sub5", "asn"],
        "is_apply_all_offers": false, "is_apply_all_affiliates": false,
        "network_affiliate_ids": [9, 2, 4], "date_valid_from": "2000-01-03",
        "comparison_method": "not_present",
    });
    let published = control(over).unwrap().published();
    assert_eq!(published.check(), Ok(()));
    assert!(published.is_whitelist && published.fails_over && !published.is_everywhere);
    assert_eq!(published.variables, [5, 11]);
    assert_eq!(published.partners, Some(vec![2, 4, 9]));
    assert_eq!(published.days, (2, u16::MAX));
    let of_all = control(json!({})).unwrap().published();
    assert_eq!(of_all.check(), Ok(()));
    assert_eq!((of_all.partners, of_all.is_everywhere), (None, true));
    assert_eq!(of_all.days, (0, u16::MAX));
}
