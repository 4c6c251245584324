//! Parses the parameters of a postback: those of the query, then those of the body, which is a form
//! or a JSON object.
//!
//! Decoding follows the rules of forms (`+` is a space). Invalid UTF-8 is replaced and flagged in
//! the parameter. Nested JSON objects and lists stay JSON text.

use std::fmt;

use coupon_shared::postback::Postback;
use percent_encoding::percent_decode;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::catalog::placeholder::is_placeholder;
use crate::catalog::text::trim_invisible;

/// Parameters that are read; the reader notes that further ones are ignored.
pub(super) const MAX_PARAMETERS: usize = 200;
const MAX_NAME_BYTES: usize = 64;
const SECRETS: [&str; 2] = ["verification_token", "signature"];

/// The part of the message that contains a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParameterSource {
    Query,
    Form,
    Json {
        /// False for a JSON string.
        is_number: bool,
    },
    /// A field of the object in `order`.
    Order {
        /// False for a JSON string.
        is_number: bool,
    },
}

impl ParameterSource {
    pub(super) fn is_order(self) -> bool {
        matches!(self, ParameterSource::Order { .. })
    }

    pub(super) fn is_json_number(self) -> bool {
        use ParameterSource::{Json, Order};
        matches!(self, Json { is_number: true } | Order { is_number: true })
    }
}

/// A parameter; its value has no surrounding spaces or invisible characters.
#[derive(Clone)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) is_utf8: bool,
    pub(super) source: ParameterSource,
}

impl Parameter {
    fn new(name: &str, value: &str, is_utf8: bool, source: ParameterSource) -> Parameter {
        let name = cut(name, MAX_NAME_BYTES).to_owned();
        Parameter { name, value: trim_invisible(value).to_owned(), is_utf8, source }
    }

    pub(super) fn says_nothing(&self) -> bool {
        is_placeholder(&self.value)
    }

    pub(super) fn is_secret(&self) -> bool {
        is_secret(&self.name)
    }
}

/// Ignores case: a misspelt parameter name may hold the real secret.
pub(super) fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Whether a text contains the name of a secret parameter.
pub(super) fn names_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    SECRETS.iter().any(|secret| lower.contains(secret))
}

/// The longest prefix of at most `most` bytes.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is neither a form nor JSON")]
    OtherType,
    #[error("the body is not a JSON object: {0}")]
    NotJson(serde_json::Error),
}

type ReadResult = Result<Vec<Parameter>, (Vec<Parameter>, BodyError)>;

/// All parameters, at most [`MAX_PARAMETERS`] and one. An error contains the parameters of the
/// query.
pub(super) fn read(postback: &Postback<'_>) -> ReadResult {
    let mut found: Vec<Parameter> = form(postback.query, ParameterSource::Query).collect();
    match read_body(postback) {
        Ok(more) => found.extend(more),
        Err(error) => return Err((found, error)),
    }
    found.truncate(MAX_PARAMETERS + 1);
    Ok(found)
}

fn read_body(postback: &Postback<'_>) -> Result<Vec<Parameter>, BodyError> {
    let body = postback.body.trim_ascii();
    if !postback.is_post || body.is_empty() {
        return Ok(Vec::new());
    }
    match BodyType::detect(postback.content_type, body) {
        BodyType::Form => Ok(form(body, ParameterSource::Form).collect()),
        BodyType::Json => json(body).map_err(BodyError::NotJson),
        BodyType::Other => Err(BodyError::OtherType),
    }
}

/// The media type of a `Content-Type` in lower case, without its parameters; empty for none.
fn media_type(content_type: &[u8]) -> Vec<u8> {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default();
    essence.trim_ascii().to_ascii_lowercase()
}

pub(super) enum BodyType {
    Form,
    Json,
    Other,
}

impl BodyType {
    /// Detects the type by the header, or by the first byte of the body without a header.
    pub(super) fn detect(content_type: &[u8], body: &[u8]) -> BodyType {
        match media_type(content_type).as_slice() {
            b"application/x-www-form-urlencoded" => BodyType::Form,
            b"application/json" | b"text/json" => BodyType::Json,
            b"" if body.starts_with(b"{") => BodyType::Json,
            b"" => BodyType::Form,
            _ => BodyType::Other,
        }
    }
}

fn form(text: &[u8], source: ParameterSource) -> impl Iterator<Item = Parameter> {
    let pairs = text.split(|b| *b == b'&').filter(|pair| !pair.is_empty());
    pairs.take(MAX_PARAMETERS + 1).map(move |pair| {
        let (name, value) = halves(pair);
        let (name, value) = (decoded(name), decoded(value));
        let is_utf8 = std::str::from_utf8(&value).is_ok();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Parameter::new(&text(&name), &text(&value), is_utf8, source)
    })
}

pub(super) fn halves(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|b| *b == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

pub(super) fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_decode(&spaced).collect()
}

/// The fields of the JSON object that shops send as `order`, as `order.…`.
pub(super) fn order(text: &str) -> Result<Vec<Parameter>, serde_json::Error> {
    let fields = json(text.as_bytes())?.into_iter().map(|field| {
        let is_number = field.source.is_json_number();
        let source = ParameterSource::Order { is_number };
        Parameter { name: format!("order.{}", field.name), source, ..field }
    });
    Ok(fields.collect())
}

fn json(body: &[u8]) -> Result<Vec<Parameter>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let members = reader.deserialize_map(Members)?;
    reader.end()?;
    Ok(members)
}

/// Visits the members of an object in their order, including repeated names.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Parameter>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Parameter>, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if members.len() <= MAX_PARAMETERS {
                let json = value.get();
                let is_number = json.starts_with(|c: char| c == '-' || c.is_ascii_digit());
                let source = ParameterSource::Json { is_number };
                members.push(Parameter::new(&name, &text_of(json), true, source));
            }
        }
        Ok(members)
    }
}

/// The text of a JSON string; any other value stays JSON, so a number keeps its notation.
fn text_of(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

/// The texts that may be signed. For a GET this is the query without the signature itself. For a
/// POST these are media type, query and body, separated by newlines; the signature covers the media
/// type, so a body is never read as another type than its sender meant.
///
/// A POST without a media type may also sign query and body alone, as in release 0.1; the release
/// after this one refuses that. Such a text has the `timestamp` on its first line, where the other
/// form has the media type, so neither form can pass for the other.
pub(super) fn signed_texts(postback: &Postback<'_>) -> Vec<Vec<u8>> {
    let is_signed = |pair: &&[u8]| decoded(halves(pair).0) != b"signature";
    let pairs: Vec<&[u8]> = postback.query.split(|b| *b == b'&').filter(is_signed).collect();
    let query = pairs.join(&b'&');
    if !postback.is_post {
        return vec![query];
    }
    let media_type = media_type(postback.content_type);
    let mut texts = vec![[media_type.as_slice(), &query, postback.body].join(&b'\n')];
    if media_type.is_empty() {
        texts.push([query.as_slice(), postback.body].join(&b'\n'));
    }
    texts
}
