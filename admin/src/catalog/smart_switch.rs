//! SmartSwitch: rules that measure the traffic of each value of a variable, such as each source, and
//! act on the values that meet all conditions.
//!
//! A rule acts on one value for one partner: the sources of two partners may have equal names.

mod blocked_value;
mod metric;
mod window;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::problems::{FieldError, Problems};
use super::words::words;
use super::{day, text};

pub use blocked_value::{
    BlockedValue, BlockedValueFacts, BlockedValueStatus, MAX_VALUE_BYTES, MetricReading,
};
pub use metric::{ConditionOperator, SmartSwitchCondition, SmartSwitchMetric};
pub use window::{LookbackWindow, RunFrequency};

/// As at Everflow.
pub const MAX_RULES: u64 = 30;
const MAX_CONDITIONS: usize = 10;
const MAX_TARGETS: usize = 500;
const MAX_THRESHOLD: u32 = 1_000_000_000;
/// A week.
const MAX_DELAY_MINUTES: u32 = 7 * 24 * 60;
/// A year.
const MAX_BLOCK_HOURS: u32 = 365 * 24;
/// A week of clicks is read in seconds to minutes.
const MAX_ARCHIVE_HOURS: u64 = 7 * 24;

words! {
    /// The status of a SmartSwitch rule.
    SmartSwitchStatus {
        /// The rule runs.
        Active = "active",
        /// The rule is off.
        Inactive = "inactive",
    }
}

words! {
    /// The kind of objects that a SmartSwitch rule measures.
    TargetedEntity {
        /// Each named offer by itself.
        Offer = "offer",
        /// All offers of a named advertiser together.
        Advertiser = "advertiser",
        /// All traffic of a named partner.
        Affiliate = "affiliate",
        /// All traffic of the network.
        Network = "network",
    }
}

words! {
    /// The variable whose values are measured or blocked.
    SwitchVariable {
        /// The partner's first sub id.
        Sub1 = "sub1",
        /// The partner's second sub id.
        Sub2 = "sub2",
        /// The partner's third sub id.
        Sub3 = "sub3",
        /// The partner's fourth sub id.
        Sub4 = "sub4",
        /// The partner's fifth sub id.
        Sub5 = "sub5",
        /// The partner's id of the traffic source.
        SourceId = "source_id",
        /// The coupon code.
        CouponCode = "coupon_code",
        /// The partner's id.
        Affiliate = "affiliate",
        /// The host of the page with the link.
        RefererHost = "referer_host",
        /// The number of the visitor's network.
        Asn = "asn",
        /// The visitor's country, by two letters.
        Country = "country",
    }
}

impl SwitchVariable {
    /// Whether visits are counted by this variable in the click archive alone.
    #[must_use]
    pub fn is_archived(self) -> bool {
        matches!(self, SwitchVariable::RefererHost | SwitchVariable::Asn)
    }
}

words! {
    /// The action on a value that meets the conditions.
    SmartSwitchAction {
        /// Visits with the value get the fallback.
        Block = "block",
        /// Visits with the value go to the offer's fail traffic, if the offer has some.
        FailTraffic = "fail_traffic",
        /// The run records the value.
        Alert = "alert",
        /// Conversions of the coupon code are pending until somebody decides.
        HoldConversions = "hold_conversions",
        /// The coupon code is paused.
        PauseCode = "pause_code",
    }
}

words! {
    /// A status of conversions that a rule counts.
    CountedStatus {
        /// Approved.
        Approved = "approved",
        /// Waiting for a decision.
        Pending = "pending",
        /// Rejected.
        Rejected = "rejected",
    }
}

words! {
    /// The end of a block.
    UnblockMode {
        /// Only by hand.
        Manual = "manual",
        /// After some hours.
        After = "after",
        /// As soon as the value is measured again and no longer meets the conditions.
        WhenRecovered = "when_recovered",
    }
}

/// The end of a rule's blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unblock {
    /// What ends a block.
    #[serde(default = "manual")]
    pub mode: UnblockMode,
    /// Hours until a block ends; required for `after`. With `when_recovered`, 0 is never.
    #[serde(default)]
    #[schema(maximum = 8760)]
    pub after_hours: u32,
}

fn manual() -> UnblockMode {
    UnblockMode::Manual
}

impl Default for Unblock {
    fn default() -> Unblock {
        Unblock { mode: UnblockMode::Manual, after_hours: 0 }
    }
}

/// The least traffic of a value that a rule acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataCollectionThreshold {
    /// Clicks: all visits for a metric that is a share of all visits, else valid clicks.
    #[serde(default)]
    #[schema(maximum = 1_000_000_000)]
    pub min_clicks: u32,
    /// Conversions that the metric is about.
    #[serde(default)]
    #[schema(maximum = 1_000_000_000)]
    pub min_conversions: u32,
    /// The conversions to count.
    #[serde(default = "all_counted")]
    #[schema(example = json!(["approved", "pending"]))]
    pub conversion_statuses: Vec<CountedStatus>,
}

fn all_counted() -> Vec<CountedStatus> {
    vec![CountedStatus::Approved, CountedStatus::Pending, CountedStatus::Rejected]
}

/// A SmartSwitch rule as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SmartSwitchRuleEdit)]
#[serde(deny_unknown_fields)]
pub struct SmartSwitchRule {
    /// Shown in lists and notices.
    #[schema(min_length = 1, max_length = 255, example = "Sources that never convert")]
    pub name: String,
    /// The status.
    pub rule_status: SmartSwitchStatus,
    /// The first day on which the rule runs, in the network's time zone; empty: at once.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]
    pub start_date: Option<Date>,
    /// The last day on which the rule runs; empty: for ever.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]
    pub end_date: Option<Date>,
    /// The kind of the targeted objects.
    pub targeted_entity_type: TargetedEntity,
    /// The targeted objects; none for `network`.
    #[serde(default)]
    pub targeted_entity_ids: Vec<u32>,
    /// The variable whose values are measured.
    pub variable: SwitchVariable,
    /// The time from one run to the next.
    pub run_frequency: RunFrequency,
    /// The measured time before a run: at most `7_days` with `referer_host`, `asn`, or a metric of
    /// addresses, places or languages, which are read out of the click archive.
    pub data_lookback_window: LookbackWindow,
    /// The least traffic of a value.
    pub data_collection_threshold: DataCollectionThreshold,
    /// The conditions on a value's traffic; all must hold.
    #[schema(min_items = 1, max_items = 10)]
    pub conditions: Vec<SmartSwitchCondition>,
    /// The action. `hold_conversions` and `pause_code` need the variable `coupon_code`.
    pub action: SmartSwitchAction,
    /// Minutes between a warning and the action. The value is checked again before the action.
    #[serde(default)]
    #[schema(maximum = 10080)]
    pub delay_minutes: u32,
    /// Blocks, warnings and releases become events; they and alerts are logged as warnings.
    #[serde(default = "enabled")]
    pub is_notify_employees: bool,
    /// Partners see blocks of their own values in the portal.
    #[serde(default)]
    pub is_notify_partners: bool,
    /// Runs are recorded, and change nothing else.
    #[serde(default)]
    pub is_dry_run: bool,
    /// The end of a block.
    #[serde(default)]
    pub unblock: Unblock,
}

fn enabled() -> bool {
    true
}

impl SmartSwitchRule {
    /// Checks the rule without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        if let (Some(start), Some(end)) = (self.start_date, self.end_date)
            && end < start
        {
            problems.add("end_date", "is before start_date");
        }
        self.check_targets(&mut problems);
        self.check_variable(&mut problems);
        self.check_thresholds(&mut problems);
        self.check_conditions(&mut problems);
        if self.delay_minutes > MAX_DELAY_MINUTES {
            let message = format!("must be at most {MAX_DELAY_MINUTES}, which is a week");
            problems.add("delay_minutes", message);
        }
        self.check_unblock(&mut problems);
        problems.finish()
    }

    /// Remarks about parts without effect.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.action == SmartSwitchAction::FailTraffic {
            warnings
                .push("action: on offers without fail traffic, fail_traffic acts as block".into());
        }
        if self.action == SmartSwitchAction::Alert && self.delay_minutes > 0 {
            warnings.push("delay_minutes: an alert is told at once".into());
        }
        warnings
    }

    /// Whether a run has to read single clicks.
    #[must_use]
    pub fn reads_archive(&self) -> bool {
        self.variable.is_archived()
            || self.conditions.iter().any(|condition| condition.metric.is_archived())
    }

    /// Whether the rule runs on this day of the network's time zone.
    #[must_use]
    pub fn runs_on(&self, today: Date) -> bool {
        self.rule_status == SmartSwitchStatus::Active
            && self.start_date.is_none_or(|start| start <= today)
            && self.end_date.is_none_or(|end| today <= end)
    }

    fn check_targets(&self, problems: &mut Problems) {
        let (field, ids) = ("targeted_entity_ids", &self.targeted_entity_ids);
        let is_network = self.targeted_entity_type == TargetedEntity::Network;
        if is_network && !ids.is_empty() {
            problems.add(field, "must be empty for `network`, which means all traffic");
        } else if !is_network && ids.is_empty() {
            let kind = self.targeted_entity_type.as_str();
            problems.add(field, format!("name at least one {kind}, or target the network"));
        } else if ids.len() > MAX_TARGETS {
            problems.add(field, format!("has {} ids; at most {MAX_TARGETS} fit", ids.len()));
        }
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            problems.add(field, format!("names {} twice", pair[0]));
        }
    }

    fn check_variable(&self, problems: &mut Problems) {
        if self.reads_archive() && self.data_lookback_window.hours() > MAX_ARCHIVE_HOURS {
            let metric = self.conditions.iter().find(|condition| condition.metric.is_archived());
            let what = metric.map_or(self.variable.as_str(), |found| found.metric.as_str());
            let message =
                format!("must be at most 7_days for {what}, which is read click by click");
            problems.add("data_lookback_window", message);
        }
        let needs_code = matches!(
            self.action,
            SmartSwitchAction::HoldConversions | SmartSwitchAction::PauseCode
        );
        if needs_code && self.variable != SwitchVariable::CouponCode {
            let action = self.action.as_str();
            problems.add("action", format!("{action} needs the variable coupon_code"));
        }
    }

    fn check_thresholds(&self, problems: &mut Problems) {
        let threshold = &self.data_collection_threshold;
        let DataCollectionThreshold { min_clicks, min_conversions, conversion_statuses } =
            threshold;
        let path = |field: &str| format!("data_collection_threshold.{field}");
        for (field, number) in [("min_clicks", min_clicks), ("min_conversions", min_conversions)] {
            if *number > MAX_THRESHOLD {
                problems.add(path(field), format!("must be at most {MAX_THRESHOLD}"));
            }
        }
        if *min_clicks == 0 && *min_conversions == 0 {
            let message = "min_clicks or min_conversions must be above 0: a rule must not judge a \
                           value by a handful of visits";
            problems.add(path("min_clicks"), message);
        }
        if conversion_statuses.is_empty() {
            let message = "is empty; name approved, pending or rejected";
            problems.add(path("conversion_statuses"), message);
        }
    }

    fn check_conditions(&self, problems: &mut Problems) {
        if self.conditions.is_empty() {
            problems.add("conditions", "is empty; a rule needs at least one condition");
        } else if self.conditions.len() > MAX_CONDITIONS {
            let count = self.conditions.len();
            let message = format!("has {count} conditions; at most {MAX_CONDITIONS} fit");
            problems.add("conditions", message);
        }
        for (at, condition) in self.conditions.iter().enumerate() {
            problems.take(&format!("conditions[{at}].value"), condition.check());
            let is_duplicates = condition.metric == SmartSwitchMetric::DuplicateRate;
            if self.variable.is_archived() && is_duplicates {
                let variable = self.variable.as_str();
                let message = format!("duplicates are not counted by {variable}");
                problems.add(format!("conditions[{at}].metric"), message);
            }
            let is_same = |other: &SmartSwitchCondition| {
                (other.metric, other.operator) == (condition.metric, condition.operator)
            };
            if self.conditions[..at].iter().any(is_same) {
                let metric = condition.metric.as_str();
                let message = format!("{metric} is compared in this way already; leave one out");
                problems.add(format!("conditions[{at}].metric"), message);
            }
        }
    }

    fn check_unblock(&self, problems: &mut Problems) {
        let hours = self.unblock.after_hours;
        if self.unblock.mode == UnblockMode::After && hours == 0 {
            problems.add("unblock.after_hours", "is needed for mode `after`, such as 72");
        } else if self.unblock.mode == UnblockMode::Manual && hours > 0 {
            let message = "has no effect with mode `manual`; choose `after`, or leave it out";
            problems.add("unblock.after_hours", message);
        } else if hours > MAX_BLOCK_HOURS {
            let message = format!("must be at most {MAX_BLOCK_HOURS}, which is a year");
            problems.add("unblock.after_hours", message);
        }
    }
}

#[cfg(test)]
mod tests;
