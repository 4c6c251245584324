use super::super::tests::rule;
use super::*;
use crate::catalog::Unblock;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;

fn key(value: &str) -> ValueKey {
    ValueKey { value: value.into(), offer_id: 1, advertiser_id: 0, affiliate_id: 7 }
}

/// Traffic of offer 1: values with visits, of which none converts, and visits without a value.
fn traffic(values: &[(&str, u64)], others: u64) -> Traffic {
    let mut traffic = Traffic::default();
    for (value, clicks) in values {
        let gross = BTreeMap::from([(1, *clicks)]);
        let numbers = ValueTraffic { gross, valid: *clicks, ..ValueTraffic::default() };
        traffic.values.insert(key(value), numbers);
    }
    let all = others + values.iter().map(|(_, clicks)| clicks).sum::<u64>();
    traffic.offers.insert(1, all);
    traffic
}

fn known(value: &str, status: BlockedValueStatus) -> KnownValue {
    KnownValue {
        id: 5,
        key: key(value),
        status,
        time_due: 0,
        time_blocked: 0,
        exempt_until: 0,
        is_of_rule: true,
    }
}

fn never_converts() -> SmartSwitchRule {
    let mut rule = rule("cvr", "lt", "0.2");
    rule.data_collection_threshold.min_clicks = 100;
    rule
}

fn outcomes(plan: &Plan) -> Vec<(&str, FindingOutcome)> {
    plan.found.iter().map(|value| (value.key.value.as_str(), value.outcome)).collect()
}

#[test]
fn a_value_is_blocked_at_the_threshold_and_not_below() {
    let rule = never_converts();
    let plan = Plan::new(&rule, &traffic(&[("bad", 99)], 500), &[], NOW);
    assert_eq!(plan, Plan::default());
    let plan = Plan::new(&rule, &traffic(&[("bad", 100), ("worse", 120)], 500), &[], NOW);
    let acted = FindingOutcome::Acted;
    assert_eq!(outcomes(&plan), [("worse", acted), ("bad", acted)]);
    let findings = plan.findings(&traffic(&[("bad", 100), ("worse", 120)], 580));
    assert_eq!((findings[0].gross_clicks, findings[0].share_of_offer.as_str()), (120, "15"));
}

#[test]
fn an_exempt_or_released_value_is_left_alone() {
    let (rule, traffic) = (never_converts(), traffic(&[("bad", 100)], 500));
    let planned = |known: KnownValue| {
        let plan = Plan::new(&rule, &traffic, &[known], NOW);
        plan.found[0].outcome
    };
    let released =
        |until| KnownValue { exempt_until: until, ..known("bad", BlockedValueStatus::Released) };
    assert_eq!(planned(released(NOW + 1)), FindingOutcome::Exempt);
    assert_eq!(planned(released(NOW)), FindingOutcome::Acted);
    assert_eq!(planned(known("bad", BlockedValueStatus::Exempt)), FindingOutcome::Exempt);
    assert_eq!(planned(known("bad", BlockedValueStatus::Active)), FindingOutcome::InForce);
    // Exempt by hand, for all offers of this or of another partner.
    let by_hand = |affiliate_id| KnownValue {
        key: ValueKey { offer_id: 0, affiliate_id, ..key("bad") },
        is_of_rule: false,
        ..known("bad", BlockedValueStatus::Exempt)
    };
    assert_eq!(planned(by_hand(0)), FindingOutcome::Exempt);
    assert_eq!(planned(by_hand(7)), FindingOutcome::Exempt);
    assert_eq!(planned(by_hand(8)), FindingOutcome::Acted);
}

#[test]
fn more_than_fifty_values_are_only_told() {
    let names: Vec<String> = (0..51).map(|number| format!("source{number}")).collect();
    let values: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 100)).collect();
    let rule = never_converts();
    let plan = Plan::new(&rule, &traffic(&values, 100_000), &[], NOW);
    assert!(plan.withheld.as_deref().unwrap().contains("51 values"));
    assert_eq!(plan.with_outcome(FindingOutcome::Withheld).count(), 51);
    let plan = Plan::new(&rule, &traffic(&values[..50], 100_000), &[], NOW);
    assert_eq!(
        (plan.withheld.clone(), plan.with_outcome(FindingOutcome::Acted).count()),
        (None, 50)
    );
}

#[test]
fn at_most_half_of_an_offers_visits_are_refused_with_those_of_earlier_runs() {
    let rule = never_converts();
    let plan = Plan::new(&rule, &traffic(&[("bad", 100)], 100), &[], NOW);
    assert_eq!((outcomes(&plan), &plan.withheld), (vec![("bad", FindingOutcome::Acted)], &None));
    let plan = Plan::new(&rule, &traffic(&[("bad", 101)], 100), &[], NOW);
    assert_eq!(outcomes(&plan), [("bad", FindingOutcome::Withheld)]);
    assert!(plan.withheld.unwrap().contains("101 of 201 visits of offer 1"));
    let earlier = [known("old", BlockedValueStatus::Active)];
    let both = traffic(&[("bad", 100), ("old", 100)], 150);
    let plan = Plan::new(&rule, &both, &earlier, NOW);
    assert!(plan.withheld.unwrap().contains("200 of 350"));
    // Held conversions end no visit.
    let hold = SmartSwitchRule { action: SmartSwitchAction::HoldConversions, ..rule };
    assert_eq!(Plan::new(&hold, &both, &earlier, NOW).withheld, None);
}

#[test]
fn a_delay_warns_first_and_acts_only_on_what_is_still_bad() {
    let rule = SmartSwitchRule { delay_minutes: 60, ..never_converts() };
    let bad = traffic(&[("bad", 100)], 500);
    let plan = Plan::new(&rule, &bad, &[], NOW);
    assert_eq!(outcomes(&plan), [("bad", FindingOutcome::Warned)]);
    let warned = |due| KnownValue { time_due: due, ..known("bad", BlockedValueStatus::Warned) };
    let outcome_at = |due| Plan::new(&rule, &bad, &[warned(due)], NOW).found[0].outcome;
    assert_eq!(outcome_at(NOW + 1), FindingOutcome::Waits);
    assert_eq!(outcome_at(NOW), FindingOutcome::Acted);
    let plan = Plan::new(&rule, &traffic(&[("bad", 99)], 500), &[warned(NOW)], NOW);
    assert_eq!((plan.withdrawn, plan.found.len()), (vec![5], 0));
}

#[test]
fn a_block_ends_by_the_rules_mode() {
    let blocked =
        KnownValue { time_blocked: NOW - 3 * HOUR, ..known("bad", BlockedValueStatus::Active) };
    let released = |mode, after_hours, traffic: &Traffic| {
        let rule = SmartSwitchRule { unblock: Unblock { mode, after_hours }, ..never_converts() };
        Plan::new(&rule, traffic, std::slice::from_ref(&blocked), NOW).released == [5]
    };
    let bad = traffic(&[("bad", 100)], 500);
    assert!(!released(UnblockMode::Manual, 0, &bad));
    assert!(!released(UnblockMode::After, 4, &bad));
    assert!(released(UnblockMode::After, 3, &bad));
    assert!(!released(UnblockMode::WhenRecovered, 0, &bad));
    assert!(released(UnblockMode::WhenRecovered, 3, &bad));
    let mut good = traffic(&[("bad", 100)], 500);
    good.values.get_mut(&key("bad")).unwrap().conversions = [1, 0, 0];
    assert!(released(UnblockMode::WhenRecovered, 0, &good));
    // Without traffic nothing is known.
    assert!(!released(UnblockMode::WhenRecovered, 0, &traffic(&[], 500)));
}

#[test]
fn a_dry_run_only_tells_what_the_rule_would_do() {
    let rule = never_converts();
    let known = [KnownValue { time_blocked: 0, ..known("old", BlockedValueStatus::Warned) }];
    let plan = Plan::new(&rule, &traffic(&[("bad", 100)], 500), &known, NOW);
    assert_eq!(plan.withdrawn, [5]);
    let plan = plan.without_effect();
    assert_eq!(outcomes(&plan), [("bad", FindingOutcome::WouldAct)]);
    assert_eq!((plan.withdrawn.len(), plan.released.len()), (0, 0));
    let alert = SmartSwitchRule { action: SmartSwitchAction::Alert, ..never_converts() };
    let plan = Plan::new(&alert, &traffic(&[("bad", 100)], 0), &[], NOW);
    assert_eq!(outcomes(&plan), [("bad", FindingOutcome::Alerted)]);
    assert_eq!(plan.withheld, None);
}
