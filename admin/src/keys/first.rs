//! The first admin key: made if there is none, kept in a file that only its owner reads.
//!
//! The file is complete before the store knows the key. After a crash in between, the next start
//! adopts the key of the file, so nobody is locked out.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Secret, file_in};
use crate::catalog::Role;
use crate::private_file::NewFile;
use crate::store::api_keys::KeyColumns;
use crate::store::{Store, StoreError, api_keys};

/// Name of the file in the data folder.
pub const FILE_NAME: &str = "admin.key";
/// Much longer than a key.
const MAX_FILE_BYTES: u64 = 4096;

/// Reasons for a missing first key.
#[derive(Debug, thiserror::Error)]
pub enum FirstKeyError {
    /// The file cannot be written or read.
    #[error("cannot keep the first admin key in {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the first admin key if the store has none; returns its secret in that case.
///
/// # Errors
/// When file or store cannot be written.
pub async fn ensure_first(store: &Store) -> Result<Option<Secret>, FirstKeyError> {
    if store.read(api_keys::count_admins).await? > 0 {
        return Ok(None);
    }
    let path = file_in(store.dir());
    let secret = read_or_create(&path).map_err(|source| FirstKeyError::File { path, source })?;
    let kept = secret.digest();
    store
        .write(move |tx| {
            let key = KeyColumns {
                name: "first admin key",
                role: Role::Admin,
                affiliate_id: None,
                advertiser_id: None,
            };
            api_keys::insert(tx, &key, &kept)
        })
        .await?;
    Ok(Some(secret))
}

fn read_or_create(path: &Path) -> std::io::Result<Secret> {
    if let Some(secret) = read_own(path) {
        return Ok(secret);
    }
    let secret = Secret::generate().map_err(std::io::Error::other)?;
    let new = NewFile::beside(path)?;
    writeln!(new.file(), "{}", secret.reveal())?;
    new.replace()?;
    Ok(secret)
}

/// Key of an interrupted start. A file that others could have written or read is ignored.
fn read_own(path: &Path) -> Option<Secret> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(open(path, flags, Mode::empty()).ok()?);
    let found = file.metadata().ok()?;
    let is_own = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
    if !found.is_file() || !is_own {
        tracing::warn!(file = %path.display(), "this file is not only ours; it is replaced");
        return None;
    }
    let mut text = String::new();
    Read::by_ref(&mut file).take(MAX_FILE_BYTES).read_to_string(&mut text).ok()?;
    Secret::parse(text.trim())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keys::caller;

    #[tokio::test]
    async fn the_first_key_is_made_once_and_works() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let secret = ensure_first(&store).await.unwrap().unwrap();
        assert!(ensure_first(&store).await.unwrap().is_none());

        let path = file_in(dir.path());
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), secret.reveal());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let found = store.read(move |connection| caller(connection, &secret)).await.unwrap();
        assert_eq!(found.unwrap().role, Role::Admin);
    }

    #[tokio::test]
    async fn a_key_whose_start_was_interrupted_is_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let written = read_or_create(&file_in(dir.path())).unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(ensure_first(&store).await.unwrap().unwrap().reveal(), written.reveal());
    }

    #[tokio::test]
    async fn a_key_that_others_could_have_planted_is_not_taken_up() {
        let planted = Secret::generate().unwrap();
        let prepare: [fn(&Path, &Path); 2] = [
            |path, _| std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap(),
            |path, elsewhere| {
                std::fs::rename(path, elsewhere).unwrap();
                std::os::unix::fs::symlink(elsewhere, path).unwrap();
            },
        ];
        for prepare in prepare {
            let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let (path, elsewhere) = (file_in(dir.path()), elsewhere.path().join("key"));
            std::fs::write(&path, planted.reveal()).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            prepare(&path, &elsewhere);
            let made = read_or_create(&path).unwrap();
            assert_ne!(made.reveal(), planted.reveal());
            assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), made.reveal());
            let found = std::fs::symlink_metadata(&path).unwrap();
            assert!(found.is_file() && found.mode() & 0o777 == 0o600, "{found:?}");
            if elsewhere.exists() {
                assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), planted.reveal());
            }
        }
    }
}
