//! What is known of the things a claim names. Gathered in one transaction, so that a decision rests
//! on one state of the catalog.
//!
//! Not here: what is deleted. Only offers are given deleted too, with the status `deleted`, and
//! advertisers, because clicks of the past name them and their rules of trust must not fall away.

use std::collections::HashMap;

use coupon_shared::click::VisitKind;
use coupon_shared::decision::Reason;
use coupon_shared::transaction_id::TransactionId;
use jiff::civil::Date;

use super::dedup_key::DedupKey;
use crate::catalog::{AccountStatus, Advertiser, CouponStatus, Offer, PartnerVisibility};

/// All that is known of what a claim names. It holds advertisers' secrets, so it has no `Debug`.
#[derive(Clone)]
pub struct Evidence {
    /// When the postback came, in Unix milliseconds.
    pub received_ms: u64,
    /// The network's civil day then: dates of codes and offers are judged by it.
    pub today: Date,
    /// The network's id.
    pub network_id: u32,
    /// The currency of offers that name none.
    pub network_currency: String,
    /// What became of each id of [`PostbackFields::transaction_ids`](super::postback_fields::PostbackFields); an id that is
    /// missing here is as good as invented.
    pub clicks: HashMap<TransactionId, ClickEvidence>,
    /// All rows of the claim's code that are not deleted, in any order.
    pub codes: Vec<CodeFacts>,
    /// The offers that the claim, its clicks and its code rows name, by id.
    pub offers: HashMap<u32, Offer>,
    /// The accounts of the partners that they name, by id.
    pub partners: HashMap<u32, AccountStatus>,
    /// What was said of these partners on these offers, by (offer, partner).
    pub access: HashMap<(u32, u32), PartnerVisibility>,
    /// The advertiser that the claim names, and those of the offers, by id.
    pub advertisers: HashMap<u32, Advertiser>,
    /// Standing conversions with its order id, or with one of its clicks, the first first.
    pub recorded: Vec<RecordedConversion>,
}

impl Evidence {
    /// The advertiser of a click: as recorded, else the offer's.
    #[must_use]
    pub fn advertiser_of_click(&self, click: &ClickFacts) -> Option<u32> {
        let recorded = Some(click.advertiser_id).filter(|id| *id != 0);
        recorded.or_else(|| self.advertiser_of_offer(click.offer_id))
    }

    /// The advertiser of an offer.
    #[must_use]
    pub fn advertiser_of_offer(&self, offer_id: u32) -> Option<u32> {
        Some(self.offers.get(&offer_id)?.network_advertiser_id)
    }

    /// The click of an id, where it is here.
    #[must_use]
    pub fn found(&self, id: &TransactionId) -> Option<&ClickFacts> {
        match self.clicks.get(id) {
            Some(ClickEvidence::Found(click)) => Some(click),
            _ => None,
        }
    }
}

/// What became of a transaction id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClickEvidence {
    /// The click is here.
    Found(ClickFacts),
    /// The id was not made under this network's key.
    Invented,
    /// The id is genuine, and its click can still come.
    Awaited,
    /// The id is genuine, and its click cannot come any more.
    Gone,
}

/// A click as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickFacts {
    /// When, in Unix milliseconds.
    pub unix_ms: u64,
    /// What kind of visit.
    pub kind: VisitKind,
    /// Whether it was sent to the offer, or why not.
    pub reason: Reason,
    /// The row of its code; 0 for none.
    pub code_id: u32,
    /// The offer.
    pub offer_id: u32,
    /// The partner; 0 for none.
    pub affiliate_id: u32,
    /// The offer's advertiser then; 0 where it was not known.
    pub advertiser_id: u32,
    /// The code as the visitor typed it.
    pub coupon_code: String,
}

/// A standing conversion, by what it was recorded under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedConversion {
    /// Grows with every conversion.
    pub number: u32,
    /// By which its repeats are known.
    pub key: DedupKey,
    /// The offer.
    pub offer_id: u32,
    /// The advertiser.
    pub advertiser_id: u32,
    /// The event's entry; 0 for the base conversion.
    pub event_id: u32,
    /// The event's name then.
    pub event_name: String,
    /// The code as it is looked up; empty for none.
    pub folded_code: String,
    /// The advertiser's number of the sale; empty for none.
    pub order_id: String,
    /// The click.
    pub transaction_id: Option<TransactionId>,
}

/// A row of a coupon code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFacts {
    /// The row.
    pub code_id: u32,
    /// The code as its author typed it.
    pub coupon_code: String,
    /// The offer it stands on.
    pub offer_id: u32,
    /// Whose it is.
    pub affiliate_id: Option<u32>,
    /// Whether it works.
    pub status: CouponStatus,
    /// Its first day.
    pub start_date: Option<Date>,
    /// Its last day.
    pub end_date: Option<Date>,
    /// It has no link.
    pub conversion_only: bool,
}
