//! The published index in memory, for explanations: at most one copy, dropped when unused.
//!
//! The publisher itself keeps no level in memory. Opening an index of 10,000,000 codes reads and
//! checks 160 MB of records and an fst. So requests share the opened index, a new generation
//! re-uses the unchanged levels of the previous generation, and an unused index is dropped after
//! [`KEEP_UNUSED`].

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coupon_shared::index::Index;

use crate::index_folder::{FolderError, IndexFolder};
use crate::worker::{RetryDelays, Worker};

/// How long an unused index stays in memory.
const KEEP_UNUSED: Duration = Duration::from_secs(60);

/// Clones share one index.
#[derive(Clone)]
pub(super) struct IndexCache {
    folder: IndexFolder,
    opened: Arc<Mutex<Option<OpenedIndex>>>,
}

struct OpenedIndex {
    index: Arc<Index<Bytes>>,
    last_used: Instant,
}

impl IndexCache {
    pub(super) fn new(folder: IndexFolder) -> IndexCache {
        IndexCache { folder, opened: Arc::default() }
    }

    /// Opens the published index. Concurrent callers wait for each other rather than read the files
    /// twice.
    pub(super) fn open(&self) -> Result<Arc<Index<Bytes>>, FolderError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let known = opened.take().map(|opened| opened.index);
        let index = match known {
            Some(known) if self.folder.is_current(known.manifest())? => known,
            known => Arc::new(self.folder.open_current(known.as_deref())?),
        };
        *opened = Some(OpenedIndex { index: Arc::clone(&index), last_used: Instant::now() });
        Ok(index)
    }

    pub(super) fn drop_unused_since(&self, longest: Duration) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.take_if(|opened| opened.last_used.elapsed() >= longest);
    }
}

/// Drops an unused index from memory.
pub(super) struct UnusedIndexRemoval(pub(super) IndexCache);

impl Worker for UnusedIndexRemoval {
    const NAME: &'static str = "removal of an unused index from memory";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(KEEP_UNUSED);
    type Error = Infallible;

    async fn step(&mut self) -> Result<(), Infallible> {
        let cache = self.0.clone();
        // The lock may be held for as long as a large index takes to be read.
        let _ = tokio::task::spawn_blocking(move || cache.drop_unused_since(KEEP_UNUSED)).await;
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        tokio::time::sleep(KEEP_UNUSED).await;
    }
}
