//! What is wrong now, for health; told to the log once when it begins and once when it ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The problems of one part of the program. Each thing that can be wrong has at most one text at
/// a time.
#[derive(Debug)]
pub(crate) struct Problems<About> {
    part: &'static str,
    texts: Mutex<BTreeMap<About, String>>,
}

impl<About: Ord> Problems<About> {
    pub(crate) fn of(part: &'static str) -> Problems<About> {
        Problems { part, texts: Mutex::default() }
    }

    pub(crate) fn begin(&self, about: About, text: String) {
        let mut texts = self.lock();
        if texts.get(&about) != Some(&text) {
            tracing::warn!(problem = %text, "{}", self.part);
            texts.insert(about, text);
        }
    }

    pub(crate) fn end(&self, about: About) {
        if let Some(text) = self.lock().remove(&about) {
            tracing::info!(problem = %text, "{}: mended", self.part);
        }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<About, String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
