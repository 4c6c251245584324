//! The keys of the ACME client: files that only their owner can read, in the folder `acme` of the
//! data folder. They are in no backup: a lost account key or certificate is replaced by a new one.
//!
//! Each file is replaced as a whole and durably, so a crash leaves the old or the new content. A
//! certificate's chain and key share one file, so they always fit.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use instant_acme::Key;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use crate::private_file::{give_to_owner_of, replace_with, sync_folder_of};

const FOLDER_NAME: &str = "acme";
const FOLDER_MODE: u32 = 0o700;
/// Much more than a key with its chain.
const MAX_FILE_BYTES: u64 = 256 << 10;
const CHAIN_BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// A certificate chain and its private key, both as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyPair {
    pub(super) chain_pem: String,
    pub(super) key_pem: String,
}

/// The account's key, parsed and as bytes.
pub(super) type AccountKey = (Key, PrivateKeyDer<'static>);

/// The folder, made with the first key.
#[derive(Debug, Clone)]
pub(super) struct KeyFiles {
    data_dir: PathBuf,
}

impl KeyFiles {
    pub(super) fn within(data_dir: &Path) -> KeyFiles {
        KeyFiles { data_dir: data_dir.into() }
    }

    /// The key of the account at an ACME server; made at the first call.
    pub(super) async fn account_key(&self, directory_url: &str) -> io::Result<AccountKey> {
        let files = self.clone();
        let directory_url = directory_url.to_owned();
        blocking(move || files.read_or_create_account_key(&directory_url)).await
    }

    /// The stored pair of a host, if any.
    pub(super) async fn pair(&self, host: &str) -> io::Result<Option<KeyPair>> {
        let path = self.pair_path(host);
        blocking(move || Ok(read(&path)?.and_then(|text| KeyPair::from_file(&text)))).await
    }

    pub(super) async fn save_pair(&self, host: &str, pair: &KeyPair) -> io::Result<()> {
        let (files, path, text) = (self.clone(), self.pair_path(host), pair.to_file());
        blocking(move || files.write(&path, &text)).await
    }

    pub(super) async fn remove_pair(&self, host: &str) -> io::Result<()> {
        let path = self.pair_path(host);
        blocking(move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) => Ok(()),
            Ok(()) => sync_folder_of(&path),
        })
        .await
    }

    /// Hosts are DNS names, which never lead to another folder.
    fn pair_path(&self, host: &str) -> PathBuf {
        self.folder().join("certificates").join(format!("{host}.pem"))
    }

    fn folder(&self) -> PathBuf {
        self.data_dir.join(FOLDER_NAME)
    }

    /// The key is durable before its account is made, so that no account is lost by a crash. Each
    /// server has a key of its own, for the way from a test server to the real one and back.
    fn read_or_create_account_key(&self, directory_url: &str) -> io::Result<AccountKey> {
        let name: String =
            Sha256::digest(directory_url)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.folder().join("accounts").join(format!("{name}.pem"));
        if let Some(text) = read(&path)? {
            return parse_account_key(&text).ok_or_else(|| {
                let wrong = "holds no key; remove it, and a new account is made";
                io::Error::other(format!("{} {wrong}", path.display()))
            });
        }
        let key = rcgen::KeyPair::generate().map_err(io::Error::other)?.serialize_pem();
        self.write(&path, &key)?;
        parse_account_key(&key).ok_or_else(|| io::Error::other("a new key cannot be read"))
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        for folder in [self.folder().as_path(), crate::private_file::folder_of(path)] {
            self.make_folder(folder)?;
        }
        replace_with(path, text.as_bytes())?;
        give_to_owner_of(&self.data_dir, path)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        match std::fs::DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                give_to_owner_of(&self.data_dir, folder)?;
                sync_folder_of(folder)
            }
        }
    }
}

impl KeyPair {
    fn to_file(&self) -> String {
        format!("{}\n{}", self.key_pem.trim_end(), self.chain_pem)
    }

    fn from_file(text: &str) -> Option<KeyPair> {
        let (key, chain) = text.split_at(text.find(CHAIN_BEGIN)?);
        Some(KeyPair { chain_pem: chain.into(), key_pem: key.into() })
    }
}

fn parse_account_key(pem: &str) -> Option<AccountKey> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    let key = Key::from_pkcs8_der(der.clone_key()).ok()?;
    Some((key, PrivateKeyDer::Pkcs8(der)))
}

/// The content of a file; `None` without the file.
fn read(path: &Path) -> io::Result<Option<String>> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(Some(text))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn keys_are_their_owners_and_each_server_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::within(dir.path());
        let one = files.account_key("https://ca.example/dir").await.unwrap().1;
        let again = files.account_key("https://ca.example/dir").await.unwrap().1;
        let other = files.account_key("https://staging.example/dir").await.unwrap().1;
        assert_eq!(one.secret_der(), again.secret_der());
        assert_ne!(one.secret_der(), other.secret_der());
        for folder in ["acme", "acme/accounts"] {
            assert_eq!(mode(&dir.path().join(folder)), 0o700, "{folder}");
        }
        for file in std::fs::read_dir(dir.path().join("acme/accounts")).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }

    #[tokio::test]
    async fn a_pair_is_kept_in_one_file_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::within(dir.path());
        assert!(files.pair("go.example.com").await.unwrap().is_none());
        let pair = KeyPair {
            key_pem: "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n".into(),
            chain_pem: format!("{CHAIN_BEGIN}\nMA==\n-----END CERTIFICATE-----\n"),
        };
        files.save_pair("go.example.com", &pair).await.unwrap();
        assert!(files.pair("go.example.com").await.unwrap() == Some(pair));
        assert_eq!(mode(&dir.path().join("acme/certificates/go.example.com.pem")), 0o600);
        files.remove_pair("go.example.com").await.unwrap();
        files.remove_pair("go.example.com").await.unwrap();
        assert!(files.pair("go.example.com").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_damaged_account_key_is_named_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::within(dir.path());
        files.account_key("https://ca.example/dir").await.unwrap();
        let folder = dir.path().join("acme/accounts");
        let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&file, "nothing").unwrap();
        let error = files.account_key("https://ca.example/dir").await.err().unwrap();
        assert!(error.to_string().contains("remove it"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "nothing");
    }
}
