//! The fields of a postback as sent, before anything in them is believed.
//!
//! A value that is empty, `null`, `undefined` or an unfilled placeholder (`{…}`, `[…]`, `${…}`)
//! counts as absent, and so do order ids like `0`, `N/A` and `ORDER_ID`. Of a repeated parameter
//! the first present value counts. Ignored values are noted in [`PostbackFields::steps`]; values
//! that cannot be read although they affect the decision are in [`PostbackFields::problems`]. No
//! input is refused outright.
//!
//! Secrets (token, signature and the signed text) are [`Secret`]s, so the fields can be logged;
//! [`without_secrets`] returns the storable part of the message itself.

use std::fmt;
use std::net::IpAddr;

use coupon_shared::transaction_id::TransactionId;

use super::decision_step::DecisionSteps;
use super::error_code::ErrorCode;
use super::further_texts::FurtherTexts;
use crate::catalog::{FoldedKey, Money};

mod amount;
mod parameters;
mod reader;
mod redaction;

pub use redaction::{url_without_secrets, without_secrets};

/// A value that no log or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// The value, for comparisons only.
    #[must_use]
    pub fn exposed(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// One member of the list of transaction ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentId {
    /// As sent, cut to 64 bytes.
    pub text: String,
    /// `None` where the text is no transaction id.
    pub id: Option<TransactionId>,
}

/// The coupon code as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCode {
    /// As sent, without surrounding spaces, cut.
    pub typed: String,
    /// The lookup key; `None` where the text can be no code.
    pub folded: Option<FoldedKey>,
    /// The field looks like several codes.
    pub looks_like_several: bool,
    /// The codes of a list, without repeats.
    pub listed: Vec<ListedCode>,
}

/// A code of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCode {
    /// As sent.
    pub typed: String,
    /// The lookup key.
    pub folded: FoldedKey,
}

/// The payout entry that a postback reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentEvent {
    /// The base conversion.
    Base,
    /// `event_id`
    Id(u32),
    /// `adv_event_id`
    Name(String),
}

/// The signature and the texts that may be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `signature`, as sent.
    pub signature: Secret<String>,
    /// A signature of any of these texts is valid.
    pub texts: Secret<Vec<Vec<u8>>>,
}

/// What a user of the network sets for a conversion that the user creates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByNetwork {
    /// Instead of the payout by the offer's terms.
    pub payout: Option<Money>,
    /// Instead of the revenue by the offer's terms.
    pub revenue: Option<Money>,
    pub notes: String,
}

/// All fields of a postback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostbackFields {
    /// The sender's address.
    pub address: IpAddr,
    /// The postback was sent by the script in a page.
    pub is_sdk: bool,
    /// `nid`
    pub network_id: Option<u32>,
    /// `transaction_id`, without repeats.
    pub transaction_ids: Vec<SentId>,
    /// `coupon_code`, else `cc`, else `cc` of `order`
    pub coupon_code: Option<SentCode>,
    /// `oid`
    pub offer_id: Option<u32>,
    /// `affid`
    pub affiliate_id: Option<u32>,
    /// `aid`
    pub advertiser_id: Option<u32>,
    /// `event_id`, else `adv_event_id`, else `event_name`
    pub event: SentEvent,
    /// `amount`, else `amt` of `order`; negative for a refund.
    pub amount: Option<Money>,
    /// `currency`, in upper case.
    pub currency: Option<String>,
    /// `order_id`, else `oid` of `order`
    pub order_id: Option<String>,
    /// `refund_id`: the advertiser's id of a refund.
    pub refund_id: Option<String>,
    /// `adv1` … `adv5`
    pub adv: [String; 5],
    /// `sub1` … `sub5`
    pub sub: [String; 5],
    /// `sub6` … `sub10`, `adv6` … `adv10`
    pub further: FurtherTexts,
    /// `email`
    pub email: String,
    /// `user_id`: the shop's number of the buyer.
    pub buyer_id: String,
    /// `user_ip`: the buyer's address, as a server reports it.
    pub buyer_address: Option<IpAddr>,
    /// `user_agent`: the buyer's browser, as a server reports it.
    pub buyer_user_agent: String,
    /// `timestamp`: when the sale was made, in Unix milliseconds.
    pub sold_ms: Option<u64>,
    /// `verification_token`
    pub verification_token: Option<Secret<String>>,
    /// `timestamp` of the query.
    pub timestamp: Option<i64>,
    /// `signature` of the query.
    pub signed: Option<Signed>,
    /// What a user of the network sets, who created the conversion; `None` for a postback.
    pub by_network: Option<ByNetwork>,
    /// Hash of all parameters but token, signature and timestamp.
    pub content_hash: [u8; 32],
    /// Errors of fields that affect the decision.
    pub problems: Vec<ErrorCode>,
    /// The ignored values, with reasons.
    pub steps: DecisionSteps,
}

impl PostbackFields {
    /// Whether the postback reports what only a trusted server may report.
    #[must_use]
    pub fn reports_for_buyer(&self) -> bool {
        self.buyer_address.is_some() || !self.buyer_user_agent.is_empty()
    }

    #[must_use]
    pub fn is_refund(&self) -> bool {
        self.amount.is_some_and(Money::is_negative)
    }

    /// Lets the first known code of a list stand for the list. Shops send all codes of an order, and
    /// only one of them is a partner's. A code without a link may hold separators itself.
    ///
    /// # Errors
    /// When a code cannot be looked up.
    pub fn choose_listed_code<E>(
        &mut self,
        mut is_known: impl FnMut(&FoldedKey) -> Result<bool, E>,
    ) -> Result<(), E> {
        let Some(sent) = &mut self.coupon_code else { return Ok(()) };
        if sent.listed.is_empty() || sent.folded.as_ref().map_or(Ok(false), &mut is_known)? {
            return Ok(());
        }
        for at in 0..sent.listed.len() {
            if is_known(&sent.listed[at].folded)? {
                let chosen = sent.listed.remove(at);
                let others: Vec<_> = sent.listed.drain(..).map(|code| code.typed).collect();
                let (code, others) = (&chosen.typed, others.join(", "));
                let detail = format_args!("{code} is the first known code; ignored: {others}");
                self.steps.note("coupon_code_of_list", detail);
                sent.typed = chosen.typed;
                sent.folded = Some(chosen.folded);
                sent.looks_like_several = false;
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
