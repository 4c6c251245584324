//! The index that is served now.
//!
//! Protocol: only the loader stores; each serving thread keeps a cached handle and looks at the
//! shared one at the start of a request, which costs one load of a pointer. An index is read only
//! inside [`IndexReader::read`], whose closure cannot wait for anything, so no request holds an
//! old index longer than it takes to answer. A retired index lives until every thread has looked
//! again; the loader holds on to it until then and frees it, so that no visitor waits while a
//! large index is given back. Idle threads must call [`IndexReader::refresh`] now and then.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use arc_swap::cache::Cache;
use coupon_shared::index::Index;

/// The bytes of a published file, read into memory of our own and never changed again.
#[derive(Clone)]
pub struct FileBytes(Arc<Vec<u8>>);

impl FileBytes {
    /// Takes a whole file's bytes.
    pub fn new(bytes: Vec<u8>) -> FileBytes {
        FileBytes(Arc::new(bytes))
    }
}

impl AsRef<[u8]> for FileBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// An index as it is served.
pub type ServedIndex = Index<FileBytes>;

/// Where the current index stands.
#[derive(Clone, Default)]
pub struct LiveIndex {
    current: Arc<ArcSwapOption<ServedIndex>>,
}

impl LiveIndex {
    /// Serves `index` from now on and returns the one before.
    pub fn replace(&self, index: Arc<ServedIndex>) -> Option<Arc<ServedIndex>> {
        self.current.swap(Some(index))
    }

    /// The current index, for those who are in no hurry.
    pub fn current(&self) -> Option<Arc<ServedIndex>> {
        self.current.load_full()
    }

    /// A handle for one serving thread.
    pub fn reader(&self) -> IndexReader {
        IndexReader { cache: Cache::new(Arc::clone(&self.current)) }
    }
}

/// One serving thread's handle.
pub struct IndexReader {
    cache: Cache<Arc<ArcSwapOption<ServedIndex>>, Option<Arc<ServedIndex>>>,
}

impl IndexReader {
    /// Reads the current index, the same one until the closure ends.
    pub fn read<R>(&mut self, read: impl FnOnce(Option<&ServedIndex>) -> R) -> R {
        read(self.cache.load().as_deref())
    }

    /// Lets go of an index that is no longer current.
    pub fn refresh(&mut self) {
        self.read(|_| ());
    }
}
