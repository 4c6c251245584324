//! Whether a postback identifies a possible sale, as far as the index knows: it names a code that
//! leads to an offer, a genuine click id, or a partner who may run the offer.
//!
//! The answer decides only how many bytes may be kept, never the postback's fate: the admin also
//! knows codes without a link, orders of expired codes, and the senders that an advertiser trusts.
//! Unusable codes are treated like unknown ones, so that neither answer nor time reveals the
//! difference.

use coupon_rules::facts::Nobody;
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::{Reason, Visit, Visitor, decide, decide_without_code};
use coupon_shared::postback::{MAX_LISTED_CODES, split_codes};
use coupon_shared::transaction_id::TransactionId;
use percent_encoding::percent_decode;
use serde_json::{Map, Value};

use crate::live_index::ServedIndex;

/// Targeting binds clicks, not sales.
const NO_VISITOR: Visitor<'static, Nobody> = Visitor::Unchecked;

/// Most pairs read of a query, form or object.
const MAX_PAIRS: usize = 200;

/// The identifying values of a postback.
#[derive(Debug, Default)]
struct IdentifyingValues {
    codes: Vec<String>,
    transaction_ids: Vec<TransactionId>,
    offers: Vec<u32>,
    partners: Vec<u32>,
    names_network: bool,
}

/// Whether query or body identify a possible sale at this time.
pub(super) fn names_something_usable(
    index: &ServedIndex,
    query: &[u8],
    body: &[u8],
    unix_seconds: i64,
) -> bool {
    let named = IdentifyingValues::in_message(query, body);
    named.has_genuine_id(index)
        || named.has_usable_code(index, unix_seconds)
        || named.has_usable_pair(index, unix_seconds)
}

/// Whether a body names the network that the postback is for.
pub(super) fn names_network(body: &[u8]) -> bool {
    IdentifyingValues::in_message(b"", body).names_network
}

impl IdentifyingValues {
    fn in_message(query: &[u8], body: &[u8]) -> IdentifyingValues {
        let mut named = IdentifyingValues::default();
        named.read_form(query);
        let body = body.trim_ascii();
        if body.starts_with(b"{") {
            named.read_json(body);
        } else {
            named.read_form(body);
        }
        named
    }

    fn read_form(&mut self, form: &[u8]) {
        for pair in form.split(|byte| *byte == b'&').take(MAX_PAIRS) {
            // A value may contain further `=`.
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let (name, value) = (halves.next(), halves.next());
            if let Some((name, value)) = name.zip(value) {
                self.read_pair(&decode_form_text(name), &decode_form_text(value));
            }
        }
    }

    fn read_json(&mut self, body: &[u8]) {
        let members = serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
        for (name, value) in members.iter().take(MAX_PAIRS) {
            match value {
                Value::String(text) => self.read_pair(name, text),
                Value::Number(number) => self.read_pair(name, &number.to_string()),
                Value::Object(order) if name == "order" => self.read_order(order),
                _ => {}
            }
        }
    }

    fn read_pair(&mut self, name: &str, value: &str) {
        let value = value.trim();
        match name {
            "nid" => self.names_network = true,
            "coupon_code" | "cc" => self.read_codes(value),
            "order" => self.read_order(&serde_json::from_str(value).unwrap_or_default()),
            "transaction_id" | "_ef_transaction_id" => {
                // Several ids in one parameter are separated by `|`.
                let ids = value.split('|').filter_map(|id| id.trim().parse::<TransactionId>().ok());
                self.transaction_ids.extend(ids.take(MAX_PAIRS));
            }
            "oid" | "offer_id" => self.offers.extend(value.parse::<u32>()),
            "affid" | "affiliate_id" => self.partners.extend(value.parse::<u32>()),
            _ => {}
        }
    }

    /// The codes of an order, which shops send as a JSON object.
    fn read_order(&mut self, order: &Map<String, Value>) {
        if let Some(codes) = order.get("cc").and_then(Value::as_str) {
            self.read_codes(codes);
        }
    }

    /// A code, or each of a list.
    fn read_codes(&mut self, value: &str) {
        self.codes.push(value.to_owned());
        let listed = split_codes(value).filter(|code| !code.is_empty() && *code != value);
        self.codes.extend(listed.take(MAX_LISTED_CODES).map(str::to_owned));
    }

    fn has_genuine_id(&self, index: &ServedIndex) -> bool {
        let key = index.catalog().click_id_key();
        self.transaction_ids.iter().any(|id| id.verify(&key))
    }

    fn has_usable_code(&self, index: &ServedIndex, unix_seconds: i64) -> bool {
        let codes = self.codes.iter().filter_map(|code| FoldedCode::fold(code.as_bytes()).ok());
        let mut rows = codes.map(|code| index.lookup(&code));
        rows.any(|rows| {
            let visit = Visit {
                rows,
                offer_id: None,
                offer_url_id: None,
                domain: None,
                visitor: NO_VISITOR,
            };
            let click = decide(index.catalog(), &visit, unix_seconds).click;
            click.is_some_and(|click| click.reason == Reason::Redirected)
        })
    }

    fn has_usable_pair(&self, index: &ServedIndex, unix_seconds: i64) -> bool {
        let (Some(offer), Some(partner)) = (self.offers.first(), self.partners.first()) else {
            return false;
        };
        let visit = Visit {
            rows: None,
            offer_id: Some(*offer),
            offer_url_id: None,
            domain: None,
            visitor: NO_VISITOR,
        };
        let decision = decide_without_code(index.catalog(), &visit, *partner, unix_seconds);
        decision.click.is_some_and(|click| click.reason == Reason::Redirected)
    }
}

/// Decodes a form's text: `+` is a space.
fn decode_form_text(text: &[u8]) -> String {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_decode(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(query: &str, body: &str) -> (Vec<String>, usize, Vec<u32>, Vec<u32>) {
        let named = IdentifyingValues::in_message(query.as_bytes(), body.as_bytes());
        (named.codes, named.transaction_ids.len(), named.offers, named.partners)
    }

    #[test]
    fn query_form_and_json_are_looked_at() {
        let id = "019a7afd1e7b70008050c04d6e9b9dd2";
        let code = |code: &str| vec![code.to_owned()];
        assert_eq!(
            named(&format!("nid=1&coupon_code=+a%41&transaction_id=x|{id}&oid=4"), "affid=7"),
            (code("aA"), 1, vec![4], vec![7])
        );
        assert_eq!(
            named("nid=1", r#" {"coupon_code": "B", "oid": 4, "affid": "7", "x": {"oid": 5}}"#),
            (code("B"), 0, vec![4], vec![7])
        );
        let codes = |query: &str| named(query, "").0;
        assert_eq!(codes("cc=A%41,B1"), ["AA,B1", "AA", "B1"]);
        assert_eq!(codes(r#"order={"oid":4,"cc":"SUMMER"}"#), ["SUMMER"]);
        assert_eq!(named("", r#"{"order": {"cc": "A1 B2", "oid": 9}}"#).0, ["A1 B2", "A1", "B2"]);
        for body in ["a=1&nid=1", "%6Eid=1", r#"{"nid": 1}"#, r#"{"a": [], "nid": "1"}"#] {
            assert!(names_network(body.as_bytes()), "{body}");
        }
        for body in ["", "nid", "nidx=1", "a=nid", r#"{"a": {"nid": 1}}"#, "{\"nid\": 1"] {
            assert!(!names_network(body.as_bytes()), "{body}");
        }
        assert_eq!(named("oid=x&affid", "{\"oid\":"), (vec![], 0, vec![], vec![]));
    }
}
