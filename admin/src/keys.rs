//! API keys: 192 random bits, of which only a hash is kept.
//!
//! A plain SHA-256 is enough because there is nothing to guess; a slow hash is for passwords. The
//! secret itself appears once, where it was made, and never in a log, an error or a list.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

use crate::catalog::{UnknownWord, WordSet};
use crate::store::{ReadTx, StoreError, api_keys};

mod first;

pub use first::{FILE_NAME, FirstKeyError, ensure_first};

const PREFIX: &str = "cpk_";
const RANDOM_BYTES: usize = 24;
const HINT_CHARS: usize = 8;

/// What a key may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything below `/v1/networks`.
    Admin,
    /// Reading everything below `/v1/networks`.
    #[value(alias = "read_only")]
    ReadOnly,
    /// One partner's own things, below `/v1/affiliates`.
    Partner,
}

impl Role {
    /// The word in JSON and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::ReadOnly => "read_only",
            Role::Partner => "partner",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Role, UnknownWord> {
        [Role::Admin, Role::ReadOnly, Role::Partner]
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or_else(|| UnknownWord {
                found: word.into(),
                allowed: "`admin` `read_only` `partner`",
            })
    }
}

impl WordSet for Role {
    const WORDS: &'static [&'static str] = &["admin", "read_only", "partner"];

    fn canonical(word: &str) -> Result<&'static str, UnknownWord> {
        word.parse().map(Role::as_str)
    }
}

/// A key in the clear.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new one from the system's random source.
    ///
    /// # Errors
    /// When that fails.
    pub fn generate() -> Result<Secret, getrandom::Error> {
        let mut random = [0_u8; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Secret(format!("{PREFIX}{digits}")))
    }

    /// The key of a request or a file; `None` when it has not the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Secret> {
        let digits = text.strip_prefix(PREFIX)?;
        let fits =
            digits.len() == 2 * RANDOM_BYTES && digits.bytes().all(|b| b.is_ascii_hexdigit());
        fits.then(|| Secret(text.into()))
    }

    /// The text, for the one place where it is shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// By what its owner recognises it.
    #[must_use]
    pub fn hint(&self) -> String {
        self.0.chars().take(PREFIX.len() + HINT_CHARS).collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The key's row.
    pub key_id: u32,
    /// What it may do.
    pub role: Role,
    /// Of a partner's key: the partner.
    pub affiliate_id: Option<u32>,
}

/// Finds the caller whose key this is.
///
/// # Errors
/// When the store cannot be read.
pub fn caller(connection: &ReadTx<'_>, secret: &Secret) -> Result<Option<Caller>, StoreError> {
    let hash = secret.hash();
    let found = api_keys::with_hash(connection, &hash)?;
    Ok(found.filter(|(kept, _)| kept.ct_eq(&hash).into()).map(|(_, caller)| caller))
}

/// The file that holds the first admin key.
#[must_use]
pub fn file_in(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_shows_itself_nowhere() {
        let secret = Secret::generate().unwrap();
        assert_eq!(Secret::parse(secret.reveal()).unwrap().hash(), secret.hash());
        assert_ne!(secret.hash(), Secret::generate().unwrap().hash());
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.hint().len(), 12);
    }

    #[test]
    fn what_has_not_the_form_of_a_key_is_none() {
        for text in [
            "",
            "cpk_",
            "cpk_zz",
            &"a".repeat(52),
            "cpk_00112233445566778899aabbccddeeff0011223344556677x",
        ] {
            assert!(Secret::parse(text).is_none(), "{text}");
        }
    }
}
