//! Events about the actions of a run, written in the transaction of the run.
//!
//! Rules with `is_notify_employees` tell of each value that they warn of, act on and release. Alerts
//! come from all rules, because an alert has no other effect. Releases by hand are recorded where
//! blocked values are edited.

use serde_json::{Value, json};

use crate::catalog::{BlockedValue, EventType, SmartSwitchAction, SmartSwitchRule};
use crate::edit::blocked_values::release_data;
use crate::store::blocked_values::NewBlock;
use crate::store::rows::Stored;
use crate::store::smart_switch::{Finding, FindingOutcome, SmartSwitchRun};
use crate::store::{StoreError, WriteTx, events};

/// Values that one alert names.
const MAX_VALUES: usize = 50;

/// The notices of a run.
pub(super) struct Notices<'r> {
    pub(super) rule: &'r Stored<SmartSwitchRule>,
    pub(super) run_id: u64,
}

impl Notices<'_> {
    pub(super) fn warned(
        &self,
        tx: &WriteTx<'_>,
        id: u32,
        block: &NewBlock<'_>,
    ) -> Result<(), StoreError> {
        let mut data = self.block_data(id, block);
        data["time_due"] = json!(block.time_due);
        self.record(tx, EventType::SmartSwitchWarned, &data)
    }

    pub(super) fn acted(
        &self,
        tx: &WriteTx<'_>,
        id: u32,
        block: &NewBlock<'_>,
    ) -> Result<(), StoreError> {
        let event_type = match block.action {
            SmartSwitchAction::HoldConversions => EventType::SmartSwitchHeld,
            SmartSwitchAction::PauseCode => EventType::SmartSwitchPaused,
            SmartSwitchAction::Block | SmartSwitchAction::FailTraffic => {
                EventType::SmartSwitchBlocked
            }
            SmartSwitchAction::Alert => EventType::SmartSwitchAlert,
        };
        self.record(tx, event_type, &self.block_data(id, block))
    }

    pub(super) fn released(
        &self,
        tx: &WriteTx<'_>,
        id: u32,
        value: &BlockedValue,
    ) -> Result<(), StoreError> {
        let data = release_data(id, value, self.run_id);
        self.record(tx, EventType::SmartSwitchReleased, &data)
    }

    fn block_data(&self, id: u32, block: &NewBlock<'_>) -> Value {
        json!({
            "network_smart_switch_rule_id": self.rule.id, "rule_name": self.rule.object.name,
            "run_id": self.run_id, "network_blocked_value_id": id, "action": block.action,
            "variable": block.variable, "value": block.key.value,
            "network_offer_id": block.key.offer_id,
            "network_advertiser_id": block.key.advertiser_id,
            "network_affiliate_id": block.key.affiliate_id,
            "measured": block.measured,
        })
    }

    fn record(
        &self,
        tx: &WriteTx<'_>,
        event_type: EventType,
        data: &Value,
    ) -> Result<(), StoreError> {
        if !self.rule.object.is_notify_employees {
            return Ok(());
        }
        events::record(tx, event_type, data)
    }
}

/// Records the alert of a run that found values and acts on none: the rule only alerts, or its
/// action would have been too much.
pub(super) fn record_alert(
    tx: &WriteTx<'_>,
    rule: &SmartSwitchRule,
    run: &SmartSwitchRun,
) -> Result<(), StoreError> {
    let is_told = |finding: &&Finding| {
        matches!(finding.outcome, FindingOutcome::Alerted | FindingOutcome::Withheld)
    };
    let told: Vec<&Finding> = run.findings.iter().filter(is_told).collect();
    if told.is_empty() {
        return Ok(());
    }
    let data = json!({
        "network_smart_switch_rule_id": run.network_smart_switch_rule_id,
        "rule_name": rule.name, "run_id": run.run_id, "action": rule.action,
        "outcome": run.outcome, "reason": run.reason, "variable": rule.variable,
        "values_found": run.values_found, "values": &told[..told.len().min(MAX_VALUES)],
    });
    events::record(tx, EventType::SmartSwitchAlert, &data)
}
