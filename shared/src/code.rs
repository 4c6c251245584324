//! Coupon codes and their folded key.
//!
//! A code is 3 to 64 ASCII letters and digits. It is kept as typed and compared folded: ASCII
//! upper case becomes lower case, nothing else changes. Folding is part of every stored format
//! ([`FOLD_VERSION`]); a file folded by another version is refused.
//!
//! Only folding makes a [`FoldedCode`], so an unfolded key cannot be looked up.
//!
//! Deliberately absent: Unicode folding. U+212A (K), U+017F (ſ) or U+0131 (ı) are not letters of a
//! code, so look-alikes of a partner's code never reach the partner's offer.

use std::fmt;

/// Version of the folding rule, written into each level file.
pub const FOLD_VERSION: u8 = 1;
/// Shortest code, in bytes.
pub const MIN_LEN: usize = 3;
/// Longest code, in bytes.
pub const MAX_LEN: usize = 64;
/// First path segments the tracking domain keeps for itself; no code may fold to one of them.
pub const RESERVED: [&str; 3] = ["clk", "sdk", "scripts"];

/// Why some bytes are not a coupon code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Fewer than [`MIN_LEN`] bytes.
    #[error("a coupon code has more than 2 characters; this one has {len}")]
    TooShort {
        /// Length in bytes.
        len: usize,
    },
    /// More than [`MAX_LEN`] bytes.
    #[error("a coupon code has at most {MAX_LEN} characters; this one has {len}")]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
    /// A byte outside `[0-9A-Za-z]`.
    #[error(
        "a coupon code has only the letters A-Z, a-z and the digits 0-9, no spaces; \
         the character at position {} is something else", .position + 1
    )]
    BadByte {
        /// Offset of the byte, from 0.
        position: usize,
        /// The byte.
        byte: u8,
    },
    /// The code is one of [`RESERVED`].
    #[error("`{word}` is reserved for a path of the tracking domain; choose another code")]
    Reserved {
        /// The reserved word.
        word: &'static str,
    },
}

/// `FOLDED[b]` is the folded byte, or 0 where `b` cannot stand in a code.
const FOLDED: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_digit() || b.is_ascii_lowercase() {
            table[byte] = b;
        } else if b.is_ascii_uppercase() {
            table[byte] = b.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

/// A code's key: lower-case ASCII letters and digits, 3 to 64 bytes, held inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FoldedCode {
    // Bytes past `len` are zero. Zero is below every letter and digit, so the derived order over
    // the whole array is the order of the strings.
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl FoldedCode {
    /// Folds the bytes of a code as typed, refusing what is not a code.
    pub fn fold(code: &[u8]) -> Result<Self, CodeError> {
        if code.len() < MIN_LEN {
            return Err(CodeError::TooShort { len: code.len() });
        }
        if code.len() > MAX_LEN {
            return Err(CodeError::TooLong { len: code.len() });
        }
        let mut bytes = [0u8; MAX_LEN];
        for (position, (&byte, slot)) in code.iter().zip(&mut bytes).enumerate() {
            *slot = FOLDED[byte as usize];
            if *slot == 0 {
                return Err(CodeError::BadByte { position, byte });
            }
        }
        Ok(Self { bytes, len: code.len() as u8 })
    }

    /// The folded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The first `N` bytes; zeros stand behind a shorter code.
    #[inline]
    pub fn prefix<const N: usize>(&self) -> [u8; N] {
        const { assert!(N <= MAX_LEN) };
        std::array::from_fn(|at| self.bytes[at])
    }

    /// The folded code as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored, so this cannot fail.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for FoldedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for FoldedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FoldedCode({self})")
    }
}

/// A coupon code as its author typed it. May be used in a tracking link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponCode(String);

impl CouponCode {
    /// Checks a code as typed. Refuses [`RESERVED`] words too: they would never be reached.
    pub fn parse(typed: &str) -> Result<Self, CodeError> {
        let folded = FoldedCode::fold(typed.as_bytes())?;
        match RESERVED.into_iter().find(|word| *word == folded.as_str()) {
            Some(word) => Err(CodeError::Reserved { word }),
            None => Ok(Self(typed.to_owned())),
        }
    }

    /// The code as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which the code is stored and looked up.
    pub fn folded(&self) -> FoldedCode {
        let mut bytes = [0u8; MAX_LEN];
        for (&byte, slot) in self.0.as_bytes().iter().zip(&mut bytes) {
            *slot = FOLDED[byte as usize];
        }
        FoldedCode { bytes, len: self.0.len() as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_is_kept_as_typed_and_compared_without_case() {
        let code = CouponCode::parse("WiNtEr25").unwrap();
        assert_eq!(code.as_str(), "WiNtEr25");
        assert_eq!(code.folded().as_str(), "winter25");
        assert_eq!(code.folded(), FoldedCode::fold(b"WINTER25").unwrap());
    }

    #[test]
    fn a_code_has_more_than_2_and_at_most_64_characters() {
        assert_eq!(CouponCode::parse("ab"), Err(CodeError::TooShort { len: 2 }));
        assert!(CouponCode::parse("abc").is_ok());
        assert!(CouponCode::parse(&"a".repeat(64)).is_ok());
        assert_eq!(CouponCode::parse(&"a".repeat(65)), Err(CodeError::TooLong { len: 65 }));
    }

    #[test]
    fn only_the_62_ascii_letters_and_digits_are_accepted_among_all_unicode_scalars() {
        for place in 0..3 {
            let accepted = (0..=0x10FFFF)
                .filter_map(char::from_u32)
                .filter(|scalar| {
                    let mut typed = String::from("xyz");
                    typed.replace_range(place..place + 1, scalar.encode_utf8(&mut [0; 4]));
                    FoldedCode::fold(typed.as_bytes()).is_ok()
                })
                .count();
            assert_eq!(accepted, 62, "at position {place}");
        }
    }

    #[test]
    fn reserved_paths_are_no_codes_in_any_case() {
        assert_eq!(CouponCode::parse("SDK"), Err(CodeError::Reserved { word: "sdk" }));
        assert_eq!(CouponCode::parse("Scripts"), Err(CodeError::Reserved { word: "scripts" }));
        assert!(CouponCode::parse("sdk1").is_ok());
    }

    proptest! {
        #[test]
        fn folded_keys_sort_as_their_text(a in "[0-9A-Za-z]{3,64}", b in "[0-9A-Za-z]{3,64}") {
            let (x, y) = (FoldedCode::fold(a.as_bytes()).unwrap(), FoldedCode::fold(b.as_bytes()).unwrap());
            prop_assert_eq!(x.cmp(&y), a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()));
            prop_assert_eq!(x, CouponCode(a).folded());
        }
    }
}
