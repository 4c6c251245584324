//! The offers and partners of a traffic control.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer};

use super::{TrafficControl, TrafficControlType};
use crate::catalog::problems::Problems;

/// Most offers, partners or advertisers of a control.
const MAX_IDS: usize = 1_000;

/// Reads a list, or nothing from null, and keeps the first of equal ids.
pub(super) fn ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    let mut ids = Option::<Vec<u32>>::deserialize(deserializer)?.unwrap_or_default();
    let mut seen = HashSet::with_capacity(ids.len());
    ids.retain(|id| seen.insert(*id));
    Ok(ids)
}

impl TrafficControl {
    /// Whether the control is for the traffic of a partner.
    #[must_use]
    pub fn is_for_partner(&self, affiliate_id: u32) -> bool {
        self.is_apply_all_affiliates || self.network_affiliate_ids.contains(&affiliate_id)
    }

    /// The offers that the control names, itself or by their advertiser, out of pairs of offer and
    /// advertiser. A control for all offers names none.
    pub fn named_offers(&self, known: impl IntoIterator<Item = (u32, u32)>) -> Vec<u32> {
        let offers: HashSet<u32> = self.network_offer_ids.iter().copied().collect();
        let advertisers: HashSet<u32> = self.network_advertiser_ids.iter().copied().collect();
        let is_named = |(offer, advertiser): &(u32, u32)| {
            offers.contains(offer) || advertisers.contains(advertiser)
        };
        match self.is_apply_all_offers {
            true => Vec::new(),
            false => known.into_iter().filter(is_named).map(|(offer, _)| offer).collect(),
        }
    }

    fn has_no_offer(&self) -> bool {
        let named = self.network_offer_ids.len() + self.network_advertiser_ids.len();
        !self.is_apply_all_offers && named == 0
    }

    fn has_no_partner(&self) -> bool {
        !self.is_apply_all_affiliates && self.network_affiliate_ids.is_empty()
    }

    pub(super) fn check_scope(&self, problems: &mut Problems) {
        for (field, ids) in self.references() {
            if ids.len() > MAX_IDS {
                problems.add(field, format!("has {} ids; at most {MAX_IDS} fit", ids.len()));
            }
        }
    }

    /// The ids of other objects, by field.
    #[must_use]
    pub fn references(&self) -> [(&'static str, &[u32]); 3] {
        [
            ("network_offer_ids", &self.network_offer_ids),
            ("network_affiliate_ids", &self.network_affiliate_ids),
            ("network_advertiser_ids", &self.network_advertiser_ids),
        ]
    }

    pub(super) fn scope_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.has_no_offer() {
            let warning = "network_offer_ids: the control is for no offer yet; name offers or \
                           advertisers, or set is_apply_all_offers";
            warnings.push(warning.into());
        }
        if self.has_no_partner() {
            let warning = "network_affiliate_ids: the control is for no partner yet; name \
                           partners, or set is_apply_all_affiliates";
            warnings.push(warning.into());
        }
        let refuses_others = self.control_type == TrafficControlType::Whitelist;
        if refuses_others && self.is_apply_all_offers && self.is_apply_all_affiliates {
            let warning = "control_type: a whitelist for all offers and all partners refuses \
                           every visit of the network without one of its values";
            warnings.push(warning.into());
        }
        self.warn_of_unused_ids(&mut warnings);
        warnings
    }

    fn warn_of_unused_ids(&self, warnings: &mut Vec<String>) {
        let unused = [
            (self.is_apply_all_offers, "network_offer_ids", &self.network_offer_ids),
            (self.is_apply_all_offers, "network_advertiser_ids", &self.network_advertiser_ids),
            (self.is_apply_all_affiliates, "network_affiliate_ids", &self.network_affiliate_ids),
        ];
        for (applies_to_all, field, ids) in unused {
            if applies_to_all && !ids.is_empty() {
                warnings.push(format!("{field}: has no effect, because the control is for all"));
            }
        }
    }
}
