//! The metrics of a value's traffic, and whether the value meets the conditions of a rule.

use crate::catalog::{
    CountedStatus, MetricReading, SmartSwitchCondition, SmartSwitchMetric, SmartSwitchRule,
};
use crate::store::smart_switch::traffic::{USUAL_HOURS, ValueTraffic};

/// Decimals of a shown number.
const SHOWN_DECIMALS: u32 = 4;

/// A quotient, with the traffic that the rule's minimums are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measurement {
    numerator: u128,
    /// 0 if nothing was measured.
    denominator: u128,
    clicks: u64,
    conversions: u64,
}

/// The numbers of a value that meets all conditions of a rule; `None` for other values.
#[must_use]
pub(super) fn meets(rule: &SmartSwitchRule, traffic: &ValueTraffic) -> Option<Vec<MetricReading>> {
    let holds = |condition: &SmartSwitchCondition| {
        let measured = measure(condition.metric, rule, traffic);
        condition.holds(measured.numerator, measured.denominator)
    };
    let is_met = has_enough_traffic(rule, traffic) && rule.conditions.iter().all(holds);
    is_met.then(|| readings(rule, traffic))
}

/// Whether each metric of the rule has the minimum of clicks and of conversions.
#[must_use]
pub(super) fn has_enough_traffic(rule: &SmartSwitchRule, traffic: &ValueTraffic) -> bool {
    let threshold = &rule.data_collection_threshold;
    rule.conditions.iter().all(|condition| {
        let measured = measure(condition.metric, rule, traffic);
        measured.clicks >= u64::from(threshold.min_clicks)
            && measured.conversions >= u64::from(threshold.min_conversions)
    })
}

fn readings(rule: &SmartSwitchRule, traffic: &ValueTraffic) -> Vec<MetricReading> {
    let reading = |condition: &SmartSwitchCondition| {
        let measured = measure(condition.metric, rule, traffic);
        MetricReading {
            metric: condition.metric,
            operator: condition.operator,
            value: condition.value.clone(),
            measured: decimal(measured.numerator, measured.denominator),
            clicks: measured.clicks,
            conversions: measured.conversions,
        }
    };
    rule.conditions.iter().map(reading).collect()
}

fn measure(
    metric: SmartSwitchMetric,
    rule: &SmartSwitchRule,
    traffic: &ValueTraffic,
) -> Measurement {
    let gross = traffic.gross_clicks();
    let counted = traffic.conversions_with(&rule.data_collection_threshold.conversion_statuses);
    let all = traffic.conversions.iter().sum();
    let percent = |part: u64, whole: u64, clicks: u64, conversions: u64| Measurement {
        numerator: u128::from(part) * 100,
        denominator: whole.into(),
        clicks,
        conversions,
    };
    let signals = &traffic.signals;
    let of_visits = |part: u64, whole: u64| percent(part, whole, whole, counted);
    let of_gross = |part: u64| percent(part, gross, gross, counted);
    match metric {
        SmartSwitchMetric::Cvr => percent(counted, traffic.valid, traffic.valid, counted),
        SmartSwitchMetric::ClicklessShare => {
            percent(traffic.clickless, counted, traffic.valid, counted)
        }
        // A value without earlier conversions is compared with one in all the usual hours.
        SmartSwitchMetric::Spike => Measurement {
            numerator: u128::from(traffic.last_hour) * u128::from(USUAL_HOURS),
            denominator: traffic.usual.max(1).into(),
            clicks: traffic.valid,
            conversions: traffic.last_hour,
        },
        SmartSwitchMetric::CtitUnder5s => {
            percent(traffic.fast, traffic.clicked, traffic.valid, traffic.clicked)
        }
        SmartSwitchMetric::RejectedRate => {
            let rejected = traffic.conversions_with(&[CountedStatus::Rejected]);
            percent(rejected, all, traffic.valid, all)
        }
        SmartSwitchMetric::BotRate => of_gross(traffic.bot),
        SmartSwitchMetric::DuplicateRate => of_gross(traffic.duplicate),
        SmartSwitchMetric::InvalidRate => of_gross(traffic.invalid),
        SmartSwitchMetric::DistinctIpRatio => Measurement {
            numerator: signals.distinct_addresses.into(),
            denominator: signals.addressed.into(),
            clicks: signals.addressed,
            conversions: counted,
        },
        SmartSwitchMetric::TopIpShare => of_visits(signals.top_address, signals.addressed),
        SmartSwitchMetric::DatacenterShare => of_visits(signals.hosting, signals.probed),
        SmartSwitchMetric::ProxyShare => of_visits(signals.proxied, signals.probed),
        SmartSwitchMetric::GeoMismatch => of_visits(signals.misplaced, signals.place_judged),
        SmartSwitchMetric::LanguageMismatch => {
            of_visits(signals.foreign_language, signals.language_known)
        }
    }
}

/// A quotient as a decimal, rounded; without zeros at the end.
pub(super) fn decimal(numerator: u128, denominator: u128) -> String {
    if denominator == 0 {
        return "0".into();
    }
    let unit = 10_u128.pow(SHOWN_DECIMALS);
    let rounded = (numerator * unit + denominator / 2) / denominator;
    let digits = format!("{}.{:04}", rounded / unit, rounded % unit);
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::rule;
    use super::*;
    use crate::store::smart_switch::traffic::VisitSignals;

    fn traffic() -> ValueTraffic {
        ValueTraffic {
            gross: BTreeMap::from([(1, 250), (2, 150)]),
            valid: 200,
            bot: 100,
            duplicate: 40,
            invalid: 60,
            conversions: [5, 2, 3],
            clickless: 4,
            clicked: 6,
            fast: 3,
            last_hour: 2,
            usual: 3,
            signals: VisitSignals {
                addressed: 300,
                distinct_addresses: 75,
                top_address: 120,
                probed: 300,
                hosting: 30,
                proxied: 60,
                place_judged: 250,
                misplaced: 25,
                language_known: 80,
                foreign_language: 60,
            },
        }
    }

    #[test]
    fn each_metric_is_its_quotient() {
        for (metric, expected, clicks, conversions) in [
            ("cvr", "5", 200, 10),
            ("clickless_share", "40", 200, 10),
            ("spike", "224", 200, 2),
            ("ctit_under_5s", "50", 200, 6),
            ("rejected_rate", "30", 200, 10),
            ("bot_rate", "25", 400, 10),
            ("duplicate_rate", "10", 400, 10),
            ("invalid_rate", "15", 400, 10),
            ("top_ip_share", "40", 300, 10),
            ("distinct_ip_ratio", "0.25", 300, 10),
            ("datacenter_share", "10", 300, 10),
            ("proxy_share", "20", 300, 10),
            ("geo_mismatch", "10", 250, 10),
            ("language_mismatch", "75", 80, 10),
        ] {
            let rule = rule(metric, "gte", "0");
            let readings = meets(&rule, &traffic()).unwrap();
            let reading = &readings[0];
            let found = (reading.measured.as_str(), reading.clicks, reading.conversions);
            assert_eq!(found, (expected, clicks, conversions), "{metric}");
        }
    }

    #[test]
    fn only_counted_statuses_convert() {
        let mut rule = rule("cvr", "gt", "3.4");
        rule.data_collection_threshold.conversion_statuses =
            vec![CountedStatus::Approved, CountedStatus::Pending];
        assert_eq!(meets(&rule, &traffic()).unwrap()[0].measured, "3.5");
        rule.data_collection_threshold.conversion_statuses = vec![CountedStatus::Pending];
        assert_eq!(meets(&rule, &traffic()), None);
    }

    #[test]
    fn all_conditions_and_both_thresholds_must_be_met() {
        let mut both = rule("bot_rate", "gt", "24");
        both.conditions.push(rule("cvr", "lt", "6").conditions[0].clone());
        assert_eq!(meets(&both, &traffic()).unwrap().len(), 2);
        both.data_collection_threshold.min_clicks = 200;
        both.data_collection_threshold.min_conversions = 10;
        assert!(meets(&both, &traffic()).is_some());
        both.data_collection_threshold.min_conversions = 11;
        assert_eq!(meets(&both, &traffic()), None);
        both.data_collection_threshold.min_conversions = 0;
        // Of bots there are 400 clicks to judge, of conversions 200.
        both.data_collection_threshold.min_clicks = 201;
        assert_eq!(meets(&both, &traffic()), None);
        both.data_collection_threshold.min_clicks = 1;
        both.conditions[1].value = "5".into();
        assert_eq!(meets(&both, &traffic()), None);
    }

    #[test]
    fn nothing_divided_by_nothing_meets_no_condition() {
        for operator in ["lt", "lte", "gt", "gte"] {
            let mut rule = rule("cvr", operator, "50");
            rule.data_collection_threshold.min_clicks = 0;
            assert_eq!(meets(&rule, &ValueTraffic::default()), None, "{operator}");
        }
    }

    #[test]
    fn decimals_are_rounded() {
        assert_eq!(decimal(200, 3), "66.6667");
        assert_eq!(decimal(1, 20_001), "0");
        assert_eq!(decimal(50, 1), "50");
        assert_eq!(decimal(1, 0), "0");
    }
}
