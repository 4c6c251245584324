//! Forwarding rules: visits that an offer hands on to another offer before its own rules are asked.

use std::collections::HashSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::problems::{FieldError, Problems};
use super::ruleset::{self, Ruleset};
use super::traffic_variable::{ComparisonMethod, TrafficVariable};
use super::words::words;
use super::{day, id, nullable, partner_list, text};

const MAX_VARIABLES: usize = 20;
const MAX_VALUE_BYTES: usize = 256;

words! {
    /// The status of a forwarding rule.
    ForwardingRuleStatus {
        /// Forwards visits.
        Active = "active",
        /// Does not forward visits for now.
        Inactive = "inactive",
    }
}

/// A comparison of a fact about a visit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VariableCondition {
    /// The fact.
    pub variable: TrafficVariable,
    /// The comparison; `exact_match` if absent.
    #[serde(default = "exact_match")]
    pub comparison_method: ComparisonMethod,
    /// The text to compare with; empty for `not_present`. Case does not count.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub variable_value: String,
}

fn exact_match() -> ComparisonMethod {
    ComparisonMethod::ExactMatch
}

impl VariableCondition {
    fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        let (value, method) = (&self.variable_value, self.comparison_method);
        let needs_value = method != ComparisonMethod::NotPresent;
        if needs_value && value.is_empty() {
            let error = "is empty; to find visits without the variable, send not_present";
            problems.add("variable_value", error);
        }
        if !needs_value && !value.is_empty() {
            problems.add("variable_value", "must be empty, because not_present compares nothing");
        }
        if value.len() > MAX_VALUE_BYTES {
            let error = format!("has {} bytes; at most {MAX_VALUE_BYTES} fit", value.len());
            problems.add("variable_value", error);
        } else if method.is_whole() && !value.is_empty() {
            problems.take("variable_value", self.variable.check_whole_value(value));
        }
        problems.finish()
    }
}

/// A forwarding rule as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ForwardingRuleEdit)]
#[serde(deny_unknown_fields)]
pub struct ForwardingRule {
    /// The offer that forwards, as in the path; edits ignore it.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub network_offer_id: Option<u32>,
    /// Shown in lists.
    #[schema(min_length = 1, max_length = 255, example = "Germany to the German shop")]
    pub name: String,
    /// The status.
    pub forwarding_rule_status: ForwardingRuleStatus,
    /// The partners whose visits are forwarded; empty: all. Rules that name partners come first.
    #[serde(default, deserialize_with = "nullable::null_is_default")]
    #[schema(value_type = Option<Vec<u32>>, required = false)]
    pub network_affiliate_ids: Vec<u32>,
    /// The offer that takes the visits.
    #[schema(example = 2)]
    pub destination_network_offer_id: u32,
    /// A URL of that offer; 0: the offer's destination.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub destination_network_offer_url_id: Option<u32>,
    /// The visitors to forward; `{}`: everybody. A visitor of whom a fact is unknown stays.
    #[serde(default, deserialize_with = "ruleset::null_is_everybody")]
    #[schema(value_type = Option<Ruleset>, required = false)]
    pub ruleset: Ruleset,
    /// All must hold.
    #[serde(default, deserialize_with = "nullable::null_is_default")]
    #[schema(value_type = Option<Vec<VariableCondition>>, required = false)]
    pub variables: Vec<VariableCondition>,
    /// The first day, in the network's time zone.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", example = "2026-12-01")]
    pub date_valid_from: Option<Date>,
    /// The last day, in the network's time zone.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", example = "2026-12-31")]
    pub date_valid_to: Option<Date>,
}

impl ForwardingRule {
    /// Checks the rule without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("name", text::name(&self.name));
        partner_list::check(&mut problems, &self.network_affiliate_ids);
        problems.add_nested("ruleset", self.ruleset.check().err().unwrap_or_default());
        self.check_variables(&mut problems);
        if let (Some(from), Some(to)) = (self.date_valid_from, self.date_valid_to)
            && from > to
        {
            problems.add("date_valid_to", format!("is before date_valid_from, {from}"));
        }
        problems.finish()
    }

    fn check_variables(&self, problems: &mut Problems) {
        const LIST: &str = "variables";
        if self.variables.len() > MAX_VARIABLES {
            let count = self.variables.len();
            problems.add(LIST, format!("has {count} entries; at most {MAX_VARIABLES} fit"));
        }
        let mut seen = HashSet::new();
        for (index, condition) in self.variables.iter().enumerate() {
            let path = format!("{LIST}[{index}]");
            problems.add_nested(&path, condition.check().err().unwrap_or_default());
            if !seen.insert(condition) {
                problems.add(path, "stands twice in the list");
            }
        }
    }

    /// Remarks about the ruleset.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.ruleset.warnings()
    }
}
