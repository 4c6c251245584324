//! Queues the partner postbacks of an approved conversion.

use std::borrow::Cow;

use crate::partner_postbacks::queue::{Approved, on_conversion};
use crate::store::conversions::Conversion;
use crate::store::{StoreError, WriteTx};

/// Must run in the transaction that approves the conversion.
pub(super) fn enqueue_partner_postback(
    tx: &WriteTx<'_>,
    conversion: &Conversion,
) -> Result<(), StoreError> {
    let text = |text| Cow::Borrowed(text);
    let approved = Approved {
        conversion_id: conversion.id.to_string().into(),
        transaction_id: text(conversion.transaction_id.as_str()),
        affiliate_id: conversion.affiliate_id,
        offer_id: conversion.offer_id,
        offer_url_id: conversion.offer_url_id,
        event_id: conversion.event_id,
        event_name: text(&conversion.event_name),
        coupon_code: text(&conversion.coupon_code),
        order_id: text(&conversion.order_id),
        payout: conversion.payout.to_string().into(),
        currency: text(&conversion.currency),
        subs: [
            text(&conversion.sub1),
            text(&conversion.sub2),
            text(&conversion.sub3),
            text(&conversion.sub4),
            text(&conversion.sub5),
        ],
        source_id: text(&conversion.source_id),
        adv: [
            text(&conversion.adv1),
            text(&conversion.adv2),
            text(&conversion.adv3),
            text(&conversion.adv4),
            text(&conversion.adv5),
        ],
        further: Cow::Borrowed(&conversion.further),
        ad_click_ids: Cow::Borrowed(&conversion.ad_click_ids),
        unix_s: seconds(conversion.unix_ms),
        click_unix_s: Some(conversion.click_ms).filter(|ms| *ms != 0).map(seconds),
    };
    on_conversion(tx, &approved)
}

fn seconds(unix_ms: u64) -> i64 {
    i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX)
}
