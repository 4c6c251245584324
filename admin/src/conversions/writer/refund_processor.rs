//! A postback that takes back: what it said before, whether it may take at once, and what is kept of
//! one that may not.
//!
//! A refund with a number is one however often it is sent. Without a number, one that says the same
//! within ten minutes is a repeat, and is answered so; later it is a refund of its own.

use super::{ConversionWriter, PostbackDecision, build_conversion};
use crate::attribution::currency;
use crate::attribution::dedup_key::{DUPLICATE_WINDOW_MS, DedupKey};
use crate::attribution::error_code::ErrorCode;
use crate::attribution::evaluation::ProposedConversion;
use crate::attribution::postback_fields::PostbackFields;
use crate::attribution::refund::RefundRequest;
use crate::catalog::Money;
use crate::click_lookup::ClickLookup;
use crate::conversions::stored_refund;
use crate::store::StoreError;
use crate::store::conversions::refunds::{self, Refund};
use crate::store::conversions::{self, Conversion, ConversionId, ConversionRow};
use crate::store::postbacks::{Outcome, Postback};

/// A refund that is decided.
pub(super) struct RefundProcessor<'r, 't, 'c> {
    pub(super) writer: &'r mut ConversionWriter<'t, 'c>,
    pub(super) fields: &'r PostbackFields,
    pub(super) row: &'r Postback,
    pub(super) proposed: ProposedConversion,
    pub(super) clicks: &'r ClickLookup,
}

impl RefundProcessor<'_, '_, '_> {
    /// Takes back from an order, or leaves that to somebody.
    pub(super) fn apply_to_order(
        mut self,
        order: ConversionRow,
    ) -> Result<PostbackDecision, StoreError> {
        let Some(order_key) = order.conversion.key.map(DedupKey) else {
            return self.process_without_order();
        };
        let key = self.key(&order_key, &order.conversion.sale_currency);
        if let Some(known) = self.find_repeated(&key)? {
            return self.handle_repeated_refund(known);
        }
        let asked = self.refund_request(&order_key, &order.conversion);
        if let Some(why) = asked.reason_to_hold() {
            return self.store_held(&key, &order_key, why, Some(order.conversion));
        }
        let (id, amount) = (order.conversion.id, asked.amount);
        self.remember(&key, id)?;
        let steps = &mut self.proposed.steps;
        steps.note("refund", format_args!("{amount} is taken back from {id}"));
        let ConversionWriter { tx, counts, .. } = self.writer;
        let (order, is_beyond) =
            stored_refund::take_back_from(tx, counts, order, amount, self.row.id)?;
        if is_beyond {
            steps.note("refund_beyond", format_args!("{amount} is more than was left of {id}"));
        }
        Ok(PostbackDecision::about(Outcome::Refunds, order.conversion, None, self.proposed.steps))
    }

    /// Waits for an order that has not come; one that cannot be known when it comes is invalid.
    pub(super) fn process_without_order(self) -> Result<PostbackDecision, StoreError> {
        let Some(order_key) = self.proposed.key else {
            let RefundProcessor { writer, fields, row, proposed, clicks } = self;
            return writer.make(fields, row, proposed, clicks, String::new());
        };
        let key = self.key(&order_key, &self.proposed.currencies.sale);
        match self.find_repeated(&key)? {
            Some(known) => self.handle_repeated_refund(known),
            None => self.store_held(&key, &order_key, ErrorCode::RefundWaits, None),
        }
    }

    fn key(&self, order: &DedupKey, currency: &str) -> DedupKey {
        let PostbackFields { refund_id, adv, currency: named, .. } = self.fields;
        let named = named.as_deref();
        match refund_id {
            Some(refund_id) => DedupKey::for_numbered_refund(order, refund_id),
            None => {
                let other = named.filter(|_| currency::is_other(named, currency));
                DedupKey::for_refund(order, self.amount(), adv, other)
            }
        }
    }

    fn amount(&self) -> Money {
        self.fields.amount.unwrap_or_default()
    }

    /// The refund that this one repeats.
    fn find_repeated(&self, key: &DedupKey) -> Result<Option<Refund>, StoreError> {
        let is_repeat = |known: &Refund| {
            self.fields.refund_id.is_some()
                || known.received_ms.abs_diff(self.row.received_ms) <= DUPLICATE_WINDOW_MS
        };
        Ok(refunds::get(self.writer.tx, &key.0)?.filter(is_repeat))
    }

    fn handle_repeated_refund(mut self, known: Refund) -> Result<PostbackDecision, StoreError> {
        let found = conversions::get(self.writer.tx, known.conversion_id)?;
        let Some(first) = found else {
            return Ok(PostbackDecision::unjudged());
        };
        let (amount, id) = (self.amount(), first.conversion.id);
        if self.fields.refund_id.is_none() {
            let detail = format_args!("{amount} was asked back within ten minutes before");
            self.proposed.steps.note(ErrorCode::RepeatedRefund.as_str(), detail);
            let error = Some(ErrorCode::RepeatedRefund);
            return Ok(PostbackDecision::about(
                Outcome::Repeats,
                first.conversion,
                error,
                self.proposed.steps,
            ));
        }
        if known.amount == amount {
            self.proposed
                .steps
                .note("repeat", format_args!("this refund was asked of {id} before"));
            return Ok(PostbackDecision::about(
                Outcome::Repeats,
                first.conversion,
                None,
                self.proposed.steps,
            ));
        }
        let detail = format_args!("this refund was asked before with {}", known.amount);
        self.proposed.steps.note("conflict", detail);
        let (outcome, after) = self.writer.conflict(self.fields, self.row, amount, first)?;
        Ok(PostbackDecision::about(outcome, after, Some(ErrorCode::Conflict), self.proposed.steps))
    }

    fn refund_request(&self, key: &DedupKey, order: &Conversion) -> RefundRequest {
        let own = &order.transaction_id;
        let leads_to = |id: &coupon_shared::transaction_id::TransactionId| {
            id.to_string() == *own
                || DedupKey::for_click(order.offer_id, order.event_id, id) == *key
        };
        let named = self.fields.currency.as_deref();
        RefundRequest {
            amount: self.amount(),
            rank: self.proposed.rank,
            names_its_click: self.proposed.genuine_ids.iter().any(leads_to),
            is_in_other_currency: currency::is_other(named, &order.sale_currency),
        }
    }

    /// Keeps a refund as a conversion of its own, which takes nothing as yet.
    fn store_held(
        mut self,
        key: &DedupKey,
        order_key: &DedupKey,
        why: ErrorCode,
        order: Option<Conversion>,
    ) -> Result<PostbackDecision, StoreError> {
        self.proposed.turn_into(why, why.sentence());
        self.remember(key, self.row.id)?;
        let RefundProcessor { writer, fields, row, proposed, clicks } = self;
        let now = writer.tx.now();
        let refund = build_conversion(fields, row, &proposed, clicks, String::new(), now);
        let refund = match order {
            Some(order) => copy_order_fields(refund, order),
            None => refund,
        };
        let refund = Conversion {
            refund_of: Some(order_key.0),
            sale_currency: fields.currency.clone().unwrap_or(refund.sale_currency),
            ..refund
        };
        let kept = writer.insert(row, &refund)?;
        Ok(PostbackDecision::created(kept.conversion, proposed.steps))
    }

    fn remember(&self, key: &DedupKey, conversion_id: ConversionId) -> Result<(), StoreError> {
        let refund =
            Refund { conversion_id, amount: self.amount(), received_ms: self.row.received_ms };
        refunds::remember(self.writer.tx, &key.0, &refund)
    }
}

/// A refund of an order that is known is of the same offer, partner, code and event.
fn copy_order_fields(refund: Conversion, order: Conversion) -> Conversion {
    Conversion {
        offer_id: order.offer_id,
        affiliate_id: order.affiliate_id,
        advertiser_id: order.advertiser_id,
        code_id: order.code_id,
        coupon_code: order.coupon_code,
        folded_code: order.folded_code,
        event_id: order.event_id,
        event_name: order.event_name,
        sale_currency: order.sale_currency,
        currency: order.currency,
        ..refund
    }
}
