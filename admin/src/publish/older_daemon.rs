//! The catalog for an older daemon.
//!
//! A daemon that does not know the URLs of offers gets a catalog without them: its visits go to the
//! offers' destinations, as they went before. A daemon that does not know a macro gets URLs with the
//! macro left empty, as it would have left the macro itself.
//!
//! A daemon that does not know rules refuses a catalog with rules, and serves nothing at all if it has just been started:
//! every link of the network would be dead. So its catalog has no rules, and the offers that rules
//! bind are closed in it: their visits get the fallback. The other offers go on. An offer is never
//! open to everybody because its rules cannot be read.

use std::collections::BTreeSet;

use coupon_shared::destination::{Destination, Macro};
use coupon_shared::further_values;
use coupon_shared::snapshot::catalog::{Offer, Rule, offer_urls, rules};

/// The form of a catalog. A greater form is for newer daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum CatalogForm {
    /// For a daemon that does not know rules, nor anything newer.
    WithoutRules,
    /// For a daemon that does not know the macros of further values, nor anything newer.
    WithoutFurtherValues,
    /// For a daemon that does not know the URLs of offers.
    WithoutOfferUrls,
    #[default]
    Whole,
}

impl CatalogForm {
    /// The form for a daemon with these features.
    pub(super) fn for_features(features: &[String]) -> CatalogForm {
        let lacks = |feature: &str| !features.iter().any(|name| name == feature);
        let forms = [
            (rules::FEATURE, CatalogForm::WithoutRules),
            (further_values::FEATURE, CatalogForm::WithoutFurtherValues),
            (offer_urls::FEATURE, CatalogForm::WithoutOfferUrls),
        ];
        let first_missing = forms.into_iter().find(|(feature, _)| lacks(feature));
        first_missing.map_or(CatalogForm::Whole, |(_, form)| form)
    }

    /// The last macro that the daemon knows; `None`: it knows all.
    pub(super) fn last_macro(self) -> Option<Macro> {
        match self {
            CatalogForm::WithoutRules | CatalogForm::WithoutFurtherValues => Some(Macro::Referer),
            CatalogForm::WithoutOfferUrls => Some(Macro::PageReferer),
            CatalogForm::Whole => None,
        }
    }
}

/// Leaves macros in an offer's URLs empty that are newer than the last one that the daemon knows.
pub(super) fn leave_newer_macros_empty(offer: &mut Offer, last_known: Macro) {
    let to = offer.destinations.iter_mut().map(|weighted| &mut weighted.destination);
    to.chain(&mut offer.fallback)
        .for_each(|destination: &mut Destination| destination.leave_newer_macros_empty(last_known));
}

/// Takes the rules out of a catalog, and closes the offers that they bind, with the offers of caps
/// that no offer names. Returns the number of active offers that are closed.
pub(super) fn close_bound_offers(
    rules: &mut Vec<Rule>,
    offers: &mut [Offer],
    capped: &BTreeSet<u32>,
) -> u64 {
    let are_all_bound = rules.iter().any(Rule::binds_every_offer);
    let mut closed = 0;
    for offer in offers {
        let rule = |position: &u32| rules.get((*position as usize).checked_sub(1)?);
        let mut named = offer.rules.iter().filter_map(rule);
        let is_bound =
            are_all_bound || capped.contains(&offer.id) || named.any(Rule::binds_its_offers);
        if is_bound && std::mem::take(&mut offer.active) {
            closed += 1;
        }
        offer.rules.clear();
    }
    rules.clear();
    closed
}

#[cfg(test)]
mod tests {
    use coupon_rules::caps::Cap;
    use coupon_rules::ruleset::Ruleset;
    use coupon_rules::ruleset::addresses::AddressRanges;
    use coupon_rules::sessions::Session;
    use coupon_shared::snapshot::catalog::{Visibility, WeightedDestination};

    use super::*;

    fn offer(id: u32, rules: &[u32]) -> Offer {
        let destination = Destination::parse("https://shop.example/").unwrap().destination;
        Offer {
            id,
            advertiser_id: 1,
            active: id != 4,
            visibility: Visibility::Public,
            last_day: u16::MAX,
            destinations: vec![WeightedDestination { weight: 1, destination }],
            fallback: None,
            rules: rules.to_vec(),
        }
    }

    #[test]
    fn offers_that_rules_bind_are_closed_and_the_others_stay_open() {
        let ruleset = Rule::ruleset(1, &Ruleset::default()).unwrap();
        let soft = Cap {
            id: 1,
            offer_id: 0,
            partner_id: 0,
            code_id: 0,
            is_group: false,
            is_soft: true,
            click_limits: [1; 4],
            has_conversion_limits: false,
        };
        let soft = Rule::cap(&soft);
        let known = [ruleset, soft, Rule::session(&Session::DEFAULT)];
        let offers = || [offer(1, &[1, 3]), offer(2, &[2, 3]), offer(3, &[]), offer(4, &[1])];
        let close = |rules: &[Rule], capped: &[u32]| {
            let (mut rules, mut offers) = (rules.to_vec(), offers());
            let capped = capped.iter().copied().collect();
            let closed = close_bound_offers(&mut rules, &mut offers, &capped);
            assert!(rules.is_empty() && offers.iter().all(|offer| offer.rules.is_empty()));
            (closed, offers.map(|offer| offer.active))
        };
        assert_eq!(close(&known, &[]), (1, [false, true, true, false]));
        assert_eq!(close(&known, &[3]), (2, [false, true, false, false]));
        let address = "192.0.2.1".parse().unwrap();
        let blocked = AddressRanges::new([(address, address)]);
        let everywhere = [&known[..], &[Rule::blocked_addresses(&blocked).unwrap()]].concat();
        assert_eq!(close(&everywhere, &[]), (3, [false; 4]));
    }
}
