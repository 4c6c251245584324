//! API keys: 192 random bits, of which only a hash is stored.
//!
//! A plain SHA-256 is enough, because random keys cannot be guessed; slow hashes are for passwords.
//! The secret appears once, when it is made, and never in a log, an error or a list.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::catalog::Caller;
use crate::store::api_keys::SecretDigest;
use crate::store::{ReadTx, StoreError, api_keys};

mod first;
mod uses;

pub use first::{FILE_NAME, FirstKeyError, ensure_first};
pub use uses::KeyUses;

const PREFIX: &str = "cpk_";
const RANDOM_BYTES: usize = 24;
const HINT_CHARS: usize = 8;

/// A key in the clear.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Generates a key from the system's random source.
    ///
    /// # Errors
    /// When that fails.
    pub fn generate() -> Result<Secret, getrandom::Error> {
        let mut random = [0_u8; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Secret(format!("{PREFIX}{digits}")))
    }

    /// Parses the key of a request or file; `None` for another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Secret> {
        let digits = text.strip_prefix(PREFIX)?;
        let fits =
            digits.len() == 2 * RANDOM_BYTES && digits.bytes().all(|b| b.is_ascii_hexdigit());
        fits.then(|| Secret(text.into()))
    }

    /// The text, for the one place that shows it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The values that the store keeps of the secret.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest {
            hash: Sha256::digest(self.0.as_bytes()).into(),
            hint: self.0.chars().take(PREFIX.len() + HINT_CHARS).collect(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Finds the holder of a key.
///
/// # Errors
/// When the store cannot be read.
pub fn caller(connection: &ReadTx<'_>, secret: &Secret) -> Result<Option<Caller>, StoreError> {
    let hash = secret.digest().hash;
    let found = api_keys::with_hash(connection, &hash)?;
    Ok(found.filter(|(kept, _)| kept.ct_eq(&hash).into()).map(|(_, caller)| caller))
}

/// Path of the file with the first admin key.
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
        assert_eq!(Secret::parse(secret.reveal()).unwrap().digest(), secret.digest());
        assert_ne!(secret.digest().hash, Secret::generate().unwrap().digest().hash);
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.digest().hint.len(), 12);
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
