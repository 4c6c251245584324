//! Makes what is published durable, beside the way.
//!
//! A visitor need not wait for the disk: what an edit changed is durable in the store, and an index
//! that a power cut tears is none, so that the manifest before serves until the store's state is
//! published anew. So files are announced first and synced then, one round's while the next is made.
//!
//! What holds:
//! - A manifest becomes the one before (`CURRENT.prev`) only when it and all it names are durable.
//!   Where the disk is slower than edits come, the one before stays for a while.
//! - What cannot be made durable is removed, and the publisher begins anew from what is there.
//! - No more than [`MAX_UNSYNCED`] files wait: publication then waits for the disk.

use tokio::task::JoinHandle;

use super::PublishError;
use super::folder::{FolderError, IndexFolder, Unsynced};

/// Files that may be published and not be durable: each is open.
pub(super) const MAX_UNSYNCED: usize = 64;

/// The sync that is under way, and what is published and waits for the next.
#[derive(Default)]
pub(super) struct Syncing {
    pub(super) under_way: Option<JoinHandle<Result<(), FolderError>>>,
    /// What is to be synced after it.
    pub(super) waiting: Unsynced,
}

impl Syncing {
    /// Whether all that is published is.
    pub(super) fn is_durable(&self) -> bool {
        self.under_way.is_none() && self.waiting.len() == 0
    }

    /// What was just published is to be made durable.
    pub(super) fn begin(&mut self, folder: &IndexFolder, unsynced: Unsynced) {
        self.waiting.add(unsynced);
        if self.under_way.is_none() && self.waiting.len() > 0 {
            let (folder, files) = (folder.clone(), std::mem::take(&mut self.waiting));
            self.under_way = Some(tokio::task::spawn_blocking(move || files.sync(&folder)));
        }
    }

    /// Takes note of what is done, and begins with what waited for it.
    ///
    /// # Errors
    /// When something could not be made durable, and was removed.
    pub(super) async fn look(&mut self, folder: &IndexFolder) -> Result<(), PublishError> {
        if let Some(done) = self.under_way.take_if(|syncing| syncing.is_finished()) {
            done.await.map_err(|_panicked| PublishError::BrokenOff)??;
            self.begin(folder, Unsynced::default());
        }
        Ok(())
    }

    /// Waits until no more than so many files wait, and with 0 for all of them.
    ///
    /// # Errors
    /// As [`Syncing::look`].
    pub(super) async fn settle(
        &mut self,
        folder: &IndexFolder,
        most: usize,
    ) -> Result<(), PublishError> {
        while self.waiting.len() > most || most == 0 && !self.is_durable() {
            let Some(syncing) = &mut self.under_way else { break };
            let done = syncing.await;
            self.under_way = None;
            done.map_err(|_panicked| PublishError::BrokenOff)??;
            self.begin(folder, Unsynced::default());
        }
        Ok(())
    }

    /// Waits for the sync that is under way, if there is one; what waits for the next is forgotten.
    pub(super) async fn end(self) {
        if let Some(syncing) = self.under_way {
            // Whatever came of it stands in the folder.
            let _ = syncing.await;
        }
    }
}
