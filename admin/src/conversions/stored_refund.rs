//! A refund that is kept as a conversion of its own, because its order has not come or somebody has
//! to decide it, and the order that it takes back from.
//!
//! Such a refund counts as nothing itself: what it takes back is a change of its order, told in the
//! order's history. A refund that was taken stays so.

use super::count::Counts;
use crate::attribution::currency::Currencies;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::payout::{Payable, PayoutTerms};
use crate::attribution::refund::{OrderAmounts, RefundRequest, take_back};
use crate::attribution::status::Status;
use crate::catalog::Money;
use crate::store::conversions::{self, Action, Conversion, ConversionId, ConversionRow};
use crate::store::{StoreError, WriteTx};

impl Conversion {
    /// The terms it was made under; `None` where there were none, or where somebody edited its worth.
    pub(super) fn read_terms(&self) -> Option<PayoutTerms> {
        serde_json::from_str(&self.terms).ok()
    }

    pub(super) fn currencies(&self) -> Currencies {
        Currencies { sale: self.sale_currency.clone(), paid: self.currency.clone() }
    }
}

/// Takes back from an order because a postback asks it, and answers what is left, and whether more
/// was asked than was left.
pub(super) fn take_back_from(
    tx: &WriteTx<'_>,
    counts: &mut Counts,
    mut order: ConversionRow,
    amount: Money,
    postback: ConversionId,
) -> Result<(ConversionRow, bool), StoreError> {
    let before = order.conversion.clone();
    let state = OrderAmounts {
        sale: before.sale_amount,
        payable: Payable { payout: before.payout, revenue: before.revenue },
    };
    let refund = take_back(&state, amount, before.read_terms().as_ref(), &before.currencies());
    let now = &mut order.conversion;
    now.sale_amount = refund.after.sale;
    (now.payout, now.revenue) = (refund.after.payable.payout, refund.after.payable.revenue);
    conversions::update(tx, &order)?;
    let changes = super::change::amounts(&before, &order.conversion);
    conversions::tell(tx, order.number, Action::Refund, Some(postback), &changes)?;
    counts.add(Some(&before), &order.conversion);
    Ok((order, refund.is_beyond))
}

/// The order of a refund that waited for it came: takes back, or leaves it to somebody.
pub(super) fn settle_with_order(
    tx: &WriteTx<'_>,
    counts: &mut Counts,
    refund: ConversionRow,
    order: ConversionRow,
) -> Result<ConversionRow, StoreError> {
    let (asked, its) = (&refund.conversion, &order.conversion);
    let amount = asked.amount.unwrap_or_default();
    let reason = RefundRequest {
        amount,
        rank: asked.evidence_rank,
        names_its_click: !its.transaction_id.is_empty()
            && asked.transaction_id == its.transaction_id,
        is_in_other_currency: asked.sale_currency != its.sale_currency,
    };
    let reason = reason.reason_to_hold();
    let postback = asked.id;
    set_status(tx, counts, refund, reason)?;
    match reason {
        Some(_) => Ok(order),
        None => Ok(take_back_from(tx, counts, order, amount, postback)?.0),
    }
}

/// Leaves a refund in the status of an error; without one it was taken.
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
    let changes = super::change::status(&before, &refund.conversion);
    conversions::tell(tx, refund.number, Action::Status, None, &changes)?;
    counts.add(Some(&before), &refund.conversion);
    Ok(refund)
}
