//! Caps, and rules on earlier visits and conversions of a visitor, in the catalog.
//!
//! A cap of an offer or a group is a rule that its offers name. Caps of partners and codes are named
//! by none: the daemon finds them by partner and code.

use std::collections::{BTreeMap, BTreeSet};

use coupon_rules::caps::Cap as PublishedCap;
use coupon_rules::sessions::{Session, SessionDefinition};
use coupon_shared::snapshot::catalog::{Offer, Rule};

use crate::catalog;
use crate::store::caps::{self, Cap, CapScope};
use crate::store::publication::{self, VisitRulesRow};
use crate::store::{ReadTx, StoreError};

const SECONDS_PER_HOUR: u32 = 3_600;

/// The caps of a network, and the rules of offers on earlier visits.
pub(super) struct VisitRules {
    caps: Vec<Cap>,
    /// Offers of groups, as (group, offer).
    members: Vec<(u32, u32)>,
    rows: Vec<VisitRulesRow>,
}

impl VisitRules {
    pub(super) fn read(connection: &ReadTx<'_>) -> Result<VisitRules, StoreError> {
        Ok(VisitRules {
            caps: caps::all(connection)?,
            members: caps::group_members(connection)?,
            rows: publication::visit_rules(connection)?,
        })
    }

    /// Adds the rules, and their positions to the offers that name them. An offer names caps before
    /// the rules on visitors, as they are asked.
    pub(super) fn add_to(&self, rules: &mut Vec<Rule>, offers: &mut [Offer]) {
        let mut named: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for cap in &self.caps {
            rules.push(Rule::cap(&published(cap)));
            let position = rules.len() as u32;
            for offer in self.naming(cap.scope) {
                named.entry(offer).or_default().push(position);
            }
        }
        for row in &self.rows {
            for rule in visitor_rules(row) {
                rules.push(rule);
                named.entry(row.offer_id).or_default().push(rules.len() as u32);
            }
        }
        for (offer, positions) in named {
            if let Ok(at) = offers.binary_search_by_key(&offer, |offer| offer.id) {
                offers[at].rules.extend(positions);
            }
        }
    }

    /// The offers of hard caps that no offer names: those of partners and codes.
    pub(super) fn offers_of_unlisted_caps(&self) -> BTreeSet<u32> {
        let hard = self.caps.iter().filter(|cap| published(cap).can_refuse());
        let offers = hard.filter_map(|cap| match cap.scope {
            CapScope::Partner { offer, .. } | CapScope::Code { offer, .. } => Some(offer),
            CapScope::Offer(_) | CapScope::Group(_) => None,
        });
        offers.collect()
    }

    /// The offers that name a cap of this scope.
    fn naming(&self, scope: CapScope) -> Vec<u32> {
        match scope {
            CapScope::Offer(offer) => vec![offer],
            CapScope::Group(group) => {
                let members = self.members.iter().filter(|(of, _)| *of == group);
                members.map(|(_, offer)| *offer).collect()
            }
            CapScope::Partner { .. } | CapScope::Code { .. } => Vec::new(),
        }
    }
}

fn published(cap: &Cap) -> PublishedCap {
    let (offer_id, partner_id, code_id) = match cap.scope {
        CapScope::Offer(_) | CapScope::Group(_) => (0, 0, 0),
        CapScope::Partner { offer, partner } => (offer, partner, 0),
        CapScope::Code { code, .. } => (0, 0, code),
    };
    PublishedCap {
        id: cap.id,
        offer_id,
        partner_id,
        code_id,
        is_group: matches!(cap.scope, CapScope::Group(_)),
        is_soft: cap.is_soft,
        click_limits: cap.limits.click,
        has_conversion_limits: cap.limits.has_conversion_limits(),
    }
}

/// The rules of an offer on earlier visits, in the order of the checks. Their id is the offer's.
fn visitor_rules(row: &VisitRulesRow) -> impl Iterator<Item = Rule> {
    let id = row.offer_id;
    let converted = row.already_converted_fails_over;
    let converted = converted.map(|fails_over| Rule::already_converted(id, fails_over));
    let duplicates = row.duplicates_fail_over.map(|fails_over| Rule::duplicates(id, fails_over));
    let session = Session {
        definition: match row.session_definition {
            catalog::SessionDefinition::Ip => SessionDefinition::Address,
            // Cookies and advertising ids are not recorded: address and user agent stand in.
            catalog::SessionDefinition::Cookie
            | catalog::SessionDefinition::IpUserAgent
            | catalog::SessionDefinition::GoogleAdId
            | catalog::SessionDefinition::Idfa => SessionDefinition::AddressAndUserAgent,
        },
        seconds: row.session_hours.saturating_mul(SECONDS_PER_HOUR),
    };
    let session = (session != Session::DEFAULT).then(|| Rule::session(&session));
    [converted, duplicates, session].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use coupon_shared::destination::Destination;
    use coupon_shared::snapshot::catalog::{Visibility, WeightedDestination};

    use super::*;
    use crate::catalog::{CapLimits, SessionDefinition as StoredDefinition};
    use crate::store::caps::CapOwner;

    fn offer(id: u32) -> Offer {
        let destination = Destination::parse("https://shop.example/").unwrap().destination;
        Offer {
            id,
            advertiser_id: 1,
            active: true,
            visibility: Visibility::Public,
            last_day: u16::MAX,
            destinations: vec![WeightedDestination { weight: 1, destination }],
            fallback: None,
            rules: Vec::new(),
        }
    }

    fn cap(id: u32, scope: CapScope) -> Cap {
        let limits = CapLimits { click: [id.into(), 0, 0, 0], ..CapLimits::default() };
        Cap { id, owner: CapOwner::Offer(1), scope, is_soft: id == 2, limits }
    }

    #[test]
    fn offers_name_their_caps_and_those_of_their_group_before_the_rules_on_visitors() {
        let visit_rules = VisitRules {
            caps: vec![
                cap(4, CapScope::Code { offer: 11, partner: 3, code: 5 }),
                cap(3, CapScope::Partner { offer: 11, partner: 3 }),
                cap(2, CapScope::Offer(11)),
                cap(1, CapScope::Group(7)),
            ],
            members: vec![(7, 10), (7, 11), (8, 12)],
            rows: vec![VisitRulesRow {
                offer_id: 11,
                session_definition: StoredDefinition::Ip,
                session_hours: 2,
                already_converted_fails_over: Some(true),
                duplicates_fail_over: Some(false),
            }],
        };
        let (mut rules, mut offers) = (Vec::new(), vec![offer(10), offer(11), offer(12)]);
        visit_rules.add_to(&mut rules, &mut offers);
        let session = Session { definition: SessionDefinition::Address, seconds: 7_200 };
        let named = PublishedCap {
            id: 4,
            offer_id: 0,
            partner_id: 0,
            code_id: 5,
            is_group: false,
            is_soft: false,
            click_limits: [4, 0, 0, 0],
            has_conversion_limits: false,
        };
        let click_limits = |limit| [limit, 0, 0, 0];
        let of_partner = PublishedCap {
            id: 3,
            offer_id: 11,
            partner_id: 3,
            code_id: 0,
            click_limits: click_limits(3),
            ..named
        };
        let of_offer = PublishedCap {
            id: 2,
            code_id: 0,
            is_soft: true,
            click_limits: click_limits(2),
            ..named
        };
        let of_group = PublishedCap {
            id: 1,
            code_id: 0,
            is_group: true,
            click_limits: click_limits(1),
            ..named
        };
        let expected = [
            Rule::cap(&named),
            Rule::cap(&of_partner),
            Rule::cap(&of_offer),
            Rule::cap(&of_group),
            Rule::already_converted(11, true),
            Rule::duplicates(11, false),
            Rule::session(&session),
        ];
        assert_eq!(rules, expected);
        let positions: Vec<&[u32]> = offers.iter().map(|offer| offer.rules.as_slice()).collect();
        assert_eq!(positions, [&[4][..], &[3, 4, 5, 6, 7], &[]]);
    }
}
