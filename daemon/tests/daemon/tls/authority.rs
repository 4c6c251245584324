//! An authority that issues certificates to tests.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

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
