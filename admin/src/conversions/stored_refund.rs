//! The deduction of a refund from its order, and stored refunds: a refund becomes a conversion of
//! its own while its order has not come or a person has to decide.
//!
//! A stored refund adds nothing to the reports: the deduction is a change of the order and stands
//! in the order's history. A deducted refund stays deducted.

use super::conversion_event;
use super::count::Counts;
use super::field_changes::{amount_changes, status_changes};
use crate::attribution::error_code::ErrorCode;
use crate::attribution::refund::{OrderAmounts, RefundRequest, WAITS_FOR_ORDER_MS, take_back};
use crate::attribution::status::Status;
use crate::catalog::Money;
use crate::store::conversions::{self, Action, ConversionId, ConversionRow, refunds};
use crate::store::{StoreError, WriteTx};

/// Deducts a refund from its order. Returns the order, and whether the refund exceeds the remaining
/// sale amount.
pub(super) fn take_back_from(
    tx: &WriteTx<'_>,
    counts: &mut Counts,
    mut order: ConversionRow,
    amount: Money,
    postback: ConversionId,
) -> Result<(ConversionRow, bool), StoreError> {
    let before = order.conversion.clone();
    let amounts = OrderAmounts { sale: before.sale_amount, payable: before.payable() };
    let refund = take_back(&amounts, amount, before.read_terms().as_ref(), &before.currencies());
    let now = &mut order.conversion;
    now.sale_amount = refund.after.sale;
    (now.payout, now.revenue) = (refund.after.payable.payout, refund.after.payable.revenue);
    conversions::update(tx, &order)?;
    let changes = amount_changes(&before, &order.conversion);
    conversions::record_history(tx, order.number, Action::Refund, Some(postback), &changes)?;
    conversion_event::record_reversal(tx, &before, &order.conversion)?;
    counts.add(Some(&before), &order.conversion);
    Ok((order, refund.is_beyond))
}

/// Deducts all refunds that wait for this order.
pub(super) fn apply_waiting_refunds(
    tx: &WriteTx<'_>,
    counts: &mut Counts,
    mut order: ConversionRow,
) -> Result<ConversionRow, StoreError> {
    let Some(key) = order.conversion.key else { return Ok(order) };
    let since_ms = order.conversion.unix_ms.saturating_sub(WAITS_FOR_ORDER_MS);
    for refund in refunds::waiting_for(tx, &key, since_ms)? {
        order = apply_waiting_refund(tx, counts, refund, order)?;
    }
    Ok(order)
}

/// Deducts the refund, or leaves the decision to a person.
fn apply_waiting_refund(
    tx: &WriteTx<'_>,
    counts: &mut Counts,
    refund: ConversionRow,
    order: ConversionRow,
) -> Result<ConversionRow, StoreError> {
    let (asked, ordered) = (&refund.conversion, &order.conversion);
    let amount = asked.amount.unwrap_or_default();
    let request = RefundRequest {
        amount,
        rank: asked.evidence_rank,
        names_its_click: !ordered.transaction_id.is_empty()
            && asked.transaction_id == ordered.transaction_id,
        is_in_other_currency: asked.sale_currency != ordered.sale_currency,
    };
    let reason = request.reason_to_hold();
    let postback = asked.id;
    set_status(tx, counts, refund, reason)?;
    match reason {
        Some(_) => Ok(order),
        None => Ok(take_back_from(tx, counts, order, amount, postback)?.0),
    }
}

/// Gives a refund the status of an error, or `approved` without an error.
pub(super) fn set_status(
    tx: &WriteTx<'_>,
    counts: &mut Counts,
    mut refund: ConversionRow,
    error: Option<ErrorCode>,
) -> Result<ConversionRow, StoreError> {
    let before = refund.conversion.clone();
    refund.conversion.status = error.map_or(Status::Approved, ErrorCode::status);
    refund.conversion.error_code = error.map_or(0, ErrorCode::number);
    conversions::update(tx, &refund)?;
    let changes = status_changes(&before, &refund.conversion);
    conversions::record_history(tx, refund.number, Action::Status, None, &changes)?;
    conversion_event::record_status_change(tx, &before, &refund.conversion)?;
    counts.add(Some(&before), &refund.conversion);
    Ok(refund)
}
