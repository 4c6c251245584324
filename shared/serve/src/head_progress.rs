//! How far hyper has read a connection's requests.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// How far hyper has read the requests of a connection, for the layer below hyper.
#[derive(Debug, Default)]
pub(crate) struct HeadProgress {
    /// Number of heads that hyper has read.
    pub(crate) read: AtomicU32,
    /// Length in bytes of the last request's body.
    pub(crate) body_bytes: AtomicU64,
    /// Whether the end of the last head was found byte by byte.
    pub(crate) is_exact: AtomicBool,
}

impl HeadProgress {
    /// Records that hyper has read a head with a body of `body_bytes`; `None` for a length that
    /// only the body's end shows. Returns whether the beginning of the next request is known.
    pub(crate) fn read(&self, body_bytes: Option<u64>) -> bool {
        self.read.store(self.count().wrapping_add(1), Ordering::Relaxed);
        self.body_bytes.store(body_bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
        body_bytes == Some(0) || body_bytes.is_some() && self.is_exact.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> u32 {
        self.read.load(Ordering::Relaxed)
    }
}
