//! The values of a traffic control.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer};

use super::{ComparisonMethod, TrafficControl};
use crate::catalog::problems::Problems;

/// Everflow's bound for exact comparisons, which search a sorted list.
const MAX_EXACT_VALUES: usize = 3_000;
/// Everflow's bound for the other comparisons, which look at every value.
const MAX_VALUES: usize = 100;
/// Longest value; visits bring no longer ones.
const MAX_VALUE_BYTES: usize = 256;

/// Reads a list, or nothing from null, and keeps the first of values that differ in the case of
/// ASCII letters only.
pub(super) fn folded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut values = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
    let mut seen = HashSet::with_capacity(values.len());
    values.retain(|value| seen.insert(value.to_ascii_lowercase()));
    Ok(values)
}

impl TrafficControl {
    pub(super) fn check_values(&self, problems: &mut Problems) {
        if self.comparison_method != ComparisonMethod::NotPresent && self.values.is_empty() {
            problems.add("values", "is empty; write at least one value, or compare not_present");
        }
        let most = match self.comparison_method {
            ComparisonMethod::ExactMatch => MAX_EXACT_VALUES,
            _ => MAX_VALUES,
        };
        if self.values.len() > most {
            let (len, method) = (self.values.len(), self.comparison_method.as_str());
            problems.add("values", format!("has {len} values; at most {most} fit for {method}"));
        }
        for (index, value) in self.values.iter().enumerate() {
            problems.take(&format!("values[{index}]"), self.check_value(value));
        }
    }

    fn check_value(&self, value: &str) -> Result<(), String> {
        if value.trim().is_empty() {
            return Err("is empty; visits without a value match not_present".into());
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(format!("has {} bytes; at most {MAX_VALUE_BYTES} fit", value.len()));
        }
        if value.contains(char::is_control) {
            return Err("contains a control character; remove it".into());
        }
        match (self.comparison_method.is_whole(), self.variables.as_slice()) {
            (true, [variable]) => variable.check_whole_value(value),
            _ => Ok(()),
        }
    }
}
