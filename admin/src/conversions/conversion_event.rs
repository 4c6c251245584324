//! Events about conversions, written in the transaction of the change.
//!
//! An event names the conversion, where it belongs, its status and amounts. Fields that a visitor or
//! a sender fills freely are left out: an event leaves the network, and is not erased.

use serde_json::{Value, json};

use crate::catalog::EventType;
use crate::store::conversions::Conversion;
use crate::store::{StoreError, WriteTx, events};

pub(super) fn record_created(tx: &WriteTx<'_>, conversion: &Conversion) -> Result<(), StoreError> {
    events::record(tx, EventType::ConversionCreated, &data_of(conversion))
}

/// Records nothing for a change that keeps the status.
pub(super) fn record_status_change(
    tx: &WriteTx<'_>,
    before: &Conversion,
    after: &Conversion,
) -> Result<(), StoreError> {
    if before.status == after.status {
        return Ok(());
    }
    record_change(tx, before, after, after.status.as_str())
}

/// Records that a refund was deducted from its order.
pub(super) fn record_reversal(
    tx: &WriteTx<'_>,
    before: &Conversion,
    after: &Conversion,
) -> Result<(), StoreError> {
    record_change(tx, before, after, "reversed")
}

fn record_change(
    tx: &WriteTx<'_>,
    before: &Conversion,
    after: &Conversion,
    change: &str,
) -> Result<(), StoreError> {
    let mut data = data_of(after);
    data["change"] = json!(change);
    data["former_status"] = json!(before.status);
    data["former_sale_amount"] = json!(before.sale_amount);
    events::record(tx, EventType::ConversionStatusChanged, &data)
}

fn data_of(conversion: &Conversion) -> Value {
    // An unknown code is free text of the sender.
    let code = if conversion.code_id == 0 { "" } else { conversion.coupon_code.as_str() };
    json!({
        "conversion_id": conversion.id.to_string(),
        "transaction_id": conversion.transaction_id,
        "status": conversion.status,
        "error_code": conversion.error_code,
        "network_offer_id": conversion.offer_id,
        "network_advertiser_id": conversion.advertiser_id,
        "network_affiliate_id": conversion.affiliate_id,
        "network_coupon_code_id": conversion.code_id,
        "coupon_code": code,
        "event_id": conversion.event_id,
        "event_name": conversion.event_name,
        "payout": conversion.payout,
        "revenue": conversion.revenue,
        "currency": conversion.currency,
        "sale_amount": conversion.sale_amount,
        "sale_currency": conversion.sale_currency,
        "conversion_unix_timestamp": conversion.unix_ms / 1_000,
    })
}
