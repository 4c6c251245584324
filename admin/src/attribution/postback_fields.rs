//! What a postback says, before anything of it is believed.
//!
//! Absent means absent: a value that is empty, `null`, `undefined` or a placeholder that nobody
//! filled (`{…}`, `[…]`, `${…}`) counts as none, and so do order ids like `0`, `N/A` and `ORDER_ID`.
//! Of a repeated name the first value that says something counts. What was left out and why stands in
//! [`PostbackFields::steps`]; what could not be read though it decides something stands in
//! [`PostbackFields::problems`]. No bytes are refused outright.
//!
//! Secrets (token, signature and the text it signs) are [`Secret`]s, so a claim can be logged;
//! [`without_secrets`] is what is kept of the message itself.

use std::fmt;
use std::net::IpAddr;

use coupon_shared::postback::{Channel, Postback};
use coupon_shared::transaction_id::TransactionId;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::decision_step::DecisionSteps;
use super::error_code::ErrorCode;
use crate::catalog::placeholder::{is_placeholder, is_placeholder_order_id};
use crate::catalog::text::trim_invisible;
use crate::catalog::{FoldedKey, LARGEST_AMOUNT, Money, RowCode};

mod parameters;
mod redaction;

pub use redaction::{url_without_secrets, without_secrets};

use parameters::{Parameter, ParameterSource, cut};

/// Ids taken of one list; a browser's list has at most 50.
const MAX_IDS: usize = 64;
/// Longest text kept of a field that decides nothing.
const MAX_TEXT_BYTES: usize = 256;
/// Longest order id and refund id: two are never told apart by what was cut off.
const MAX_ORDER_ID_BYTES: usize = 256;

/// What is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// The value, for who compares it.
    #[must_use]
    pub fn exposed(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// One member of the list of transaction ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentId {
    /// As sent, cut.
    pub text: String,
    /// The id, where the text is one.
    pub id: Option<TransactionId>,
}

/// The coupon code as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCode {
    /// As sent, without spaces around it, cut.
    pub typed: String,
    /// What it is looked up by; `None` for what can be no code.
    pub folded: Option<FoldedKey>,
    /// It has the looks of several codes in one field.
    pub looks_like_several: bool,
}

/// Which of an offer's entries it reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentEvent {
    /// The base conversion.
    Base,
    /// `event_id`
    Id(u32),
    /// `adv_event_id`
    Name(String),
}

/// The signature and what it may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `signature`, as sent.
    pub signature: Secret<String>,
    /// Whoever signed one of these has signed the postback.
    pub texts: Secret<Vec<Vec<u8>>>,
}

/// Everything a postback says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostbackFields {
    /// Where it came from.
    pub address: IpAddr,
    /// It came from a page by the script.
    pub is_sdk: bool,
    /// `nid`
    pub network_id: Option<u32>,
    /// `transaction_id`, without repeats.
    pub transaction_ids: Vec<SentId>,
    /// `coupon_code`
    pub coupon_code: Option<SentCode>,
    /// `oid`
    pub offer_id: Option<u32>,
    /// `affid`
    pub affiliate_id: Option<u32>,
    /// `aid`
    pub advertiser_id: Option<u32>,
    /// `event_id`, else `adv_event_id`
    pub event: SentEvent,
    /// `amount`; below zero for a refund.
    pub amount: Option<Money>,
    /// `currency`, in upper case.
    pub currency: Option<String>,
    /// `order_id`
    pub order_id: Option<String>,
    /// `refund_id`: the advertiser's number of a refund.
    pub refund_id: Option<String>,
    /// `adv1` … `adv5`
    pub adv: [String; 5],
    /// `sub1` … `sub5`
    pub sub: [String; 5],
    /// `email`
    pub email: String,
    /// `verification_token`
    pub verification_token: Option<Secret<String>>,
    /// `timestamp` of the query.
    pub timestamp: Option<i64>,
    /// `signature` of the query.
    pub signed: Option<Signed>,
    /// The same for postbacks that say the same, whatever their signatures.
    pub content_hash: [u8; 32],
    /// What could not be read though it decides something.
    pub problems: Vec<ErrorCode>,
    /// What was left out, and why.
    pub steps: DecisionSteps,
}

impl PostbackFields {
    /// Reads a postback.
    #[must_use]
    pub fn read(postback: &Postback<'_>) -> PostbackFields {
        let mut reader = Reader::new(postback);
        PostbackFields {
            address: postback.address,
            is_sdk: postback.channel == Channel::Sdk,
            network_id: reader.network_id(),
            transaction_ids: reader.transaction_ids(),
            coupon_code: reader.coupon_code(),
            offer_id: reader.number(&["oid", "offer_id"]),
            affiliate_id: reader.number(&["affid", "affiliate_id"]),
            advertiser_id: reader.number(&["aid", "advid"]),
            event: reader.event(),
            amount: reader.amount(),
            currency: reader.value(&["currency"]).map(|p| cut(&p.value, 16).to_ascii_uppercase()),
            order_id: reader.own_number("order_id"),
            refund_id: reader.own_number("refund_id"),
            adv: reader.texts(["adv1", "adv2", "adv3", "adv4", "adv5"]),
            sub: reader.texts(["sub1", "sub2", "sub3", "sub4", "sub5"]),
            email: reader.text("email"),
            verification_token: reader
                .value(&["verification_token"])
                .map(|token| Secret(token.value.clone())),
            timestamp: reader.timestamp(),
            signed: reader.signed(postback),
            content_hash: reader.content_hash(),
            problems: reader.problems,
            steps: reader.steps,
        }
    }

    /// It takes back from an order.
    #[must_use]
    pub fn is_refund(&self) -> bool {
        self.amount.is_some_and(Money::is_negative)
    }
}

struct Reader {
    parameters: Vec<Parameter>,
    steps: DecisionSteps,
    problems: Vec<ErrorCode>,
}

impl Reader {
    fn new(postback: &Postback<'_>) -> Reader {
        let mut reader = Reader {
            parameters: Vec::new(),
            steps: DecisionSteps::default(),
            problems: Vec::new(),
        };
        match parameters::read(postback) {
            Ok(read) => reader.parameters = read,
            Err((read, unreadable)) => {
                reader.parameters = read;
                reader.refuse(ErrorCode::UnreadableParameter, "body_unreadable", unreadable);
            }
        }
        if reader.parameters.len() > parameters::MAX_PARAMETERS {
            reader.parameters.truncate(parameters::MAX_PARAMETERS);
            let most = parameters::MAX_PARAMETERS;
            reader.steps.note(
                "parameters_left_out",
                format_args!("there are more than {most} parameters; the first ones are read"),
            );
        }
        reader
    }

    fn refuse(&mut self, code: ErrorCode, step: &'static str, detail: impl fmt::Display) {
        self.steps.note(step, detail);
        if !self.problems.contains(&code) {
            self.problems.push(code);
        }
    }

    /// The first value under the names, in their order, that says something.
    fn value(&mut self, names: &[&'static str]) -> Option<Parameter> {
        self.value_unless(is_placeholder, names)
    }

    /// The same with another rule of what says nothing.
    fn value_unless(
        &mut self,
        counts_as_none: fn(&str) -> bool,
        names: &[&'static str],
    ) -> Option<Parameter> {
        let of_name = |name: &'static str| self.parameters.iter().filter(move |p| p.name == name);
        let mut chosen: Option<&Parameter> = None;
        for found in names.iter().flat_map(|name| of_name(name)) {
            match chosen {
                None if found.value.is_empty() => {}
                None if counts_as_none(&found.value) => self.steps.note(
                    "counts_as_none",
                    format_args!("{} holds a placeholder and counts as none", found.name),
                ),
                None => chosen = Some(found),
                Some(first) if !counts_as_none(&found.value) && first.value != found.value => {
                    self.steps.note(
                        "repeated",
                        format_args!("{} is given again, and the first one counts", found.name),
                    );
                }
                _ => {}
            }
        }
        chosen.cloned()
    }

    fn network_id(&mut self) -> Option<u32> {
        let given = self.value(&["nid"])?;
        let number = given.value.parse().ok();
        if number.is_none() {
            self.refuse(ErrorCode::InvalidNetwork, "network_unreadable", "nid is no number");
        }
        number
    }

    fn number(&mut self, names: &[&'static str]) -> Option<u32> {
        let given = self.value(names)?;
        let number = given.value.parse().ok();
        if number.is_none() {
            self.refuse(
                ErrorCode::UnreadableParameter,
                "parameter_unreadable",
                format_args!("{} is no number", given.name),
            );
        }
        number
    }

    fn transaction_ids(&mut self) -> Vec<SentId> {
        let Some(given) = self.value(&["transaction_id", "_ef_transaction_id"]) else {
            return Vec::new();
        };
        let mut ids: Vec<SentId> = Vec::new();
        for text in given.value.split('|').map(trim_invisible) {
            let sent = SentId::read(text);
            if !is_placeholder(text) && !ids.iter().any(|known| known.same_as(&sent)) {
                ids.push(sent);
            }
        }
        if ids.len() > MAX_IDS {
            ids.drain(1..=ids.len() - MAX_IDS);
            self.steps.note(
                "ids_left_out",
                format_args!("the list has more than {MAX_IDS} ids; the first and the last ones are looked at"),
            );
        }
        ids
    }

    fn coupon_code(&mut self) -> Option<SentCode> {
        let given = self.value(&["coupon_code"])?;
        let folded =
            Some(given.value.as_str()).filter(|_| given.is_utf8).and_then(RowCode::parse_any);
        if let Some(why) = RowCode::rejection_reason(&given.value) {
            self.steps.note("coupon_code_unreadable", format_args!("coupon_code: {why}"));
        }
        Some(SentCode {
            looks_like_several: looks_like_several(&given.value),
            folded: folded.map(|code| code.folded()),
            typed: cut(&given.value, MAX_TEXT_BYTES).to_owned(),
        })
    }

    fn event(&mut self) -> SentEvent {
        match self.number(&["event_id"]).filter(|id| *id != 0) {
            Some(id) => SentEvent::Id(id),
            None => match self.value(&["adv_event_id"]) {
                Some(name) => SentEvent::Name(cut(&name.value, MAX_TEXT_BYTES).to_owned()),
                None => SentEvent::Base,
            },
        }
    }

    fn amount(&mut self) -> Option<Money> {
        let given = self.value(&["amount"])?;
        let is_number = given.source == ParameterSource::Json { is_number: true };
        let Some(exact) = read_amount(&given.value, is_number) else {
            self.refuse(
                ErrorCode::UnreadableAmount,
                "amount_unreadable",
                format_args!("amount must be a decimal like 1299.00, of at most {LARGEST_AMOUNT}"),
            );
            return None;
        };
        let amount = Money::rounded(exact);
        if amount.decimal() != exact {
            self.steps.note(
                "amount_rounded",
                format_args!("amount has more than 6 decimal places and counts as {amount}"),
            );
        }
        Some(amount)
    }

    /// The advertiser's number of an order or a refund.
    fn own_number(&mut self, name: &'static str) -> Option<String> {
        let given = self.value_unless(is_placeholder_order_id, &[name])?;
        if given.value.len() <= MAX_ORDER_ID_BYTES && given.is_utf8 {
            return Some(given.value);
        }
        let detail = format_args!("{name} is no UTF-8, or longer than {MAX_ORDER_ID_BYTES} bytes");
        self.refuse(ErrorCode::UnreadableParameter, "parameter_unreadable", detail);
        None
    }

    fn text(&mut self, name: &'static str) -> String {
        let Some(given) = self.value(&[name]) else { return String::new() };
        let kept = cut(&given.value, MAX_TEXT_BYTES);
        if kept.len() < given.value.len() {
            self.steps.note(
                "cut",
                format_args!("{name} is longer than {MAX_TEXT_BYTES} bytes and was cut"),
            );
        }
        kept.to_owned()
    }

    fn texts(&mut self, names: [&'static str; 5]) -> [String; 5] {
        names.map(|name| self.text(name))
    }

    /// Of the query only: nothing in the body can vouch for the body.
    fn in_query(&self, name: &str) -> Option<&Parameter> {
        let mut found = self.parameters.iter().filter(|p| p.name == name);
        found.find(|p| p.source == ParameterSource::Query && !p.says_nothing())
    }

    fn timestamp(&mut self) -> Option<i64> {
        self.in_query("timestamp")?.value.parse().ok()
    }

    fn signed(&mut self, postback: &Postback<'_>) -> Option<Signed> {
        let signature = self.in_query("signature")?.value.clone();
        let texts = Secret(parameters::signed_texts(postback));
        Some(Signed { signature: Secret(signature), texts })
    }

    fn content_hash(&self) -> [u8; 32] {
        let mut said: Vec<(&str, &str)> = self
            .parameters
            .iter()
            .filter(|p| !p.is_secret() && p.name != "timestamp")
            .map(|p| (p.name.as_str(), p.value.as_str()))
            .collect();
        said.sort_unstable();
        let mut hash = Sha256::new();
        for text in said.into_iter().flat_map(|(name, value)| [name, value]) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

impl SentId {
    /// Takes an id in upper case too, or as the UUID that some databases make of it.
    pub(crate) fn read(text: &str) -> SentId {
        let digits: String = text.chars().filter(|c| *c != '-').take(33).collect();
        SentId { text: cut(text, 64).to_owned(), id: digits.parse().ok() }
    }

    fn same_as(&self, other: &SentId) -> bool {
        if self.id.is_some() { self.id == other.id } else { self.text == other.text }
    }
}

/// Several words between separators. A code without a link may look like that and be one all the
/// same, so this is asked only about a code that nobody has.
fn looks_like_several(typed: &str) -> bool {
    let is_between = |c: char| matches!(c, ',' | ';' | '|' | '/' | '+') || c.is_whitespace();
    typed.split(is_between).filter(|part| !part.is_empty()).count() > 1
}

/// Digits, perhaps with a minus before and a point between: no other way of writing an amount is
/// guessed at. A JSON number may have an exponent, since programs write `1e2` for 100.
fn read_amount(text: &str, is_json_number: bool) -> Option<Decimal> {
    if is_json_number && text.contains(['e', 'E']) {
        let exact = Decimal::from_scientific(text).ok()?;
        return Some(exact).filter(|amount| amount.abs() <= LARGEST_AMOUNT);
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, places) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !are_digits(whole) || !are_digits(places) {
        return None;
    }
    // More places than a decimal holds are cut, far behind the place that is rounded to.
    let kept = &text[..text.len() - places.len().saturating_sub(12).min(text.len())];
    let exact = kept.parse::<Decimal>().ok()?;
    Some(exact).filter(|amount| amount.abs() <= LARGEST_AMOUNT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::attribution::sample::{fields, get};

    fn post<'a>(query: &'a str, content_type: &'a str, body: &'a [u8]) -> PostbackFields {
        let content_type = content_type.as_bytes();
        PostbackFields::read(&Postback { is_post: true, content_type, body, ..get(query) })
    }

    fn amount(text: &str) -> Result<Option<String>, ErrorCode> {
        let fields = fields(&format!("amount={text}"));
        match fields.problems.first() {
            Some(problem) => Err(*problem),
            None => Ok(fields.amount.map(|amount| amount.to_string())),
        }
    }

    #[test]
    fn every_field_is_read() {
        let fields = fields(
            "transaction_id=NOON8&coupon_code=Save10&oid=448&affid=9&aid=3&adv_event_id=Lead&amount=12.50\
             &currency=eur&order_id=A%2F1&refund_id=R%2F1&adv1=one&adv5=five&sub2=two&email=a%40example.com\
             &verification_token=s3cret&timestamp=1781524800&signature=abc",
        );
        assert_eq!(fields.network_id, Some(1));
        assert!(fields.transaction_ids[0].id.is_some());
        assert_eq!(
            fields.coupon_code.as_ref().unwrap().folded.as_ref().unwrap().as_str(),
            "save10"
        );
        assert_eq!((fields.offer_id, fields.affiliate_id), (Some(448), Some(9)));
        assert_eq!(fields.advertiser_id, Some(3));
        assert_eq!(fields.event, SentEvent::Name("Lead".into()));
        assert_eq!(fields.amount.unwrap().to_string(), "12.5");
        assert_eq!(fields.currency.as_deref(), Some("EUR"));
        assert_eq!(fields.order_id.as_deref(), Some("A/1"));
        assert_eq!(fields.refund_id.as_deref(), Some("R/1"));
        assert_eq!((fields.adv[0].as_str(), fields.adv[4].as_str()), ("one", "five"));
        assert_eq!(fields.sub[1], "two");
        assert_eq!(fields.email, "a@example.com");
        assert_eq!(fields.timestamp, Some(1_781_524_800));
        assert_eq!((fields.problems.len(), fields.steps.0.len()), (0, 0));
    }

    #[test]
    fn no_secret_is_shown() {
        let fields = fields("verification_token=s3cret&signature=51gned&timestamp=1");
        let shown = format!("{fields:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("51gned"), "{shown}");
        assert_eq!(fields.verification_token.unwrap().exposed(), "s3cret");
    }

    #[test]
    fn a_form_and_a_json_object_say_the_same_as_a_query() {
        let query = fields("oid=10&amount=12.50&order_id=A+1&transaction_id=0");
        let form = post(
            "nid=1",
            "application/x-www-form-urlencoded; charset=utf-8",
            b"oid=10&amount=12.50&order_id=A%201&transaction_id=0",
        );
        let json = post(
            "nid=1",
            "application/json",
            br#"{"oid": 10, "amount": 12.50, "order_id": "A 1", "transaction_id": "0"}"#,
        );
        assert_eq!(form, query);
        assert_eq!(json, query);
        assert_eq!(post("", "", br#"{"nid": "1", "oid": 10}"#).offer_id, Some(10));
        assert_eq!(post("", "", b"nid=1&oid=10").offer_id, Some(10));
    }

    #[test]
    fn a_body_that_cannot_be_read_is_a_problem_and_the_query_counts() {
        for (content_type, body) in [
            ("application/json", &b"{\"oid\": 11"[..]),
            ("application/json", b"[1]"),
            ("application/json", b"{} {}"),
            ("application/xml", b"<oid>11</oid>"),
        ] {
            let fields = post("nid=1&oid=10", content_type, body);
            assert_eq!(fields.problems, [ErrorCode::UnreadableParameter], "{content_type}");
            assert_eq!(fields.offer_id, Some(10));
        }
    }

    #[test]
    fn the_first_value_that_says_something_counts_and_others_are_noted() {
        let fields = fields("order_id=&order_id=null&order_id=A1&order_id=A2&coupon_code=[code]");
        assert_eq!(fields.order_id.as_deref(), Some("A1"));
        assert_eq!(fields.coupon_code, None);
        assert!(fields.steps.has("repeated") && fields.steps.has("counts_as_none"));
        let twice = post(
            "nid=1&order_id=A1",
            "application/json",
            br#"{"order_id": "A2", "order_id": "A3"}"#,
        );
        assert_eq!(twice.order_id.as_deref(), Some("A1"));
    }

    #[test]
    fn words_for_nothing_and_placeholders_count_as_none() {
        for nothing in [
            "",
            "null",
            "NULL",
            "undefined",
            "{tid}",
            "[tid]",
            "$%7Btid%7D",
            "%7B%7Btid%7D%7D",
            "+",
        ] {
            let fields = fields(&format!(
                "transaction_id={nothing}&oid={nothing}&amount={nothing}&event_id={nothing}&order_id={nothing}"
            ));
            assert_eq!(fields.transaction_ids, [], "{nothing}");
            assert_eq!((fields.offer_id, fields.amount, fields.order_id), (None, None, None));
            assert_eq!((fields.event, fields.problems.len()), (SentEvent::Base, 0));
        }
    }

    #[test]
    fn an_order_id_that_stands_for_none_counts_as_none_and_that_is_noted() {
        for none in ["0", "N/A", "ORDER_ID", "%3Corder%3E", "SHOP-{order_id}", "%25%25ORDER%25%25"]
        {
            let fields = fields(&format!("order_id={none}&coupon_code=A1B"));
            assert_eq!((fields.order_id, fields.problems.len()), (None, 0), "{none}");
            let noted = fields.steps.0.iter().find(|step| step.step == "counts_as_none").unwrap();
            assert!(noted.detail.contains("order_id"), "{}", noted.detail);
        }
        assert_eq!(fields("order_id=0&order_id=10").order_id.as_deref(), Some("10"));
        assert_eq!(fields("adv1=0&coupon_code=none").adv[0], "0");
        let json = post("nid=1", "application/json", br#"{"order_id": 0, "amount": 0}"#);
        assert_eq!((json.order_id, json.amount), (None, Some(Money::default())));
    }

    #[test]
    fn invisible_characters_around_a_value_are_cut_and_within_a_code_are_told() {
        for around in ["%EF%BB%BF", "%E2%80%8B", "%C2%A0", "%E2%81%A0%20"] {
            let fields = fields(&format!("coupon_code={around}Save10{around}&amount={around}5"));
            let code = fields.coupon_code.unwrap();
            assert_eq!((code.typed.as_str(), code.folded.unwrap().as_str()), ("Save10", "save10"));
            assert_eq!(fields.amount.unwrap().to_string(), "5");
        }
        let within = fields("coupon_code=Sa%E2%80%8Bve10");
        assert!(within.coupon_code.unwrap().folded.is_none());
        let told = &within.steps.0[0].detail;
        assert!(told.contains("U+200B at position 3"), "{told}");
    }

    #[test]
    fn a_json_number_may_have_an_exponent() {
        let read = |number: &str| {
            let body = format!("{{\"amount\": {number}}}");
            let fields = post("nid=1", "application/json", body.as_bytes());
            assert_eq!(fields.problems.is_empty(), fields.amount.is_some(), "{number}");
            fields.amount.map(|amount| amount.to_string())
        };
        for (number, expected) in [
            ("1e2", "100"),
            ("1.299E+3", "1299"),
            ("-4.5e1", "-45"),
            ("1e-05", "0.00001"),
            ("999999999e0", "999999999"),
        ] {
            assert_eq!(read(number).as_deref(), Some(expected), "{number}");
        }
        for wrong in ["1e9", "1e400", "1e99999999999", "\"1e2\""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(fields("amount=1e2").problems, [ErrorCode::UnreadableAmount]);
    }

    #[test]
    fn only_plain_decimals_are_amounts() {
        for (text, read) in [
            ("12.50", "12.5"),
            ("0", "0"),
            ("-7", "-7"),
            ("+3", "3"),
            ("1299.00", "1299"),
            ("19.990000000000002", "19.99"),
            ("0.0000005", "0.000001"),
            ("999999999.999999", "999999999.999999"),
        ] {
            assert_eq!(amount(text), Ok(Some(read.to_owned())), "{text}");
        }
        for wrong in [
            "1,299.00",
            "12,5",
            "$12",
            "12EUR",
            "1e3",
            "1_000",
            ".5",
            "5.",
            "--1",
            "-",
            "1.2.3",
            "1 000",
            "NaN",
            "Infinity",
            "0x10",
            "%D9%A1%D9%A2",
            "1000000000",
            "99999999999999999999999999999999999",
        ] {
            assert_eq!(amount(wrong), Err(ErrorCode::UnreadableAmount), "{wrong}");
        }
    }

    #[test]
    fn numbers_that_decide_something_must_be_numbers() {
        for wrong in ["oid=ten", "affid=-1", "aid=1.5", "oid=99999999999", "event_id=lead"] {
            assert_eq!(fields(wrong).problems, [ErrorCode::UnreadableParameter], "{wrong}");
        }
        let other = PostbackFields::read(&get("nid=one"));
        assert_eq!(other.problems, [ErrorCode::InvalidNetwork]);
        assert_eq!(fields("event_id=0").event, SentEvent::Base);
        assert_eq!(fields("event_id=0&adv_event_id=lead").event, SentEvent::Name("lead".into()));
        assert_eq!(fields("event_id=7&adv_event_id=lead").event, SentEvent::Id(7));
    }

    #[test]
    fn an_order_id_is_whole_or_nothing_and_other_texts_are_cut() {
        let long = "x".repeat(300);
        assert_eq!(fields(&format!("order_id={long}")).problems, [ErrorCode::UnreadableParameter]);
        assert_eq!(fields("order_id=%FF").problems, [ErrorCode::UnreadableParameter]);
        let cut = fields(&format!("adv1={long}&sub1=%FF"));
        assert_eq!(
            (cut.adv[0].len(), cut.sub[0].as_str(), cut.problems.len()),
            (256, "\u{FFFD}", 0)
        );
        assert!(cut.steps.has("cut"));
    }

    #[test]
    fn ids_are_taken_in_upper_case_and_as_uuids() {
        let ids = fields(
            "transaction_id=0190A5F0-1234-7ABC-8DEF-0123456789AB|0190a5f012347abc8def0123456789ab| x",
        );
        let texts: Vec<_> =
            ids.transaction_ids.iter().map(|c| c.id.map(|id| id.to_string())).collect();
        assert_eq!(texts, [Some("0190a5f012347abc8def0123456789ab".to_owned()), None]);
    }

    #[test]
    fn a_list_of_ids_keeps_its_first_and_its_last() {
        let list: Vec<String> = (0..200).map(|n| format!("{n:032x}")).collect();
        let fields = fields(&format!("transaction_id={}", list.join("|")));
        assert_eq!(fields.transaction_ids.len(), MAX_IDS);
        assert_eq!(fields.transaction_ids[0].text, list[0]);
        assert_eq!(fields.transaction_ids[MAX_IDS - 1].text, list[199]);
        assert!(fields.steps.has("ids_left_out"));
    }

    #[test]
    fn postbacks_that_say_the_same_are_alike_whatever_their_signatures() {
        let first =
            fields("coupon_code=A1B&amount=10&timestamp=1&signature=aa&verification_token=x")
                .content_hash;
        assert_eq!(
            fields("amount=10&coupon_code=A1B&timestamp=2&signature=bb").content_hash,
            first
        );
        for other in [
            "coupon_code=A1B&amount=11",
            "coupon_code=A1B&amount=10&customer=7",
            "coupon_code=A1&amount=B10",
        ] {
            assert_ne!(fields(other).content_hash, first, "{other}");
        }
    }

    #[test]
    fn more_parameters_than_are_read_are_left_out() {
        let many: Vec<String> = (0..1000).map(|n| format!("p{n}=1")).collect();
        let fields = fields(&format!("{}&oid=10", many.join("&")));
        assert_eq!(fields.offer_id, None);
        assert!(fields.steps.has("parameters_left_out"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange_to_read(
            query in prop::collection::vec(any::<u8>(), 0..200),
            body in prop::collection::vec(any::<u8>(), 0..200),
            content_type in prop::sample::select(vec!["", "application/json", "application/x-www-form-urlencoded", "x"]),
        ) {
            let postback = Postback {
                is_post: true, query: &query, body: &body, content_type: content_type.as_bytes(), ..get("")
            };
            let _ = PostbackFields::read(&postback);
            let _ = without_secrets(&postback);
        }

        #[test]
        fn no_values_are_too_strange_to_read(
            name in prop::sample::select(vec!["transaction_id", "coupon_code", "oid", "amount", "event_id", "timestamp"]),
            value in "\\PC{0,40}|[-0-9.,eE|%{}]{0,40}",
        ) {
            fields(&format!("{name}={value}"));
            post("nid=1", "application/json", serde_json::json!({ name: value }).to_string().as_bytes());
        }
    }
}
