//! Reads the parameters of a postback into fields.

use std::fmt;
use std::net::IpAddr;

use coupon_shared::postback::{Channel, MAX_LISTED_CODES, Postback, split_codes};
use sha2::{Digest, Sha256};

use super::amount;
use super::parameters::{self, Parameter, ParameterSource, cut};
use super::{ListedCode, PostbackFields, Secret, SentCode, SentEvent, SentId, Signed};
use crate::attribution::decision_step::DecisionSteps;
use crate::attribution::error_code::ErrorCode;
use crate::catalog::placeholder::{is_placeholder, is_placeholder_order_id};
use crate::catalog::text::trim_invisible;
use crate::catalog::{LARGEST_AMOUNT, Money, RowCode};

/// Transaction ids read of one list; a browser's list has at most 50.
pub(super) const MAX_IDS: usize = 64;
/// Longest stored text of a field without influence on the decision.
const MAX_TEXT_BYTES: usize = 256;
/// Longest order id and refund id. A longer one is refused, never cut: two ids that differ only in
/// the cut part would become equal.
const MAX_ORDER_ID_BYTES: usize = 256;

impl PostbackFields {
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
            currency: reader.currency(),
            order_id: reader.advertiser_id_text(&["order_id", "order.oid"]),
            refund_id: reader.advertiser_id_text(&["refund_id"]),
            adv: reader.texts(["adv1", "adv2", "adv3", "adv4", "adv5"]),
            sub: reader.texts(["sub1", "sub2", "sub3", "sub4", "sub5"]),
            further: FURTHER.map(|name| (name, reader.text(name))).into_iter().collect(),
            email: reader.text("email"),
            buyer_id: reader.text("user_id"),
            buyer_address: reader.buyer_address(),
            buyer_user_agent: reader.text("user_agent"),
            sold_ms: reader.sold_ms(),
            verification_token: reader
                .value(&["verification_token"])
                .map(|token| Secret(token.value.clone())),
            timestamp: reader.timestamp(),
            signed: reader.signed(postback),
            by_network: None,
            content_hash: reader.content_hash(),
            problems: reader.problems,
            steps: reader.steps,
        }
    }
}

const FURTHER: [&str; 10] =
    ["sub6", "sub7", "sub8", "sub9", "sub10", "adv6", "adv7", "adv8", "adv9", "adv10"];

struct Reader {
    parameters: Vec<Parameter>,
    steps: DecisionSteps,
    problems: Vec<ErrorCode>,
    /// The currency of a sign at the amount.
    amount_currency: Option<&'static str>,
}

impl Reader {
    fn new(postback: &Postback<'_>) -> Reader {
        let mut reader = Reader {
            parameters: Vec::new(),
            steps: DecisionSteps::default(),
            problems: Vec::new(),
            amount_currency: None,
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
        reader.add_order();
        reader
    }

    /// Adds the fields of the JSON object in `order`, which shops send instead of single parameters.
    fn add_order(&mut self) {
        let Some(order) = self.parameters.iter().find(|p| p.name == "order") else { return };
        match parameters::order(&order.value) {
            Ok(fields) => self.parameters.extend(fields),
            Err(_) if order.says_nothing() => {}
            Err(error) => {
                self.steps
                    .note("order_unreadable", format_args!("order is no JSON object: {error}"));
            }
        }
    }

    fn refuse(&mut self, code: ErrorCode, step: &'static str, detail: impl fmt::Display) {
        self.steps.note(step, detail);
        if !self.problems.contains(&code) {
            self.problems.push(code);
        }
    }

    /// The first value that is not empty and no placeholder, by the order of the names.
    fn value(&mut self, names: &[&'static str]) -> Option<Parameter> {
        self.value_unless(is_placeholder, names)
    }

    /// [`Reader::value`] with another rule for placeholders.
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
        let given = self.value(&["coupon_code", "cc", "order.cc"])?;
        let folded =
            Some(given.value.as_str()).filter(|_| given.is_utf8).and_then(RowCode::parse_any);
        if let Some(why) = RowCode::rejection_reason(&given.value) {
            self.steps.note("coupon_code_unreadable", format_args!("coupon_code: {why}"));
        }
        Some(SentCode {
            looks_like_several: looks_like_several(&given.value),
            listed: listed_codes(&given.value),
            folded: folded.map(|code| code.folded()),
            typed: cut(&given.value, MAX_TEXT_BYTES).to_owned(),
        })
    }

    fn event(&mut self) -> SentEvent {
        match self.number(&["event_id"]).filter(|id| *id != 0) {
            Some(id) => SentEvent::Id(id),
            None => match self.value(&["adv_event_id", "event_name"]) {
                Some(name) => SentEvent::Name(cut(&name.value, MAX_TEXT_BYTES).to_owned()),
                None => SentEvent::Base,
            },
        }
    }

    fn amount(&mut self) -> Option<Money> {
        let given = self.value(&["amount", "order.amt"])?;
        self.amount_currency = amount::currency(&given.value);
        let Some(read) = amount::read(&given.value, given.source.is_json_number()) else {
            self.refuse(
                ErrorCode::UnreadableAmount,
                "amount_unreadable",
                format_args!("amount must be a decimal like 1299.00, of at most {LARGEST_AMOUNT}"),
            );
            return None;
        };
        let exact = read.exact;
        if read.is_rewritten {
            let sent = &given.value;
            self.steps.note("amount_read", format_args!("amount {sent} is read as {exact}"));
        }
        let amount = Money::rounded(exact);
        if amount.decimal() != exact {
            self.steps.note(
                "amount_rounded",
                format_args!("amount has more than 6 decimal places and counts as {amount}"),
            );
        }
        Some(amount)
    }

    /// The currency, or the one that a sign at the amount names.
    fn currency(&mut self) -> Option<String> {
        let named = self.value(&["currency"]).map(|p| cut(&p.value, 16).to_ascii_uppercase());
        match (named, self.amount_currency) {
            (Some(named), Some(signed)) if named != signed => {
                let detail = format_args!("amount is in {signed}, and currency is {named}");
                self.refuse(ErrorCode::UnreadableAmount, "amount_unreadable", detail);
                Some(named)
            }
            (named, signed) => named.or(signed.map(str::to_owned)),
        }
    }

    /// An order id or refund id.
    fn advertiser_id_text(&mut self, names: &[&'static str]) -> Option<String> {
        let given = self.value_unless(is_placeholder_order_id, names)?;
        if given.value.len() <= MAX_ORDER_ID_BYTES && given.is_utf8 {
            return Some(given.value);
        }
        let name = &given.name;
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

    /// Reads the query only: a signature covers the body, so a signature in the body proves
    /// nothing.
    fn in_query(&self, name: &str) -> Option<&Parameter> {
        let mut found = self.parameters.iter().filter(|p| p.name == name);
        found.find(|p| p.source == ParameterSource::Query && !p.says_nothing())
    }

    fn timestamp(&mut self) -> Option<i64> {
        self.in_query("timestamp")?.value.parse().ok()
    }

    fn buyer_address(&mut self) -> Option<IpAddr> {
        let given = self.value(&["user_ip"])?;
        let address = given.value.parse().ok();
        if address.is_none() {
            self.steps.note("buyer_unreadable", "user_ip is no address and is ignored");
        }
        address
    }

    /// Unix seconds, or milliseconds, which no time of sale in seconds is large enough to be.
    fn sold_ms(&mut self) -> Option<u64> {
        const FIRST_MILLISECONDS: u64 = 100_000_000_000;
        let given = self.value(&["timestamp"])?;
        let Ok(time) = given.value.parse::<u64>() else {
            self.steps.note("timestamp_unreadable", "timestamp is no Unix time and is ignored");
            return None;
        };
        Some(if time < FIRST_MILLISECONDS { time * 1_000 } else { time })
    }

    fn signed(&mut self, postback: &Postback<'_>) -> Option<Signed> {
        let signature = self.in_query("signature")?.value.clone();
        let texts = Secret(parameters::signed_texts(postback));
        Some(Signed { signature: Secret(signature), texts })
    }

    fn content_hash(&self) -> [u8; 32] {
        let mut pairs: Vec<(&str, &str)> = self
            .parameters
            .iter()
            .filter(|p| !p.is_secret() && p.name != "timestamp" && !p.source.is_order())
            .map(|p| (p.name.as_str(), p.value.as_str()))
            .collect();
        pairs.sort_unstable();
        let mut hash = Sha256::new();
        for text in pairs.into_iter().flat_map(|(name, value)| [name, value]) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

impl SentId {
    /// Also accepts upper case, and the UUID form that some databases produce.
    pub(crate) fn read(text: &str) -> SentId {
        let digits: String = text.chars().filter(|c| *c != '-').take(33).collect();
        SentId { text: cut(text, 64).to_owned(), id: digits.parse().ok() }
    }

    fn same_as(&self, other: &SentId) -> bool {
        if self.id.is_some() { self.id == other.id } else { self.text == other.text }
    }
}

/// True for several words between separators. Asked only about unknown codes: a code without a link
/// may contain separators too.
fn looks_like_several(typed: &str) -> bool {
    parts(typed).count() > 1
}

fn parts(typed: &str) -> impl Iterator<Item = &str> {
    split_codes(typed).map(trim_invisible).filter(|part| !part.is_empty())
}

/// The codes of a list, without repeats; none where the text is a single word.
fn listed_codes(typed: &str) -> Vec<ListedCode> {
    let mut listed: Vec<ListedCode> = Vec::new();
    for part in parts(typed).take(MAX_LISTED_CODES).filter(|_| looks_like_several(typed)) {
        let Some(code) = RowCode::parse_any(part) else { continue };
        let code = ListedCode { typed: part.to_owned(), folded: code.folded() };
        if !listed.iter().any(|known| known.folded == code.folded) {
            listed.push(code);
        }
    }
    listed
}
