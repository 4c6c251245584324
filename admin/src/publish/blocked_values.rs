//! Blocked values in the catalog, as controls.
//!
//! The values of a scope stand in one control, so that thousands of them cost a visit one look-up.
//! Controls of the last publication are kept until a blocked value changes.

use coupon_rules::control::{Control, ControlKind};
use coupon_rules::countries::Country;
use coupon_rules::text_match::{Comparison, TextMatch, Variable};
use coupon_shared::civil_day::Day;
use coupon_shared::snapshot::catalog::{Offer, Rule};

use super::catalog_rows::LeftOut;
use crate::catalog::SwitchVariable;
use crate::store::blocked_values::{self, Fingerprint, RefusedValue};
use crate::store::{ReadTx, StoreError};

/// Rules of the last publication.
#[derive(Debug, Default)]
pub(super) struct KnownBlocks {
    fingerprint: Option<Fingerprint>,
    published: Vec<PublishedBlocks>,
    left_out: Vec<LeftOut>,
}

#[derive(Debug)]
struct PublishedBlocks {
    rule: Rule,
    scope: OfferScope,
}

/// The offers of a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfferScope {
    All,
    One(u32),
    OfAdvertiser(u32),
}

impl KnownBlocks {
    /// Reads the values, if one changed.
    pub(super) fn update(&mut self, connection: &ReadTx<'_>) -> Result<(), StoreError> {
        let fingerprint = Some(blocked_values::fingerprint(connection)?);
        if self.fingerprint != fingerprint {
            self.put(&blocked_values::refused(connection)?);
            self.fingerprint = fingerprint;
        }
        Ok(())
    }

    fn put(&mut self, refused: &[RefusedValue]) {
        (self.published, self.left_out) = (Vec::new(), Vec::new());
        for group in refused.chunk_by(is_same_scope) {
            match control(group).and_then(|control| published(group, &control)) {
                Ok(published) => self.published.push(published),
                Err(error) => {
                    let what = format!("blocked value {}", group[0].id);
                    let error = format!("cannot be used: {error}; release it and block it again");
                    self.left_out.push(LeftOut { what, error });
                }
            }
        }
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = Rule> {
        self.published.iter().map(|published| published.rule.clone())
    }

    /// Adds the positions of the rules, the first of which is `first`, to the rules of their offers.
    /// The catalog binds controls of all offers by itself.
    pub(super) fn write_positions(&self, first: u32, offers: &mut [Offer]) {
        for (position, published) in (first..).zip(&self.published) {
            let is_in_scope = |offer: &&mut Offer| match published.scope {
                OfferScope::All => false,
                OfferScope::One(id) => offer.id == id,
                OfferScope::OfAdvertiser(id) => offer.advertiser_id == id,
            };
            for offer in offers.iter_mut().filter(is_in_scope) {
                offer.rules.push(position);
            }
        }
    }

    /// Active values that are not in the catalog.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &LeftOut> {
        self.left_out.iter()
    }
}

fn is_same_scope(one: &RefusedValue, other: &RefusedValue) -> bool {
    let scope = |value: &RefusedValue| {
        (value.rule_id, value.offer_id, value.advertiser_id, value.affiliate_id, value.fails_over)
    };
    scope(one) == scope(other) && one.variable == other.variable
}

fn published(group: &[RefusedValue], control: &Control) -> Result<PublishedBlocks, String> {
    control.check()?;
    let first = &group[0];
    // The id by which a click names what refused it: the rule, or the oldest of the values.
    let oldest = group.iter().map(|value| value.id).min().unwrap_or_default();
    let id = if first.rule_id == 0 { oldest } else { first.rule_id };
    let rule = Rule::control(id, control).map_err(|error| error.to_string())?;
    let scope = match (first.offer_id, first.advertiser_id) {
        (0, 0) => OfferScope::All,
        (0, advertiser) => OfferScope::OfAdvertiser(advertiser),
        (offer, _) => OfferScope::One(offer),
    };
    Ok(PublishedBlocks { rule, scope })
}

/// The control that refuses the values of one scope.
fn control(group: &[RefusedValue]) -> Result<Control, String> {
    let first = &group[0];
    let variable: SwitchVariable =
        first.variable.parse().map_err(|_| format!("`{}` is no variable", first.variable))?;
    let values = || group.iter().map(|value| value.value.as_str());
    let of_partner = (first.affiliate_id != 0).then(|| vec![first.affiliate_id]);
    let (matching, partners) = match variable {
        SwitchVariable::Affiliate => {
            let mut partners: Vec<u32> = values().filter_map(|id| id.parse().ok()).collect();
            partners.sort_unstable();
            (TextMatch::new(Comparison::Anything, []), Some(partners))
        }
        SwitchVariable::Country => {
            let names = values().filter_map(Country::find_by_code).map(|country| country.name);
            (TextMatch::new(Comparison::ExactMatch, names), of_partner)
        }
        _ => (TextMatch::new(Comparison::ExactMatch, values()), of_partner),
    };
    Ok(Control {
        kind: if first.rule_id == 0 { ControlKind::ByHand } else { ControlKind::SmartSwitch },
        is_whitelist: false,
        fails_over: first.fails_over,
        is_everywhere: first.offer_id == 0 && first.advertiser_id == 0,
        variables: vec![compared_text(variable) as u8],
        matching,
        partners,
        days: (Day::FIRST.0, Day::LAST.0),
    })
}

fn compared_text(variable: SwitchVariable) -> Variable {
    match variable {
        SwitchVariable::Sub1 => Variable::Sub1,
        SwitchVariable::Sub2 => Variable::Sub2,
        SwitchVariable::Sub3 => Variable::Sub3,
        SwitchVariable::Sub4 => Variable::Sub4,
        SwitchVariable::Sub5 => Variable::Sub5,
        SwitchVariable::SourceId => Variable::SourceId,
        // A control of partners compares with any text.
        SwitchVariable::CouponCode | SwitchVariable::Affiliate => Variable::CouponCode,
        SwitchVariable::RefererHost => Variable::RefererHost,
        SwitchVariable::Asn => Variable::Asn,
        SwitchVariable::Country => Variable::CountryName,
    }
}

#[cfg(test)]
mod tests {
    use coupon_shared::destination::Destination;
    use coupon_shared::snapshot::catalog::{Visibility, WeightedDestination};

    use super::*;

    fn value(id: u32, variable: &str, value: &str) -> RefusedValue {
        RefusedValue {
            rule_id: 4,
            variable: variable.into(),
            offer_id: 0,
            advertiser_id: 0,
            affiliate_id: 0,
            fails_over: false,
            value: value.into(),
            id,
        }
    }

    fn offer(id: u32, advertiser_id: u32) -> Offer {
        let destination = Destination::parse("https://shop.example/").unwrap().destination;
        Offer {
            id,
            advertiser_id,
            active: true,
            visibility: Visibility::Public,
            last_day: u16::MAX,
            destinations: vec![WeightedDestination { weight: 1, destination }],
            fallback: None,
            rules: Vec::new(),
        }
    }

    #[test]
    fn values_of_one_scope_stand_in_one_control_and_offers_name_theirs() {
        let mut known = KnownBlocks::default();
        let of_offer = |id, text| RefusedValue { offer_id: 3, ..value(id, "sub1", text) };
        let mut refused = vec![
            value(1, "sub1", "everywhere"),
            of_offer(2, "b"),
            of_offer(3, "a"),
            RefusedValue { advertiser_id: 10, ..value(4, "sub1", "c") },
            RefusedValue { fails_over: true, ..of_offer(5, "d") },
        ];
        refused.sort_unstable();
        known.put(&refused);
        assert_eq!((known.rules().count(), known.left_out().count()), (4, 0));
        let mut offers = [offer(1, 10), offer(2, 10), offer(3, 11)];
        known.write_positions(7, &mut offers);
        let rules = offers.each_ref().map(|offer| offer.rules.len());
        assert_eq!(rules, [1, 1, 2]);
        assert!(offers[0].rules[0] >= 7 && offers[2].rules.is_sorted());
    }

    #[test]
    fn a_control_says_who_blocked_and_compares_what_visits_have() {
        let by_hand = RefusedValue { rule_id: 0, affiliate_id: 8, ..value(9, "country", "de") };
        let country = control(std::slice::from_ref(&by_hand)).unwrap();
        assert_eq!((country.kind, country.partners), (ControlKind::ByHand, Some(vec![8])));
        assert_eq!(country.matching, TextMatch::new(Comparison::ExactMatch, ["Germany"]));
        assert_eq!(country.variables, [Variable::CountryName as u8]);
        let partners = control(&[value(1, "affiliate", "12"), value(2, "affiliate", "7")]).unwrap();
        assert_eq!(
            (partners.kind, &partners.partners),
            (ControlKind::SmartSwitch, &Some(vec![7, 12]))
        );
        assert_eq!(partners.matching, TextMatch::new(Comparison::Anything, []));
        assert_eq!(partners.check(), Ok(()));
    }
}
