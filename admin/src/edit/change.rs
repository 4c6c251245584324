//! From a request's JSON to an object: a replacement, or a patch of the stored object.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::EditError;
use crate::json::{Fields, parse};

/// A change of a stored object.
#[derive(Debug, Clone)]
pub enum Change {
    /// All fields; absent fields take their defaults.
    Replace(Fields),
    /// The named fields only.
    Patch(Fields),
}

impl Change {
    /// The replacement by an object.
    pub(crate) fn replacement<T: Serialize>(object: &T) -> Result<Change, EditError> {
        Ok(Change::Replace(Fields::from_object(object).map_err(not_an_object)?))
    }

    /// The change without the clearing of text fields: a named field whose text is empty or absent
    /// keeps the value before the change.
    pub(crate) fn keeping<T: Serialize>(
        self,
        before: &T,
        names: &[&str],
    ) -> Result<Change, EditError> {
        let stored = Fields::from_object(before).map_err(not_an_object)?.only(names);
        Ok(match self {
            Change::Replace(named) => Change::Replace(stored.overlaid(named.without_empty(names))),
            Change::Patch(named) => Change::Patch(named.without_empty(names)),
        })
    }

    /// The change with another value for a field.
    pub(crate) fn with_field<T: Serialize>(
        self,
        name: &str,
        value: &T,
    ) -> Result<Change, EditError> {
        let field = std::collections::BTreeMap::from([(name, value)]);
        let field = Fields::from_object(&field).map_err(not_an_object)?;
        Ok(match self {
            Change::Replace(named) => Change::Replace(named.overlaid(field)),
            Change::Patch(named) => Change::Patch(named.overlaid(field)),
        })
    }

    /// The object after the change. Fields in `read_only_fields` are ignored, so that a client can
    /// edit an answer and send it back.
    pub(crate) fn apply<T>(self, before: &T, read_only_fields: &[&str]) -> Result<T, EditError>
    where
        T: Serialize + DeserializeOwned,
    {
        let (named, base) = match self {
            Change::Replace(named) => (named, Fields::default()),
            Change::Patch(named) => (named, Fields::from_object(before).map_err(not_an_object)?),
        };
        let after =
            base.overlaid(named.without(read_only_fields)).to_json().map_err(not_an_object)?;
        parse(&after, "").map_err(|error| EditError::Invalid(vec![error]))
    }
}

fn not_an_object(_: serde_json::Error) -> EditError {
    EditError::field("body", "the stored object cannot be patched; replace it")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::{Affiliate, FieldError, Offer};

    fn read<T: DeserializeOwned>(value: &Value, prefix: &str) -> Result<T, FieldError> {
        parse(&value.to_string(), prefix)
    }

    fn anna() -> Affiliate {
        read(&json!({"name": "Anna", "account_status": "active", "internal_notes": "kind"}), "")
            .unwrap()
    }

    #[test]
    fn a_patch_changes_what_it_names_and_a_replacement_everything() {
        let named = json!({"name": "Anna B", "account_status": "active", "time_saved": 5});
        let fields = || Fields::from_object(&named).unwrap();
        let patched: Affiliate = Change::Patch(fields()).apply(&anna(), &["time_saved"]).unwrap();
        assert_eq!((patched.name.as_str(), patched.internal_notes.as_str()), ("Anna B", "kind"));
        let replaced: Affiliate =
            Change::Replace(fields()).apply(&anna(), &["time_saved"]).unwrap();
        assert_eq!(replaced.internal_notes, "");
    }

    #[test]
    fn a_kept_field_is_replaced_and_never_cleared() {
        let fields = |notes: Value| {
            let object = json!({"name": "A", "account_status": "active", "internal_notes": notes});
            Fields::from_object(&object).unwrap()
        };
        for (notes, expected) in [(json!(""), "kind"), (Value::Null, "kind"), (json!("new"), "new")]
        {
            for change in [Change::Replace(fields(notes.clone())), Change::Patch(fields(notes))] {
                let change = change.keeping(&anna(), &["internal_notes"]).unwrap();
                let after: Affiliate = change.apply(&anna(), &[]).unwrap();
                assert_eq!((after.name.as_str(), after.internal_notes.as_str()), ("A", expected));
            }
        }
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
            let error = read::<Affiliate>(&value, "row[2]").unwrap_err();
            assert_eq!(error.field, expected, "{value}: {}", error.error);
        }
    }

    #[test]
    fn a_body_of_another_form_is_named_too() {
        let error = parse::<Affiliate>("[]", "").unwrap_err();
        assert_eq!(
            (error.field.as_str(), error.error.as_str()),
            ("body", "must be an object, not a list")
        );
    }

    #[test]
    fn a_nested_field_has_its_whole_path() {
        let offer = json!({
            "name": "x", "offer_status": "active", "network_advertiser_id": 1, "destination_url": "https://x.example/",
            "payout_revenue": [{"payout_type": "cpa", "revenue_type": "rpa"}, {"payout_type": "cpa"}],
        });
        assert_eq!(read::<Offer>(&offer, "").unwrap_err().field, "payout_revenue[1].revenue_type");
    }
}
