//! Names of SmartSwitch's words, and the sentences made of them.

use serde::Deserialize;

use crate::console::format;

/// Words of the API with their names.
pub(crate) type Labels = [(&'static str, &'static str)];

/// Variables.
pub(crate) const VARIABLES: &Labels = &[
    ("source_id", "Source"),
    ("sub1", "Sub id 1"),
    ("sub2", "Sub id 2"),
    ("sub3", "Sub id 3"),
    ("sub4", "Sub id 4"),
    ("sub5", "Sub id 5"),
    ("coupon_code", "Coupon code"),
    ("affiliate", "Partner"),
    ("referer_host", "Host of the page with the link"),
    ("asn", "Number of the visitor’s network"),
    ("country", "Country"),
];

pub(crate) const METRICS: &Labels = &[
    ("cvr", "Conversions in % of clicks"),
    ("clickless_share", "Sales without a click in %"),
    ("spike", "Sales of the last hour, times the usual"),
    ("ctit_under_5s", "Sales within 5 s of the click in %"),
    ("rejected_rate", "Rejected sales in %"),
    ("bot_rate", "Bots in % of visits"),
    ("duplicate_rate", "Duplicates in % of visits"),
    ("invalid_rate", "Refused visits in %"),
    ("top_ip_share", "Visits from one address in %"),
    ("distinct_ip_ratio", "Different addresses per visit"),
    ("datacenter_share", "Visits from data centres in %"),
    ("proxy_share", "Visits through proxies in %"),
    ("geo_mismatch", "Visits refused for their place in %"),
    ("language_mismatch", "Languages foreign to the country in %"),
];

pub(crate) const OPERATORS: &Labels =
    &[("lt", "below"), ("lte", "at most"), ("gt", "above"), ("gte", "at least")];

pub(crate) const ACTIONS: &Labels = &[
    ("block", "Refuse visits"),
    ("fail_traffic", "Send visits to the fail traffic"),
    ("alert", "Only record it"),
    ("hold_conversions", "Hold sales of the code"),
    ("pause_code", "Pause the code"),
];

pub(crate) const FREQUENCIES: &Labels = &[
    ("1_hour", "Every hour"),
    ("3_hours", "Every 3 hours"),
    ("6_hours", "Every 6 hours"),
    ("12_hours", "Every 12 hours"),
    ("24_hours", "Every day"),
];

pub(crate) const WINDOWS: &Labels = &[
    ("1_hour", "1 hour"),
    ("3_hours", "3 hours"),
    ("6_hours", "6 hours"),
    ("12_hours", "12 hours"),
    ("24_hours", "24 hours"),
    ("48_hours", "2 days"),
    ("72_hours", "3 days"),
    ("7_days", "7 days"),
    ("14_days", "14 days"),
    ("30_days", "30 days"),
];

pub(crate) const TARGETS: &Labels = &[
    ("offer", "Each of these offers"),
    ("advertiser", "All offers of each of these advertisers"),
    ("affiliate", "All traffic of these partners"),
    ("network", "All traffic"),
];

pub(crate) const UNBLOCK_MODES: &Labels = &[
    ("manual", "By hand"),
    ("after", "After some hours"),
    ("when_recovered", "When the numbers are good again"),
];

/// States of blocked values, with their class.
pub(crate) const STATES: &[(&str, &str, &str)] = &[
    ("active", "In force", "bad"),
    ("warned", "Warned", "warning"),
    ("released", "Released", "off"),
    ("exempt", "Exempt", "good"),
];

const OUTCOMES: &Labels = &[
    ("done", "Done"),
    ("dry_run", "Dry run"),
    ("circuit_breaker", "Too much: only recorded"),
    ("skipped", "Skipped"),
    ("failed", "Failed"),
    ("acted", "Acted"),
    ("warned", "Warned"),
    ("waits", "Warned before"),
    ("in_force", "In force already"),
    ("exempt", "Exempt"),
    ("alerted", "Recorded"),
    ("would_act", "Would act"),
    ("withheld", "Not acted on"),
];

/// The name of a word; the word itself if there is none.
pub(crate) fn label(labels: &Labels, word: &str) -> String {
    let found = labels.iter().find(|(known, _)| *known == word);
    found.map_or_else(|| word.to_owned(), |(_, label)| (*label).to_owned())
}

/// The name of the outcome of a run, or for a value.
pub(crate) fn outcome(word: &str) -> String {
    label(OUTCOMES, word)
}

/// A metric as measured, in an answer of the API.
#[derive(Debug, Deserialize)]
pub(crate) struct Reading {
    metric: String,
    operator: String,
    value: String,
    measured: String,
    clicks: u64,
    conversions: u64,
}

impl Reading {
    /// The reading as a sentence.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "{}: {} ({} {}); {} clicks, {} sales",
            label(METRICS, &self.metric),
            format::decimal(&self.measured),
            label(OPERATORS, &self.operator),
            format::decimal(&self.value),
            format::count(self.clicks),
            format::count(self.conversions),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{
        BlockedValueStatus, ConditionOperator, LookbackWindow, RunFrequency, SmartSwitchAction,
        SmartSwitchMetric, SwitchVariable, TargetedEntity, UnblockMode, WordSet,
    };
    use crate::store::smart_switch::{FindingOutcome, RunOutcome};

    fn assert_named<T: WordSet>(labels: &Labels) {
        for word in T::WORDS {
            assert!(labels.iter().any(|(known, _)| known == word), "{word} has no name");
        }
    }

    #[test]
    fn each_word_has_a_name() {
        assert_named::<SwitchVariable>(VARIABLES);
        assert_named::<SmartSwitchMetric>(METRICS);
        assert_named::<ConditionOperator>(OPERATORS);
        assert_named::<SmartSwitchAction>(ACTIONS);
        assert_named::<RunFrequency>(FREQUENCIES);
        assert_named::<LookbackWindow>(WINDOWS);
        assert_named::<TargetedEntity>(TARGETS);
        assert_named::<UnblockMode>(UNBLOCK_MODES);
        assert_named::<RunOutcome>(OUTCOMES);
        assert_named::<FindingOutcome>(OUTCOMES);
        let states: Vec<&str> = STATES.iter().map(|(word, ..)| *word).collect();
        assert!(BlockedValueStatus::WORDS.iter().all(|word| states.contains(word)));
    }
}
