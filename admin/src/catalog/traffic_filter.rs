//! Filters in the list of an offer, in Everflow's shape. Any of them refuses a visit.

use coupon_rules::control::{Control, ControlKind};
use coupon_rules::text_match::{MAX_VALUE_LEN, TextMatch, Variable};
use coupon_shared::civil_day::Day;
use serde::{Deserialize, Serialize};

use super::caps::RefusalAction;
use super::problems::Problems;
use super::traffic_variable::ComparisonMethod;
use super::words::words;

/// Most filters of an offer.
pub(super) const MAX_FILTERS: usize = 100;

words! {
    /// The part of a link that a filter compares.
    FilterParameter {
        /// The partner's first sub id.
        Sub1 = "sub1",
        /// The partner's second sub id.
        Sub2 = "sub2",
        /// The partner's third sub id.
        Sub3 = "sub3",
        /// The partner's fourth sub id.
        Sub4 = "sub4",
        /// The partner's fifth sub id.
        Sub5 = "sub5",
        /// The partner's id of the traffic source.
        SourceId = "source_id",
    }
}

/// A filter of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficFilter {
    /// The answer to a visit that matches.
    #[serde(default = "block")]
    pub action: RefusalAction,
    /// The comparison. Case does not count.
    pub match_type: ComparisonMethod,
    /// The part of the link.
    pub parameter: FilterParameter,
    /// What to compare with; empty for `not_present`.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub value: String,
}

fn block() -> RefusalAction {
    RefusalAction::Block
}

impl TrafficFilter {
    pub(super) fn check(&self, problems: &mut Problems, path: &str) {
        let asks_for_value = self.match_type != ComparisonMethod::NotPresent;
        let error = match self.value.len() {
            0 if asks_for_value => "is empty".into(),
            1.. if !asks_for_value => "must be empty, because match_type is not_present".into(),
            bytes if bytes > MAX_VALUE_LEN => {
                format!("has {bytes} bytes; at most {MAX_VALUE_LEN} fit")
            }
            _ => return,
        };
        problems.add(format!("{path}.value"), error);
    }

    /// The filter as it is published.
    #[must_use]
    pub(crate) fn control(&self) -> Control {
        let variable = match self.parameter {
            FilterParameter::Sub1 => Variable::Sub1,
            FilterParameter::Sub2 => Variable::Sub2,
            FilterParameter::Sub3 => Variable::Sub3,
            FilterParameter::Sub4 => Variable::Sub4,
            FilterParameter::Sub5 => Variable::Sub5,
            FilterParameter::SourceId => Variable::SourceId,
        };
        let value = Some(self.value.as_str()).filter(|value| !value.is_empty());
        Control {
            kind: ControlKind::OfferFilter,
            is_whitelist: false,
            fails_over: self.action == RefusalAction::FailTraffic,
            is_everywhere: false,
            variables: vec![variable as u8],
            matching: TextMatch::new(self.match_type.comparison(), value),
            partners: None,
            days: (Day::FIRST.0, Day::LAST.0),
        }
    }
}
