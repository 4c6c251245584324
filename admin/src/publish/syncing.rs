//! Makes published files durable, in the background.
//!
//! A visitor need not wait for the disk. The store already holds every edit durably, and an index
//! torn by a power cut is recognised: `CURRENT.prev` serves until the store's state is published
//! again. So files are announced first and synced afterwards, while the next round is built.
//!
//! Invariants:
//! - A manifest becomes `CURRENT.prev` only when all its files are durable. On a disk slower
//!   than the edits, `CURRENT.prev` stays the same for a while.
//! - After a failed sync the files are removed, and the publisher starts again from the folder.
//! - At most [`MAX_UNSYNCED`] files wait for a sync. Beyond that, publication waits for the disk.

use tokio::task::JoinHandle;

use super::error::PublishError;
use crate::index_folder::{FolderError, IndexFolder, Unsynced};

/// The most published files without a finished sync. Each holds a file descriptor.
pub(super) const MAX_UNSYNCED: usize = 64;

/// The running sync, and the files waiting for the next sync.
#[derive(Default)]
pub(super) struct Syncing {
    pub(super) running: Option<JoinHandle<Result<(), FolderError>>>,
    pub(super) waiting: Unsynced,
}

impl Syncing {
    /// Whether all published files are durable.
    pub(super) fn is_durable(&self) -> bool {
        self.running.is_none() && self.waiting.len() == 0
    }

    /// Adds published files, and starts a sync unless a sync is running.
    pub(super) fn begin(&mut self, folder: &IndexFolder, unsynced: Unsynced) {
        self.waiting.add(unsynced);
        if self.running.is_none() && self.waiting.len() > 0 {
            let (folder, files) = (folder.clone(), std::mem::take(&mut self.waiting));
            self.running = Some(tokio::task::spawn_blocking(move || files.sync(&folder)));
        }
    }

    /// Takes the result of a finished sync, and starts the next sync.
    ///
    /// # Errors
    /// After a failed sync, whose files are removed.
    pub(super) async fn take_finished(&mut self, folder: &IndexFolder) -> Result<(), PublishError> {
        if let Some(done) = self.running.take_if(|syncing| syncing.is_finished()) {
            done.await.map_err(|_panicked| PublishError::Aborted)??;
            self.begin(folder, Unsynced::default());
        }
        Ok(())
    }

    /// Waits until at most `most` files wait for a sync; with 0, until all files are durable.
    ///
    /// # Errors
    /// As [`Syncing::take_finished`].
    pub(super) async fn wait_until_at_most(
        &mut self,
        most: usize,
        folder: &IndexFolder,
    ) -> Result<(), PublishError> {
        while self.waiting.len() > most || most == 0 && !self.is_durable() {
            let Some(syncing) = &mut self.running else { break };
            let done = syncing.await;
            self.running = None;
            done.map_err(|_panicked| PublishError::Aborted)??;
            self.begin(folder, Unsynced::default());
        }
        Ok(())
    }

    /// Waits for the running sync. Waiting files are forgotten.
    pub(super) async fn end(self) {
        if let Some(syncing) = self.running {
            // The caller reads the folder, which shows the result.
            let _ = syncing.await;
        }
    }
}
