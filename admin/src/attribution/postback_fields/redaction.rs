//! Removes the values of secrets from the text of a postback before the text is stored.
//!
//! A body that cannot be parsed is stored as received, unless it contains the name of a secret;
//! then the whole body is removed.

use std::fmt;

use coupon_shared::postback::Postback;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::parameters::{BodyType, decoded, halves, is_secret, names_secret};

const LEFT_OUT: &str = "…";
/// Objects and lists below this depth are removed.
const MAX_DEPTH: usize = 16;

/// Query and body as text, without the values of secrets.
#[must_use]
pub fn without_secrets(postback: &Postback<'_>) -> (String, String) {
    let body = match BodyType::detect(postback.content_type, postback.body.trim_ascii()) {
        BodyType::Form => redact_form(postback.body),
        BodyType::Json => {
            redact_json(postback.body).unwrap_or_else(|_| redact_unparsed(postback.body))
        }
        BodyType::Other => redact_unparsed(postback.body),
    };
    (redact_form(postback.query), body)
}

/// A page's URL without the values of secrets: the URL of a shop's page may contain the parameters
/// of its postback.
#[must_use]
pub fn url_without_secrets(url: &[u8]) -> String {
    let (page, query) = match url.iter().position(|byte| matches!(byte, b'?' | b'#')) {
        Some(at) => url.split_at(at),
        None => (url, &[][..]),
    };
    let page = String::from_utf8_lossy(page);
    let Some((sign, query)) = query.split_first() else { return page.into_owned() };
    let shown: Vec<String> = query.split(|byte| *byte == b'#').map(redact_form).collect();
    format!("{page}{}{}", char::from(*sign), shown.join("#"))
}

fn redact_form(text: &[u8]) -> String {
    let pairs: Vec<String> = text.split(|byte| *byte == b'&').map(redact_pair).collect();
    pairs.join("&")
}

fn redact_pair(pair: &[u8]) -> String {
    let (name, value) = halves(pair);
    let (read_name, read_value) = (decoded(name), decoded(value));
    let text = |bytes| String::from_utf8_lossy(bytes);
    if is_secret(text(&read_name).trim()) || names_secret(&text(&read_value)) {
        return format!("{}={LEFT_OUT}", String::from_utf8_lossy(name));
    }
    String::from_utf8_lossy(pair).into_owned()
}

fn redact_unparsed(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    if names_secret(&text) { LEFT_OUT.to_owned() } else { text }
}

fn redact_json(body: &[u8]) -> Result<String, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let text = reader.deserialize_any(JsonRedactor { depth: 0 })?;
    reader.end()?;
    Ok(text)
}

/// The JSON text of a value without the values of secrets.
fn redact_value(raw: &RawValue, depth: usize) -> Result<String, serde_json::Error> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{' | b'[') if depth >= MAX_DEPTH => Ok(format!("\"{LEFT_OUT}\"")),
        Some(b'{' | b'[') => {
            serde_json::Deserializer::from_str(text).deserialize_any(JsonRedactor { depth })
        }
        _ if names_secret(text) => Ok(format!("\"{LEFT_OUT}\"")),
        _ => Ok(text.to_owned()),
    }
}

struct JsonRedactor {
    depth: usize,
}

impl<'de> Visitor<'de> for JsonRedactor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut members = Vec::new();
        while let Some((name, raw)) = map.next_entry::<String, Box<RawValue>>()? {
            let shown = if is_secret(name.trim()) {
                format!("\"{LEFT_OUT}\"")
            } else {
                redact_value(&raw, self.depth + 1).map_err(serde::de::Error::custom)?
            };
            members.push(format!("{}:{shown}", serde_json::Value::String(name)));
        }
        Ok(format!("{{{}}}", members.join(",")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<String, A::Error> {
        let mut elements = Vec::new();
        while let Some(raw) = list.next_element::<Box<RawValue>>()? {
            elements.push(redact_value(&raw, self.depth + 1).map_err(serde::de::Error::custom)?);
        }
        Ok(format!("[{}]", elements.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::sample::get;

    fn redacted_body(content_type: &str, body: &str) -> String {
        let (content_type, body) = (content_type.as_bytes(), body.as_bytes());
        without_secrets(&Postback { is_post: true, content_type, body, ..get("") }).1
    }

    #[test]
    fn a_page_that_is_told_as_referer_keeps_its_secrets() {
        for (url, shown) in [
            ("https://shop.example/thanks", "https://shop.example/thanks"),
            ("https://shop.example/?a=1&b", "https://shop.example/?a=1&b"),
            (
                "https://shop.example/ok?verification_token=s3cret&o=1#signature=s3cret",
                "https://shop.example/ok?verification_token=…&o=1#signature=…",
            ),
            (
                "https://shop.example/#Verification_Token=s3",
                "https://shop.example/#Verification_Token=…",
            ),
            ("https://shop.example/?u=%3Fverification_token%3Ds3cret", "https://shop.example/?u=…"),
            ("", ""),
        ] {
            assert_eq!(url_without_secrets(url.as_bytes()), shown, "{url}");
        }
    }

    #[test]
    fn only_the_values_of_secrets_are_left_out_of_a_query() {
        for (query, shown) in [
            ("nid=1&oid=%31&amount=1,2", "nid=1&oid=%31&amount=1,2"),
            ("a&&verification_token=s3cret&b=", "a&&verification_token=…&b="),
            ("verification%5Ftoken=s3cret", "verification%5Ftoken=…"),
            ("Signature=s3cret&signature=s3cret", "Signature=…&signature=…"),
            ("data=%7B%22signature%22%3A%22s3cret%22%7D", "data=…"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(&get(query)).0, shown);
        }
    }

    #[test]
    fn no_secret_is_left_in_a_body_however_deep() {
        let deep = format!("{}{}{}", "[".repeat(40), r#"{"signature":"s3cret"}"#, "]".repeat(40));
        for (content_type, body) in [
            ("application/json", r#"{"verification_token": "s3cret", "oid": 1}"#),
            ("application/json", r#"{"a": [{"signature": {"b": "s3cret"}}], "oid": 1}"#),
            ("application/json", r#"{"verification\u005ftoken": "s3cret", "oid": 1}"#),
            ("application/json", r#"{"query": "verification_token=s3cret"}"#),
            ("application/json", r#"{"verification_token": "s3cret""#),
            ("application/json", &deep),
            ("application/x-www-form-urlencoded", "oid=1&verification_token=s3cret"),
            ("text/plain", "verification_token: s3cret"),
            ("", r#"{"verification_token": "s3cret"}"#),
        ] {
            let shown = redacted_body(content_type, body);
            assert!(!shown.contains("s3cret") && shown.contains(LEFT_OUT), "{shown}");
        }
        assert_eq!(
            redacted_body("application/json", r#"{"amount": 12.50, "a": [1, "x"]}"#),
            r#"{"amount":12.50,"a":[1,"x"]}"#
        );
    }
}
