//! Failures of publication, and the runner of blocking file work.

use std::io;

use coupon_shared::snapshot::SnapshotError;
use coupon_shared::snapshot::level::BuildError;

use crate::index_folder::FolderError;
use crate::store::StoreError;

/// Why a publication failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store's state could not be read or built into files.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files could not be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No thread could be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The work panicked.
    #[error("the work on the index folder was aborted")]
    Aborted,
}

/// Why the store's state cannot be built into files.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A level could not be built.
    #[error("cannot build a level: {0}")]
    Level(#[from] BuildError),
    /// The level is not needed any more.
    #[error("the level was cancelled")]
    Cancelled,
    /// The catalog could not be built.
    #[error("cannot build the catalog: {0}")]
    Catalog(#[from] SnapshotError),
    /// This program does not know the network's time zone.
    #[error(
        "the time zone {zone} is not known here: choose another one in the settings ({source})"
    )]
    Zone {
        /// The zone's name.
        zone: String,
        /// The cause.
        source: jiff::Error,
    },
}

/// Runs file work on a thread that may block.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PublishError> + Send + 'static,
) -> Result<T, PublishError> {
    tokio::task::spawn_blocking(work).await.map_err(|_panicked| PublishError::Aborted)?
}
