//! The record of a run.

use serde::{Deserialize, Serialize};

use super::super::rollups::SLOT_MS;
use crate::catalog::MetricReading;
use crate::catalog::words::words;

words! {
    /// The outcome of a run.
    RunOutcome {
        /// The rule measured, and acted where the conditions held.
        Done = "done",
        /// The rule measured, and would have acted.
        DryRun = "dry_run",
        /// The rule would have acted on too much traffic, and acted on none.
        CircuitBreaker = "circuit_breaker",
        /// The numbers are not complete, so the rule did not measure.
        Skipped = "skipped",
        /// The run failed.
        Failed = "failed",
    }
}

words! {
    /// The outcome of a run for one value that meets the conditions.
    FindingOutcome {
        /// The action began.
        Acted = "acted",
        /// The rule warned, and checks the value again after the delay.
        Warned = "warned",
        /// The rule warned earlier, and the delay is not over.
        Waits = "waits",
        /// The action is in force already.
        InForce = "in_force",
        /// The value is exempt, or was released by hand a short time ago.
        Exempt = "exempt",
        /// The value is only recorded.
        Alerted = "alerted",
        /// The rule would have acted.
        WouldAct = "would_act",
        /// The rule did not act, because all of it would have been too much.
        Withheld = "withheld",
    }
}

/// A value that meets the conditions of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// The value, in lower case.
    pub value: String,
    /// The offer; 0 if the rule measures several together.
    pub network_offer_id: u32,
    /// The advertiser; 0 if the rule measures none by itself.
    pub network_advertiser_id: u32,
    /// The partner; 0 for none.
    pub network_affiliate_id: u32,
    /// What the run did.
    pub outcome: FindingOutcome,
    /// The numbers.
    pub measured: Vec<MetricReading>,
    /// All visits with the value in the measured time.
    pub gross_clicks: u64,
    /// Share of these in all visits of the offers, in percent; the largest of several offers.
    pub share_of_offer: String,
}

/// A run of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SmartSwitchRun {
    /// Ascending in time; 0 for a preview.
    pub run_id: u64,
    /// The rule.
    pub network_smart_switch_rule_id: u32,
    /// The outcome.
    pub outcome: RunOutcome,
    /// Why the run was skipped, failed or did not act; empty otherwise.
    pub reason: String,
    /// In Unix seconds.
    pub time_started: i64,
    /// Beginning of the measured time, in Unix seconds.
    pub measured_from: u64,
    /// End of the measured time.
    pub measured_to: u64,
    /// Number of measured values.
    pub values_measured: u64,
    /// Number of values that meet the conditions.
    pub values_found: u64,
    /// Visits whose value is not known, because a partner had too many values on a day. No rule
    /// acts on them.
    pub hidden_clicks: u64,
    /// Values that were released by the run.
    pub released: u64,
    /// The values that meet the conditions, those with the most visits first; at most 200.
    pub findings: Vec<Finding>,
}

impl SmartSwitchRun {
    /// The end of the measured time as a quarter hour.
    pub(super) fn to_slot(&self) -> u64 {
        self.measured_to * 1_000 / SLOT_MS
    }
}
