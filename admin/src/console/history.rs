//! Entries of the history of an object: time, author, action and changed fields.

use serde::Deserialize;
use serde_json::Value;

use super::format;
use super::words;

/// An entry of the audit, or of the history of a conversion.
#[derive(Debug, Deserialize)]
pub(crate) struct HistoryRow {
    pub(crate) time_created: i64,
    pub(crate) action: String,
    pub(crate) actor: String,
    #[serde(default)]
    api_key_name: String,
    #[serde(default)]
    user_name: String,
    /// The postback behind the change; empty without a postback.
    #[serde(default)]
    pub(crate) postback_id: String,
    #[serde(default)]
    changes: Vec<HistoryChange>,
}

/// A field's value before and after.
#[derive(Debug, Deserialize)]
pub(crate) struct HistoryChange {
    field: String,
    before: Value,
    after: Value,
}

impl HistoryRow {
    pub(crate) fn who(&self) -> String {
        match self.actor.as_str() {
            "user" => format::visible(&self.user_name),
            "api_key" => format!("API key {}", format::visible(&self.api_key_name)),
            "command_line" => "The command line".into(),
            _ => "The program".into(),
        }
    }

    /// The changes that can be seen; a creation also names each field that it left blank.
    pub(crate) fn seen_changes(&self) -> impl Iterator<Item = &HistoryChange> {
        self.changes.iter().filter(|change| change.is_seen())
    }
}

impl HistoryChange {
    fn is_seen(&self) -> bool {
        let is_blank = |value: &Value| {
            value.is_null() || *value == "" || *value == false || *value == serde_json::json!([])
        };
        self.before() != self.after() && !(is_blank(&self.before) && is_blank(&self.after))
    }

    pub(crate) fn label(&self) -> String {
        words::label(&self.field)
    }

    pub(crate) fn before(&self) -> String {
        value_text(&self.before)
    }

    pub(crate) fn after(&self) -> String {
        value_text(&self.after)
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::Array(entries) if entries.is_empty() => "–".into(),
        Value::String(text) if text.is_empty() => "–".into(),
        Value::String(text) => format::visible(text),
        Value::Bool(true) => "Yes".into(),
        Value::Bool(false) => "No".into(),
        Value::Array(entries) if entries.iter().all(|entry| !entry.is_object()) => {
            entries.iter().map(value_text).collect::<Vec<_>>().join(", ")
        }
        Value::Array(entries) => entries.iter().map(value_text).collect::<Vec<_>>().join("; "),
        Value::Object(parts) => parts
            .iter()
            .map(|(name, part)| format!("{} {}", words::label(name), value_text(part)))
            .collect::<Vec<_>>()
            .join(", "),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_words() {
        let value = serde_json::json!([{"is_default": true, "payout_amount": "1"}]);
        assert_eq!(value_text(&value), "Default Yes, Payout 1");
        assert_eq!(value_text(&serde_json::json!(["a", ""])), "a, –");
        assert_eq!(value_text(&serde_json::json!([])), "–");
    }
}
