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
    pub(crate) changes: Vec<HistoryChange>,
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
            "command_line" => "Command line".into(),
            _ => "The program".into(),
        }
    }
}

impl HistoryChange {
    /// Whether the field got a value that says something; a creation names all fields.
    pub(crate) fn is_worth_showing(&self) -> bool {
        let is_blank = |value: &Value| value.is_null() || *value == "" || *value == false;
        !(is_blank(&self.before) && is_blank(&self.after))
    }

    pub(crate) fn text(&self) -> String {
        let text = |value: &Value| match value {
            Value::Null => "–".to_owned(),
            Value::String(text) if text.is_empty() => "–".into(),
            Value::String(text) => format::visible(text),
            Value::Bool(true) => "yes".into(),
            Value::Bool(false) => "no".into(),
            other => other.to_string(),
        };
        format!("{}: {} → {}", words::label(&self.field), text(&self.before), text(&self.after))
    }
}
