//! Fields of Everflow's clients without a meaning here. They are kept as sent and given back, so
//! that a client can read an object, change it and write it back.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};

use super::problems::Problems;

/// Most bytes of the kept fields of an object, as JSON.
const MAX_BYTES: usize = 16 * 1024;

/// A type with kept fields.
pub trait KeepsFields: PartialSchema {
    /// Fields that ask for something which does not happen here. A warning names them.
    const WITHOUT_EFFECT: &'static [&'static str];
    /// Notes, labels and other texts, which need no effect.
    const NOTES: &'static [&'static str];
    /// Fields of answers, which a request may repeat; they are dropped.
    const DROPPED: &'static [&'static str] = &[];
}

/// Reads the fields that the type itself does not name.
///
/// # Errors
/// An unknown field.
pub(super) fn read<'de, T: KeepsFields, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    deserializer.deserialize_map(FurtherFields::<T>(PhantomData))
}

struct FurtherFields<T>(PhantomData<T>);

impl<'de, T: KeepsFields> Visitor<'de> for FurtherFields<T> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut kept = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if T::DROPPED.contains(&name.as_str()) {
                fields.next_value::<IgnoredAny>()?;
            } else if names::<T>().any(|known| known == name) {
                let mut value = fields.next_value()?;
                remove_passwords(&mut value);
                kept.insert(name, value);
            } else {
                return Err(A::Error::custom(unknown_field::<T>(&name)));
            }
        }
        Ok(kept)
    }
}

/// Names of the fields that a type keeps.
pub(crate) fn names<T: KeepsFields>() -> impl Iterator<Item = &'static str> {
    T::WITHOUT_EFFECT.iter().chain(T::NOTES).copied()
}

/// The words of serde for an unknown field.
fn unknown_field<T: KeepsFields>(name: &str) -> String {
    let mut known: Vec<String> = names::<T>().map(|name| format!("`{name}`")).collect();
    if let RefOr::T(Schema::Object(schema)) = T::schema() {
        known.splice(0..0, schema.properties.keys().map(|name| format!("`{name}`")));
    }
    format!("unknown field `{name}`, expected one of {}", known.join(", "))
}

/// Clients send the first password of a partner's user. Nobody signs in with it here.
fn remove_passwords(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.contains("password"));
            fields.values_mut().for_each(remove_passwords);
        }
        Value::Array(entries) => entries.iter_mut().for_each(remove_passwords),
        _ => {}
    }
}

/// Checks the size of the kept fields.
pub(super) fn check(problems: &mut Problems, kept: &Map<String, Value>) {
    let length = |value: &Value| value.to_string().len();
    let bytes: usize = kept.iter().map(|(name, value)| name.len() + length(value)).sum();
    let Some((longest, _)) = kept.iter().max_by_key(|(_, value)| length(value)) else { return };
    if bytes > MAX_BYTES {
        let error = format!(
            "is kept without effect, and such fields of an object have at most {MAX_BYTES} bytes \
             together, not {bytes}"
        );
        problems.add(longest, error);
    }
}

/// The kept fields whose values ask for something.
pub(crate) fn asking<T: KeepsFields>(
    kept: &Map<String, Value>,
) -> impl Iterator<Item = (&str, &Value)> {
    let fields = kept.iter().map(|(name, value)| (name.as_str(), value));
    fields.filter(|(name, value)| T::WITHOUT_EFFECT.contains(name) && !asks_nothing(value))
}

/// Names the kept fields whose values ask for something.
pub(super) fn warning<T: KeepsFields>(kept: &Map<String, Value>) -> Option<String> {
    let asking: Vec<&str> = asking::<T>(kept).map(|(name, _)| name).collect();
    let message = "kept as sent and given back, without effect";
    (!asking.is_empty()).then(|| format!("{}: {message}", asking.join(", ")))
}

/// Whether a value is what clients send where nothing is chosen.
pub(crate) fn asks_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_on) => !is_on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(word) => matches!(word.as_str(), "" | "null_value" | "unknown"),
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => fields.values().all(asks_nothing),
    }
}

/// A list that clients send as it is, or as `{"entries": […]}`, the shape of answers.
pub(super) mod entries {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer};

    pub(in crate::catalog) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_any(Entries(PhantomData))
    }

    struct Entries<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a sequence")
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element()? {
                entries.push(entry);
            }
            Ok(entries)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Vec<T>, A::Error> {
            let mut entries = Vec::new();
            while let Some(name) = object.next_key::<String>()? {
                match name.as_str() {
                    "entries" => entries = object.next_value()?,
                    "total" => drop(object.next_value::<IgnoredAny>()?),
                    other => {
                        let message = format!("unknown field `{other}`, expected `entries`");
                        return Err(A::Error::custom(message));
                    }
                }
            }
            Ok(entries)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::{Affiliate, Offer, PayoutRevenue};
    use crate::json::parse;

    fn affiliate(further: Value) -> Value {
        let mut sent = json!({"name": "Anna", "account_status": "active"});
        sent.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        sent
    }

    #[test]
    fn what_has_no_effect_is_kept_given_back_and_named() {
        let sent = affiliate(json!({
            "internal_notes": "kind", "network_employee_id": 2, "default_currency_id": "",
            "labels": ["premium"], "billing": {"billing_frequency": "monthly", "billing": {}},
        }));
        let read: Affiliate = parse(&sent.to_string(), "").unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), sent);
        let expected = "billing, network_employee_id: kept as sent and given back, without effect";
        assert_eq!(warning::<Affiliate>(&read.kept).as_deref(), Some(expected));
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused_with_the_known_ones() {
        let error = parse::<Affiliate>(&affiliate(json!({"colour": 1})).to_string(), "[3]");
        let error = error.unwrap_err();
        assert_eq!(error.field, "[3].colour");
        assert!(error.error.starts_with("is not a field here; known: "), "{}", error.error);
        for known in ["name", "internal_notes", "network_employee_id"] {
            assert!(error.error.contains(known), "{}", error.error);
        }
    }

    #[test]
    fn passwords_and_fields_of_answers_are_not_kept() {
        let sent = affiliate(json!({"users": [{"email": "a@b.example", "initial_password": "x"}]}));
        let read: Affiliate = parse(&sent.to_string(), "").unwrap();
        assert_eq!(Value::Object(read.kept), json!({"users": [{"email": "a@b.example"}]}));
        let entry = json!({
            "payout_type": "null_value", "revenue_type": "blank", "is_default": true,
            "network_offer_id": 4, "time_created": 5, "is_private": true,
        });
        let entry: PayoutRevenue = parse(&entry.to_string(), "").unwrap();
        assert_eq!(Value::Object(entry.kept), json!({"is_private": true}));
    }

    #[test]
    fn an_object_keeps_a_bounded_number_of_bytes() {
        for (length, expected) in [(MAX_BYTES / 2, 0), (MAX_BYTES, 1)] {
            let sent = affiliate(json!({"labels": ["x".repeat(length)], "address_id": 1}));
            let read: Affiliate = parse(&sent.to_string(), "").unwrap();
            let errors = read.check().err().unwrap_or_default();
            assert_eq!(errors.len(), expected);
            assert!(errors.iter().all(|error| error.field == "labels"));
        }
    }

    #[test]
    fn entries_are_read_as_a_list_and_in_the_shape_of_answers() {
        let entry = json!({"payout_type": "cpa", "revenue_type": "rpa", "is_default": true});
        let offer = |entries: Value| {
            json!({
                "name": "x", "offer_status": "active", "network_advertiser_id": 1,
                "destination_url": "https://x.example/", "payout_revenue": entries,
            })
        };
        let shapes = [json!([entry]), json!({"total": 1, "entries": [entry]})];
        let [list, object] =
            shapes.map(|entries| parse::<Offer>(&offer(entries).to_string(), "").unwrap());
        assert_eq!(list, object);
        let none: Offer = parse(&offer(Value::Null).to_string(), "").unwrap();
        assert_eq!(none.payout_revenue, []);
        let wrong = offer(json!({"rows": []}));
        assert_eq!(
            parse::<Offer>(&wrong.to_string(), "").unwrap_err().field,
            "payout_revenue.rows"
        );
    }
}
