//! The index in service, and the protocol for replacing the index.
//!
//! Only the loader stores. Each serving thread keeps a cached handle and compares it with the
//! shared one at the start of a request, at the cost of one load of a pointer. An index is read
//! only inside [`IndexReader::read`]. Its closure cannot await, so no request holds an old index
//! longer than its answer takes. A retired index lives until every thread has refreshed its handle;
//! the loader keeps the index until then ([`Retired`]) and frees it, so no visitor waits while a
//! large index is freed. Idle threads must call [`IndexReader::refresh`] regularly.
//!
//! The type of the index is a parameter only for tests, which observe the freeing thread.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use arc_swap::cache::Cache;
use coupon_shared::index::Index;

use crate::file_bytes::FileBytes;

/// The index type in service.
pub type ServedIndex = Index<FileBytes>;

/// The shared handle to the current index.
pub struct LiveIndex<I = ServedIndex> {
    current: Arc<ArcSwapOption<I>>,
}

impl<I> Default for LiveIndex<I> {
    fn default() -> LiveIndex<I> {
        LiveIndex { current: Arc::default() }
    }
}

impl<I> Clone for LiveIndex<I> {
    fn clone(&self) -> LiveIndex<I> {
        LiveIndex { current: Arc::clone(&self.current) }
    }
}

impl<I> LiveIndex<I> {
    /// Puts `index` into service and retires the current one.
    pub fn replace(&self, index: Arc<I>, retired: &mut Retired<I>) {
        retired.0.extend(self.current.swap(Some(index)));
    }

    /// The current index, for callers other than serving threads.
    pub fn current(&self) -> Option<Arc<I>> {
        self.current.load_full()
    }

    /// A handle for one serving thread.
    pub fn reader(&self) -> IndexReader<I> {
        IndexReader { cache: Cache::new(Arc::clone(&self.current)) }
    }
}

/// Replaced indexes that some thread may still read.
pub struct Retired<I = ServedIndex>(Vec<Arc<I>>);

impl<I> Default for Retired<I> {
    fn default() -> Retired<I> {
        Retired(Vec::new())
    }
}

impl<I> Retired<I> {
    /// Frees the indexes that no thread reads any more; returns the number left.
    pub fn free(&mut self) -> usize {
        // An index with only our reference cannot gain readers: it is not the current one.
        self.0.retain(|index| Arc::strong_count(index) > 1);
        self.0.len()
    }
}

/// One serving thread's handle.
pub struct IndexReader<I = ServedIndex> {
    cache: Cache<Arc<ArcSwapOption<I>>, Option<Arc<I>>>,
}

impl<I> IndexReader<I> {
    /// Reads the current index; it stays the same until the closure returns.
    pub fn read<R>(&mut self, read: impl FnOnce(Option<&I>) -> R) -> R {
        read(self.cache.load().as_deref())
    }

    /// Releases a replaced index.
    pub fn refresh(&mut self) {
        self.read(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, PoisonError};
    use std::thread::{self, ThreadId};

    use super::*;

    /// Records which thread frees it.
    struct Watched {
        generation: u64,
        freed_by: Arc<Mutex<Vec<ThreadId>>>,
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            let mut freed_by = self.freed_by.lock().unwrap_or_else(PoisonError::into_inner);
            freed_by.push(thread::current().id());
        }
    }

    fn reads_forward(live: &LiveIndex<Watched>, is_over: &AtomicBool) -> u64 {
        let (mut reader, mut last) = (live.reader(), 0);
        while !is_over.load(Ordering::Acquire) {
            let generation = reader.read(|index| index.map_or(0, |index| index.generation));
            assert!(generation >= last, "{generation} was read after {last}");
            last = generation;
        }
        reader.refresh();
        reader.read(|index| index.unwrap().generation)
    }

    #[test]
    fn indexes_only_go_forward_and_only_the_loader_frees_them() {
        const GENERATIONS: u64 = 20_000;
        let live = LiveIndex::default();
        let freed_by = Arc::new(Mutex::new(Vec::new()));
        let is_over = AtomicBool::new(false);
        let mut retired = Retired::default();
        thread::scope(|scope| {
            let serving: Vec<_> =
                (0..3).map(|_| scope.spawn(|| reads_forward(&live, &is_over))).collect();
            for generation in 1..=GENERATIONS {
                let freed_by = Arc::clone(&freed_by);
                live.replace(Arc::new(Watched { generation, freed_by }), &mut retired);
                retired.free();
            }
            is_over.store(true, Ordering::Release);
            for thread in serving {
                assert_eq!(thread.join().unwrap(), GENERATIONS);
            }
        });
        assert_eq!(retired.free(), 0);
        let freed_by = freed_by.lock().unwrap();
        assert_eq!(freed_by.len() as u64, GENERATIONS - 1, "all but the current one");
        assert!(freed_by.iter().all(|thread| *thread == thread::current().id()));
    }

    #[test]
    fn a_retired_index_lives_until_the_last_thread_has_looked_again() {
        let (live, freed_by) = (LiveIndex::default(), Arc::new(Mutex::new(Vec::new())));
        let mut retired = Retired::default();
        let index = |generation| Arc::new(Watched { generation, freed_by: Arc::clone(&freed_by) });
        live.replace(index(1), &mut retired);
        let mut readers = [live.reader(), live.reader()];
        readers.iter_mut().for_each(IndexReader::refresh);
        live.replace(index(2), &mut retired);
        for reader in &mut readers {
            assert_eq!((retired.free(), freed_by.lock().unwrap().len()), (1, 0));
            reader.refresh();
        }
        assert_eq!((retired.free(), freed_by.lock().unwrap().len()), (0, 1));
    }
}
