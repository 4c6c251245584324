//! The certificates that coupon-admin installs over the control socket, as files of the data folder:
//! `certificates/HOST/fullchain.pem` and `privkey.pem`.
//!
//! A pair is written and synced elsewhere and then swapped in as a folder, so a reader of the folder
//! finds the old pair or the new one, also after a crash. Nothing is written before it was checked.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use coupon_serve::tls::{CertifiedPair, Dates, MAX_PEM_BYTES, PairError, check_pair};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::config::CERTIFICATES_FOLDER;

const CHAIN_FILE: &str = "fullchain.pem";
const KEY_FILE: &str = "privkey.pem";
/// Pairs that are being written or removed, outside of the folder that is searched for pairs.
const STAGING_NAME: &str = "certificates.new";

/// A certificate in the folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct InstalledCertificate {
    host: String,
    /// SHA-256 of the host's certificate, in hex.
    fingerprint: String,
    /// End of the validity, in Unix seconds.
    not_after: i64,
}

/// Reasons why a certificate is not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("`{0}` is no host name in lower case, such as go.example.com")]
    Host(String),
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error("the certificate is for {names} and not for {host}")]
    OtherHost { host: String, names: String },
    #[error("the certificate has expired; check the machine's clock, or send a newer one")]
    Expired,
    #[error("the certificate is not valid yet; check the machine's clock")]
    NotYetValid,
    #[error("the certificate cannot be written: {0}; check the disk of the data folder")]
    Write(#[from] io::Error),
}

/// The folder of the installed certificates.
#[derive(Debug, Clone)]
pub(crate) struct InstalledCertificates {
    folder: PathBuf,
    staging: PathBuf,
}

impl InstalledCertificates {
    /// Makes the folder, and removes the leftovers of an interrupted run.
    pub(crate) fn open(data_dir: &Path) -> io::Result<InstalledCertificates> {
        let certificates = InstalledCertificates {
            folder: data_dir.join(CERTIFICATES_FOLDER),
            staging: data_dir.join(STAGING_NAME),
        };
        remove_folder(&certificates.staging)?;
        for folder in [&certificates.folder, &certificates.staging] {
            DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
        }
        Ok(certificates)
    }

    /// All usable pairs, by host. A damaged one is left out, so that it is installed again.
    pub(crate) fn list(&self) -> io::Result<Vec<InstalledCertificate>> {
        let mut list = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(host) = entry.file_name().to_str().map(str::to_owned) else { continue };
            match read_pair(&entry.path()) {
                Ok(pair) => list.push(describe(&host, &pair)),
                Err(error) => tracing::warn!(host, %error, "installed certificate not readable"),
            }
        }
        list.sort_by(|one, other| one.host.cmp(&other.host));
        Ok(list)
    }

    /// Checks a pair and puts it in the place of an earlier one for the host. `now` is in Unix
    /// seconds.
    pub(crate) fn install(
        &self,
        host: &str,
        chain_pem: &str,
        key_pem: &str,
        now: i64,
    ) -> Result<InstalledCertificate, InstallError> {
        let pair = check(host, chain_pem, key_pem, now)?;
        let staged = self.staging.join(host);
        remove_folder(&staged)?;
        DirBuilder::new().mode(0o700).create(&staged)?;
        write_private(&staged.join(CHAIN_FILE), chain_pem)?;
        write_private(&staged.join(KEY_FILE), key_pem)?;
        File::open(&staged)?.sync_all()?;
        swap(&staged, &self.folder.join(host))?;
        File::open(&self.folder)?.sync_all()?;
        // The former pair; if this fails, the next start removes it.
        let _ = remove_folder(&staged);
        Ok(describe(host, &pair))
    }

    /// Removes the pair of a host; returns whether there was one.
    pub(crate) fn remove(&self, host: &str) -> Result<bool, InstallError> {
        check_host(host)?;
        let staged = self.staging.join(host);
        remove_folder(&staged)?;
        match fs::rename(self.folder.join(host), &staged) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            moved => moved?,
        }
        File::open(&self.folder)?.sync_all()?;
        remove_folder(&staged)?;
        Ok(true)
    }
}

fn check(
    host: &str,
    chain_pem: &str,
    key_pem: &str,
    now: i64,
) -> Result<CertifiedPair, InstallError> {
    check_host(host)?;
    let pair = check_pair(chain_pem.as_bytes(), key_pem.as_bytes())?;
    if !pair.covers(host) {
        let names = pair.names().join(", ");
        return Err(InstallError::OtherHost { host: host.to_owned(), names });
    }
    match pair.dates_at(now) {
        Dates::Expired => Err(InstallError::Expired),
        Dates::NotYetValid => Err(InstallError::NotYetValid),
        Dates::Valid | Dates::NearEnd => Ok(pair),
    }
}

/// The host becomes the name of a folder.
fn check_host(host: &str) -> Result<(), InstallError> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    if host.len() <= 253 && host.split('.').all(is_label) {
        return Ok(());
    }
    Err(InstallError::Host(host.chars().filter(|letter| !letter.is_control()).take(100).collect()))
}

fn describe(host: &str, pair: &CertifiedPair) -> InstalledCertificate {
    InstalledCertificate {
        host: host.to_owned(),
        fingerprint: pair.fingerprint(),
        not_after: pair.not_after(),
    }
}

fn read_pair(folder: &Path) -> Result<CertifiedPair, InstallError> {
    let read = |name| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(folder.join(name))?;
        file.take(MAX_PEM_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    Ok(check_pair(&read(CHAIN_FILE)?, &read(KEY_FILE)?)?)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Gives the staged folder the other's name; the staged name then holds the former pair, if any.
fn swap(staged: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, staged, CWD, target, RenameFlags::EXCHANGE) {
        Err(Errno::NOENT) => fs::rename(staged, target),
        // Some file systems cannot exchange names. Between the two renames the host has no pair,
        // and coupon-admin installs it again after a crash there.
        Err(Errno::INVAL | Errno::NOSYS) => {
            let former = staged.with_extension("former");
            remove_folder(&former)?;
            fs::rename(target, &former)?;
            fs::rename(staged, target)?;
            remove_folder(&former)
        }
        done => Ok(done?),
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
