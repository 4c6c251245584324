//! The counters of one serving thread, read by the control API.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use coupon_serve::ConnectionCounters;

use crate::clock::LastTime;
use crate::counters::VisitCounters;
use crate::unknown_codes::UnknownCodes;

#[derive(Debug, Clone, Default)]
pub struct ThreadMetrics {
    /// Answers and clicks.
    pub visits: Arc<VisitCounters>,
    /// Connections.
    pub connections: Arc<ConnectionCounters>,
    /// Marked by the thread each second.
    pub(crate) heartbeat: Arc<LastTime>,
    /// The most frequent unknown codes.
    pub unknown_codes: Arc<Mutex<UnknownCodes>>,
}

/// The sum of one count over all threads.
pub(crate) fn connection_total(
    threads: &[ThreadMetrics],
    count: fn(&ConnectionCounters) -> &AtomicU64,
) -> u64 {
    threads.iter().map(|thread| count(&thread.connections).load(Ordering::Relaxed)).sum()
}
