//! The first admin key: made when there is none, kept in a file that only its owner reads.
//!
//! The file is complete before the store knows the key. A crash in between leaves a file whose key
//! the next start takes up, so nobody is locked out.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Role, Secret, file_in};
use crate::store::{Store, StoreError, api_keys};

/// The file's name in the data folder.
pub const FILE_NAME: &str = "admin.key";

/// Why there is no first key.
#[derive(Debug, thiserror::Error)]
pub enum FirstKeyError {
    /// The file cannot be written or read.
    #[error("cannot keep the first admin key in {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the first admin key when the store has none; answers the secret then.
///
/// # Errors
/// When file or store cannot be written.
pub async fn ensure_first(store: &Store) -> Result<Option<Secret>, FirstKeyError> {
    if store.read(api_keys::count_admins).await? > 0 {
        return Ok(None);
    }
    let path = file_in(store.dir());
    let secret = read_or_create(&path).map_err(|source| FirstKeyError::File { path, source })?;
    let kept = secret.clone();
    store
        .write(move |tx| api_keys::insert(tx, "first admin key", Role::Admin, None, &kept))
        .await?;
    Ok(Some(secret))
}

fn read_or_create(path: &Path) -> std::io::Result<Secret> {
    if let Ok(text) = std::fs::read_to_string(path)
        && let Some(secret) = Secret::parse(text.trim())
    {
        return Ok(secret);
    }
    let secret = Secret::generate().map_err(std::io::Error::other)?;
    let unfinished = path.with_extension("key.new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    writeln!(file, "{}", secret.reveal())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    if let Some(dir) = path.parent() {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(secret)
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
}
