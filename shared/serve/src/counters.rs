//! Counts of what happened to connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts for the connections of one accept loop. Totals, except `open` and
/// `bytes`.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections open now.
    pub open: AtomicU64,
    /// Estimated bytes of memory that the open connections hold.
    pub bytes: AtomicU64,
    /// Requests that were not HTTP; hyper answered with 400.
    pub not_http: AtomicU64,
    /// Requests whose target was too long for hyper, which answered with 414.
    pub target_too_long: AtomicU64,
    /// Requests whose head was too large; hyper answered with 431.
    pub head_too_large: AtomicU64,
    /// Connections closed because the client was too slow.
    pub timed_out: AtomicU64,
    /// Waiting connections closed in favour of new ones, because `max_connections` were open.
    pub evicted: AtomicU64,
    /// Waiting connections closed because all together held `max_connection_bytes`.
    pub evicted_for_memory: AtomicU64,
    /// Connections ended by an error.
    pub broken: AtomicU64,
    /// Refusals of the system to accept.
    pub accept_errors: AtomicU64,
}

impl ConnectionCounters {
    pub(crate) fn timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn evicted(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn evicted_for_memory(&self) {
        self.evicted_for_memory.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, result: hyper::Result<()>) {
        match result {
            Ok(()) => {}
            Err(error) if error.is_parse() => {
                self.malformed(&error).fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                self.broken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The counter of an error of hyper's parser, by the answer that hyper gave.
    fn malformed(&self, error: &hyper::Error) -> &AtomicU64 {
        // hyper has one question for both, and tells them apart in its text alone.
        match error.is_parse_too_large() {
            true if error.to_string().contains("URI too long") => &self.target_too_long,
            true => &self.head_too_large,
            false => &self.not_http,
        }
    }
}
