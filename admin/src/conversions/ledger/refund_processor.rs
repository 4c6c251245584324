//! A postback that takes back: what it said before, whether it may take at once, and what is kept of
//! one that may not.
//!
//! A refund with a number is one however often it is sent. Without a number, one that says the same
//! within ten minutes is a repeat, and is answered so; later it is a refund of its own.

use super::{Ledger, Settled, made};
use crate::catalog::Money;
use crate::conversions::claim::Claim;
use crate::conversions::clicks::Clicks;
use crate::conversions::currency;
use crate::conversions::error_code::ErrorCode;
use crate::conversions::judge::Decided;
use crate::conversions::kept_refund;
use crate::conversions::key::{Key, TWIN_WINDOW_MS};
use crate::conversions::refund::RefundRequest;
use crate::store::StoreError;
use crate::store::conversions::refunds::{self, Refund};
use crate::store::conversions::{self, Conversion, ConversionId, ConversionRow};
use crate::store::postbacks::{Outcome, Postback};

/// A refund that is decided.
pub(super) struct RefundProcessor<'r, 't, 'c> {
    pub(super) ledger: &'r mut Ledger<'t, 'c>,
    pub(super) claim: &'r Claim,
    pub(super) row: &'r Postback,
    pub(super) decided: Decided,
    pub(super) clicks: &'r Clicks,
}

impl RefundProcessor<'_, '_, '_> {
    /// Takes back from an order, or leaves that to somebody.
    pub(super) fn of(mut self, order: ConversionRow) -> Result<Settled, StoreError> {
        let Some(order_key) = order.conversion.key.map(Key) else {
            return self.without_order();
        };
        let key = self.key(&order_key, &order.conversion.sale_currency);
        if let Some(known) = self.said_before(&key)? {
            return self.again(known);
        }
        let asked = self.asked(&order_key, &order.conversion);
        if let Some(why) = asked.reason_to_hold() {
            return self.keep(&key, &order_key, why, Some(order.conversion));
        }
        let (id, amount) = (order.conversion.id, asked.amount);
        self.remember(&key, id)?;
        let steps = &mut self.decided.steps;
        steps.note("refund", format_args!("{amount} is taken back from {id}"));
        let Ledger { tx, counts, .. } = self.ledger;
        let (order, is_beyond) =
            kept_refund::take_back_from(tx, counts, order, amount, self.row.id)?;
        if is_beyond {
            steps.note("refund_beyond", format_args!("{amount} is more than was left of {id}"));
        }
        Ok(Settled::about(Outcome::Refunds, order.conversion, None, self.decided.steps))
    }

    /// Waits for an order that has not come; one that cannot be known when it comes is invalid.
    pub(super) fn without_order(self) -> Result<Settled, StoreError> {
        let Some(order_key) = self.decided.key else {
            let RefundProcessor { ledger, claim, row, decided, clicks } = self;
            return ledger.make(claim, row, decided, clicks, String::new());
        };
        let key = self.key(&order_key, &self.decided.currencies.sale);
        match self.said_before(&key)? {
            Some(known) => self.again(known),
            None => self.keep(&key, &order_key, ErrorCode::RefundWaits, None),
        }
    }

    fn key(&self, order: &Key, currency: &str) -> Key {
        let Claim { refund_id, adv, currency: named, .. } = self.claim;
        let named = named.as_deref();
        match refund_id {
            Some(refund_id) => Key::of_numbered_refund(order, refund_id),
            None => {
                let other = named.filter(|_| currency::is_other(named, currency));
                Key::of_refund(order, self.amount(), adv, other)
            }
        }
    }

    fn amount(&self) -> Money {
        self.claim.amount.unwrap_or_default()
    }

    /// The refund that this one repeats.
    fn said_before(&self, key: &Key) -> Result<Option<Refund>, StoreError> {
        let is_repeat = |known: &Refund| {
            self.claim.refund_id.is_some()
                || known.received_ms.abs_diff(self.row.received_ms) <= TWIN_WINDOW_MS
        };
        Ok(refunds::get(self.ledger.tx, &key.0)?.filter(is_repeat))
    }

    fn again(mut self, known: Refund) -> Result<Settled, StoreError> {
        let found = conversions::get(self.ledger.tx, known.conversion_id)?;
        let Some(first) = found else {
            return Ok(Settled::unjudged());
        };
        let (amount, id) = (self.amount(), first.conversion.id);
        if self.claim.refund_id.is_none() {
            let detail = format_args!("{amount} was asked back within ten minutes before");
            self.decided.steps.note(ErrorCode::RepeatedRefund.as_str(), detail);
            let error = Some(ErrorCode::RepeatedRefund);
            return Ok(Settled::about(
                Outcome::Repeats,
                first.conversion,
                error,
                self.decided.steps,
            ));
        }
        if known.amount == amount {
            self.decided.steps.note("repeat", format_args!("this refund was asked of {id} before"));
            return Ok(Settled::about(
                Outcome::Repeats,
                first.conversion,
                None,
                self.decided.steps,
            ));
        }
        let detail = format_args!("this refund was asked before with {}", known.amount);
        self.decided.steps.note("conflict", detail);
        let (outcome, after) = self.ledger.conflict(self.claim, self.row, amount, first)?;
        Ok(Settled::about(outcome, after, Some(ErrorCode::Conflict), self.decided.steps))
    }

    fn asked(&self, key: &Key, order: &Conversion) -> RefundRequest {
        let own = &order.transaction_id;
        let leads_to = |id: &coupon_shared::transaction_id::TransactionId| {
            id.to_string() == *own || Key::of_click(order.offer_id, order.event_id, id) == *key
        };
        let named = self.claim.currency.as_deref();
        RefundRequest {
            amount: self.amount(),
            rank: self.decided.rank,
            names_its_click: self.decided.genuine_ids.iter().any(leads_to),
            is_in_other_currency: currency::is_other(named, &order.sale_currency),
        }
    }

    /// Keeps a refund as a conversion of its own, which takes nothing as yet.
    fn keep(
        mut self,
        key: &Key,
        order_key: &Key,
        why: ErrorCode,
        order: Option<Conversion>,
    ) -> Result<Settled, StoreError> {
        self.decided.turn_into(why, why.sentence());
        self.remember(key, self.row.id)?;
        let RefundProcessor { ledger, claim, row, decided, clicks } = self;
        let now = ledger.tx.now();
        let refund = made(claim, row, &decided, clicks, String::new(), now);
        let refund = match order {
            Some(order) => like(refund, order),
            None => refund,
        };
        let refund = Conversion {
            refund_of: Some(order_key.0),
            sale_currency: claim.currency.clone().unwrap_or(refund.sale_currency),
            ..refund
        };
        let kept = ledger.insert(row, &refund)?;
        Ok(Settled::made(kept.conversion, decided.steps))
    }

    fn remember(&self, key: &Key, conversion_id: ConversionId) -> Result<(), StoreError> {
        let refund =
            Refund { conversion_id, amount: self.amount(), received_ms: self.row.received_ms };
        refunds::remember(self.ledger.tx, &key.0, &refund)
    }
}

/// A refund of an order that is known is of the same offer, partner, code and event.
fn like(refund: Conversion, order: Conversion) -> Conversion {
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
