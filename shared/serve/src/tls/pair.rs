//! A certificate chain and its private key, checked before use.
//!
//! The checks find what would fail at each visitor's handshake: a key of another certificate, a
//! chain in the wrong order, a certificate without host names. Dates are no reason to refuse a pair
//! here: a wrong clock would take every certificate out of service. [`CertifiedPair::dates_at`]
//! tells how a pair stands at a time.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::parse_x509_certificate;

/// Longest chain or key file.
pub const MAX_PEM_BYTES: usize = 256 * 1024;
/// Most certificates in a chain; real chains have two or three.
const MAX_CHAIN: usize = 10;

/// A certificate chain with its key, ready for handshakes. Never prints the key.
#[derive(Clone)]
pub struct CertifiedPair {
    key: Arc<CertifiedKey>,
    leaf: Leaf,
}

/// Facts of the host's own certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf {
    /// In lower case; the first label may be `*`.
    names: Vec<String>,
    validity: Validity,
    fingerprint: [u8; 32],
}

/// The first and the last second of a certificate, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before: i64,
    pub not_after: i64,
}

impl Validity {
    /// `None` if the bytes are no certificate.
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Validity> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        Some(Validity::stated_by(&certificate))
    }

    fn stated_by(certificate: &X509Certificate<'_>) -> Validity {
        let validity = certificate.validity();
        Validity {
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        }
    }

    /// How the dates stand at this time in Unix seconds.
    ///
    /// Near the end is the last sixth of the lifetime, but at most 14 days: renewal is due at two
    /// thirds, so it has failed for a while by then.
    pub fn dates_at(self, now: i64) -> Dates {
        const LONGEST_NEAR_END_SECONDS: i64 = 14 * 86_400;
        let Validity { not_before, not_after } = self;
        let near_end = ((not_after - not_before) / 6).min(LONGEST_NEAR_END_SECONDS);
        if now < not_before {
            Dates::NotYetValid
        } else if now > not_after {
            Dates::Expired
        } else if not_after - now < near_end {
            Dates::NearEnd
        } else {
            Dates::Valid
        }
    }
}

/// How a certificate's dates stand at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    NotYetValid,
    Valid,
    /// Valid, but renewal is overdue.
    NearEnd,
    Expired,
}

/// Reasons why a chain and a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    #[error("the {part} has more than {MAX_PEM_BYTES} bytes; it must be PEM text")]
    TooLarge { part: &'static str },
    #[error("the certificate file is not PEM text: {0}")]
    ChainPem(pem::Error),
    #[error("the certificate file has no certificate; it must begin with the host's own")]
    NoCertificate,
    #[error("the certificate file has more than {MAX_CHAIN} certificates")]
    ChainTooLong,
    #[error("certificate {number} of the file cannot be read: {reason}")]
    Certificate {
        /// From 1.
        number: usize,
        reason: String,
    },
    #[error(
        "certificate {number} of the file was not issued by certificate {}; put the host's \
         certificate first and each issuer behind what it issued (\"full chain\")", number + 1
    )]
    ChainOrder {
        /// From 1.
        number: usize,
    },
    #[error("the certificate names no host: it has no DNS name as subject alternative name")]
    NoNames,
    #[error("the certificate is not meant for servers (extended key usage without serverAuth)")]
    NotForServers,
    /// Without the parser's text, which could repeat parts of the key.
    #[error("the key file has no private key in PEM (PKCS #8, SEC 1 or PKCS #1, not encrypted)")]
    NoKey,
    #[error("the private key cannot be used: its kind is not supported, or it is damaged")]
    UnusableKey,
    #[error("the private key belongs to another certificate")]
    KeyOfAnother,
}

/// Checks a chain in PEM, the host's certificate first, and its private key in PEM.
///
/// # Errors
/// The first problem found.
pub fn check_pair(chain_pem: &[u8], key_pem: &[u8]) -> Result<CertifiedPair, PairError> {
    for (part, bytes) in [("certificate file", chain_pem), ("key file", key_pem)] {
        if bytes.len() > MAX_PEM_BYTES {
            return Err(PairError::TooLarge { part });
        }
    }
    let chain = read_chain(chain_pem)?;
    let leaf = check_chain(&chain)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| PairError::NoKey)?;
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(key);
    let key = CertifiedKey::new(chain, key.map_err(|_| PairError::UnusableKey)?);
    key.keys_match().map_err(|_| PairError::KeyOfAnother)?;
    Ok(CertifiedPair { key: Arc::new(key), leaf })
}

fn read_chain(chain_pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(chain_pem) {
        chain.push(certificate.map_err(PairError::ChainPem)?);
        if chain.len() > MAX_CHAIN {
            return Err(PairError::ChainTooLong);
        }
    }
    if chain.is_empty() { Err(PairError::NoCertificate) } else { Ok(chain) }
}

fn parse(at: usize, der: &[u8]) -> Result<X509Certificate<'_>, PairError> {
    let refused = |reason: String| PairError::Certificate { number: at + 1, reason };
    match parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(refused("bytes follow the certificate".to_owned())),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Checks that each certificate was issued by the next; returns the facts of the first.
fn check_chain(chain: &[CertificateDer<'_>]) -> Result<Leaf, PairError> {
    let parsed: Vec<X509Certificate<'_>> =
        chain.iter().enumerate().map(|(at, der)| parse(at, der)).collect::<Result<_, _>>()?;
    for (at, pair) in parsed.windows(2).enumerate() {
        let [issued, issuer] = pair else { continue };
        let fits = issued.issuer() == issuer.subject()
            && issued.verify_signature(Some(issuer.public_key())).is_ok();
        if !fits {
            return Err(PairError::ChainOrder { number: at + 1 });
        }
    }
    read_leaf(&parsed[0], &chain[0])
}

fn read_leaf(certificate: &X509Certificate<'_>, der: &[u8]) -> Result<Leaf, PairError> {
    let names = dns_names(certificate);
    if names.is_empty() {
        return Err(PairError::NoNames);
    }
    let usage = certificate.extended_key_usage().ok().flatten();
    if usage.is_some_and(|usage| !usage.value.server_auth && !usage.value.any) {
        return Err(PairError::NotForServers);
    }
    Ok(Leaf {
        names,
        validity: Validity::stated_by(certificate),
        fingerprint: Sha256::digest(der).into(),
    })
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(alternatives) = extension.parsed_extension()
        {
            names.extend(alternatives.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            }));
        }
    }
    names
}

impl CertifiedPair {
    /// The pair for rustls.
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The DNS names in the certificate, in lower case; the first label may be `*`.
    pub fn names(&self) -> &[String] {
        &self.leaf.names
    }

    /// Whether the certificate is good for this host, which is in lower case.
    pub fn covers(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.leaf.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(suffix) => parent == Some(suffix),
            None => name == host,
        })
    }

    /// The first second of the validity, in Unix seconds.
    pub fn not_before(&self) -> i64 {
        self.leaf.validity.not_before
    }

    /// The last second of the validity, in Unix seconds.
    pub fn not_after(&self) -> i64 {
        self.leaf.validity.not_after
    }

    /// SHA-256 of the host's certificate in DER, in lower-case hex.
    pub fn fingerprint(&self) -> String {
        self.leaf.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How the dates stand at this time in Unix seconds.
    pub fn dates_at(&self, now: i64) -> Dates {
        self.leaf.validity.dates_at(now)
    }
}

impl fmt::Debug for CertifiedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.leaf.fmt(f)
    }
}
