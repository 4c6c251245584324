//! The translation of a traffic control into a rule for visits.

use coupon_rules::control::{Control, ControlKind};
use coupon_rules::text_match::TextMatch;
use coupon_shared::civil_day::Day;

use super::{ComparisonMethod, TargetingAction, TrafficControl, TrafficControlType};
use crate::catalog::published_day;

impl TrafficControl {
    /// The rule for visits.
    #[must_use]
    pub fn published(&self) -> Control {
        let mut partners = self.network_affiliate_ids.clone();
        partners.sort_unstable();
        let first = self.date_valid_from.map_or(Day::FIRST, published_day);
        let last = self.date_valid_to.map_or(Day::LAST, published_day);
        Control {
            kind: ControlKind::TrafficControl,
            is_whitelist: self.control_type == TrafficControlType::Whitelist,
            fails_over: self.targeting_action == TargetingAction::FailTraffic,
            is_everywhere: self.is_apply_all_offers,
            variables: self.variables.iter().map(|variable| variable.variable() as u8).collect(),
            matching: self.matching(),
            partners: (!self.is_apply_all_affiliates).then_some(partners),
            days: (first.0, last.0),
        }
    }

    fn matching(&self) -> TextMatch {
        let values = match self.comparison_method {
            ComparisonMethod::NotPresent => &[][..],
            _ => &self.values,
        };
        let values = values.iter().map(String::as_str);
        TextMatch::new(self.comparison_method.comparison(), values)
    }
}
