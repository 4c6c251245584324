//! Changes of conversions by hand: approved, rejected, their amounts and notes edited. Each is told
//! in the conversion's history and in the audit, in the transaction that counts it.
//!
//! One conversion that cannot be changed refuses the whole request. What is already as asked is left
//! as it is, so a request may be sent again.

use serde_json::{Map, Value, json};

use super::count::Counts;
use super::error_code::ErrorCode;
use super::ledger::change;
use super::status::Status;
use super::tell_partner;
use crate::catalog::Money;
use crate::edit::EditError;
use crate::store::audit::{Entry, FieldChange, record};
use crate::store::conversions::{self, Action, Conversion, ConversionId, ConversionRow};
use crate::store::{StoreError, WriteTx};

const OBJECT: &str = "conversion";

/// What a person decides of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It counts.
    Approved,
    /// It does not.
    Rejected,
}

impl Decision {
    fn status(self) -> Status {
        match self {
            Decision::Approved => Status::Approved,
            Decision::Rejected => Status::Rejected,
        }
    }
}

/// Approves or rejects conversions; answers how many it changed.
///
/// # Errors
/// When one of them is not there, or cannot be approved.
pub fn set_status(
    tx: &WriteTx<'_>,
    ids: &[ConversionId],
    decision: Decision,
) -> Result<usize, EditError> {
    let (mut changed, mut counts) = (Vec::new(), Counts::default());
    for id in ids {
        let before = existing(tx, *id)?;
        if before.conversion.status == decision.status() {
            continue;
        }
        if let Some(after) = decide(tx, &before, decision)? {
            counts.add(Some(&before.conversion), &after.conversion);
            changed.push(after);
        }
    }
    counts.write(tx)?;
    audit_status(tx, &changed, decision)?;
    Ok(changed.len())
}

fn existing(tx: &WriteTx<'_>, id: ConversionId) -> Result<ConversionRow, EditError> {
    conversions::get(tx, id)?
        .ok_or_else(|| EditError::field("conversion_ids", format!("there is no conversion {id}")))
}

fn decide(
    tx: &WriteTx<'_>,
    before: &ConversionRow,
    decision: Decision,
) -> Result<Option<ConversionRow>, EditError> {
    let mut after = before.clone();
    match decision {
        Decision::Approved => {
            check_approvable(tx, before)?;
            after.conversion.error_code = 0;
        }
        // It counts for nobody anyway, and would lose the reason why.
        Decision::Rejected if before.conversion.status == Status::Invalid => return Ok(None),
        Decision::Rejected => after.conversion.error_code = ErrorCode::ManuallyRejected.number(),
    }
    after.conversion.status = decision.status();
    conversions::update(tx, &after)?;
    let changes = [
        change("status", json!(before.conversion.status), json!(after.conversion.status)),
        change(
            "error_code",
            json!(before.conversion.error_code),
            json!(after.conversion.error_code),
        ),
    ];
    conversions::tell(tx, after.number, Action::Status, None, &changes)?;
    if decision == Decision::Approved {
        tell_partner::of(tx, &after.conversion)?;
    }
    Ok(Some(after))
}

/// It has to be somebody's, and no other conversion may stand for the same sale.
fn check_approvable(tx: &WriteTx<'_>, row: &ConversionRow) -> Result<(), EditError> {
    let Conversion { id, status, offer_id, affiliate_id, key, .. } = &row.conversion;
    if *status == Status::Invalid || *offer_id == 0 || *affiliate_id == 0 {
        let message = format!(
            "conversion {id} is invalid: it cannot be approved, because nobody can be named whose it is; send the postback again, corrected"
        );
        return Err(EditError::conflict("conversion.invalid", "conversion_ids", message));
    }
    let Some(key) = key else { return Ok(()) };
    if conversions::take_key(tx, key, row.number)? {
        return Ok(());
    }
    match conversions::holder(tx, key)? {
        Some(holder) if holder.number != row.number => {
            let message = format!(
                "conversion {id} reports the same sale as {}, which stands; reject or adjust that one",
                holder.conversion.id
            );
            Err(EditError::conflict("conversion.repeated", "conversion_ids", message))
        }
        _ => Ok(()),
    }
}

/// What is edited of a conversion; nothing stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// To the partner.
    pub payout: Option<Money>,
    /// To the network.
    pub revenue: Option<Money>,
    /// Of the sale.
    pub sale_amount: Option<Money>,
    /// The network's own.
    pub notes: Option<String>,
}

/// Longest notes.
const MAX_NOTES_BYTES: usize = 4096;

/// Edits a conversion's amounts and notes. Amounts that were edited are not reckoned anew by later
/// refunds, unless nothing of the sale is left.
///
/// # Errors
/// When it is not there, or an amount is not one.
pub fn adjust(
    tx: &WriteTx<'_>,
    id: ConversionId,
    adjustment: &Adjustment,
) -> Result<ConversionRow, EditError> {
    check(adjustment)?;
    let before = existing(tx, id)?;
    let mut after = before.clone();
    let now = &mut after.conversion;
    now.payout = adjustment.payout.unwrap_or(now.payout);
    now.revenue = adjustment.revenue.unwrap_or(now.revenue);
    now.sale_amount = adjustment.sale_amount.unwrap_or(now.sale_amount);
    now.notes = adjustment.notes.clone().unwrap_or_else(|| now.notes.clone());
    if (now.payout, now.revenue) != (before.conversion.payout, before.conversion.revenue) {
        now.terms = String::new();
    }
    let changes = amounts(&before.conversion, &after.conversion);
    if changes.is_empty() {
        return Ok(after);
    }
    conversions::update(tx, &after)?;
    conversions::tell(tx, after.number, Action::Adjusted, None, &changes)?;
    let mut counts = Counts::default();
    counts.add(Some(&before.conversion), &after.conversion);
    counts.write(tx)?;
    audit_one(tx, &after, changes)?;
    Ok(after)
}

fn check(adjustment: &Adjustment) -> Result<(), EditError> {
    let amounts = [
        ("payout", adjustment.payout),
        ("revenue", adjustment.revenue),
        ("sale_amount", adjustment.sale_amount),
    ];
    for (field, amount) in amounts {
        if amount.is_some_and(Money::is_negative) {
            return Err(EditError::field(field, "must not be below zero"));
        }
    }
    if adjustment.notes.as_ref().is_some_and(|notes| notes.len() > MAX_NOTES_BYTES) {
        let error = format!("must have at most {MAX_NOTES_BYTES} bytes");
        return Err(EditError::field("notes", error));
    }
    Ok(())
}

/// The fields that differ among those that can be edited.
pub(super) fn amounts(before: &Conversion, after: &Conversion) -> Vec<FieldChange> {
    let fields = [
        ("sale_amount", json!(before.sale_amount), json!(after.sale_amount)),
        ("payout", json!(before.payout), json!(after.payout)),
        ("revenue", json!(before.revenue), json!(after.revenue)),
        ("notes", json!(before.notes), json!(after.notes)),
    ];
    let differing = fields.into_iter().filter(|(_, before, after)| before != after);
    differing.map(|(field, before, after)| change(field, before, after)).collect()
}

fn audit_status(
    tx: &WriteTx<'_>,
    changed: &[ConversionRow],
    decision: Decision,
) -> Result<(), StoreError> {
    let ids: Vec<String> = changed.iter().map(|row| row.conversion.id.to_string()).collect();
    let after: Map<String, Value> = Map::from_iter([
        ("status".to_owned(), json!(decision.status())),
        ("conversion_ids".to_owned(), json!(ids)),
    ]);
    let numbers = changed.iter().map(|row| row.number);
    crate::edit::audit::many(tx, OBJECT, decision.status().as_str(), numbers, &after)
}

fn audit_one(
    tx: &WriteTx<'_>,
    row: &ConversionRow,
    mut changes: Vec<FieldChange>,
) -> Result<(), StoreError> {
    changes.push(change("conversion_id", Value::Null, json!(row.conversion.id.to_string())));
    let (first_id, last_id) = (row.number, row.number);
    record(
        tx,
        &Entry { object: OBJECT, action: "adjusted", objects: 1, first_id, last_id, changes },
    )
}
