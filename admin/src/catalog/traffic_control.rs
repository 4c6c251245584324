//! Traffic controls: rules that refuse visits for what their link or their visitor brings.
//!
//! A blacklist refuses a visit if one of its variables matches one of its values; a whitelist
//! refuses a visit if none does. Case of ASCII letters does not count.

mod published;
mod scope;
mod values;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize};

use super::problems::{FieldError, Problems};
use super::traffic_variable::{ComparisonMethod, TrafficVariable};
use super::words::words;
use super::{day, text};

words! {
    /// The status of a traffic control.
    TrafficControlStatus {
        /// The control refuses visits.
        Active = "active",
        /// The control is off.
        Inactive = "inactive",
    }
}

words! {
    /// The effect of a match.
    TrafficControlType {
        /// Visits that match are refused.
        Blacklist = "blacklist",
        /// Visits that do not match are refused.
        Whitelist = "whitelist",
    }
}

words! {
    /// The way of a refused visit.
    TargetingAction {
        /// The visit gets the fallback.
        Block = "block",
        /// The visit goes to the offer's fail traffic, if the offer has some.
        FailTraffic = "fail_traffic",
    }
}

/// A traffic control as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = TrafficControlEdit)]
#[serde(deny_unknown_fields)]
pub struct TrafficControl {
    /// Shown in lists; partners do not see the name.
    #[schema(min_length = 1, max_length = 255, example = "Block bad sources")]
    pub name: String,
    /// The status.
    pub status: TrafficControlStatus,
    /// Whether matching visits or all other visits are refused.
    pub control_type: TrafficControlType,
    /// The way of a refused visit.
    #[serde(default = "block")]
    pub targeting_action: TargetingAction,
    /// The comparison of each variable with each value.
    #[serde(default = "exact_match")]
    pub comparison_method: ComparisonMethod,
    /// The control is for the traffic of all partners.
    #[serde(default)]
    pub is_apply_all_affiliates: bool,
    /// The control is for all offers.
    #[serde(default)]
    pub is_apply_all_offers: bool,
    /// The variables to compare; one match is enough.
    #[serde(default, deserialize_with = "variables")]
    #[schema(value_type = Option<Vec<TrafficVariable>>, required = false)]
    pub variables: Vec<TrafficVariable>,
    /// The offers of the control.
    #[serde(default, deserialize_with = "scope::ids")]
    #[schema(value_type = Option<Vec<u32>>, required = false)]
    pub network_offer_ids: Vec<u32>,
    /// The partners of the control.
    #[serde(default, deserialize_with = "scope::ids")]
    #[schema(value_type = Option<Vec<u32>>, required = false)]
    pub network_affiliate_ids: Vec<u32>,
    /// The control is for all offers of these advertisers.
    #[serde(default, deserialize_with = "scope::ids")]
    #[schema(value_type = Option<Vec<u32>>, required = false)]
    pub network_advertiser_ids: Vec<u32>,
    /// The values to compare with; one match is enough. At most 3,000 for `exact_match`, 100
    /// otherwise; none for `not_present`.
    #[serde(default, deserialize_with = "values::folded")]
    #[schema(value_type = Option<Vec<String>>, required = false, example = json!(["bad_source"]))]
    pub values: Vec<String>,
    /// The first day, in the network's time zone.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", example = "2026-12-01")]
    pub date_valid_from: Option<Date>,
    /// The last day, in the network's time zone.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", example = "2026-12-31")]
    pub date_valid_to: Option<Date>,
}

fn block() -> TargetingAction {
    TargetingAction::Block
}

fn exact_match() -> ComparisonMethod {
    ComparisonMethod::ExactMatch
}

/// Reads a list, or nothing from null, and keeps the first of equal variables.
fn variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TrafficVariable>, D::Error> {
    let mut kept = Vec::new();
    for variable in Option::<Vec<_>>::deserialize(deserializer)?.unwrap_or_default() {
        if !kept.contains(&variable) {
            kept.push(variable);
        }
    }
    Ok(kept)
}

impl TrafficControl {
    /// Checks the control without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        if self.variables.is_empty() {
            problems.add("variables", "is empty; name at least one variable, such as source_id");
        }
        self.check_scope(&mut problems);
        self.check_values(&mut problems);
        if let (Some(from), Some(to)) = (self.date_valid_from, self.date_valid_to)
            && to < from
        {
            problems.add("date_valid_to", "is before date_valid_from");
        }
        problems.finish()
    }

    /// Remarks about parts without effect, and about effects that nobody may expect.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.scope_warnings();
        if self.targeting_action == TargetingAction::FailTraffic {
            let warning = "targeting_action: on offers without fail traffic, fail_traffic acts as \
                           block";
            warnings.push(warning.into());
        }
        if self.comparison_method == ComparisonMethod::NotPresent && !self.values.is_empty() {
            let warning = "values: not_present compares no values, so these have no effect";
            warnings.push(warning.into());
        }
        warnings
    }

    /// Whether the control is on, whatever its days.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == TrafficControlStatus::Active
    }

    /// Whether the control refuses visits on some day of the period. A missing end is open.
    #[must_use]
    pub fn is_valid_between(&self, first: Option<Date>, last: Option<Date>) -> bool {
        let begins_in_time =
            self.date_valid_from.is_none_or(|from| last.is_none_or(|at| from <= at));
        let ends_in_time = self.date_valid_to.is_none_or(|to| first.is_none_or(|at| to >= at));
        begins_in_time && ends_in_time
    }
}

#[cfg(test)]
mod tests;
