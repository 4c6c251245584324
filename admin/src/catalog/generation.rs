//! Generated codes: a pattern with `#` for characters of an alphabet, and the common fields of all
//! codes.
//!
//! `edit` chooses the codes, because only the store knows which codes are taken.

use coupon_shared::code::{MAX_LEN, MIN_LEN, RESERVED};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::coupon_code::{CheckedCode, CouponCodeEdit, CouponStatus};
use super::placeholder;
use super::problems::{FieldError, Problems};
use super::row_code::RowCode;
use super::{day, id};

/// Most codes of one request.
const MAX_COUNT: u32 = 100_000;
/// Letters and digits that people do not confuse when reading or hearing: no I, L, O, 0 and 1.
const ALPHABET: &str = "ABCDEFGHJKMNPQRSTUVWXYZ23456789";
const PLACE: u8 = b'#';

/// A request for generated codes, before the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Letters, digits and `#`; each `#` becomes a character of the alphabet.
    #[schema(example = "SUMMER####")]
    pub pattern: String,
    /// The number of codes.
    #[schema(minimum = 1, example = 10)]
    pub count: u32,
    /// Characters for `#`; empty: letters and digits that people do not confuse.
    #[serde(default)]
    pub alphabet: String,
    /// The offer of the codes.
    pub network_offer_id: u32,
    /// The partner who owns the codes; absent: assigned later.
    #[serde(default, with = "id")]
    #[schema(value_type = Option<u32>)]
    pub network_affiliate_id: Option<u32>,
    /// The status of the codes.
    pub coupon_status: CouponStatus,
    /// The first valid day.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", example = "2026-12-31")]
    pub start_date: Option<Date>,
    /// The last valid day.
    #[serde(default, with = "day")]
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$", example = "2026-12-31")]
    pub end_date: Option<Date>,
    /// Shown to the partner; plain text or HTML.
    #[serde(default)]
    pub description: String,
    /// The description is plain text, not HTML.
    #[serde(default = "plain")]
    pub is_description_plain_text: bool,
    /// Never shown to the partner.
    #[serde(default)]
    pub internal_notes: String,
}

fn plain() -> bool {
    true
}

/// A valid request for generated codes.
#[derive(Debug, Clone)]
pub struct CheckedGeneration {
    /// The form of the codes.
    pub pattern: Pattern,
    /// The number of codes.
    pub count: u32,
    /// The other fields of every code; the code of the template is a filler.
    pub template: CheckedCode,
}

impl Generation {
    /// Checks the request without the store.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(self) -> Result<CheckedGeneration, Vec<FieldError>> {
        let mut problems = Problems::default();
        let pattern = Pattern::read(&mut problems, &self.pattern, &self.alphabet);
        if !(1..=MAX_COUNT).contains(&self.count) {
            problems.add("count", format!("must be a whole number from 1 to {MAX_COUNT}"));
        }
        let template = CouponCodeEdit {
            coupon_code: "GENERATED".into(),
            network_offer_id: self.network_offer_id,
            network_affiliate_id: self.network_affiliate_id,
            coupon_status: self.coupon_status,
            start_date: self.start_date,
            end_date: self.end_date,
            description: self.description,
            is_description_plain_text: self.is_description_plain_text,
            internal_notes: self.internal_notes,
            allow_reissue: false,
            conversion_only: false,
        };
        let template = template.check().map_err(|wrong| {
            wrong.into_iter().for_each(|e| problems.add(e.field, e.error));
        });
        let (Some(pattern), Ok(template)) = (pattern, template) else {
            return Err(problems.finish().err().unwrap_or_default());
        };
        problems.finish().map(|()| CheckedGeneration { pattern, count: self.count, template })
    }
}

#[derive(Debug, thiserror::Error)]
enum PatternError {
    #[error("codes have {MIN_LEN} to {MAX_LEN} characters; this pattern has {0}")]
    Length(usize),
    #[error(
        "has only letters A-Z, a-z, digits and `#`; the character at position {0} is something else"
    )]
    Character(usize),
    #[error("has no `#`, so it is one code; create that instead")]
    NoPlace,
}

fn check_pattern(text: &str) -> Result<Vec<u8>, PatternError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == char::from(PLACE);
    if let Some(at) = text.chars().position(|c| !allowed(c)) {
        return Err(PatternError::Character(at + 1));
    }
    if !(MIN_LEN..=MAX_LEN).contains(&text.len()) {
        return Err(PatternError::Length(text.len()));
    }
    if !text.as_bytes().contains(&PLACE) {
        return Err(PatternError::NoPlace);
    }
    Ok(text.into())
}

#[derive(Debug, thiserror::Error)]
enum AlphabetError {
    #[error("has only letters A-Z, a-z and digits")]
    Character,
    #[error("has `{0}` twice; codes do not differ by their case")]
    Twice(char),
}

fn check_alphabet(text: &str) -> Result<Vec<u8>, AlphabetError> {
    let alphabet = if text.is_empty() { ALPHABET } else { text }.as_bytes();
    for (at, byte) in alphabet.iter().enumerate() {
        if !byte.is_ascii_alphanumeric() {
            return Err(AlphabetError::Character);
        }
        if alphabet[..at].iter().any(|other| other.eq_ignore_ascii_case(byte)) {
            return Err(AlphabetError::Twice(char::from(*byte)));
        }
    }
    Ok(alphabet.to_vec())
}

/// The form of generated codes.
#[derive(Debug, Clone)]
pub struct Pattern {
    pattern: Vec<u8>,
    alphabet: Vec<u8>,
}

impl Pattern {
    /// Reads a pattern and an alphabet; an empty alphabet is the default one.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn parse(pattern: &str, alphabet: &str) -> Result<Pattern, Vec<FieldError>> {
        let mut problems = Problems::default();
        let pattern = Pattern::read(&mut problems, pattern, alphabet);
        let wrong = problems.finish().err();
        pattern.ok_or_else(|| wrong.unwrap_or_default())
    }

    fn read(problems: &mut Problems, pattern: &str, alphabet: &str) -> Option<Pattern> {
        let pattern = problems.take("pattern", check_pattern(pattern));
        let alphabet = problems.take("alphabet", check_alphabet(alphabet));
        Some(Pattern { pattern: pattern?, alphabet: alphabet? })
    }

    /// The number of possible codes; `None` if that exceeds `u64`.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        let places = self.pattern.iter().filter(|byte| **byte == PLACE).count();
        (self.alphabet.len() as u64).checked_pow(u32::try_from(places).ok()?)
    }

    /// Builds a code: `digit` is called once for each `#` with the size of the alphabet, and
    /// returns a number below that size.
    ///
    /// `None` for a reserved word or a placeholder.
    ///
    /// # Errors
    /// The error of `digit`.
    pub fn code<E>(
        &self,
        mut digit: impl FnMut(u64) -> Result<u64, E>,
    ) -> Result<Option<RowCode>, E> {
        let mut code = String::with_capacity(self.pattern.len());
        for byte in &self.pattern {
            let chosen = match *byte {
                PLACE => self.alphabet[digit(self.alphabet.len() as u64)? as usize],
                fixed => fixed,
            };
            code.push(char::from(chosen));
        }
        Ok(RowCode::parse(&code, false).ok().filter(|code| code.check_new().is_ok()))
    }

    /// The number of reserved words that match the pattern.
    #[must_use]
    pub fn reserved(&self) -> usize {
        Pattern::reserved_words().filter(|word| self.matches(word.as_bytes())).count()
    }

    /// Words that are never generated.
    pub fn reserved_words() -> impl Iterator<Item = &'static str> {
        RESERVED.into_iter().chain(placeholder::WORDS)
    }

    fn matches(&self, word: &[u8]) -> bool {
        word.len() == self.pattern.len()
            && self.pattern.iter().zip(word).all(|(pattern, byte)| match *pattern {
                PLACE => self.alphabet.iter().any(|letter| letter.eq_ignore_ascii_case(byte)),
                fixed => fixed.eq_ignore_ascii_case(byte),
            })
    }

    /// A SQLite `GLOB` pattern that matches exactly the folded codes of this pattern.
    #[must_use]
    pub fn glob(&self) -> String {
        let folded = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
        let place = format!("[{}]", folded(&self.alphabet));
        folded(&self.pattern).replace(char::from(PLACE), &place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(over: serde_json::Value) -> Generation {
        let mut base = serde_json::json!({
            "pattern": "SUMMER####", "count": 10, "network_offer_id": 1, "coupon_status": "active",
        });
        base.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        serde_json::from_value(base).unwrap()
    }

    #[test]
    fn a_pattern_is_right_or_its_wrong_fields_are_named() {
        let cases = [
            (serde_json::json!({}), vec![]),
            (serde_json::json!({"pattern": "###", "alphabet": "aB1"}), vec![]),
            (serde_json::json!({"pattern": "SUMMER"}), vec!["pattern"]),
            (serde_json::json!({"pattern": "S-##"}), vec!["pattern"]),
            (serde_json::json!({"pattern": "##"}), vec!["pattern"]),
            (serde_json::json!({"pattern": "#".repeat(65)}), vec!["pattern"]),
            (serde_json::json!({"alphabet": "aA"}), vec!["alphabet"]),
            (serde_json::json!({"alphabet": "a#"}), vec!["alphabet"]),
            (
                serde_json::json!({"count": 0, "start_date": "2026-02-01", "end_date": "2026-01-01"}),
                vec!["count", "end_date"],
            ),
            (serde_json::json!({"count": 100_001}), vec!["count"]),
        ];
        for (over, expected) in cases {
            let wrong = generation(over.clone()).check().err().unwrap_or_default();
            let fields: Vec<&str> = wrong.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(fields, expected, "{over}");
        }
    }

    #[test]
    fn the_default_alphabet_has_no_look_alikes() {
        assert!(ALPHABET.bytes().all(|byte| !b"IiLlOo01".contains(&byte)));
        let pattern = generation(serde_json::json!({})).check().unwrap().pattern;
        assert_eq!(pattern.size(), Some(31 * 31 * 31 * 31));
    }

    #[test]
    fn a_pattern_knows_its_codes() {
        let wanted = serde_json::json!({"pattern": "C#K", "alphabet": "LXY"});
        let pattern = generation(wanted).check().unwrap().pattern;
        let code = |digit| pattern.code(|_| Ok::<_, ()>(digit)).unwrap();
        assert_eq!(code(0), None, "clk is reserved");
        assert_eq!(code(2).unwrap().as_str(), "CYK");
        assert_eq!((pattern.size(), pattern.reserved()), (Some(3), 1));
        assert_eq!(pattern.glob(), "c[lxy]k");
        let wanted = serde_json::json!({"pattern": "NU#L", "alphabet": "LX"});
        let pattern = generation(wanted).check().unwrap().pattern;
        assert_eq!(pattern.code(|_| Ok::<_, ()>(0)).unwrap(), None, "null is a word for nothing");
        assert_eq!((pattern.size(), pattern.reserved()), (Some(2), 1));
        let vast = generation(serde_json::json!({"pattern": "#".repeat(64)})).check().unwrap();
        assert_eq!(vast.pattern.size(), None);
    }
}
