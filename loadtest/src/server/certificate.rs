//! A certificate for all servers of a comparison: ECDSA on P-256, self-made, valid for this run.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::ServerName;

use crate::tls::trust::Trust;

/// Name in the certificate.
pub(crate) const HOST: &str = "go.example.com";

pub(crate) struct ServerCertificate {
    folder: PathBuf,
    trust: Arc<Trust>,
}

impl ServerCertificate {
    /// Writes `HOST/fullchain.pem` and `HOST/privkey.pem` into a new folder.
    pub(crate) fn create(folder: PathBuf) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let trust = Trust::from_certificates(vec![made.cert.der().clone()])?;
        let certificate = Self { folder, trust };
        std::fs::create_dir_all(certificate.folder.join(HOST))?;
        write_secret(&certificate.chain(), &made.cert.pem())?;
        write_secret(&certificate.key(), &made.signing_key.serialize_pem())?;
        Ok(certificate)
    }

    /// Folder with a folder for each host.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn chain(&self) -> PathBuf {
        self.folder.join(HOST).join("fullchain.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join(HOST).join("privkey.pem")
    }

    /// Trust in this certificate alone.
    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust)
    }

    pub(crate) fn server_name() -> anyhow::Result<ServerName<'static>> {
        Ok(ServerName::try_from(HOST)?)
    }
}

/// Writes a file that only this user can read.
pub(crate) fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
