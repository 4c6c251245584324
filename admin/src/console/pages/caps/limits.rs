//! The sixteen limits of a cap: the inputs of forms, and the table of their use.

use std::sync::LazyLock;

use serde_json::Value;

use crate::catalog::{CapMetric, CapPeriod, cap_field};
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;

/// The relationship of the API that a page with limits needs.
pub(in crate::console::pages) const USED: &str = "relationship=used_caps";

/// The inputs of all limits.
pub(in crate::console::pages) static FIELDS: LazyLock<Vec<FormField>> = LazyLock::new(|| {
    let fields = CapMetric::ALL.into_iter().flat_map(|metric| {
        CapPeriod::ALL.into_iter().map(move |period| {
            let kind = match metric {
                CapMetric::Conversion | CapMetric::Click => Kind::Number,
                CapMetric::Payout | CapMetric::Revenue => Kind::Text,
            };
            FormField::new(cap_field(metric, period).leak(), kind)
        })
    });
    fields.collect()
});

fn metric_label(metric: CapMetric) -> &'static str {
    match metric {
        CapMetric::Conversion => "Sales",
        CapMetric::Payout => "Payout",
        CapMetric::Revenue => "Revenue",
        CapMetric::Click => "Unique clicks",
    }
}

fn period_label(period: CapPeriod) -> &'static str {
    match period {
        CapPeriod::Daily => "Today",
        CapPeriod::Weekly => "This week",
        CapPeriod::Monthly => "This month",
        CapPeriod::Global => "Ever",
    }
}

/// The inputs of one metric.
pub(in crate::console::pages) struct LimitGroup {
    pub(in crate::console::pages) heading: &'static str,
    pub(in crate::console::pages) inputs: Vec<LimitInput>,
}

pub(in crate::console::pages) struct LimitInput {
    pub(in crate::console::pages) name: String,
    pub(in crate::console::pages) label: &'static str,
}

/// The inputs by metric.
pub(in crate::console::pages) fn groups() -> Vec<LimitGroup> {
    let group = |metric| LimitGroup {
        heading: metric_label(metric),
        inputs: CapPeriod::ALL
            .into_iter()
            .map(|period| LimitInput {
                name: cap_field(metric, period),
                label: match period {
                    CapPeriod::Daily => "A day",
                    CapPeriod::Weekly => "A week",
                    CapPeriod::Monthly => "A month",
                    CapPeriod::Global => "Ever",
                },
            })
            .collect(),
    };
    CapMetric::ALL.into_iter().map(group).collect()
}

/// Shows limits of 0, which are none, as blank inputs.
pub(in crate::console::pages) fn blank_zeros(form: &mut Form) {
    for field in FIELDS.iter() {
        if form.is(field.name, "0") {
            form.set(field.name, "");
        }
    }
}

/// A form with 0 in the blank inputs of limits, so that a limit can be removed.
pub(in crate::console::pages) fn with_zeros(submitted: &Submitted) -> Submitted {
    let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
    submitted.with_zeros(&names)
}

/// One limit with its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::pages) struct LimitUse {
    pub(in crate::console::pages) metric: &'static str,
    pub(in crate::console::pages) period: &'static str,
    pub(in crate::console::pages) used: String,
    pub(in crate::console::pages) limit: String,
    pub(in crate::console::pages) is_reached: bool,
}

impl LimitUse {
    /// Class and word of the state.
    pub(in crate::console::pages) fn state(&self) -> (&'static str, &'static str) {
        if self.is_reached { ("bad", "Reached") } else { ("good", "Open") }
    }
}

/// The limits of an object that the API answered with [`USED`]. The use of a limit that does not
/// hold is unknown and shown as –.
pub(in crate::console::pages) fn uses(object: &Value) -> Vec<LimitUse> {
    let pairs = CapMetric::ALL
        .into_iter()
        .flat_map(|metric| CapPeriod::ALL.into_iter().map(move |period| (metric, period)));
    let used = &object["relationship"]["used_caps"];
    let limit_use = |(metric, period)| {
        let field = cap_field(metric, period);
        let limit = object[&field].as_f64().filter(|limit| *limit > 0.0)?;
        let found = &used[format!("used_{field}")];
        Some(LimitUse {
            metric: metric_label(metric),
            period: period_label(period),
            used: number_text(found),
            limit: number_text(&object[&field]),
            is_reached: found.as_f64().is_some_and(|used| used >= limit),
        })
    };
    pairs.filter_map(limit_use).collect()
}

fn number_text(number: &Value) -> String {
    match number {
        Value::Number(number) => format::decimal(&number.to_string()),
        _ => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_limit_is_shown_with_its_use() {
        let object = json!({
            "daily_click_cap": 3, "global_payout_cap": 12.5, "weekly_conversion_cap": 0,
            "relationship": {"used_caps": {
                "used_daily_click_cap": 3, "used_global_payout_cap": 7.25,
            }},
        });
        let uses = uses(&object);
        let texts: Vec<_> = uses
            .iter()
            .map(|it| (it.metric, it.period, it.used.as_str(), it.limit.as_str(), it.is_reached))
            .collect();
        let expected =
            [("Payout", "Ever", "7.25", "12.5", false), ("Unique clicks", "Today", "3", "3", true)];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_limit_that_does_not_hold_has_no_use() {
        let object = json!({"daily_click_cap": 3, "relationship": {"used_caps": {
            "used_daily_click_cap": null}}});
        let found = uses(&object).remove(0);
        assert_eq!((found.used.as_str(), found.state()), ("–", ("good", "Open")));
    }
}
