//! The code of a row as typed: a code with a link, or a code for conversions only.
//!
//! Look-ups use the folded code (ASCII upper case becomes lower case). [`FoldedKey`] can only be
//! made by folding, so a look-up with an unfolded code does not compile. Only codes with links are
//! published.

use coupon_shared::code::{CodeError, CouponCode};

use super::{placeholder, text};

/// Longest code of either kind, in bytes.
const MAX_BYTES: usize = 64;

/// A valid code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowCode {
    /// A code with a link.
    Linked(CouponCode),
    /// A code for conversions only; the merchant's own form, such as `SAVE-20`.
    ConversionOnly(String),
}

/// Why a text is not a code. The message says how to mend the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowCodeError {
    /// A link cannot carry the text, but the text could be a code for conversions only.
    #[error("{0} (with conversion_only: true it can be a code without a link)")]
    OnlyWithoutLink(CodeError),
    /// A link cannot carry the text.
    #[error("{0}")]
    NoLink(CodeError),
    /// Empty.
    #[error("must not be empty")]
    Empty,
    /// Too long for either kind.
    #[error("a coupon code has at most {MAX_BYTES} characters; this one has {0}")]
    TooLong(usize),
    /// Contains a character outside printable ASCII.
    #[error(
        "a code for conversions only has printable ASCII characters; the character at position {0} is something else"
    )]
    NotPrintable(usize),
    /// Has a space at the beginning or the end.
    #[error("remove the space before or after it")]
    Space,
    /// Contains an invisible character.
    #[error("remove the invisible character U+{:04X} at position {at}", u32::from(*.character))]
    Invisible {
        /// The position, from 1.
        at: usize,
        /// The character.
        character: char,
    },
    /// A postback would read the text as no code.
    #[error(
        "shops send `{0}` where they have no coupon code, so its conversions could not be attributed; choose another code"
    )]
    Placeholder(String),
}

impl RowCode {
    pub(super) fn parse(typed: &str, conversion_only: bool) -> Result<RowCode, RowCodeError> {
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

    /// Refuses placeholders, because a postback with such a code counts as a postback without a
    /// code.
    pub(super) fn check_new(&self) -> Result<(), RowCodeError> {
        let code = self.as_str();
        let is_placeholder = placeholder::is_placeholder(code);
        if is_placeholder { Err(RowCodeError::Placeholder(code.into())) } else { Ok(()) }
    }

    /// Why a text is not a code of either kind; `None` for a code.
    #[must_use]
    pub fn rejection_reason(typed: &str) -> Option<String> {
        RowCode::parse(typed, true).err().map(|error| error.to_string())
    }

    /// A code of either kind from a text that does not tell the kind; `None` if the text is not a
    /// code.
    #[must_use]
    pub fn parse_any(typed: &str) -> Option<RowCode> {
        RowCode::parse(typed, true).ok()
    }

    /// The code as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            RowCode::Linked(code) => code.as_str(),
            RowCode::ConversionOnly(code) => code,
        }
    }

    /// Whether the code has no link and is not published.
    #[must_use]
    pub fn is_conversion_only(&self) -> bool {
        matches!(self, RowCode::ConversionOnly(_))
    }

    /// The key for storage and look-ups.
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
    /// The key as stored.
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
