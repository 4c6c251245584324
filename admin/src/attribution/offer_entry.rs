//! Which of an offer's entries a claim reports: the base, or one of the events.

use super::postback_fields::SentEvent;
use crate::catalog::{Offer, PayoutRevenue};

/// The entry of an offer.
pub(super) struct OfferEntry<'a> {
    /// The event; `None` for the base.
    pub(super) event: Option<Event>,
    /// What it is worth; `None` for the base of an offer without entries, which is worth nothing.
    pub(super) terms: Option<&'a PayoutRevenue>,
}

/// An event of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The entry.
    pub id: u32,
    /// Its name.
    pub name: String,
}

impl<'a> OfferEntry<'a> {
    /// The entry that is meant; `None` where the offer has no such event. Names ignore ASCII case.
    pub(super) fn find(offer: &'a Offer, event: &SentEvent) -> Option<OfferEntry<'a>> {
        let mut entries = offer.payout_revenue.iter();
        let terms = match event {
            SentEvent::Base => {
                return Some(OfferEntry {
                    event: None,
                    terms: entries.find(|entry| entry.is_default),
                });
            }
            SentEvent::Id(id) => {
                entries.find(|entry| entry.network_offer_payout_revenue_id == Some(*id))?
            }
            SentEvent::Name(name) => {
                entries.find(|entry| entry.entry_name.eq_ignore_ascii_case(name))?
            }
        };
        let id = terms.network_offer_payout_revenue_id.filter(|_| !terms.is_default);
        let event = id.map(|id| Event { id, name: terms.entry_name.clone() });
        Some(OfferEntry { event, terms: Some(terms) })
    }
}
