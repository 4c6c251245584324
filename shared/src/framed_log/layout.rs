//! The state that a log shares with its readers and its rewriter.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The committed part of a log, shared with its readers.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) folder: PathBuf,
    pub(super) layout: Mutex<Layout>,
    /// Held while a segment is rewritten.
    pub(super) rewriting: Mutex<RewriteState>,
}

#[derive(Debug)]
pub(super) struct Layout {
    /// Never empty; the last one takes appends.
    pub(super) segments: Vec<Segment>,
    pub(super) next_sequence: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) bytes: u64,
}

impl Committed {
    pub(super) fn layout(&self) -> MutexGuard<'_, Layout> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state between two rewrites.
#[derive(Debug, Default)]
pub(super) struct RewriteState {
    /// Whether a finished rename may not be durable yet.
    pub(super) is_folder_unsynced: bool,
}
