//! Blocked values: blocked by hand, and released or exempted whoever blocked them.
//!
//! The scope of a row never changes: an edit sets the status and the notes.

use serde_json::{Value, json};

use super::{Change, EditError, Editable, Saved, check_reference, coupon_codes};
use crate::catalog::{
    Advertiser, Affiliate, BlockedValue, BlockedValueStatus, CouponStatus, EventType, Offer,
    SmartSwitchAction, SmartSwitchRule, SwitchVariable,
};
use crate::store::coupon_codes::Chosen;
use crate::store::rows::{self, Stored};
use crate::store::smart_switch::traffic::ValueKey;
use crate::store::{StoreError, WriteTx, blocked_values, events};

impl Editable for BlockedValue {
    const NAME: &'static str = "blocked value";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_blocked_value_id",
        "network_id",
        "network_smart_switch_rule_id",
        "rule_name",
        "run_id",
        "measured",
        "time_due",
        "time_blocked",
        "time_released",
        "exempt_until",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        BlockedValue::check(self).map_err(EditError::Invalid)?;
        match id {
            Some(id) => check_change(self, tx, id),
            None => check_creation(self, tx),
        }
    }
}

fn check_creation(value: &BlockedValue, tx: &WriteTx<'_>) -> Result<(), EditError> {
    let by_hand = [BlockedValueStatus::Active, BlockedValueStatus::Exempt];
    if !by_hand.contains(&value.blocked_value_status) {
        let message = "a new value is active or exempt";
        return Err(EditError::field("blocked_value_status", message));
    }
    if value.action == SmartSwitchAction::PauseCode {
        let message =
            "pause the coupon code itself; by hand, values are blocked or conversions held";
        return Err(EditError::field("action", message));
    }
    if value.network_offer_id != 0 {
        check_reference::<Offer>(tx, "network_offer_id", value.network_offer_id)?;
    }
    if value.network_advertiser_id != 0 {
        check_reference::<Advertiser>(tx, "network_advertiser_id", value.network_advertiser_id)?;
    }
    if value.network_affiliate_id != 0 {
        check_reference::<Affiliate>(tx, "network_affiliate_id", value.network_affiliate_id)?;
    }
    if value.variable == SwitchVariable::Affiliate {
        check_reference::<Affiliate>(tx, "value", value.value.parse().unwrap_or(0))?;
    }
    let Some(other) = blocked_values::find_by_hand(tx, value)? else { return Ok(()) };
    let message = format!("blocked value {other} is the same; change its status instead");
    Err(EditError::conflict("blocked_value.duplicate", "value", message))
}

fn check_change(value: &BlockedValue, tx: &WriteTx<'_>, id: u32) -> Result<(), EditError> {
    let Some(before) = rows::find::<BlockedValue>(tx, id)? else { return Ok(()) };
    let before = before.object;
    let scope = |value: &BlockedValue| {
        (
            value.variable,
            value.folded_value(),
            value.network_offer_id,
            value.network_advertiser_id,
            value.network_affiliate_id,
            value.action,
        )
    };
    if scope(value) != scope(&before) {
        let message = "only the status and the notes change; block the other value as a new one";
        return Err(EditError::field("value", message));
    }
    let status = value.blocked_value_status;
    if status == BlockedValueStatus::Warned && before.blocked_value_status != status {
        let message = "only a rule warns; choose active, released or exempt";
        return Err(EditError::field("blocked_value_status", message));
    }
    Ok(())
}

/// Changes the status or the notes of a blocked value, and begins or ends its action.
///
/// # Errors
/// When the value does not exist, or a rule is violated.
pub fn change(
    tx: &WriteTx<'_>,
    id: u32,
    change: Change,
) -> Result<Saved<Stored<BlockedValue>>, EditError> {
    let before = super::existing::<BlockedValue>(tx, id)?.object;
    let saved = super::change::<BlockedValue>(tx, id, change)?;
    let after = &saved.now.object;
    let is_active = |value: &BlockedValue| value.blocked_value_status == BlockedValueStatus::Active;
    match (is_active(&before), is_active(after)) {
        (true, false) => drop(end_action(tx, &before)?),
        (false, true) => drop(begin_action(tx, after.action, &key(after))?),
        _ => {}
    }
    if is_in_effect(&before) && !is_in_effect(after) {
        record_release(tx, id, &before)?;
    }
    let statuses = (before.blocked_value_status, after.blocked_value_status);
    if statuses == (BlockedValueStatus::Warned, BlockedValueStatus::Released) {
        // A person knows better than the warning.
        blocked_values::exempt_for_window(tx, id)?;
    }
    // The action may have taken a later position in the change sequence.
    let sequence = Some(tx.next_catalog_sequence()?);
    Ok(Saved { now: super::existing(tx, id)?, sequence })
}

/// Whether a block or a warning is in effect.
fn is_in_effect(value: &BlockedValue) -> bool {
    use BlockedValueStatus::{Active, Warned};
    matches!(value.blocked_value_status, Active | Warned)
}

/// Records that a person ended the block or the warning of a rule. Blocks by hand and blocks of
/// rules that tell nobody made no event when they began, so their end makes none.
fn record_release(tx: &WriteTx<'_>, id: u32, before: &BlockedValue) -> Result<(), StoreError> {
    // The values of a deleted rule stay blocked.
    let rule_id = before.facts.network_smart_switch_rule_id;
    let rule = rows::find_including_deleted::<SmartSwitchRule>(tx, rule_id)?;
    if rule.is_none_or(|rule| !rule.object.is_notify_employees) {
        return Ok(());
    }
    events::record(tx, EventType::SmartSwitchReleased, &release_data(id, before, 0))
}

/// The data of the event that a block or a warning ended. `run_id` is 0 if a person ended it.
pub(crate) fn release_data(id: u32, before: &BlockedValue, run_id: u64) -> Value {
    json!({
        "network_smart_switch_rule_id": before.facts.network_smart_switch_rule_id,
        "rule_name": before.facts.rule_name, "run_id": run_id, "network_blocked_value_id": id,
        "action": before.action, "variable": before.variable, "value": before.value,
        "network_offer_id": before.network_offer_id,
        "network_advertiser_id": before.network_advertiser_id,
        "network_affiliate_id": before.network_affiliate_id,
        "former_status": before.blocked_value_status,
    })
}

fn key(value: &BlockedValue) -> ValueKey {
    ValueKey {
        value: value.folded_value(),
        offer_id: value.network_offer_id,
        advertiser_id: value.network_advertiser_id,
        affiliate_id: value.network_affiliate_id,
    }
}

/// Begins the action on a value. Returns whether visits change.
///
/// # Errors
/// When a code cannot be paused.
pub(crate) fn begin_action(
    tx: &WriteTx<'_>,
    action: SmartSwitchAction,
    key: &ValueKey,
) -> Result<bool, EditError> {
    if action == SmartSwitchAction::PauseCode {
        set_code_status(tx, key, CouponStatus::Paused)?;
    }
    Ok(refuses_visits(action))
}

/// Ends the action on a value: a paused code becomes active. Returns whether visits change.
///
/// # Errors
/// When a code cannot be made active.
pub(crate) fn end_action(tx: &WriteTx<'_>, value: &BlockedValue) -> Result<bool, EditError> {
    if value.action == SmartSwitchAction::PauseCode {
        set_code_status(tx, &key(value), CouponStatus::Active)?;
    }
    Ok(refuses_visits(value.action))
}

fn refuses_visits(action: SmartSwitchAction) -> bool {
    matches!(action, SmartSwitchAction::Block | SmartSwitchAction::FailTraffic)
}

fn set_code_status(
    tx: &WriteTx<'_>,
    key: &ValueKey,
    status: CouponStatus,
) -> Result<(), EditError> {
    let ids = blocked_values::codes(tx, key)?;
    if !ids.is_empty() {
        coupon_codes::set_status(tx, &Chosen::Ids(ids), status)?;
    }
    Ok(())
}
