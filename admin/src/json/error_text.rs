//! Translates serde's error messages into terms of JSON, because clients do not know Rust types
//! such as `u32`.

pub(super) fn translate(message: &str) -> String {
    let translated = translate_type_error(message)
        .or_else(|| translate_name_error(message))
        .or_else(|| translate_length_error(message));
    translated.unwrap_or_else(|| message.to_owned())
}

/// `invalid type: string "x", expected u32`
fn translate_type_error(message: &str) -> Option<String> {
    let rest =
        ["invalid type: ", "invalid value: "].iter().find_map(|kind| message.strip_prefix(kind))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    Some(format!("must be {}, not {}", expected_text(expected), found_text(found)))
}

/// `invalid length 0, expected struct X with 3 elements`: serde also reads fields from a list.
fn translate_length_error(message: &str) -> Option<String> {
    let (_, expected) = message.strip_prefix("invalid length ")?.split_once(", expected ")?;
    expected.starts_with("struct ").then(|| "must be an object, not a list".into())
}

fn expected_text(expected: &str) -> String {
    let largest = match expected {
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" | "usize" => u64::MAX,
        "i8" | "i16" | "i32" | "i64" => return "a whole number".into(),
        "f32" | "f64" => return "a number".into(),
        "a string" | "string" | "str" => return "text".into(),
        "a boolean" | "bool" => return "true or false".into(),
        "a sequence" => return "a list".into(),
        "a map" => return "an object".into(),
        _ if expected.starts_with("struct ") => return "an object".into(),
        _ if expected.starts_with("enum ") || expected.starts_with("variant ") => {
            return "one of its words".into();
        }
        other => return other.into(),
    };
    format!("a whole number from 0 to {largest}")
}

fn found_text(found: &str) -> String {
    match found {
        "sequence" => return "a list".into(),
        "map" => return "an object".into(),
        "null" | "unit value" => return "null".into(),
        _ => {}
    }
    let number = ["integer `", "floating point `", "boolean `"]
        .iter()
        .find_map(|kind| found.strip_prefix(kind));
    match (found.strip_prefix("string "), number) {
        (Some(text), _) => format!("the text {text}"),
        (None, Some(number)) => number.trim_end_matches('`').into(),
        (None, None) => found.into(),
    }
}

/// ``unknown field `x`, expected one of `a`, `b` `` and similar messages, and missing fields.
fn translate_name_error(message: &str) -> Option<String> {
    if message.starts_with("missing field ") {
        return Some("is missing".into());
    }
    if message.starts_with("unknown field ") {
        return Some(match message.split_once(", expected ") {
            Some((_, known)) => format!("is not a field here; known: {}", list_names(known)),
            None => "is not a field here".into(),
        });
    }
    let (found, known) = message.strip_prefix("unknown variant ")?.rsplit_once(", expected ")?;
    Some(format!("{found} is not possible here; known: {}", list_names(known)))
}

/// Removes serde's "one of", and separates with commas only.
fn list_names(known: &str) -> String {
    known.trim_start_matches("one of ").replace("` or `", "`, `").replace('`', "")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        name: String,
        #[allow(dead_code)]
        id: u32,
        #[allow(dead_code)]
        word: Option<Word>,
        #[allow(dead_code)]
        list: Option<Vec<u8>>,
        #[allow(dead_code)]
        is_on: Option<bool>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        One,
        Two,
    }

    fn translated(value: Value) -> String {
        translate(&serde_json::from_value::<Sample>(value).unwrap_err().to_string())
    }

    #[test]
    fn nothing_is_said_in_the_words_of_serde() {
        let largest = u32::MAX;
        for (value, expected) in [
            (json!({"name": "x"}), "is missing".to_owned()),
            (json!({"name": 7, "id": 1}), "must be text, not 7".into()),
            (json!({"name": null, "id": 1}), "must be text, not null".into()),
            (
                json!({"name": "x", "id": "y, expected z"}),
                format!(
                    "must be a whole number from 0 to {largest}, not the text \"y, expected z\""
                ),
            ),
            (
                json!({"name": "x", "id": -1}),
                format!("must be a whole number from 0 to {largest}, not -1"),
            ),
            (
                json!({"name": "x", "id": 1.5}),
                format!("must be a whole number from 0 to {largest}, not 1.5"),
            ),
            (
                json!({"name": "x", "id": 1, "is_on": "yes"}),
                "must be true or false, not the text \"yes\"".into(),
            ),
            (json!({"name": "x", "id": 1, "list": {}}), "must be a list, not an object".into()),
            (
                json!({"name": "x", "id": 1, "word": "three"}),
                "`three` is not possible here; known: one, two".into(),
            ),
            (
                json!({"colour": 1}),
                "is not a field here; known: name, id, word, list, is_on".into(),
            ),
            (json!(["x"]), "must be an object, not a list".into()),
            (json!("x"), "must be an object, not the text \"x\"".into()),
        ] {
            assert_eq!(translated(value.clone()), expected, "{value}");
        }
    }
}
