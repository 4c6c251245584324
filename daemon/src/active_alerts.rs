//! Alerts: the current faults, for health. The log shows each alert once at its beginning and once
//! at its end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The active alerts of one part of the program; at most one text for each kind.
#[derive(Debug)]
pub(crate) struct ActiveAlerts<Kind> {
    part: &'static str,
    texts: Mutex<BTreeMap<Kind, String>>,
}

impl<Kind: Ord> ActiveAlerts<Kind> {
    pub(crate) fn new(part: &'static str) -> ActiveAlerts<Kind> {
        ActiveAlerts { part, texts: Mutex::default() }
    }

    pub(crate) fn raise(&self, kind: Kind, text: String) {
        let mut texts = self.lock();
        if texts.get(&kind) != Some(&text) {
            tracing::warn!(problem = %text, "{}", self.part);
            texts.insert(kind, text);
        }
    }

    pub(crate) fn clear(&self, kind: Kind) {
        if let Some(text) = self.lock().remove(&kind) {
            tracing::info!(problem = %text, "{}: resolved", self.part);
        }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Kind, String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
