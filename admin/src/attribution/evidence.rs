//! The stored facts about the objects named by a postback. All are read in one transaction, so a
//! decision rests on a single state of the catalog.
//!
//! Deleted objects are left out, with two exceptions: deleted offers (with the status `deleted`)
//! and deleted advertisers, because past clicks name them and their trust rules must still apply.

use std::collections::HashMap;

use coupon_shared::click::VisitKind;
use coupon_shared::decision::Reason;
use coupon_shared::transaction_id::TransactionId;
use jiff::civil::Date;

use super::dedup_key::DedupKey;
use super::postback_fields::PostbackFields;
use crate::catalog::{AccountStatus, Advertiser, CouponStatus, Offer, PartnerVisibility};

/// All known facts about the named objects. No `Debug`: advertisers hold secrets.
#[derive(Clone)]
pub struct Evidence {
    /// When the postback was received, in Unix milliseconds; when the sale was made, where that
    /// decides.
    pub received_ms: u64,
    /// When the sale was made, as the postback says; `None` if that was just before the receipt.
    pub sale_time: Option<SaleTime>,
    /// The network's civil day at that time, for comparison with dates of codes and offers.
    pub today: Date,
    pub network_id: u32,
    /// The currency of offers without a currency.
    pub network_currency: String,
    /// The state of each id in [`PostbackFields::transaction_ids`]; a missing id counts as
    /// invented.
    pub clicks: HashMap<TransactionId, ClickEvidence>,
    /// All undeleted rows of the sent code, in any order.
    pub codes: Vec<CodeFacts>,
    /// The offers named by the postback, its clicks and its code rows, by id.
    pub offers: HashMap<u32, Offer>,
    /// The account states of the named partners, by id.
    pub partners: HashMap<u32, AccountStatus>,
    /// The explicit visibility of these offers to these partners, by (offer, partner).
    pub access: HashMap<(u32, u32), PartnerVisibility>,
    /// The named advertiser and the advertisers of the offers, by id.
    pub advertisers: HashMap<u32, Advertiser>,
    /// Standing conversions with the same order id or a named click, oldest first.
    pub recorded: Vec<RecordedConversion>,
}

impl Evidence {
    /// The advertiser recorded with the click, else the advertiser of the click's offer.
    #[must_use]
    pub fn advertiser_of_click(&self, click: &ClickFacts) -> Option<u32> {
        let recorded = Some(click.advertiser_id).filter(|id| *id != 0);
        recorded.or_else(|| self.advertiser_of_offer(click.offer_id))
    }

    #[must_use]
    pub fn advertiser_of_offer(&self, offer_id: u32) -> Option<u32> {
        Some(self.offers.get(&offer_id)?.network_advertiser_id)
    }

    #[must_use]
    pub fn found(&self, id: &TransactionId) -> Option<&ClickFacts> {
        match self.clicks.get(id) {
            Some(ClickEvidence::Found(click)) => Some(click),
            _ => None,
        }
    }
}

/// The time of a sale that a shop reports later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleTime {
    /// In Unix milliseconds.
    pub unix_ms: u64,
    /// The network's civil day.
    pub day: Date,
}

impl SaleTime {
    /// A timestamp within this time of the receipt is the time of sending.
    const SENDING_MS: u64 = 5 * 60 * 1_000;
    /// A shop may report a sale so much later.
    const LATEST_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

    /// Whether the reported time of a sale is of use.
    #[must_use]
    pub fn is_possible(sold_ms: u64, received_ms: u64) -> bool {
        let later = received_ms.saturating_sub(sold_ms);
        later > Self::SENDING_MS && later <= Self::LATEST_MS
    }
}

/// The state of a transaction id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClickEvidence {
    /// The click is stored.
    Found(ClickFacts),
    /// The id was not made with this network's key.
    Invented,
    /// The id is genuine, and its click can still arrive.
    Awaited,
    /// The id is genuine, and its click cannot arrive any more.
    Gone,
}

/// A click as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickFacts {
    pub unix_ms: u64,
    pub kind: VisitKind,
    /// Whether the visit was redirected to the offer, or why not.
    pub reason: Reason,
    /// The code's row; 0 for none.
    pub code_id: u32,
    pub offer_id: u32,
    /// The offer that sent the visit on to `offer_id`, by forwarding or fail traffic.
    pub previous_offer_id: Option<u32>,
    /// The partner; 0 for none.
    pub affiliate_id: u32,
    /// The offer's advertiser at that time; 0 where unknown.
    pub advertiser_id: u32,
    /// The code as the visitor typed it.
    pub coupon_code: String,
}

/// The identifying fields of a standing conversion at its creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedConversion {
    /// Grows with every conversion.
    pub number: u32,
    pub key: DedupKey,
    pub offer_id: u32,
    pub advertiser_id: u32,
    /// The event's payout entry; 0 for the base conversion.
    pub event_id: u32,
    pub event_name: String,
    /// The folded code; empty for none.
    pub folded_code: String,
    /// Empty for none.
    pub order_id: String,
    pub transaction_id: Option<TransactionId>,
}

impl RecordedConversion {
    /// Whether the conversion was recorded under the sent code.
    pub(super) fn has_code_of(&self, fields: &PostbackFields) -> bool {
        let folded = fields.coupon_code.as_ref().and_then(|code| code.folded.as_ref());
        folded.is_some_and(|folded| folded.as_str() == self.folded_code)
    }
}

/// A row of a coupon code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFacts {
    pub code_id: u32,
    /// The code as its author typed it.
    pub coupon_code: String,
    pub offer_id: u32,
    /// `None` for an unassigned code.
    pub affiliate_id: Option<u32>,
    pub status: CouponStatus,
    /// The first valid day.
    pub start_date: Option<Date>,
    /// The last valid day.
    pub end_date: Option<Date>,
    /// True for a code without a link.
    pub conversion_only: bool,
}
