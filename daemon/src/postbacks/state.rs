//! The state that the spool thread, the feed and the receivers share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use coupon_shared::framed_log::FrameReader;
use coupon_shared::postback::SpoolId;
use tokio::sync::watch;

use super::byte_budget::ByteBudgets;
use super::counters::PostbackCounters;
use super::memory_budget::MemoryBudget;
use super::pending_verdicts::PendingVerdicts;
use crate::active_alerts::ActiveAlerts;
use crate::clock::LastTime;

/// The kinds of alerts of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AlertKind {
    Spool,
    SetAside,
    Damage,
    Removal,
    Disk,
}

/// The state that the spool thread, the feed and the receivers share.
#[derive(Debug)]
pub(super) struct PostbackState {
    pub(super) spool: OnceLock<OpenSpool>,
    /// Wakes polls after the spool has opened and after each commit.
    pub(super) spool_changed: watch::Sender<()>,
    /// The last sequence that the admin has decided.
    pub(super) acknowledged: AtomicU64,
    pub(super) spool_bytes: AtomicU64,
    pub(super) torn_bytes_cut: AtomicU64,
    pub(super) counters: PostbackCounters,
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) byte_budgets: ByteBudgets,
    /// Whether less is free on the spool's disk than the reserve.
    pub(super) is_disk_low: AtomicBool,
    pub(super) waiting: Arc<PendingVerdicts>,
    /// The admin's last poll.
    pub(super) last_poll: LastTime,
    pub(super) alerts: ActiveAlerts<AlertKind>,
}

#[derive(Debug)]
pub(super) struct OpenSpool {
    pub(super) id: Mutex<SpoolId>,
    /// At the spool's beginning.
    pub(super) reader: FrameReader,
}

impl PostbackState {
    pub(super) fn new(max_waiting: usize, unidentified_bytes_per_minute: u64) -> PostbackState {
        PostbackState {
            spool: OnceLock::new(),
            spool_changed: watch::Sender::new(()),
            acknowledged: AtomicU64::new(0),
            spool_bytes: AtomicU64::new(0),
            torn_bytes_cut: AtomicU64::new(0),
            counters: PostbackCounters::default(),
            memory: Arc::default(),
            byte_budgets: ByteBudgets::new(unidentified_bytes_per_minute),
            is_disk_low: AtomicBool::new(false),
            last_poll: LastTime::default(),
            waiting: Arc::new(PendingVerdicts::new(max_waiting)),
            alerts: ActiveAlerts::new("postbacks"),
        }
    }

    /// The next sequence of the spool; 0 while the spool is not open.
    ///
    /// The log itself is asked: a copy kept beside it would be behind the frames that a poll can
    /// already read, and their acknowledgement would look like one of another spool.
    pub(super) fn committed(&self) -> u64 {
        self.spool.get().and_then(|spool| spool.reader.durable_end()).unwrap_or(0)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }
}
