//! The payout entry of an offer that a postback reports: the base conversion or an event.

use super::postback_fields::SentEvent;
use crate::catalog::{Offer, PayoutRevenue};

/// A payout entry of an offer.
pub(super) struct OfferEntry<'a> {
    /// `None` for the base conversion.
    pub(super) event: Option<Event>,
    /// `None` for the base conversion of an offer without entries, which pays nothing.
    pub(super) terms: Option<&'a PayoutRevenue>,
}

/// An event of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The id of the payout entry.
    pub id: u32,
    pub name: String,
}

impl<'a> OfferEntry<'a> {
    /// `None` where the offer has no such event. The comparison of names ignores ASCII case.
    pub(super) fn find(offer: &'a Offer, event: &SentEvent) -> Option<OfferEntry<'a>> {
        let mut entries = offer.payout_revenue.iter();
        let terms = match event {
            SentEvent::Base => {
                let base = entries.find(|entry| entry.is_default);
                return Some(OfferEntry { event: None, terms: base });
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
