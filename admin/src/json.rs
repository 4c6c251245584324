//! JSON from clients, read directly into its type: no tree of values is built, so the memory for a
//! body depends on the type and not on the client.
//!
//! Stricter than serde:
//! - An object names each field once, and a document has at most [`MAX_CONTAINERS`] objects and
//!   arrays. [`check`] walks a document for this check and stores no values.
//! - An array never stands for an object. Serde reads an array as the fields in their order; a
//!   [`Strict`] deserializer does not.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_path_to_error::Track;

use crate::catalog::FieldError;

mod error_text;
use error_text::translate;

/// Most objects and arrays in a document. The longest body holds about 125,000 coupon codes.
const MAX_CONTAINERS: usize = 200_000;
/// Most fields of an object.
const MAX_FIELDS: usize = 1_000;
/// Most reported errors of an array.
const MAX_WRONG: usize = 1_000;

/// Why a text is refused.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    Syntax(serde_json::Error),
    /// JSON with an invalid field.
    #[error("{}: {}", .0.field, .0.error)]
    Field(FieldError),
}

/// Checks that a document is one JSON value, and that each object names each field once.
///
/// # Errors
/// The first violation.
pub fn check(text: &[u8]) -> Result<(), JsonError> {
    let (containers, mut track) = (Cell::new(0), Track::new());
    let mut reader = serde_json::Deserializer::from_slice(text);
    let walk = DocumentCheck { containers: &containers };
    let walked = walk.deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    walked.and_then(|()| reader.end()).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            JsonError::Field(field_error("", &track.path(), &error))
        }
        _ => JsonError::Syntax(error),
    })
}

/// Reads an object from JSON. Errors name the path of the field below `prefix`.
///
/// # Errors
/// The first invalid, unknown or missing field.
pub fn parse<T: DeserializeOwned>(json: &str, prefix: &str) -> Result<T, FieldError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(Strict(&mut reader))
        .map_err(|error| field_error(prefix, &error.path().clone(), error.inner()))
}

/// The error of a field: the path below `prefix`, and the reason in terms of JSON.
#[must_use]
pub fn field_error(
    prefix: &str,
    path: &serde_path_to_error::Path,
    error: &serde_json::Error,
) -> FieldError {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&place).unwrap_or(&message);
    // serde reports a missing or duplicate field at the object.
    let words = ["missing field `", "duplicate field `"];
    let of_object = words.iter().find_map(|words| message.strip_prefix(words));
    let path = path.to_string();
    // An unknown field too, where the further fields of an object are read last.
    let unknown = message.strip_prefix("unknown field `");
    let unknown =
        unknown.filter(|rest| !path.ends_with(rest.split('`').next().unwrap_or_default()));
    let missing = of_object.or(unknown).and_then(|rest| rest.split('`').next());
    let parts = [prefix, path.as_str(), missing.unwrap_or_default()];
    let named: Vec<&str> =
        parts.into_iter().filter(|part| !part.is_empty() && *part != ".").collect();
    // Without a path, the whole body has the wrong form.
    let field = if named.is_empty() { "body".to_owned() } else { named.join(".") };
    FieldError { field, error: translate(message) }
}

/// Visits a value and stores only the field names of the objects around the current position.
#[derive(Clone, Copy)]
struct DocumentCheck<'c> {
    containers: &'c Cell<usize>,
}

impl DocumentCheck<'_> {
    fn enter<E: serde::de::Error>(self) -> Result<(), E> {
        self.containers.set(self.containers.get() + 1);
        if self.containers.get() <= MAX_CONTAINERS {
            return Ok(());
        }
        Err(E::custom(format!("the body has more than {MAX_CONTAINERS} objects and arrays")))
    }
}

impl<'de> DeserializeSeed<'de> for DocumentCheck<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DocumentCheck<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        self.enter()?;
        while array.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        self.enter()?;
        let mut names = HashSet::new();
        while let Some(name) = object.next_key::<String>()? {
            if names.len() >= MAX_FIELDS {
                let message = format!("an object has at most {MAX_FIELDS} fields");
                return Err(A::Error::custom(message));
            }
            if names.contains(&name) {
                let message = format!("duplicate field `{name}`; name each field once");
                return Err(A::Error::custom(message));
            }
            names.insert(name);
            object.next_value_seed(self)?;
        }
        Ok(())
    }
}

/// A JSON object with fields that are checked later, against the stored object. The values are kept
/// as text.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// The fields of a serializable object.
    ///
    /// # Errors
    /// When the object does not serialize to a JSON object.
    pub fn from_object<T: Serialize>(object: &T) -> Result<Fields, serde_json::Error> {
        serde_json::from_str(&serde_json::to_string(object)?)
    }

    /// Removes fields.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Fields {
        self.0.retain(|name, _| !names.contains(&name.as_str()));
        self
    }

    /// Removes all other fields.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Fields {
        self.0.retain(|name, _| names.contains(&name.as_str()));
        self
    }

    /// Removes those of the fields whose value is null or an empty text.
    #[must_use]
    pub fn without_empty(mut self, names: &[&str]) -> Fields {
        let is_empty = |value: &RawValue| matches!(value.get(), "null" | "\"\"");
        self.0.retain(|name, value| !names.contains(&name.as_str()) || !is_empty(value));
        self
    }

    /// Removes a field, and returns its JSON text.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).map(|value| value.get().to_owned())
    }

    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Adds fields, which replace fields of the same names.
    #[must_use]
    pub fn overlaid(mut self, over: Fields) -> Fields {
        self.0.extend(over.0);
        self
    }

    /// The JSON object.
    ///
    /// # Errors
    /// Never in practice, because the values are JSON already.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// The elements of an array. Each element is read by itself, so up to [`MAX_WRONG`] errors are
/// reported and not only the first.
#[derive(Debug)]
pub struct Each<T> {
    /// The valid elements.
    pub read: Vec<T>,
    /// The errors of the other elements.
    pub wrong: Vec<FieldError>,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Each<T>, D::Error> {
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

struct Elements<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Elements<T> {
    type Value = Each<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Each<T>, A::Error> {
        let mut each = Each { read: Vec::new(), wrong: Vec::new() };
        let mut index = 0;
        while let Some(element) = array.next_element::<Box<RawValue>>()? {
            match parse(element.get(), &format!("[{index}]")) {
                Ok(element) if each.wrong.is_empty() => each.read.push(element),
                Ok(_) => {}
                Err(error) => each.wrong.push(error),
            }
            index += 1;
            if each.wrong.len() >= MAX_WRONG {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(each)
    }
}

/// Wraps a deserializer and its nested deserializers, so that an object is never read from an
/// array.
pub struct Strict<D>(pub D);

macro_rules! forwarded {
    ($($method:ident($($argument:ident: $kind:ty),*)),+ $(,)?) => {
        $(fn $method<V: Visitor<'de>>(
            self,
            $($argument: $kind,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* Strict(visitor))
        })+
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    forwarded! {
        deserialize_any(), deserialize_bool(), deserialize_i8(), deserialize_i16(),
        deserialize_i32(), deserialize_i64(), deserialize_i128(), deserialize_u8(),
        deserialize_u16(), deserialize_u32(), deserialize_u64(), deserialize_u128(),
        deserialize_f32(), deserialize_f64(), deserialize_char(), deserialize_str(),
        deserialize_string(), deserialize_bytes(), deserialize_byte_buf(), deserialize_option(),
        deserialize_unit(), deserialize_unit_struct(name: &'static str),
        deserialize_newtype_struct(name: &'static str), deserialize_seq(),
        deserialize_tuple(len: usize), deserialize_tuple_struct(name: &'static str, len: usize),
        deserialize_map(), deserialize_identifier(), deserialize_ignored_any(),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Strict(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visited {
    ($($method:ident: $kind:ty),+ $(,)?) => {
        $(fn $method<E: serde::de::Error>(self, value: $kind) -> Result<V::Value, E> {
            self.0.$method(value)
        })+
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visited! {
        visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128,
        visit_f64: f64, visit_char: char, visit_str: &str, visit_borrowed_str: &'de str,
        visit_string: String, visit_bytes: &[u8], visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>,
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(object))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Strict(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Strict(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Strict<A> {
    type Error = A::Error;
    type Variant = Strict<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Strict<A::Variant>), A::Error> {
        let (value, variant) = self.0.variant_seed(Strict(seed))?;
        Ok((value, Strict(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Strict(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Strict(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Strict(visitor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Affiliate, Offer};

    fn refused(text: &str) -> (String, String) {
        match check(text.as_bytes()).unwrap_err() {
            JsonError::Field(FieldError { field, error }) => (field, error),
            JsonError::Syntax(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_field_that_is_named_twice_is_refused_wherever_it_stands() {
        for (text, field) in [
            (r#"{"a": 1, "b": 2, "a": 3}"#, "a"),
            (r#"{"a": {"b": null, "\u0062": []}}"#, "a.b"),
            (r#"[{"a": 1}, {"a": 1, "a": 1}]"#, "[1].a"),
            (r#"{"x": [1, {"y": {"z": "", "z": ""}}]}"#, "x[1].y.z"),
        ] {
            let (found, error) = refused(text);
            assert_eq!(found, field, "{text}");
            assert!(error.contains("once") && !error.contains("column"), "{error}");
        }
        check(br#"[{"a": {"a": 1}}, {"a": [{"a": 1.5}, true, "x", -3, null]}]"#).unwrap();
    }

    #[test]
    fn text_that_is_no_json_is_told_from_json_that_is_not_taken() {
        for text in ["", "{", "{\"a\": }", "[1,]", "1 2", "{\"a\": \"\u{1}\"}", "nul"] {
            let error = check(text.as_bytes()).unwrap_err();
            assert!(matches!(error, JsonError::Syntax(_)), "{text}: {error}");
        }
        assert!(matches!(check(b"\"\xff\""), Err(JsonError::Syntax(_))));
        assert!(matches!(check("[".repeat(1000).as_bytes()), Err(JsonError::Syntax(_))));
    }

    #[test]
    fn a_document_of_nothing_but_brackets_ends_early() {
        let (_, error) = refused(&format!("[{}[0]]", "[0],".repeat(MAX_CONTAINERS)));
        assert!(error.contains("200000 objects and arrays"), "{error}");
        let fields: Vec<String> = (0..=MAX_FIELDS).map(|name| format!("\"{name}\":0")).collect();
        let (_, error) = refused(&format!("{{{}}}", fields.join(",")));
        assert!(error.contains("1000 fields"), "{error}");
    }

    #[test]
    fn an_array_is_never_taken_for_an_object() {
        let error = parse::<Affiliate>(r#"["Anna", "active", ""]"#, "").unwrap_err();
        assert!(error.error.contains("not a list"), "{error:?}");
        let offer = r#"{"name": "x", "offer_status": "active", "network_advertiser_id": 1,
            "destination_url": "https://x.example/", "payout_revenue": [["", "cpa", 1, 0, "rpa"]]}"#;
        assert_eq!(parse::<Offer>(offer, "").unwrap_err().field, "payout_revenue[0]");
        assert!(parse::<Fields>("[]", "").is_err());
    }

    #[test]
    fn each_wrong_element_is_named_and_no_more_than_can_be_read() {
        let text = r#"[{"name": "a", "account_status": "active"}, 7, {"name": "b"}, []]"#;
        let each = parse::<Each<Affiliate>>(text, "").unwrap();
        let fields: Vec<&str> = each.wrong.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["[1]", "[2].account_status", "[3]"]);
        let many = format!("[{}0]", "0,".repeat(5000));
        assert_eq!(parse::<Each<Affiliate>>(&many, "").unwrap().wrong.len(), MAX_WRONG);
        assert_eq!(parse::<Each<u32>>("[1, 2]", "").unwrap().read, [1, 2]);
    }

    #[test]
    fn fields_are_laid_over_an_object_as_they_were_typed() {
        let over: Fields = parse(r#"{"b": [1, {"c": 1.50}], "d": null}"#, "").unwrap();
        let base = Fields::from_object(&serde_json::json!({"a": 1, "b": 2})).unwrap();
        let whole = base.overlaid(over).without(&["d"]);
        assert_eq!(whole.to_json().unwrap(), r#"{"a":1,"b":[1, {"c": 1.50}]}"#);
    }
}
