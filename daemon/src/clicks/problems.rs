//! What is wrong with the click log now, for health; told to the log once when it begins and once
//! when it ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a problem is about; each has at most one text at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    Wal,
    WalSetAside,
    WalDamage,
    WalRemoval,
    Rings,
    RingSetAside,
    SmallRings,
    Store,
}

#[derive(Debug, Default)]
pub(super) struct Problems(Mutex<BTreeMap<About, String>>);

impl Problems {
    pub(super) fn begin(&self, about: About, text: String) {
        let mut problems = self.lock();
        if problems.get(&about) != Some(&text) {
            tracing::warn!(problem = %text, "click log");
            problems.insert(about, text);
        }
    }

    pub(super) fn end(&self, about: About) {
        if let Some(text) = self.lock().remove(&about) {
            tracing::info!(problem = %text, "click log: mended");
        }
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<About, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
