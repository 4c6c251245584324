//! What a postback says, before anything of it is believed.
//!
//! Absent means absent: a value that is empty, `null`, `undefined` or a placeholder that nobody
//! filled (`{…}`, `[…]`, `${…}`) counts as none. Of a repeated name the first value that says
//! something counts. What was left out and why stands in [`Claim::steps`]; what could not be read
//! though it decides something stands in [`Claim::problems`]. No bytes are refused outright.
//!
//! Secrets (token, signature and the text it signs) are [`Secret`]s, and [`Claim::parameters`] holds
//! none of them, so a claim can be logged and stored as it is.

use std::fmt;
use std::net::IpAddr;

use coupon_shared::transaction_id::TransactionId;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::error_code::ErrorCode;
use super::step::Steps;
use crate::catalog::{FoldedKey, LARGEST_AMOUNT, Money, RowCode};

mod parameters;

use parameters::{Parameter, Source, cut};

/// Ids taken of one list; a browser's list has at most 50.
const MAX_IDS: usize = 64;
/// Longest text kept of a field that decides nothing.
const MAX_TEXT_BYTES: usize = 256;
/// Longest order id: two orders are never told apart by what was cut off.
const MAX_ORDER_ID_BYTES: usize = 256;
/// Longest value of [`Claim::parameters`].
const MAX_SHOWN_BYTES: usize = 1024;

/// The parts of a postback that say something.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// Where it came from.
    pub address: IpAddr,
    /// It came from a page by the script, and so without `nid`.
    pub is_sdk: bool,
    /// It is a POST.
    pub is_post: bool,
    /// The query without `?`, as sent.
    pub query: &'a [u8],
    /// The body, as sent.
    pub body: &'a [u8],
    /// The header `Content-Type`.
    pub content_type: &'a [u8],
}

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
pub struct ClaimedId {
    /// As sent, cut.
    pub text: String,
    /// The id, where the text is one.
    pub id: Option<TransactionId>,
}

/// The coupon code as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedCode {
    /// As sent, without spaces around it, cut.
    pub typed: String,
    /// What it is looked up by; `None` for what can be no code.
    pub folded: Option<FoldedKey>,
    /// It has the looks of several codes in one field.
    pub looks_like_several: bool,
}

/// Which of an offer's entries it reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimedEvent {
    /// The base conversion.
    Base,
    /// `event_id`
    Id(u32),
    /// `adv_event_id`
    Name(String),
}

/// The signature and what it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `signature`, as sent.
    pub signature: Secret<String>,
    /// The query without the signature, and for a POST a newline and the body.
    pub text: Secret<Vec<u8>>,
}

/// Everything a postback says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where it came from.
    pub address: IpAddr,
    /// It came from a page by the script.
    pub is_sdk: bool,
    /// `nid`
    pub network_id: Option<u32>,
    /// `transaction_id`, without repeats.
    pub transaction_ids: Vec<ClaimedId>,
    /// `coupon_code`
    pub coupon_code: Option<ClaimedCode>,
    /// `oid`
    pub offer_id: Option<u32>,
    /// `affid`
    pub affiliate_id: Option<u32>,
    /// `aid`
    pub advertiser_id: Option<u32>,
    /// `event_id`, else `adv_event_id`
    pub event: ClaimedEvent,
    /// `amount`; below zero for a refund.
    pub amount: Option<Money>,
    /// `currency`, in upper case.
    pub currency: Option<String>,
    /// `order_id`
    pub order_id: Option<String>,
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
    /// Every parameter in its order, decoded and cut, secrets left out.
    pub parameters: Vec<(String, String)>,
    /// The same for postbacks that say the same, whatever their signatures.
    pub likeness: [u8; 32],
    /// What could not be read though it decides something.
    pub problems: Vec<ErrorCode>,
    /// What was left out, and why.
    pub steps: Steps,
}

impl Claim {
    /// Reads a postback.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Claim {
        let mut reader = Reader::new(message);
        Claim {
            address: message.address,
            is_sdk: message.is_sdk,
            network_id: reader.network_id(),
            transaction_ids: reader.transaction_ids(),
            coupon_code: reader.coupon_code(),
            offer_id: reader.number(&["oid", "offer_id"]),
            affiliate_id: reader.number(&["affid", "affiliate_id"]),
            advertiser_id: reader.number(&["aid", "advid"]),
            event: reader.event(),
            amount: reader.amount(),
            currency: reader.value(&["currency"]).map(|p| cut(&p.value, 16).to_ascii_uppercase()),
            order_id: reader.order_id(),
            adv: reader.texts(["adv1", "adv2", "adv3", "adv4", "adv5"]),
            sub: reader.texts(["sub1", "sub2", "sub3", "sub4", "sub5"]),
            email: reader.text("email"),
            verification_token: reader
                .value(&["verification_token"])
                .map(|token| Secret(token.value.clone())),
            timestamp: reader.timestamp(),
            signed: reader.signed(message),
            parameters: reader.shown(),
            likeness: reader.likeness(),
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
    steps: Steps,
    problems: Vec<ErrorCode>,
}

impl Reader {
    fn new(message: &Message<'_>) -> Reader {
        let mut reader =
            Reader { parameters: Vec::new(), steps: Steps::default(), problems: Vec::new() };
        match parameters::read(message) {
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
        let of_name = |name: &'static str| self.parameters.iter().filter(move |p| p.name == name);
        let mut chosen: Option<&Parameter> = None;
        for found in names.iter().flat_map(|name| of_name(name)) {
            match chosen {
                None if found.is_placeholder() => self.steps.note(
                    "counts_as_none",
                    format_args!("{} holds a placeholder and counts as none", found.name),
                ),
                None if !found.value.is_empty() => chosen = Some(found),
                Some(first) if !found.says_nothing() && first.value != found.value => {
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

    fn transaction_ids(&mut self) -> Vec<ClaimedId> {
        let Some(given) = self.value(&["transaction_id", "_ef_transaction_id"]) else {
            return Vec::new();
        };
        let mut ids: Vec<ClaimedId> = Vec::new();
        for text in given.value.split('|').map(str::trim) {
            let claimed = ClaimedId::read(text);
            if !parameters::says_nothing(text) && !ids.iter().any(|known| known.same_as(&claimed)) {
                ids.push(claimed);
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

    fn coupon_code(&mut self) -> Option<ClaimedCode> {
        let given = self.value(&["coupon_code"])?;
        let folded = Some(given.value.as_str()).filter(|_| given.is_utf8).and_then(RowCode::named);
        Some(ClaimedCode {
            looks_like_several: looks_like_several(&given.value),
            folded: folded.map(|code| code.folded()),
            typed: cut(&given.value, MAX_TEXT_BYTES).to_owned(),
        })
    }

    fn event(&mut self) -> ClaimedEvent {
        match self.number(&["event_id"]).filter(|id| *id != 0) {
            Some(id) => ClaimedEvent::Id(id),
            None => match self.value(&["adv_event_id"]) {
                Some(name) => ClaimedEvent::Name(cut(&name.value, MAX_TEXT_BYTES).to_owned()),
                None => ClaimedEvent::Base,
            },
        }
    }

    fn amount(&mut self) -> Option<Money> {
        let given = self.value(&["amount"])?;
        let Some(exact) = read_amount(&given.value) else {
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

    fn order_id(&mut self) -> Option<String> {
        let given = self.value(&["order_id"])?;
        if given.value.len() <= MAX_ORDER_ID_BYTES && given.is_utf8 {
            return Some(given.value);
        }
        let detail =
            format_args!("order_id is no UTF-8, or longer than {MAX_ORDER_ID_BYTES} bytes");
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
        found.find(|p| p.source == Source::Query && !p.says_nothing())
    }

    fn timestamp(&mut self) -> Option<i64> {
        self.in_query("timestamp")?.value.parse().ok()
    }

    fn signed(&mut self, message: &Message<'_>) -> Option<Signed> {
        let signature = self.in_query("signature")?.value.clone();
        let text = Secret(parameters::signed_text(message));
        Some(Signed { signature: Secret(signature), text })
    }

    fn shown(&self) -> Vec<(String, String)> {
        let open = self.parameters.iter().filter(|p| !p.is_secret());
        open.map(|p| (p.name.clone(), cut(&p.value, MAX_SHOWN_BYTES).to_owned())).collect()
    }

    fn likeness(&self) -> [u8; 32] {
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

impl ClaimedId {
    /// Takes an id in upper case too, or as the UUID that some databases make of it.
    fn read(text: &str) -> ClaimedId {
        let digits: String = text.chars().filter(|c| *c != '-').take(33).collect();
        ClaimedId { text: cut(text, 64).to_owned(), id: digits.parse().ok() }
    }

    fn same_as(&self, other: &ClaimedId) -> bool {
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
/// guessed at.
fn read_amount(text: &str) -> Option<Decimal> {
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
