//! Traffic controls in the catalog.
//!
//! A control has thousands of values, and an edit of an offer writes the catalog, too. So the rules
//! of the last publication are kept, and only controls with a new revision are read again.

use std::collections::BTreeMap;

use coupon_shared::snapshot::catalog::{Offer, Rule};

use super::catalog_rows::LeftOut;
use crate::catalog::TrafficControl;
use crate::store::{ReadTx, StoreError, rows, traffic_controls};

/// Rules of the last publication.
#[derive(Debug, Default)]
pub(super) struct KnownControls {
    /// Of active controls, by id.
    revisions: BTreeMap<u32, u64>,
    /// By id, which is the order of the catalog.
    published: BTreeMap<u32, PublishedControl>,
    /// By control id.
    left_out: BTreeMap<u32, LeftOut>,
}

#[derive(Debug)]
struct PublishedControl {
    rule: Rule,
    /// Without its values.
    control: TrafficControl,
}

impl KnownControls {
    /// Reads the changed controls. After an error the controls are inconsistent: discard them.
    pub(super) fn update(&mut self, connection: &ReadTx<'_>) -> Result<(), StoreError> {
        let active: BTreeMap<u32, u64> =
            traffic_controls::active_revisions(connection)?.into_iter().collect();
        self.published.retain(|id, _| active.contains_key(id));
        self.left_out.retain(|id, _| active.contains_key(id));
        for (id, revision) in &active {
            if self.revisions.get(id) != Some(revision)
                && let Some(stored) = rows::find::<TrafficControl>(connection, *id)?
            {
                self.put(*id, stored.object);
            }
        }
        self.revisions = active;
        Ok(())
    }

    fn put(&mut self, id: u32, mut control: TrafficControl) {
        let published = control.published();
        let rule = published
            .check()
            .and_then(|()| Rule::control(id, &published).map_err(|error| error.to_string()));
        match rule {
            Ok(rule) => {
                control.values = Vec::new();
                self.left_out.remove(&id);
                self.published.insert(id, PublishedControl { rule, control });
            }
            Err(error) => {
                let error = format!("cannot be used: {error}; save it again");
                let what = format!("traffic control {id}");
                self.published.remove(&id);
                self.left_out.insert(id, LeftOut { what, error });
            }
        }
    }

    /// The rules, which stand first in the catalog.
    pub(super) fn rules(&self) -> impl Iterator<Item = Rule> {
        self.published.values().map(|published| published.rule.clone())
    }

    /// Writes the positions of the rules into the offers that the controls name, in place of their
    /// former rules. The catalog binds controls of all offers by itself.
    pub(super) fn write_positions(&self, offers: &mut [Offer]) {
        for offer in offers.iter_mut() {
            offer.rules.clear();
        }
        for (position, published) in (1..).zip(self.published.values()) {
            let known = offers.iter().map(|offer| (offer.id, offer.advertiser_id));
            for id in published.control.named_offers(known) {
                if let Ok(at) = offers.binary_search_by_key(&id, |offer| offer.id) {
                    offers[at].rules.push(position);
                }
            }
        }
    }

    /// Active controls that are not in the catalog.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &LeftOut> {
        self.left_out.values()
    }
}

#[cfg(test)]
mod tests {
    use coupon_shared::destination::Destination;
    use coupon_shared::snapshot::catalog::{Visibility, WeightedDestination};
    use serde_json::json;

    use super::*;

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
            rules: vec![7],
        }
    }

    fn control(over: serde_json::Value) -> TrafficControl {
        let mut control = json!({
            "name": "Bad", "status": "active", "control_type": "blacklist", "variables": ["sub1"],
            "values": ["bad"],
        });
        control.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        serde_json::from_value(control).unwrap()
    }

    #[test]
    fn offers_name_their_controls_in_the_order_of_ids() {
        let mut known = KnownControls::default();
        known.put(9, control(json!({"network_offer_ids": [3, 1]})));
        known.put(4, control(json!({"network_advertiser_ids": [10]})));
        known.put(5, control(json!({"is_apply_all_offers": true})));
        let mut offers = [offer(1, 10), offer(2, 10), offer(3, 11)];
        known.write_positions(&mut offers);
        let rules = offers.each_ref().map(|offer| offer.rules.as_slice());
        // The second rule is of all offers, which name it nowhere.
        assert_eq!(rules, [&[1, 3][..], &[1], &[3]]);
        assert_eq!(known.rules().count(), 3);
        let kept = &known.published[&4].control;
        assert_eq!(kept.values, Vec::<String>::new());
    }

    #[test]
    fn a_control_that_cannot_be_published_is_told() {
        let mut known = KnownControls::default();
        known.put(9, control(json!({"values": ["x".repeat(257)]})));
        assert_eq!(known.rules().count(), 0);
        let left_out: Vec<&LeftOut> = known.left_out().collect();
        assert_eq!(left_out[0].what, "traffic control 9");
        known.put(9, control(json!({})));
        assert_eq!((known.rules().count(), known.left_out().count()), (1, 0));
    }
}
