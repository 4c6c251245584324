//! The offer of a postback and its payout entry: status, payout and currencies of a conversion
//! there.

use super::attributed::PartialAttribution;
use super::currency::{self, Currencies};
use super::decision_step::DecisionSteps;
use super::error_code::ErrorCode;
use super::evidence::Evidence;
use super::offer_entry::OfferEntry;
use super::payout::{Payable, PayoutTerms};
use super::postback_fields::{ByNetwork, PostbackFields};
use super::refund;
use super::status::Status;
use crate::catalog::Offer;

/// The offer and the payout entry that a postback is about.
pub(super) struct MatchedOffer<'a> {
    offer: Option<&'a Offer>,
    pub(super) entry: Option<OfferEntry<'a>>,
    /// The currency of a postback without a currency.
    currency: &'a str,
    by_network: Option<&'a ByNetwork>,
}

impl<'a> MatchedOffer<'a> {
    pub(super) fn find(
        fields: &'a PostbackFields,
        evidence: &'a Evidence,
        partial: &PartialAttribution,
    ) -> MatchedOffer<'a> {
        let offer = partial.offer_id.and_then(|id| evidence.offers.get(&id));
        let own = offer.map(|offer| offer.currency_id.as_str()).filter(|own| !own.is_empty());
        MatchedOffer {
            offer,
            entry: offer.and_then(|offer| OfferEntry::find(offer, &fields.event)),
            currency: own.unwrap_or(&evidence.network_currency),
            by_network: fields.by_network.as_ref(),
        }
    }

    /// The currency of the sale. Ignored without an amount, and on a refund, whose currency says
    /// nothing about the sale.
    fn reported<'b>(&'b self, fields: &'b PostbackFields) -> &'b str {
        let is_of_sale = fields.amount.is_some() && !fields.is_refund();
        fields.currency.as_deref().filter(|_| is_of_sale).unwrap_or(self.currency)
    }

    /// The status of a postback without an earlier error.
    pub(super) fn status(
        &self,
        fields: &PostbackFields,
        click_has_converted: bool,
        steps: &mut DecisionSteps,
    ) -> (Status, Option<ErrorCode>) {
        let must_approve = self.offer.is_some_and(|offer| offer.is_must_approve_conversion);
        let error = self.error(fields, click_has_converted);
        match error {
            Some(error) => steps.note(error.as_str(), error.sentence()),
            None if must_approve => steps.note("must_approve", "the offer asks for approval"),
            None => {}
        }
        match error {
            Some(error) => (error.status(), Some(error)),
            None if must_approve => (Status::Pending, None),
            None => (Status::Approved, None),
        }
    }

    fn error(&self, fields: &PostbackFields, click_has_converted: bool) -> Option<ErrorCode> {
        let Some(entry) = &self.entry else { return Some(ErrorCode::UnknownEvent) };
        let makes_one = self.offer.is_some_and(|offer| !offer.is_allow_duplicate_conversion);
        if fields.is_refund() {
            Some(ErrorCode::UnknownOrder)
        } else if entry.event.is_none() && makes_one && click_has_converted {
            Some(ErrorCode::DuplicateConversion)
        } else if currency::is_other(Some(self.reported(fields)), self.currency) {
            Some(ErrorCode::OtherCurrency)
        } else if fields.amount.is_some_and(refund::is_large) {
            Some(ErrorCode::LargeAmount)
        } else {
            None
        }
    }

    pub(super) fn payable(&self, fields: &PostbackFields, steps: &mut DecisionSteps) -> Payable {
        let Some(terms) = self.terms().filter(|_| !fields.is_refund()) else {
            return Payable::default();
        };
        let currencies = self.currencies(fields);
        if currencies.has_unknown_share(&terms) {
            let Currencies { sale, paid } = &currencies;
            let detail = format_args!("the share of a sale in {sale} is not known in {paid}");
            steps.note("worth_unknown", detail);
        } else if fields.amount.is_none() && terms.needs_amount() {
            steps.note("amount_missing", "a share of the sale is nothing without its amount");
        }
        currencies.payable(&terms, fields.amount.unwrap_or_default())
    }

    pub(super) fn currencies(&self, fields: &PostbackFields) -> Currencies {
        Currencies::for_sale(self.terms().as_ref(), self.reported(fields), self.currency)
    }

    pub(super) fn terms(&self) -> Option<PayoutTerms> {
        let terms = PayoutTerms::from(self.entry.as_ref()?.terms?);
        Some(match self.by_network {
            Some(ByNetwork { payout, revenue, .. }) => terms.with_fixed(*payout, *revenue),
            None => terms,
        })
    }
}
