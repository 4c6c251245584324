//! From a request's JSON to an object: whole, or over the one that is there.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::EditError;
use crate::catalog::FieldError;

/// What a request wants of an object that is there.
#[derive(Debug, Clone)]
pub enum Change {
    /// The whole object anew: what is left out takes its default.
    Replace(Map<String, Value>),
    /// Only what it names.
    Patch(Map<String, Value>),
}

impl Change {
    /// The object after the change. Fields that are only ever answered are ignored, so that an
    /// answer can be edited and sent back.
    pub(super) fn apply<T>(self, before: &T, answered_only: &[&str]) -> Result<T, EditError>
    where
        T: Serialize + DeserializeOwned,
    {
        let (mut named, base) = match self {
            Change::Replace(named) => (named, Map::new()),
            Change::Patch(named) => (named, as_map(before)?),
        };
        named.retain(|field, _| !answered_only.contains(&field.as_str()));
        let mut after = base;
        after.extend(named);
        parse(Value::Object(after), "").map_err(|error| EditError::Invalid(vec![error]))
    }
}

fn as_map<T: Serialize>(object: &T) -> Result<Map<String, Value>, EditError> {
    match serde_json::to_value(object) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(EditError::field("", "the stored object cannot be patched; replace it")),
    }
}

/// Reads an object from JSON; what is wrong is named by its path below `prefix`.
///
/// # Errors
/// The first field that is wrong, unknown or missing.
pub fn parse<T: DeserializeOwned>(value: Value, prefix: &str) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        // A missing field is reported at the object that lacks it.
        let missing =
            message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let path = match (path.as_str(), missing) {
            (".", missing) => missing.unwrap_or_default().to_owned(),
            (path, Some(field)) => format!("{path}.{field}"),
            (path, None) => path.to_owned(),
        };
        let dot = if prefix.is_empty() || path.is_empty() { "" } else { "." };
        FieldError { field: format!("{prefix}{dot}{path}"), error: message }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::{Affiliate, Offer};

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn anna() -> Affiliate {
        parse(json!({"name": "Anna", "account_status": "active", "internal_notes": "kind"}), "")
            .unwrap()
    }

    #[test]
    fn a_patch_changes_what_it_names_and_a_replacement_everything() {
        let named = json!({"name": "Anna B", "account_status": "active", "time_saved": 5});
        let patched: Affiliate =
            Change::Patch(fields(named.clone())).apply(&anna(), &["time_saved"]).unwrap();
        assert_eq!((patched.name.as_str(), patched.internal_notes.as_str()), ("Anna B", "kind"));
        let replaced: Affiliate =
            Change::Replace(fields(named)).apply(&anna(), &["time_saved"]).unwrap();
        assert_eq!(replaced.internal_notes, "");
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let cases = [
            (json!({"name": "x", "account_status": "active", "colour": 1}), "row[2].colour"),
            (json!({"account_status": "active"}), "row[2].name"),
            (json!({"name": 7, "account_status": "active"}), "row[2].name"),
            (json!({"name": "x", "account_status": "gone"}), "row[2].account_status"),
            (json!([]), "row[2]"),
        ];
        for (value, expected) in cases {
            let error = parse::<Affiliate>(value.clone(), "row[2]").unwrap_err();
            assert_eq!(error.field, expected, "{value}: {}", error.error);
        }
    }

    #[test]
    fn a_nested_field_has_its_whole_path() {
        let offer = json!({
            "name": "x", "offer_status": "active", "network_advertiser_id": 1, "destination_url": "https://x.example/",
            "payout_revenue": [{"payout_type": "cpa", "revenue_type": "rpa"}, {"payout_type": "cpa"}],
        });
        assert_eq!(parse::<Offer>(offer, "").unwrap_err().field, "payout_revenue[1].revenue_type");
    }
}
