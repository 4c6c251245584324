//! Processes a refund: detects a repeat, deducts the refund from its order, or stores it until its
//! order comes or a person decides.
//!
//! A refund with a refund id is deducted once, however often it is sent. Without a refund id, an
//! equal refund within ten minutes is a repeat and is answered as such; later it is a refund of its
//! own.

use coupon_shared::transaction_id::TransactionId;

use super::ConversionWriter;
use super::decision::PostbackDecision;
use super::incoming::Incoming;
use super::new_conversion::build_conversion;
use crate::attribution::currency;
use crate::attribution::dedup_key::{DUPLICATE_WINDOW_MS, DedupKey};
use crate::attribution::error_code::ErrorCode;
use crate::attribution::evaluation::ProposedConversion;
use crate::attribution::postback_fields::PostbackFields;
use crate::attribution::refund::RefundRequest;
use crate::catalog::Money;
use crate::conversions::stored_refund;
use crate::store::StoreError;
use crate::store::conversions::refunds::{self, Refund};
use crate::store::conversions::{self, Conversion, ConversionId, ConversionRow};
use crate::store::postbacks::Outcome;

impl ConversionWriter<'_, '_> {
    /// Processes a refund of an existing order.
    pub(super) fn process_refund(
        &mut self,
        incoming: Incoming<'_>,
        proposed: ProposedConversion,
        order: ConversionRow,
    ) -> Result<PostbackDecision, StoreError> {
        RefundProcessor { writer: self, incoming, proposed }.apply_to_order(order)
    }

    pub(super) fn process_refund_without_order(
        &mut self,
        incoming: Incoming<'_>,
        proposed: ProposedConversion,
    ) -> Result<PostbackDecision, StoreError> {
        RefundProcessor { writer: self, incoming, proposed }.process_without_order()
    }
}

struct RefundProcessor<'r, 't, 'c> {
    writer: &'r mut ConversionWriter<'t, 'c>,
    incoming: Incoming<'r>,
    proposed: ProposedConversion,
}

impl RefundProcessor<'_, '_, '_> {
    /// Deducts the refund from its order, or stores it until a person decides.
    fn apply_to_order(mut self, order: ConversionRow) -> Result<PostbackDecision, StoreError> {
        let Some(order_key) = order.conversion.key.map(DedupKey) else {
            return self.process_without_order();
        };
        let key = self.refund_key(&order_key, &order.conversion.sale_currency);
        if let Some(known) = self.find_repeated(&key)? {
            return self.handle_repeated_refund(known);
        }
        let request = self.refund_request(&order_key, &order.conversion);
        if let Some(reason) = request.reason_to_hold() {
            return self.store_held(&key, &order_key, reason, Some(order.conversion));
        }
        let (id, amount) = (order.conversion.id, request.amount);
        self.remember(&key, id)?;
        let steps = &mut self.proposed.steps;
        steps.note("refund", format_args!("{amount} is taken back from {id}"));
        let ConversionWriter { tx, counts, .. } = self.writer;
        let (order, is_beyond) =
            stored_refund::take_back_from(tx, counts, order, amount, self.incoming.row.id)?;
        if is_beyond {
            steps.note("refund_beyond", format_args!("{amount} is more than was left of {id}"));
        }
        Ok(PostbackDecision::about(Outcome::Refunds, order.conversion, None, self.proposed.steps))
    }

    /// Stores the refund until its order comes. Without a key the order cannot be recognised, and
    /// the refund is invalid.
    fn process_without_order(self) -> Result<PostbackDecision, StoreError> {
        let Some(order_key) = self.proposed.key else {
            let RefundProcessor { writer, incoming, proposed } = self;
            return writer.create_conversion(incoming, proposed, String::new());
        };
        let key = self.refund_key(&order_key, &self.proposed.currencies.sale);
        match self.find_repeated(&key)? {
            Some(known) => self.handle_repeated_refund(known),
            None => self.store_held(&key, &order_key, ErrorCode::RefundWaits, None),
        }
    }

    fn refund_key(&self, order: &DedupKey, order_currency: &str) -> DedupKey {
        let PostbackFields { refund_id, adv, currency: named, .. } = self.incoming.fields;
        let named = named.as_deref();
        match refund_id {
            Some(refund_id) => DedupKey::for_numbered_refund(order, refund_id),
            None => {
                let other = named.filter(|_| currency::is_other(named, order_currency));
                DedupKey::for_refund(order, self.amount(), adv, other)
            }
        }
    }

    fn amount(&self) -> Money {
        self.incoming.fields.amount.unwrap_or_default()
    }

    fn find_repeated(&self, key: &DedupKey) -> Result<Option<Refund>, StoreError> {
        let Incoming { fields, row, .. } = self.incoming;
        let is_repeat = |known: &Refund| {
            fields.refund_id.is_some()
                || known.received_ms.abs_diff(row.received_ms) <= DUPLICATE_WINDOW_MS
        };
        Ok(refunds::get(self.writer.tx, &key.0)?.filter(is_repeat))
    }

    fn handle_repeated_refund(mut self, known: Refund) -> Result<PostbackDecision, StoreError> {
        let found = conversions::get(self.writer.tx, known.conversion_id)?;
        let Some(ConversionRow { conversion: first, number }) = found else {
            return Ok(PostbackDecision::failed());
        };
        let (amount, id) = (self.amount(), first.id);
        let steps = &mut self.proposed.steps;
        if self.incoming.fields.refund_id.is_none() {
            let error = ErrorCode::RepeatedRefund;
            let detail = format_args!("{amount} was asked back within ten minutes before");
            steps.note(error.as_str(), detail);
            let steps = self.proposed.steps;
            return Ok(PostbackDecision::about(Outcome::Repeats, first, Some(error), steps));
        }
        if known.amount == amount {
            steps.note("repeat", format_args!("this refund was asked of {id} before"));
            let steps = self.proposed.steps;
            return Ok(PostbackDecision::about(Outcome::Repeats, first, None, steps));
        }
        steps.note("conflict", format_args!("this refund was asked before with {}", known.amount));
        let first = ConversionRow { conversion: first, number };
        let (outcome, after) = self.writer.record_conflict(self.incoming, amount, first)?;
        Ok(PostbackDecision::about(outcome, after, Some(ErrorCode::Conflict), self.proposed.steps))
    }

    fn refund_request(&self, key: &DedupKey, order: &Conversion) -> RefundRequest {
        let own = &order.transaction_id;
        let leads_to = |id: &TransactionId| {
            id.to_string() == *own
                || DedupKey::for_click(order.offer_id, order.event_id, id) == *key
        };
        let named = self.incoming.fields.currency.as_deref();
        RefundRequest {
            amount: self.amount(),
            rank: self.proposed.rank,
            names_its_click: self.proposed.genuine_ids.iter().any(leads_to),
            is_in_other_currency: currency::is_other(named, &order.sale_currency),
        }
    }

    /// Stores the refund as a conversion of its own, without a deduction.
    fn store_held(
        mut self,
        key: &DedupKey,
        order_key: &DedupKey,
        error: ErrorCode,
        order: Option<Conversion>,
    ) -> Result<PostbackDecision, StoreError> {
        self.proposed.fail_with(error, error.sentence());
        self.remember(key, self.incoming.row.id)?;
        let RefundProcessor { writer, incoming, proposed } = self;
        let refund = build_conversion(incoming, &proposed, String::new(), writer.tx.now());
        let refund = match order {
            Some(order) => copy_order_fields(refund, order),
            None => refund,
        };
        let refund = Conversion {
            refund_of: Some(order_key.0),
            sale_currency: incoming.fields.currency.clone().unwrap_or(refund.sale_currency),
            ..refund
        };
        let stored = writer.insert(incoming.row, &refund)?;
        Ok(PostbackDecision::created(stored.conversion, proposed.steps))
    }

    fn remember(&self, key: &DedupKey, conversion_id: ConversionId) -> Result<(), StoreError> {
        let received_ms = self.incoming.row.received_ms;
        let refund = Refund { conversion_id, amount: self.amount(), received_ms };
        refunds::remember(self.writer.tx, &key.0, &refund)
    }
}

/// A refund has the offer, partner, code and event of its order, whatever the refund names.
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
