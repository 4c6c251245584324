//! Terms for classifying and paying the visits of an offer over time: a visit uses the terms of its
//! own time.

use std::collections::HashMap;
use std::sync::Arc;

use coupon_shared::click::ClickHead;

use super::click_pay::ClickPay;
use crate::catalog::SessionDefinition;

/// Session of an offer: identity of visitors, and duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Identity of visitors.
    pub definition: SessionDefinition,
    /// Duration after a click.
    pub hours: u32,
}

/// Terms for the clicks of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickTerms {
    /// The session.
    pub session: Session,
    /// Payout and revenue of a valid click; `None` if clicks are not paid.
    pub pay: Option<ClickPay>,
    /// Payout type; empty without an entry.
    pub payout_type: String,
    /// Revenue type; empty without an entry.
    pub revenue_type: String,
    /// Currency of payout and revenue.
    pub currency: Arc<str>,
}

/// Session of an unknown offer.
const NO_SESSION: Session = Session { definition: SessionDefinition::IpUserAgent, hours: 24 };

/// A row of the terms.
#[derive(Debug, Clone)]
pub struct TermsRevision {
    /// Row number; rows are only added.
    pub id: u64,
    /// The offer.
    pub offer_id: u32,
    /// Start of validity, in Unix milliseconds.
    pub since_ms: u64,
    /// The terms.
    pub terms: ClickTerms,
}

/// Terms of offers over time.
#[derive(Debug, Clone)]
pub struct TermsHistory {
    /// The last known row.
    through: u64,
    of_offers: HashMap<u32, Vec<TermsRevision>>,
    unknown_offer: ClickTerms,
}

impl Default for TermsHistory {
    fn default() -> TermsHistory {
        let unknown_offer = ClickTerms {
            session: NO_SESSION,
            pay: None,
            payout_type: String::new(),
            revenue_type: String::new(),
            currency: "".into(),
        };
        TermsHistory { through: 0, of_offers: HashMap::new(), unknown_offer }
    }
}

impl TermsHistory {
    /// The last known row.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through
    }

    /// Adds the rows after the known ones, in order.
    pub fn add_revisions(&mut self, revisions: Vec<TermsRevision>) {
        for revision in revisions {
            self.through = self.through.max(revision.id);
            self.of_offers.entry(revision.offer_id).or_default().push(revision);
        }
    }

    /// Terms of a click at its time: the last row valid at that time, so an edit counts also after
    /// clocks were set back.
    #[must_use]
    pub fn at_click(&self, click: &ClickHead) -> &ClickTerms {
        let Some(revisions) = self.of_offers.get(&click.offer_id) else {
            return &self.unknown_offer;
        };
        let held = revisions.iter().rev().find(|revision| revision.since_ms <= click.unix_ms);
        held.or(revisions.first()).map_or(&self.unknown_offer, |revision| &revision.terms)
    }
}
