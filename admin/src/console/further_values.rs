//! Further values of clicks and conversions, as pages show them.

use std::collections::BTreeMap;

use coupon_shared::further_values::FURTHER_VALUES;
use serde_json::Value;

/// The fields of a row that a page names nowhere else.
pub(super) type OtherFields = BTreeMap<String, Value>;

/// Parameter, label and text of the further values that a row has.
pub(super) fn further_values(row: &OtherFields) -> Vec<(&'static str, String, &str)> {
    let values = FURTHER_VALUES.iter().filter_map(|value| {
        let text = row.get(value.name)?.as_str().filter(|text| !text.is_empty())?;
        Some((value.parameter, label(value.name), text))
    });
    values.collect()
}

fn label(name: &str) -> String {
    if let Some(number) = name.strip_prefix("sub") {
        return format!("Sub {number}");
    }
    if let Some(number) = name.strip_prefix("adv") {
        return format!("Adv {number}");
    }
    let label = match name {
        "fbclid" => "Click id of Facebook",
        "gclid" => "Click id of Google",
        "ttclid" => "Click id of TikTok",
        _ => "Page before",
    };
    label.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_their_labels_and_empty_ones_are_not() {
        let row = serde_json::json!({"sub6": "a", "sub7": "", "adv10": "b", "gclid": "G",
            "page_referer": "https://a.example/", "status": "approved"});
        let row: OtherFields = serde_json::from_value(row).unwrap();
        let expected = [
            ("sub6", "Sub 6", "a"),
            ("adv10", "Adv 10", "b"),
            ("gclid", "Click id of Google", "G"),
            ("__rf", "Page before", "https://a.example/"),
        ];
        assert_eq!(further_values(&row), expected.map(|(p, l, t)| (p, l.to_owned(), t)));
    }
}
