//! Which control plane owns the edges: two of them, such as a restored backup beside its original,
//! must not both take clicks and acknowledge them.
//!
//! The owner is stored at NATS by compare-and-swap. It is named by a random id in a file of the data
//! folder, which no backup has and which holds for this folder alone, and by the number of its run. A
//! control plane that found another owner stays back until `coupon-admin edges take-over`, also if the
//! stored owner is lost.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::HubError;
use super::head_stream::HeadStream;
use crate::edges::hello::machine_name;
use crate::edges::sealing::{Secret, SigningKey};
use crate::private_file;
use crate::store::edges::{self, ControlPlane, Ownership};
use crate::store::{Store, StoreError, WriteTx};

const OWNER_FILE: &str = "control-plane.id";

/// The stored owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    id: String,
    epoch: u64,
    host: String,
}

/// This control plane as a possible owner.
pub(super) struct Claimant {
    id: String,
    heads: HeadStream,
    store: Store,
    /// The epoch of the claim; `None` until it is made.
    claimed: Option<u64>,
}

/// The id of a data folder: of the file's random number and of the folder itself, so that a copy has
/// another one. The file is made at the first use.
pub(super) fn folder_id(data_dir: &Path) -> std::io::Result<String> {
    let folder = std::fs::metadata(data_dir)?;
    let text = format!("{} {} {}", folder_number(data_dir)?, folder.dev(), folder.ino());
    Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
}

fn folder_number(data_dir: &Path) -> std::io::Result<String> {
    let path = data_dir.join(OWNER_FILE);
    match std::fs::read_to_string(&path) {
        Ok(id) if id.trim().len() == 32 => Ok(id.trim().to_owned()),
        Ok(_) => Err(std::io::Error::other(format!(
            "{} is damaged: remove it, and take the edges over with `coupon-admin edges take-over`",
            path.display()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = private_file::random_name()?;
            let new = private_file::NewFile::beside(&path)?;
            new.file().write_all(id.as_bytes())?;
            new.persist_new()?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

impl Claimant {
    pub(super) fn new(id: String, heads: HeadStream, store: Store) -> Claimant {
        Claimant { id, heads, store, claimed: None }
    }

    /// Claims the edges, or checks that they are still this control plane's; returns the epoch, which
    /// is not below the one that edges have followed.
    ///
    /// # Errors
    /// [`HubError::Foreign`] if another control plane owns them.
    pub(super) async fn own(
        &mut self,
        signing: &SigningKey,
        followed: u64,
    ) -> Result<u64, HubError> {
        let subject = self.heads.subjects.owner();
        let stored = self.heads.last(subject.clone()).await?;
        let (sequence, owner) = match &stored {
            Some((sequence, signed)) => (*sequence, read_owner(signing, signed)),
            None => (0, None),
        };
        let state = self.store.read(edges::control_plane).await?;
        let state = state.ok_or(StoreError::Aborted)?;
        if let (Some(claimed), Some(owner)) = (self.claimed, &owner)
            && owner.id == self.id
            && owner.epoch == claimed
            && claimed >= followed
            && state.ownership == Ownership::Usual
        {
            return Ok(claimed);
        }
        self.check(&state, stored.is_some(), owner.as_ref()).await?;
        let least = owner.as_ref().map_or(0, |owner| owner.epoch).max(followed);
        let epoch = self.begin_epoch(least).await?;
        let claim = Owner { id: self.id.clone(), epoch, host: machine_name() };
        let claim = signing.sign(serde_json::to_vec(&claim).unwrap_or_default());
        self.heads.nats.replace(subject, Bytes::from(claim), sequence).await?;
        self.claimed = Some(epoch);
        Ok(epoch)
    }

    /// Checks that the edges may be claimed.
    async fn check(
        &self,
        state: &ControlPlane,
        is_stored: bool,
        owner: Option<&Owner>,
    ) -> Result<(), HubError> {
        if state.ownership == Ownership::TakeOver {
            return Ok(());
        }
        let Some(host) = foreign_host(state, (&self.id, self.claimed), is_stored, owner) else {
            return Ok(());
        };
        if state.ownership != Ownership::Foreign {
            let write = |tx: &WriteTx<'_>| edges::set_ownership(tx, Ownership::Foreign, 0);
            self.store.write(write).await?;
        }
        Err(HubError::Foreign { host })
    }

    async fn begin_epoch(&self, least: u64) -> Result<u64, HubError> {
        let write = move |tx: &WriteTx<'_>| {
            edges::set_ownership(tx, Ownership::Usual, least)?;
            edges::begin_epoch(tx)
        };
        Ok(self.store.write(write).await?.epoch)
    }
}

/// The machine of another control plane that owns the edges; `None` if they may be claimed by the one
/// with this id and last claim.
fn foreign_host(
    state: &ControlPlane,
    (id, claimed): (&str, Option<u64>),
    is_stored: bool,
    owner: Option<&Owner>,
) -> Option<String> {
    let is_foreign = state.ownership == Ownership::Foreign;
    let Some(owner) = owner else {
        // A stored owner that is not readable was signed by the control plane of another store.
        return (is_stored || is_foreign).then(|| "another machine".to_owned());
    };
    let last = claimed.unwrap_or(state.epoch);
    let is_foreign = match owner.id == id {
        // A later run on this folder, set back since.
        true => is_foreign || owner.epoch > last,
        // An earlier record than the own claim: the store of NATS was set back.
        false => is_foreign || claimed.is_none_or(|claimed| owner.epoch >= claimed),
    };
    is_foreign.then(|| owner.host.clone())
}

fn read_owner(signing: &SigningKey, signed: &[u8]) -> Option<Owner> {
    serde_json::from_slice(signing.public().verify(signed).ok()?).ok()
}

/// The key that signs heads and claims.
pub(super) fn signing_key(secret: &Secret) -> Result<SigningKey, HubError> {
    Ok(secret.derive("coupon control plane: signature").signing_key()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(id: &str, epoch: u64) -> Owner {
        Owner { id: id.into(), epoch, host: format!("host-{id}") }
    }

    fn foreign(ownership: Ownership, claimed: Option<u64>, owner: Option<Owner>) -> bool {
        let state = ControlPlane { secret: Secret::from_bytes([1; 32]), epoch: 5, ownership };
        foreign_host(&state, ("own", claimed), owner.is_some(), owner.as_ref()).is_some()
    }

    #[test]
    fn the_edges_of_another_control_plane_are_not_claimed() {
        let usual = |claimed, owner| foreign(Ownership::Usual, claimed, owner);
        assert!(!usual(None, None), "the first claim");
        assert!(!usual(None, Some(owner("own", 5))), "the next run");
        assert!(usual(None, Some(owner("own", 6))), "this folder was set back");
        assert!(usual(None, Some(owner("other", 1))), "a restored backup beside its original");
        assert!(usual(Some(6), Some(owner("other", 7))), "taken over");
        assert!(usual(Some(6), Some(owner("other", 6))), "a backup that claimed a lost record");
        assert!(usual(Some(6), Some(owner("own", 7))), "a second run on this folder");
        assert!(!usual(Some(6), Some(owner("other", 4))), "the store of NATS was set back");
        assert!(!usual(Some(6), None), "the store of NATS was lost");
    }

    #[test]
    fn a_foreign_control_plane_stays_back_whatever_is_stored() {
        let stays_back = |owner| foreign(Ownership::Foreign, None, owner);
        assert!(stays_back(None) && stays_back(Some(owner("own", 5))));
        assert!(stays_back(Some(owner("other", 9))));
    }

    #[test]
    fn a_copied_folder_has_another_id() {
        let [first, copy] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let id = folder_id(first.path()).unwrap();
        assert_eq!(folder_id(first.path()).unwrap(), id);
        std::fs::copy(first.path().join(OWNER_FILE), copy.path().join(OWNER_FILE)).unwrap();
        assert_ne!(folder_id(copy.path()).unwrap(), id);
    }
}
