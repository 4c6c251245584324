//! Bounds the number of readers of streams.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::auth::Holder;

const MAX_READERS: usize = 64;
const MAX_READERS_OF_HOLDER: usize = 2;

/// The readers of a feed, counted for each holder.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Readers(Arc<Mutex<HashMap<Holder, usize>>>);

/// Why there is no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::api) enum TooManyReaders {
    #[error("this key or session has {MAX_READERS_OF_HOLDER} streams already; close one of them")]
    OfHolder,
    #[error("there are {MAX_READERS} streams already; try again later")]
    All,
}

/// The place of one reader, given back when dropped.
#[derive(Debug)]
pub(in crate::api) struct Place {
    readers: Readers,
    holder: Holder,
}

impl Readers {
    pub(in crate::api) fn take(&self, holder: Holder) -> Result<Place, TooManyReaders> {
        let mut counts = self.counts();
        if counts.get(&holder).copied().unwrap_or_default() >= MAX_READERS_OF_HOLDER {
            return Err(TooManyReaders::OfHolder);
        }
        if counts.values().sum::<usize>() >= MAX_READERS {
            return Err(TooManyReaders::All);
        }
        *counts.entry(holder).or_default() += 1;
        Ok(Place { readers: self.clone(), holder })
    }

    pub(in crate::api) fn counts(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.readers.counts();
        if let Some(count) = counts.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::origin::Actor;

    #[test]
    fn readers_are_bounded_for_each_holder_and_in_all() {
        let readers = Readers::default();
        let first = [(); 2].map(|()| readers.take(Holder::Session(1)).unwrap());
        assert_eq!(readers.take(Holder::Session(1)).unwrap_err(), TooManyReaders::OfHolder);
        let others: Vec<Place> =
            (0..62).map(|id| readers.take(Holder::Key(Actor::ApiKey(id))).unwrap()).collect();
        assert_eq!(readers.take(Holder::Session(2)).unwrap_err(), TooManyReaders::All);
        drop(first);
        assert!(readers.take(Holder::Session(1)).is_ok());
        drop(others);
        assert!(readers.counts().is_empty(), "no holder is kept without a reader");
    }
}
