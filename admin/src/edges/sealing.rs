//! Keys of the edges, and the sealing of everything that passes through NATS.
//!
//! A sealed message is encrypted and authenticated with AES-256-GCM under a random nonce. Its
//! *purpose*, such as `answer 7`, is authenticated with it, so a message cannot be replayed in the
//! place of another kind. Keys:
//! - Each edge has a secret of 32 bytes, made by `edges add` and carried by its bundle. From it come
//!   the key of its questions and answers and its user key at NATS. So a broken NATS server reads and
//!   forges nothing, and one edge cannot speak for another.
//! - A fleet key seals the published index for all edges. Each edge gets it with its lease; revoking
//!   an edge replaces it.
//! - The control plane signs each head with Ed25519, because every edge has the fleet key.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::signature::{
    ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use nkeys::{KeyPair, KeyPairType};
use sha2::Sha256;

const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Bytes that sealing adds.
pub(crate) const SEAL_LEN: usize = NONCE_LEN + TAG_LEN;
const SIGNATURE_LEN: usize = 64;

/// A message was not sealed with this key for this purpose, or was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message is damaged, or not sealed with this network's key")]
pub struct SealError;

/// A secret of 32 bytes; its digits are printed by [`Secret::to_hex`] alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; KEY_LEN]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> Result<Secret, getrandom::Error> {
        let mut bytes = [0; KEY_LEN];
        getrandom::fill(&mut bytes)?;
        Ok(Secret(bytes))
    }

    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Secret {
        Secret(bytes)
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `None` unless the text has 64 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Secret> {
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY_LEN || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut bytes = [0; KEY_LEN];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Secret(bytes))
    }

    /// A key for one use; different labels give independent keys.
    #[must_use]
    pub fn derive(&self, label: &str) -> Secret {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!());
        mac.update(label.as_bytes());
        Secret(mac.finalize().into_bytes().into())
    }

    #[must_use]
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey(self.clone())
    }

    /// The key of a user at NATS.
    ///
    /// # Errors
    /// When the library refuses the bytes.
    pub fn nats_user(&self) -> Result<NatsUser, nkeys::error::Error> {
        let pair = KeyPair::new_from_raw(KeyPairType::User, self.0)?;
        Ok(NatsUser { public_key: pair.public_key(), seed: pair.seed()? })
    }

    /// The key that signs heads.
    ///
    /// # Errors
    /// When the library refuses the bytes.
    pub fn signing_key(&self) -> Result<SigningKey, SealError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&self.0).map_err(|_| SealError)?;
        Ok(SigningKey(pair))
    }
}

/// A user's key at NATS.
pub struct NatsUser {
    pub public_key: String,
    pub seed: String,
}

/// Seals and opens messages.
#[derive(Clone, Debug)]
pub struct SealingKey(Secret);

impl SealingKey {
    /// # Errors
    /// When the library fails.
    pub fn seal(&self, purpose: &str, message: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(message.len() + SEAL_LEN);
        sealed.extend_from_slice(message);
        let nonce = self.key()?.seal_in_place_append_tag(Aad::from(purpose), &mut sealed);
        let nonce = nonce.map_err(|_| SealError)?;
        sealed.extend_from_slice(nonce.as_ref());
        Ok(sealed)
    }

    /// # Errors
    /// When the message was not sealed with this key for this purpose.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (sealed, nonce) = sealed.split_last_chunk::<NONCE_LEN>().ok_or(SealError)?;
        let mut message = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key()?.open_in_place(nonce, Aad::from(purpose), &mut message);
        let length = opened.map_err(|_| SealError)?.len();
        message.truncate(length);
        Ok(message)
    }

    fn key(&self) -> Result<RandomizedNonceKey, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0.0).map_err(|_| SealError)
    }
}

/// Signs heads.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        let mut bytes = [0; ED25519_PUBLIC_KEY_LEN];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        VerifyingKey(bytes)
    }

    /// The message with the signature behind it.
    #[must_use]
    pub fn sign(&self, mut message: Vec<u8>) -> Vec<u8> {
        let signature = self.0.sign(&message);
        message.extend_from_slice(signature.as_ref());
        message
    }
}

/// Checks the signature of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(pub [u8; ED25519_PUBLIC_KEY_LEN]);

impl VerifyingKey {
    /// Returns the message before the signature.
    ///
    /// # Errors
    /// When the control plane did not sign the message.
    pub fn verify<'m>(&self, signed: &'m [u8]) -> Result<&'m [u8], SealError> {
        let (message, signature) = signed.split_last_chunk::<SIGNATURE_LEN>().ok_or(SealError)?;
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(message, signature).map_err(|_| SealError)?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_message_opens_with_its_key_for_its_purpose_alone() {
        let (key, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        let sealed = key.sealing_key().seal("answer 7", b"clicks").unwrap();
        assert_eq!(sealed.len(), 6 + SEAL_LEN);
        assert_eq!(key.sealing_key().open("answer 7", &sealed).unwrap(), b"clicks");
        assert_eq!(key.sealing_key().open("answer 8", &sealed), Err(SealError));
        assert_eq!(other.sealing_key().open("answer 7", &sealed), Err(SealError));
        assert_ne!(sealed, key.sealing_key().seal("answer 7", b"clicks").unwrap());
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut damaged = sealed.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(key.sealing_key().open("answer 7", &damaged), Err(SealError));
            }
            assert_eq!(key.sealing_key().open("answer 7", &sealed[..at]), Err(SealError));
        }
    }

    #[test]
    fn a_signature_holds_for_its_bytes_alone() {
        let key = Secret::from_bytes([7; 32]).signing_key().unwrap();
        let signed = key.sign(b"head".to_vec());
        assert_eq!(key.public().verify(&signed), Ok(&b"head"[..]));
        for at in 0..signed.len() {
            let mut damaged = signed.clone();
            damaged[at] ^= 1;
            assert_eq!(key.public().verify(&damaged), Err(SealError));
        }
        let other = Secret::from_bytes([8; 32]).signing_key().unwrap();
        assert_eq!(other.public().verify(&signed), Err(SealError));
    }

    #[test]
    fn secrets_read_back_and_derive_by_label() {
        let secret = Secret::from_bytes([0xab; 32]);
        assert_eq!(Secret::from_hex(&secret.to_hex()), Some(secret.clone()));
        assert_eq!(Secret::from_hex("abc"), None);
        assert_eq!(Secret::from_hex(&"é".repeat(32)), None);
        assert_ne!(secret.derive("questions"), secret.derive("user"));
        let user = secret.nats_user().unwrap();
        assert!(user.public_key.starts_with('U') && user.seed.starts_with("SU"));
        assert_eq!(format!("{secret:?}"), "Secret", "no log shows it");
    }
}
