//! The code of a row, as typed: one that links carry, or one that only conversions name.
//!
//! Both are compared folded (ASCII upper case becomes lower case), and [`FoldedKey`] can only be
//! made by folding, so a code is never looked up as it was typed. Only the first kind is published.

use coupon_shared::code::{CodeError, CouponCode};

use super::{placeholder, text};

/// Longest code of either kind, in bytes.
const MAX_BYTES: usize = 64;

/// A code that is right by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowCode {
    /// Stands in a link.
    Linked(CouponCode),
    /// Has no link; a merchant's own form, such as `SAVE-20`.
    ConversionOnly(String),
}

/// Why something is not a code. The message says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::catalog) enum RowCodeError {
    /// Not what a link can carry, but it could be a code without one.
    #[error("{0} (with conversion_only: true it can be a code without a link)")]
    OnlyWithoutLink(CodeError),
    /// Not what a link can carry.
    #[error("{0}")]
    NoLink(CodeError),
    /// Nothing is left of it.
    #[error("must not be empty")]
    Empty,
    /// Too long for either kind.
    #[error("a coupon code has at most {MAX_BYTES} characters; this one has {0}")]
    TooLong(usize),
    /// Something else than printable ASCII.
    #[error(
        "a code for conversions only has printable ASCII characters; the character at position {0} is something else"
    )]
    NotPrintable(usize),
    /// A space that nobody sees.
    #[error("remove the space before or after it")]
    Space,
    /// A character that nobody sees.
    #[error("remove the invisible character U+{:04X} at position {at}", u32::from(*.character))]
    Invisible {
        /// Its place, from 1.
        at: usize,
        /// Which.
        character: char,
    },
    /// In a postback it would count as none.
    #[error(
        "shops send `{0}` where they have no coupon code, so its conversions could not be attributed; choose another code"
    )]
    Placeholder(String),
}

impl RowCode {
    pub(in crate::catalog) fn parse(
        typed: &str,
        conversion_only: bool,
    ) -> Result<RowCode, RowCodeError> {
        if typed.trim() != typed {
            return Err(RowCodeError::Space);
        }
        if let Some((at, character)) =
            (1..).zip(typed.chars()).find(|(_, c)| text::is_invisible(*c))
        {
            return Err(RowCodeError::Invisible { at, character });
        }
        if conversion_only {
            return check_printable(typed).map(|()| RowCode::ConversionOnly(typed.into()));
        }
        CouponCode::parse(typed).map(RowCode::Linked).map_err(|error| {
            match check_printable(typed) {
                Ok(()) => RowCodeError::OnlyWithoutLink(error),
                Err(_) => RowCodeError::NoLink(error),
            }
        })
    }

    /// That it can be created: a postback that names it is not read as one without a code.
    pub(in crate::catalog) fn check_new(&self) -> Result<(), RowCodeError> {
        let code = self.as_str();
        let is_placeholder = placeholder::is_placeholder(code);
        if is_placeholder { Err(RowCodeError::Placeholder(code.into())) } else { Ok(()) }
    }

    /// Why a text can be no code of either kind.
    #[must_use]
    pub fn why_none(typed: &str) -> Option<String> {
        RowCode::parse(typed, true).err().map(|error| error.to_string())
    }

    /// A code of either kind that somebody names without saying which; `None` for what can be none.
    #[must_use]
    pub fn named(typed: &str) -> Option<RowCode> {
        RowCode::parse(typed, true).ok()
    }

    /// As typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            RowCode::Linked(code) => code.as_str(),
            RowCode::ConversionOnly(code) => code,
        }
    }

    /// Has no link and is not published.
    #[must_use]
    pub fn is_conversion_only(&self) -> bool {
        matches!(self, RowCode::ConversionOnly(_))
    }

    /// Under which it is stored and looked up.
    #[must_use]
    pub fn folded(&self) -> FoldedKey {
        FoldedKey(self.as_str().to_ascii_lowercase())
    }
}

fn check_printable(typed: &str) -> Result<(), RowCodeError> {
    if typed.is_empty() {
        return Err(RowCodeError::Empty);
    }
    let is_printable = |c: char| c.is_ascii_graphic() || c == ' ';
    if let Some(at) = typed.chars().position(|c| !is_printable(c)) {
        return Err(RowCodeError::NotPrintable(at + 1));
    }
    if typed.len() > MAX_BYTES { Err(RowCodeError::TooLong(typed.len())) } else { Ok(()) }
}

/// A folded code of either kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FoldedKey(String);

impl FoldedKey {
    /// As the store holds it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_without_a_link_is_1_to_64_printable_ascii_characters() {
        for typed in ["SAVE-20", "%", "a b", "clk", "WINTER25", &"-".repeat(64)] {
            let code = RowCode::parse(typed, true).unwrap();
            assert_eq!((code.as_str(), code.is_conversion_only()), (typed, true));
        }
        let wrong = [
            ("", RowCodeError::Empty),
            (" x", RowCodeError::Space),
            ("a\tb", RowCodeError::NotPrintable(2)),
            ("na\u{ef}ve", RowCodeError::NotPrintable(3)),
            ("\u{feff}VIP", RowCodeError::Invisible { at: 1, character: '\u{feff}' }),
            ("VI\u{200b}P", RowCodeError::Invisible { at: 3, character: '\u{200b}' }),
            (&"-".repeat(65), RowCodeError::TooLong(65)),
        ];
        for (typed, expected) in wrong {
            assert_eq!(RowCode::parse(typed, true), Err(expected), "{typed}");
        }
    }

    #[test]
    fn a_code_of_another_form_is_refused_with_the_way_to_have_it() {
        let refused = RowCode::parse("SAVE-20", false).unwrap_err().to_string();
        assert!(refused.contains("position 5") && refused.contains("conversion_only"), "{refused}");
        let never = RowCode::parse("\u{212a}elvin", false).unwrap_err().to_string();
        assert!(!never.contains("conversion_only"), "{never}");
    }

    #[test]
    fn what_a_postback_reads_as_no_code_is_not_created() {
        for typed in ["null", "Undefined", "[VIP]", "{VIP}", "${VIP}"] {
            let code = RowCode::parse(typed, true).unwrap();
            let refused = code.check_new().unwrap_err().to_string();
            assert!(refused.contains(typed), "{refused}");
        }
        RowCode::parse("NULL1", false).unwrap().check_new().unwrap();
    }

    #[test]
    fn both_kinds_fold_only_ascii() {
        assert_eq!(RowCode::parse("WiNtEr25", false).unwrap().folded().as_str(), "winter25");
        assert_eq!(RowCode::parse("SaVe-[20]", true).unwrap().folded().as_str(), "save-[20]");
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_a_code_that_is_kept_as_typed(
            typed in "[0-9A-Za-z]{0,70}|[ -~]{0,70}|\\PC{0,20}", conversion_only in any::<bool>(),
        ) {
            if let Ok(code) = RowCode::parse(&typed, conversion_only) {
                prop_assert_eq!(code.as_str(), &typed);
                prop_assert_eq!(code.is_conversion_only(), conversion_only);
                prop_assert!(typed.is_ascii() && (1..=MAX_BYTES).contains(&typed.len()));
                let folded = code.folded();
                prop_assert_eq!(RowCode::parse(folded.as_str(), conversion_only).unwrap().folded(), folded);
            }
        }
    }
}
