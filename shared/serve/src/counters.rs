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
    /// Requests that were not HTTP, or too large; hyper answered with a 4xx.
    pub parse_errors: AtomicU64,
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
                self.parse_errors.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                self.broken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
