//! Comparisons of a text of the visit with the texts of a rule.
//!
//! ASCII letters are equal in upper and lower case. A text that the visit does not have is empty:
//! an empty text equals no text of a rule, so only [`Comparison::NotPresent`],
//! [`Comparison::Anything`] and the negative comparisons hold for it.

use rkyv::{Archive, Deserialize, Serialize};

use crate::countries::Country;
use crate::facts::VisitorFacts;
use crate::place::PlaceParts;
use crate::ruleset::sorted_texts::SortedTexts;

/// A text of the visit. The numbers are part of the catalog's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Variable {
    Sub1 = 1,
    Sub2 = 2,
    Sub3 = 3,
    Sub4 = 4,
    Sub5 = 5,
    SourceId = 6,
    /// The English name of the visitor's country.
    CountryName = 7,
    /// The host of the requested link, without port.
    TrackingDomain = 8,
    /// The code as typed.
    CouponCode = 9,
    /// The host of the page the visitor comes from.
    RefererHost = 10,
    /// The number of the visitor's autonomous system, such as `3320`.
    Asn = 11,
    /// The preferred language, such as `pt-BR`.
    Language = 12,
    UserAgent = 13,
}

impl Variable {
    pub const ALL: [Variable; 13] = [
        Variable::Sub1,
        Variable::Sub2,
        Variable::Sub3,
        Variable::Sub4,
        Variable::Sub5,
        Variable::SourceId,
        Variable::CountryName,
        Variable::TrackingDomain,
        Variable::CouponCode,
        Variable::RefererHost,
        Variable::Asn,
        Variable::Language,
        Variable::UserAgent,
    ];

    #[must_use]
    pub fn from_number(number: u8) -> Option<Variable> {
        Variable::ALL.into_iter().find(|variable| *variable as u8 == number)
    }

    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Variable::Sub1 => "sub1",
            Variable::Sub2 => "sub2",
            Variable::Sub3 => "sub3",
            Variable::Sub4 => "sub4",
            Variable::Sub5 => "sub5",
            Variable::SourceId => "source_id",
            Variable::CountryName => "country_name",
            Variable::TrackingDomain => "tracking_domain",
            Variable::CouponCode => "coupon_code",
            Variable::RefererHost => "referer_host",
            Variable::Asn => "asn",
            Variable::Language => "language",
            Variable::UserAgent => "user_agent",
        }
    }

    /// Whether the text is about the visitor. A server that reports a click sends its own.
    #[must_use]
    pub fn describes_visitor(self) -> bool {
        matches!(
            self,
            Variable::CountryName
                | Variable::RefererHost
                | Variable::Asn
                | Variable::Language
                | Variable::UserAgent
        )
    }

    /// Calls `compare` with the visit's text; with `None` if the text is about the visitor and
    /// unknown.
    fn with_text(
        self,
        facts: &impl VisitorFacts,
        compare: impl FnOnce(Option<&[u8]>) -> bool,
    ) -> bool {
        match self {
            Variable::CountryName => {
                let code = facts.look_up_place(PlaceParts::COUNTRY).country;
                compare(Country::find_by_code(code).map(|country| country.name.as_bytes()))
            }
            Variable::Asn => match facts.look_up_place(PlaceParts::ISP).isp.asn {
                0 => compare(None),
                asn => compare(Some(Digits::new(asn).as_bytes())),
            },
            Variable::Language => compare(facts.language()),
            Variable::RefererHost => compare(Some(host_of_url(facts.request_text(self)))),
            _ => compare(Some(facts.request_text(self))),
        }
    }
}

/// How texts are compared.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Comparison {
    /// The text equals one of the rule's.
    ExactMatch = 1,
    /// The text contains one of the rule's.
    Contains = 2,
    /// The text contains none of the rule's.
    DoesNotContain = 3,
    /// The text begins with one of the rule's.
    StartsWith = 4,
    /// The text ends with one of the rule's.
    EndsWith = 5,
    /// There is no text.
    NotPresent = 6,
    /// The text equals none of the rule's.
    DoesNotMatch = 7,
    /// Every text, also an absent one.
    Anything = 8,
}

/// A comparison with the texts of a rule.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct TextMatch {
    comparison: Comparison,
    /// In lower case.
    values: SortedTexts,
}

/// Longest text of a rule, in bytes.
pub const MAX_VALUE_LEN: usize = 256;

impl TextMatch {
    #[must_use]
    pub fn new<'v>(comparison: Comparison, values: impl IntoIterator<Item = &'v str>) -> TextMatch {
        let lower = |value: &str| value.as_bytes().to_ascii_lowercase();
        let values = SortedTexts::new(values.into_iter().map(lower).collect());
        TextMatch { comparison, values }
    }

    /// Whether the comparison holds for a text of the visit. It holds for no unknown text.
    #[must_use]
    pub fn holds(&self, variable: Variable, facts: &impl VisitorFacts) -> bool {
        variable.with_text(facts, |text| text.is_some_and(|text| self.holds_for(text)))
    }

    fn holds_for(&self, text: &[u8]) -> bool {
        match self.comparison {
            Comparison::ExactMatch => self.has(text),
            Comparison::DoesNotMatch => !self.has(text),
            Comparison::Contains => self.has_part_of(text),
            Comparison::DoesNotContain => !self.has_part_of(text),
            Comparison::StartsWith => self.values.iter().any(|value| starts_with(text, value)),
            Comparison::EndsWith => self.values.iter().any(|value| ends_with(text, value)),
            Comparison::NotPresent => text.is_empty(),
            Comparison::Anything => true,
        }
    }

    fn has(&self, text: &[u8]) -> bool {
        let mut lower = [0; MAX_VALUE_LEN];
        let Some(lower) = lower.get_mut(..text.len()) else { return false };
        lower.copy_from_slice(text);
        lower.make_ascii_lowercase();
        self.values.has(lower)
    }

    fn has_part_of(&self, text: &[u8]) -> bool {
        self.values.iter().any(|value| contains(text, value))
    }

    /// Checks what a comparison relies on.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.values.check_order()?;
        let is_usable = |value: &[u8]| (1..=MAX_VALUE_LEN).contains(&value.len());
        match self.values.iter().all(is_usable) {
            true => Ok(()),
            false => Err(format!("one of its values has not 1 to {MAX_VALUE_LEN} bytes")),
        }
    }
}

fn starts_with(text: &[u8], lower: &[u8]) -> bool {
    text.get(..lower.len()).is_some_and(|head| head.eq_ignore_ascii_case(lower))
}

fn ends_with(text: &[u8], lower: &[u8]) -> bool {
    let tail_at = text.len().checked_sub(lower.len());
    tail_at.is_some_and(|at| text[at..].eq_ignore_ascii_case(lower))
}

/// Whether a part of the text equals the text in lower case, in any case of its letters.
pub(crate) fn contains(text: &[u8], lower: &[u8]) -> bool {
    text.windows(lower.len().max(1)).any(|part| part.eq_ignore_ascii_case(lower))
}

/// The host of an `http` address, without user, port and a dot at the end; empty if there is none.
#[must_use]
pub fn host_of_url(url: &[u8]) -> &[u8] {
    let Some(scheme_ends) = url.windows(3).position(|part| part == b"://") else { return b"" };
    let rest = &url[scheme_ends + 3..];
    let authority = until(rest, |byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let name = if host.starts_with(b"[") { host } else { until(host, |byte| byte == b':') };
    name.strip_suffix(b".").unwrap_or(name)
}

fn until(bytes: &[u8], is_end: impl Fn(u8) -> bool) -> &[u8] {
    let end = bytes.iter().position(|byte| is_end(*byte)).unwrap_or(bytes.len());
    &bytes[..end]
}

/// A number in decimal digits, without memory of its own.
struct Digits {
    digits: [u8; 10],
    first: usize,
}

impl Digits {
    fn new(mut number: u32) -> Digits {
        let (mut digits, mut first) = ([b'0'; 10], 10);
        while number > 0 {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Digits { digits, first }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[self.first..]
    }
}

#[cfg(test)]
pub(crate) mod tests;
