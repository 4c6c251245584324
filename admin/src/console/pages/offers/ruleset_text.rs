//! A ruleset inside another object as one text: a line for each value, such as `Countries only: US`.
//! The lines have the notation of the page of an offer's visitors.

use serde_json::{Map, Value};

use super::targeting_lines::{LISTS, TargetingList};

/// The words for the two sides of a list, and the API's words.
const SIDES: [(&str, &str); 2] = [("only", "include"), ("never", "exclude")];

/// Parts of a ruleset that have no line. A page keeps them as JSON.
const FURTHER: [&str; 6] = [
    "is_block_proxy",
    "proxy_kinds",
    "is_use_day_parting",
    "day_parting_apply_to",
    "day_parting_timezone_id",
    "days_parting",
];

/// A text that is no ruleset.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is no line of it; write it like “Countries only: US” or “Devices never: Tablet”")]
pub(super) struct LineError(String);

/// The lines of a ruleset.
pub(super) fn text(ruleset: &Value) -> String {
    let mut lines = Vec::new();
    for list in LISTS {
        for (word, side) in SIDES {
            let entries = ruleset[list.name].as_array().into_iter().flatten();
            let of_side = entries.filter(|entry| entry["targeting_type"] == side);
            let line = |entry: &Value| format!("{} {word}: {}", list.heading, (list.line)(entry));
            lines.extend(of_side.map(line));
        }
    }
    lines.join("\n")
}

/// The parts of a ruleset that have no line, as JSON; empty where none of them asks anything.
pub(super) fn further(ruleset: &Value) -> String {
    let is_on = |field: &str| ruleset[field] == true;
    if !is_on("is_block_proxy") && !is_on("is_use_day_parting") {
        return String::new();
    }
    let parts = FURTHER.iter().map(|field| ((*field).to_owned(), ruleset[*field].clone()));
    Value::Object(parts.collect()).to_string()
}

/// The ruleset of lines and further parts.
pub(super) fn ruleset(text: &str, further: &str) -> Result<Value, LineError> {
    let mut ruleset: Map<String, Value> = serde_json::from_str(further).unwrap_or_default();
    ruleset.retain(|field, _| FURTHER.contains(&field.as_str()));
    for line in lines(text) {
        let (list, side, value) = parts(line).ok_or_else(|| LineError(line.to_owned()))?;
        let mut entry = (list.entry)(value);
        entry["targeting_type"] = side.into();
        let entries = ruleset.entry(list.name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(entries) = entries {
            entries.push(entry);
        }
    }
    Ok(Value::Object(ruleset))
}

/// The line behind a field of the ruleset such as `countries[1].country_code`.
pub(super) fn line_of<'t>(text: &'t str, field: &str) -> Option<&'t str> {
    let (name, rest) = field.split_once('[')?;
    let number = rest.split(']').next()?.parse().ok()?;
    let is_of_list = |line: &&str| parts(line).is_some_and(|(list, ..)| list.name == name);
    lines(text).filter(is_of_list).nth(number)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// List, the API's word of the side, and value of a line.
fn parts(line: &str) -> Option<(&'static TargetingList, &'static str, &str)> {
    let (name, value) = line.split_once(':')?;
    let (heading, word) = name.trim().rsplit_once(' ')?;
    let named = |list: &&TargetingList| list.heading.eq_ignore_ascii_case(heading.trim());
    let list = LISTS.iter().find(named)?;
    let (_, side) = SIDES.iter().find(|(known, _)| known.eq_ignore_ascii_case(word))?;
    let value = value.trim();
    (!value.is_empty()).then_some((list, *side, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::Ruleset;

    #[test]
    fn a_ruleset_stays_the_same_through_its_text() {
        let before: Ruleset = serde_json::from_value(json!({
            "countries": [
                {"country_code": "DE", "targeting_type": "exclude"},
                {"country_code": "US", "targeting_type": "include"},
            ],
            "ips": [{"cidr": "2001:db8::/32", "match_type": "range", "targeting_type": "include"}],
            "isps": [{"isp_name": "Comcast, Inc: East", "targeting_type": "exclude"}],
            "is_use_day_parting": true, "day_parting_apply_to": "user_timezone",
            "days_parting": [{"day_of_week": 1, "start_hour": 9, "end_hour": 16}],
        }))
        .unwrap();
        let sent = serde_json::to_value(&before).unwrap();
        let text = text(&sent);
        assert!(text.starts_with("Countries only: US\nCountries never: DE\n"), "{text}");
        let read = ruleset(&text, &further(&sent)).unwrap();
        let mut after: Ruleset = serde_json::from_value(read).unwrap();
        after.countries.reverse();
        assert_eq!(after, before);
        assert_eq!(ruleset("", ""), Ok(json!({})));
        assert_eq!(further(&serde_json::to_value(Ruleset::default()).unwrap()), "");
    }

    #[test]
    fn lines_are_found_by_their_entries_and_others_are_named() {
        let text = "countries ONLY: us\n\nDevices never: Tablet\nCountries never: UK";
        assert_eq!(line_of(text, "countries[1].country_code"), Some("Countries never: UK"));
        assert_eq!(line_of(text, "device_types[0]"), Some("Devices never: Tablet"));
        for wrong in ["US", "Countries: US", "Colours only: red", "Countries only:"] {
            let error = ruleset(&format!("Devices only: TV\n{wrong}"), "").unwrap_err();
            assert_eq!(error, LineError(wrong.into()));
        }
    }
}
