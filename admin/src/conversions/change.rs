//! Changes of conversions by hand: approval, rejection, edits of amounts and notes. Each change is
//! recorded in the conversion's history and in the audit, in the transaction that counts it.
//!
//! If one conversion cannot be changed, the whole request fails. A conversion that has the
//! requested state already is skipped, so a request can be repeated.

use serde_json::{Map, Value, json};

use super::conversion_event;
use super::count::Counts;
use super::field_changes::{amount_changes, field_change, status_changes};
use super::partner_postback::enqueue_partner_postback;
use super::stored_refund;
use crate::attribution::dedup_key::DedupKey;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::rank::{self, ExistingConversion};
use crate::attribution::status::Status;
use crate::catalog::Money;
use crate::edit::EditError;
use crate::store::audit::{AuditEntry, FieldChange, record};
use crate::store::conversions::{self, Action, Conversion, ConversionId, ConversionRow};
use crate::store::{StoreError, WriteTx};

const OBJECT: &str = "conversion";

/// The decision of a person on a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Approved,
    Rejected,
    /// An approved conversion waits again until somebody has looked at it.
    OnHold,
}

impl Decision {
    fn status(self) -> Status {
        match self {
            Decision::Approved => Status::Approved,
            Decision::Rejected => Status::Rejected,
            Decision::OnHold => Status::Pending,
        }
    }
}

/// Approves or rejects conversions. Returns the number of changed conversions.
///
/// # Errors
/// When a conversion does not exist or cannot be approved.
pub fn set_status(
    tx: &WriteTx<'_>,
    ids: &[ConversionId],
    decision: Decision,
) -> Result<usize, EditError> {
    set_status_with_notes(tx, ids, decision, None)
}

/// The same, and replaces the notes of each changed conversion, unless `notes` is `None`.
///
/// # Errors
/// As [`set_status`], and for notes that are too long.
pub fn set_status_with_notes(
    tx: &WriteTx<'_>,
    ids: &[ConversionId],
    decision: Decision,
    notes: Option<&str>,
) -> Result<usize, EditError> {
    validate(&Adjustment { notes: notes.map(str::to_owned), ..Adjustment::default() })?;
    let (mut changed, mut counts) = (Vec::new(), Counts::default());
    for id in ids {
        let before = existing(tx, *id)?;
        if before.conversion.status == decision.status() {
            continue;
        }
        changed.extend(if before.conversion.is_refund() {
            Some(decide_refund(tx, &mut counts, before, decision)?)
        } else {
            decide(tx, &mut counts, &before, decision)?
        });
    }
    counts.write(tx)?;
    if let Some(notes) = notes {
        changed.iter_mut().try_for_each(|row| set_notes(tx, row, notes))?;
    }
    audit_status(tx, &changed, decision, notes)?;
    Ok(changed.len())
}

fn set_notes(tx: &WriteTx<'_>, row: &mut ConversionRow, notes: &str) -> Result<(), StoreError> {
    let before = row.conversion.clone();
    row.conversion.notes = notes.to_owned();
    let changes = amount_changes(&before, &row.conversion);
    if changes.is_empty() {
        return Ok(());
    }
    conversions::update(tx, row)?;
    conversions::record_history(tx, row.number, Action::Adjusted, None, &changes)
}

fn existing(tx: &WriteTx<'_>, id: ConversionId) -> Result<ConversionRow, EditError> {
    conversions::get(tx, id)?
        .ok_or_else(|| EditError::field("conversion_ids", format!("there is no conversion {id}")))
}

fn decide(
    tx: &WriteTx<'_>,
    counts: &mut Counts,
    before: &ConversionRow,
    decision: Decision,
) -> Result<Option<ConversionRow>, EditError> {
    let mut after = before.clone();
    match decision {
        Decision::Approved => {
            after.conversion.key = check_approvable(tx, before)?;
            after.conversion.error_code = 0;
        }
        // An invalid conversion does not count anyway, and rejecting it would lose the reason.
        Decision::Rejected if before.conversion.status == Status::Invalid => return Ok(None),
        Decision::Rejected => after.conversion.error_code = ErrorCode::ManuallyRejected.number(),
        Decision::OnHold => {
            check_counts(&before.conversion)?;
            after.conversion.error_code = ErrorCode::HeldForReview.number();
        }
    }
    after.conversion.status = decision.status();
    conversions::update(tx, &after)?;
    let changes = status_changes(&before.conversion, &after.conversion);
    conversions::record_history(tx, after.number, Action::Status, None, &changes)?;
    conversion_event::record_status_change(tx, &before.conversion, &after.conversion)?;
    counts.add(Some(&before.conversion), &after.conversion);
    if decision == Decision::Approved {
        // A refused conversion left them waiting when it was created.
        after = stored_refund::apply_waiting_refunds(tx, counts, after)?;
        enqueue_partner_postback(tx, &after.conversion)?;
    }
    Ok(Some(after))
}

/// Only an approved conversion can be held: another one does not count, or waits already.
fn check_counts(conversion: &Conversion) -> Result<(), EditError> {
    if conversion.status == Status::Approved {
        return Ok(());
    }
    let (id, status) = (conversion.id, conversion.status.as_str());
    let message = format!("conversion {id} is {status}, so it does not count and cannot be held");
    Err(EditError::conflict("conversion.not_approved", "conversion_ids", message))
}

/// Approval deducts the refund from its order. A deducted refund stays deducted.
fn decide_refund(
    tx: &WriteTx<'_>,
    counts: &mut Counts,
    refund: ConversionRow,
    decision: Decision,
) -> Result<ConversionRow, EditError> {
    let Conversion { id, status, amount, .. } = refund.conversion;
    if decision == Decision::OnHold {
        let message = format!("the refund {id} cannot be held; reject it, or edit its order");
        return Err(EditError::conflict("conversion.refund", "conversion_ids", message));
    }
    if decision == Decision::Rejected {
        if status == Status::Approved {
            let message = format!("the refund {id} was taken back; edit the amounts of its order");
            return Err(EditError::conflict("conversion.refunded", "conversion_ids", message));
        }
        let why = Some(ErrorCode::ManuallyRejected);
        return Ok(stored_refund::set_status(tx, counts, refund, why)?);
    }
    let order = order_of(tx, &refund.conversion)?;
    let refund = stored_refund::set_status(tx, counts, refund, None)?;
    stored_refund::take_back_from(tx, counts, order, amount.unwrap_or_default(), id)?;
    Ok(refund)
}

/// The order to deduct the refund from.
fn order_of(tx: &WriteTx<'_>, refund: &Conversion) -> Result<ConversionRow, EditError> {
    let refused = |message| EditError::conflict("conversion.no_order", "conversion_ids", message);
    let id = refund.id;
    let known = match &refund.refund_of {
        Some(key) => conversions::with_key(tx, key)?,
        None => Vec::new(),
    };
    let all: Vec<ExistingConversion> =
        known.iter().map(|row| ExistingConversion::from(&row.conversion)).collect();
    let order = rank::order_of_refund(&all).and_then(|at| known.into_iter().nth(at));
    let order =
        order.ok_or_else(|| refused(format!("the order of the refund {id} has not come")))?;
    if order.conversion.sale_currency != refund.sale_currency {
        return Err(refused(format!(
            "the refund {id} is in {}, and its order {} in {}; edit the amounts of the order, and reject the refund",
            refund.sale_currency, order.conversion.id, order.conversion.sale_currency
        )));
    }
    Ok(order)
}

/// A conversion can be approved if it has a partner and no other conversion of the same sale is
/// approved or pending. Returns its key.
fn check_approvable(tx: &WriteTx<'_>, row: &ConversionRow) -> Result<Option<[u8; 32]>, EditError> {
    let id = row.conversion.id;
    if let Some(why) = why_not_approvable(&row.conversion) {
        let message = format!("conversion {id} cannot be approved, because {why}");
        return Err(EditError::conflict("conversion.invalid", "conversion_ids", message));
    }
    let Some(key) = row.conversion.key.or_else(|| key_by_columns(&row.conversion)) else {
        return Ok(None);
    };
    let counts = |other: &&ConversionRow| {
        other.number != row.number
            && matches!(other.conversion.status, Status::Approved | Status::Pending)
    };
    let known = conversions::with_key(tx, &key)?;
    let Some(standing) = known.iter().find(counts) else { return Ok(Some(key)) };
    let message = format!(
        "conversion {id} reports the same sale as {}, which is {}; reject that one first, or adjust it",
        standing.conversion.id,
        standing.conversion.status.as_str()
    );
    Err(EditError::conflict("conversion.repeated", "conversion_ids", message))
}

/// Why a conversion can never be approved.
#[must_use]
pub fn why_not_approvable(conversion: &Conversion) -> Option<&'static str> {
    let Conversion { offer_id, affiliate_id, error_code, amount, .. } = conversion;
    if *offer_id == 0 || *affiliate_id == 0 {
        Some("nobody can be named whose it is; send the postback again, corrected")
    } else if amount.is_some_and(Money::is_negative) {
        Some("it is a refund without an order")
    } else if *error_code == ErrorCode::UnknownEvent.number() {
        Some("its offer has no such event; add the event and send the postback again")
    } else {
        None
    }
}

/// The key of a conversion that was refused by a release that stored no keys of refused
/// conversions.
fn key_by_columns(conversion: &Conversion) -> Option<[u8; 32]> {
    let Conversion { offer_id, event_id, order_id, transaction_id, .. } = conversion;
    if !order_id.is_empty() {
        return Some(DedupKey::for_order(*offer_id, *event_id, order_id).0);
    }
    let id = transaction_id.parse().ok()?;
    Some(DedupKey::for_click(*offer_id, *event_id, &id).0)
}

/// Edits of a conversion; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adjustment {
    pub payout: Option<Money>,
    pub revenue: Option<Money>,
    pub sale_amount: Option<Money>,
    pub notes: Option<String>,
}

impl Adjustment {
    fn has_amount(&self) -> bool {
        self.payout.or(self.revenue).or(self.sale_amount).is_some()
    }
}

const MAX_NOTES_BYTES: usize = 4096;

/// Edits a conversion's amounts and notes. Later refunds do not recompute edited payout and revenue
/// until the remaining sale amount is zero.
///
/// # Errors
/// When the conversion does not exist, an amount is negative, or a refund gets amounts.
pub fn adjust(
    tx: &WriteTx<'_>,
    id: ConversionId,
    adjustment: &Adjustment,
) -> Result<ConversionRow, EditError> {
    validate(adjustment)?;
    let before = existing(tx, id)?;
    if before.conversion.is_refund() && adjustment.has_amount() {
        let message = "a refund has no amounts of its own; edit those of its order";
        return Err(EditError::field("conversion_id", message));
    }
    let mut after = before.clone();
    let now = &mut after.conversion;
    now.payout = adjustment.payout.unwrap_or(now.payout);
    now.revenue = adjustment.revenue.unwrap_or(now.revenue);
    now.sale_amount = adjustment.sale_amount.unwrap_or(now.sale_amount);
    now.notes = adjustment.notes.clone().unwrap_or_else(|| now.notes.clone());
    if (now.payout, now.revenue) != (before.conversion.payout, before.conversion.revenue) {
        now.terms = String::new();
    }
    let changes = amount_changes(&before.conversion, &after.conversion);
    if changes.is_empty() {
        return Ok(after);
    }
    conversions::update(tx, &after)?;
    conversions::record_history(tx, after.number, Action::Adjusted, None, &changes)?;
    let mut counts = Counts::default();
    counts.add(Some(&before.conversion), &after.conversion);
    counts.write(tx)?;
    audit_one(tx, &after, changes)?;
    Ok(after)
}

fn validate(adjustment: &Adjustment) -> Result<(), EditError> {
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

fn audit_status(
    tx: &WriteTx<'_>,
    changed: &[ConversionRow],
    decision: Decision,
    notes: Option<&str>,
) -> Result<(), StoreError> {
    let ids: Vec<String> = changed.iter().map(|row| row.conversion.id.to_string()).collect();
    let mut after: Map<String, Value> = Map::from_iter([
        ("status".to_owned(), json!(decision.status())),
        ("conversion_ids".to_owned(), json!(ids)),
    ]);
    after.extend(notes.map(|notes| ("notes".to_owned(), json!(notes))));
    let numbers = changed.iter().map(|row| row.number);
    crate::edit::audit::record_many(tx, OBJECT, decision.status().as_str(), numbers, &after)
}

fn audit_one(
    tx: &WriteTx<'_>,
    row: &ConversionRow,
    mut changes: Vec<FieldChange>,
) -> Result<(), StoreError> {
    changes.push(field_change("conversion_id", Value::Null, json!(row.conversion.id.to_string())));
    let (first_id, last_id) = (row.number, row.number);
    record(
        tx,
        &AuditEntry { object: OBJECT, action: "adjusted", objects: 1, first_id, last_id, changes },
    )
}
