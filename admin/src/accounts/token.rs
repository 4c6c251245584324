//! Random secrets of browsers and links. A plain SHA-256 is enough for the store, because 256 random
//! bits cannot be guessed; slow hashes are for passwords.

use std::fmt;
use std::marker::PhantomData;

use sha2::{Digest as _, Sha256};

use crate::store::StoreError;
use crate::store::accounts::Digest;

const RANDOM_BYTES: usize = 32;

/// A secret for one purpose `P`: 256 random bits as 64 hex digits.
pub struct Token<P> {
    digits: String,
    purpose: PhantomData<fn() -> P>,
}

/// Marks the secret of a session.
#[derive(Debug)]
pub enum OfSession {}
/// Marks the secret of a one-time link.
#[derive(Debug)]
pub enum OfLink {}
/// Marks the secret of a known browser.
#[derive(Debug)]
pub enum OfDevice {}

/// The secret of a session.
pub type SessionToken = Token<OfSession>;
/// The secret of a one-time link.
pub type LinkToken = Token<OfLink>;
/// The secret of a browser in which a user signed in before.
pub type DeviceToken = Token<OfDevice>;

impl<P> Token<P> {
    /// Generates a secret from the system's random source.
    ///
    /// # Errors
    /// When that fails.
    pub fn generate() -> Result<Token<P>, StoreError> {
        let mut random = [0_u8; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        Ok(Token::new(random.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Parses the secret of a cookie or a path; `None` for another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Token<P>> {
        let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = text.len() == 2 * RANDOM_BYTES && text.bytes().all(is_lower_hex);
        fits.then(|| Token::new(text.into()))
    }

    /// The text, for the one place that hands it out.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.digits
    }

    /// The value that the store keeps.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Sha256::digest(self.digits.as_bytes()).into()
    }

    fn new(digits: String) -> Token<P> {
        Token { digits, purpose: PhantomData }
    }
}

impl<P> Clone for Token<P> {
    fn clone(&self) -> Token<P> {
        Token::new(self.digits.clone())
    }
}

impl<P> fmt::Debug for Token<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_shows_itself_nowhere() {
        let token = SessionToken::generate().unwrap();
        assert_eq!(SessionToken::parse(token.reveal()).unwrap().digest(), token.digest());
        assert_ne!(SessionToken::generate().unwrap().digest(), token.digest());
        assert_eq!((format!("{token:?}").as_str(), token.reveal().len()), ("Token", 64));
    }

    #[test]
    fn another_form_is_no_token() {
        for text in ["", "0", &"0".repeat(63), &"0".repeat(65), &"A".repeat(64), &"ä".repeat(32)] {
            assert!(LinkToken::parse(text).is_none(), "{text}");
        }
    }
}
