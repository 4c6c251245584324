//! Applies the plan of a run within its transaction.

use serde_json::{Map, Value, json};

use super::notice::Notices;
use super::plan::{FoundValue, Plan};
use crate::catalog::{BlockedValue, BlockedValueStatus, SmartSwitchRule};
use crate::edit::{self, EditError};
use crate::store::blocked_values::{self, NewBlock};
use crate::store::rows::{self, Stored};
use crate::store::smart_switch::FindingOutcome;
use crate::store::{StoreError, WriteTx};

pub(super) fn apply(
    tx: &WriteTx<'_>,
    rule: &Stored<SmartSwitchRule>,
    plan: &Plan,
    run_id: u64,
) -> Result<(), EditError> {
    let notices = Notices { rule, run_id };
    for value in plan.with_outcome(FindingOutcome::Warned) {
        let due = tx.now() + i64::from(rule.object.delay_minutes) * 60;
        let block = NewBlock {
            status: BlockedValueStatus::Warned,
            time_due: due,
            ..new_block(rule, value, run_id)
        };
        let id = put(tx, &block, "warned")?;
        notices.warned(tx, id, &block)?;
    }
    let mut changes_visits = false;
    for value in plan.with_outcome(FindingOutcome::Acted) {
        let block = new_block(rule, value, run_id);
        let id = put(tx, &block, "blocked")?;
        notices.acted(tx, id, &block)?;
        changes_visits |= edit::blocked_values::begin_action(tx, rule.object.action, &value.key)?;
    }
    for id in &plan.released {
        changes_visits |= release(tx, *id, &notices)?;
    }
    for id in &plan.withdrawn {
        release(tx, *id, &notices)?;
    }
    if changes_visits {
        tx.next_catalog_sequence()?;
    }
    Ok(())
}

fn new_block<'a>(
    rule: &'a Stored<SmartSwitchRule>,
    value: &'a FoundValue,
    run_id: u64,
) -> NewBlock<'a> {
    NewBlock {
        rule_id: rule.id,
        variable: rule.object.variable,
        key: &value.key,
        action: rule.object.action,
        status: BlockedValueStatus::Active,
        is_shown_to_partner: rule.object.is_notify_partners,
        run_id,
        measured: &value.measured,
        window_s: rule.object.data_lookback_window.hours() * 3_600,
        time_due: 0,
    }
}

fn put(tx: &WriteTx<'_>, block: &NewBlock<'_>, action: &str) -> Result<u32, StoreError> {
    let id = blocked_values::put(tx, block)?;
    let after = Map::from_iter([
        ("variable".to_owned(), json!(block.variable)),
        ("value".to_owned(), json!(block.key.value)),
        ("network_offer_id".to_owned(), json!(block.key.offer_id)),
        ("network_affiliate_id".to_owned(), json!(block.key.affiliate_id)),
        ("network_smart_switch_rule_id".to_owned(), json!(block.rule_id)),
        ("action".to_owned(), json!(block.action)),
        ("measured".to_owned(), json!(block.measured)),
    ]);
    record(tx, id, action, &after)?;
    Ok(id)
}

fn record(
    tx: &WriteTx<'_>,
    id: u32,
    action: &str,
    after: &Map<String, Value>,
) -> Result<(), StoreError> {
    edit::audit::record_range(tx, "blocked_value", action, 1, (id, id), after)
}

/// Ends a block or a warning. Returns whether visits or codes change.
fn release(tx: &WriteTx<'_>, id: u32, notices: &Notices<'_>) -> Result<bool, EditError> {
    let Some(before) = rows::find::<BlockedValue>(tx, id)? else { return Ok(false) };
    blocked_values::set_status(tx, id, BlockedValueStatus::Released)?;
    record(tx, id, "released", &Map::new())?;
    notices.released(tx, id, &before.object)?;
    let is_active = before.object.blocked_value_status == BlockedValueStatus::Active;
    if is_active { edit::blocked_values::end_action(tx, &before.object) } else { Ok(false) }
}
