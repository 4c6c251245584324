//! An authority that issues certificates to tests.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData as _,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A chain and its key in PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of tests");
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for these names from yesterday for a year.
    pub(super) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_for_days(names, -1, 365)
    }

    /// A certificate whose dates are these days from now.
    pub(super) fn issue_for_days(&self, names: &[&str], first: i64, last: i64) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let now = std::time::SystemTime::now();
        let day = |days: i64| {
            let offset = std::time::Duration::from_secs(days.unsigned_abs() * 86_400);
            if days < 0 { (now - offset).into() } else { (now + offset).into() }
        };
        (params.not_before, params.not_after) = (day(first), day(last));
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        Issued { chain: leaf.pem() + &self.0.pem(), key: key.serialize_pem() }
    }

    /// The authority's own certificate in PEM.
    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// SHA-256 of the authority's public key in Base64.
    pub(super) fn key_hash(&self) -> String {
        base64(&Sha256::digest(self.0.key().subject_public_key_info()))
    }

    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.0.der().to_vec())).unwrap();
        roots
    }
}

impl Issued {
    /// Writes the files of a host's folder as ACME clients name them, each whole at once.
    pub(super) fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for (name, text) in [("privkey.pem", &self.key), ("fullchain.pem", &self.chain)] {
            let new = folder.join(format!(".{name}"));
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, folder.join(name)).unwrap();
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for piece in bytes.chunks(3) {
        let bits = piece.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - piece.len()));
        for at in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]);
            text.push(if at <= piece.len() { digit } else { '=' });
        }
    }
    text
}
