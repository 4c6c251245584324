//! The state of the click log that its threads and the feed share. All sequences here are sequences
//! of WAL frames.
//!
//! A WAL segment is removable when all its frames are below both `synced` and `acknowledged`. Both
//! may go back: a store is rebuilt, or an admin is restored. Nothing is removed from the first frame on
//! that only a newer program can read: that program hands its clicks over once it runs again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use coupon_shared::click::StreamId;
use coupon_shared::feed::Cursor;
use coupon_shared::framed_log::FrameReader;
use tokio::sync::watch;

use super::alert_kind::ClickAlerts;
use super::durability::Commits;
use crate::clock::LastTime;

/// The phases of the click log's threads; later phases are stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    Running = 0,
    /// Make all clicks durable, then end.
    Draining = 1,
    /// End now; clicks stay in the rings.
    Abandoned = 2,
}

#[derive(Debug)]
pub(super) struct LogState {
    phase: AtomicU8,
    wal_reader: OnceLock<FrameReader>,
    /// Wakes polls after the WAL has opened and after each commit.
    pub(super) wal_changed: watch::Sender<()>,
    /// Notifies the serving threads of commits.
    pub(super) commits: Arc<Commits>,
    /// Frames below this sequence are durable in the click store, or were passed over.
    pub(super) synced: AtomicU64,
    /// Frames below this sequence are durable at the admin.
    pub(super) acknowledged: AtomicU64,
    /// The first frame with a block of a newer version; `u64::MAX` if none was found.
    first_newer_frame: AtomicU64,
    pub(super) wal_bytes: AtomicU64,
    pub(super) torn_bytes_cut: AtomicU64,
    /// Records lost to damage in memory or on disk.
    pub(super) damaged_records: AtomicU64,
    /// Bytes of the click store on its disk.
    pub(super) store_bytes: AtomicU64,
    /// Whether the click store passes blocks over, because it exceeds a bound.
    pub(super) store_is_paused: AtomicBool,
    /// Blocks passed over since the start.
    pub(super) store_passed_over: AtomicU64,
    /// Days removed to make room since the start.
    pub(super) store_days_removed: AtomicU64,
    /// Click store folders set aside since the start.
    pub(super) folders_set_aside: AtomicU64,
    pub(super) wal_ended: AtomicBool,
    /// Whether all rings of earlier runs are in the WAL.
    pub(super) orphaned_drained: AtomicBool,
    cursor: Mutex<Cursor>,
    stored: Mutex<StoredStreams>,
    /// The last commit to the WAL.
    pub(super) last_commit: LastTime,
    /// The admin's last poll.
    pub(super) last_poll: LastTime,
    pub(super) alerts: ClickAlerts,
}

/// The streams in the click store.
#[derive(Debug, Default)]
pub(super) struct StoredStreams {
    /// Whether the store has scanned its folders and has caught up with the WAL.
    pub(super) is_known: bool,
    /// The last sequence of each stream.
    pub(super) last: BTreeMap<StreamId, u64>,
    /// The oldest incarnation of which a block was passed over in this run.
    oldest_passed_over: Option<u32>,
}

impl StoredStreams {
    pub(super) fn passed_over(&mut self, stream: StreamId) {
        let oldest = self.oldest_passed_over.get_or_insert(stream.incarnation);
        *oldest = (*oldest).min(stream.incarnation);
    }

    /// The oldest incarnation in the store, or passed over and perhaps still in the WAL.
    pub(super) fn oldest_incarnation(&self) -> Option<u32> {
        let stored = self.last.keys().map(|stream| stream.incarnation);
        stored.chain(self.oldest_passed_over).min()
    }
}

impl Default for LogState {
    fn default() -> LogState {
        LogState {
            phase: AtomicU8::new(Phase::Running as u8),
            wal_reader: OnceLock::new(),
            wal_changed: watch::Sender::new(()),
            commits: Arc::default(),
            synced: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            first_newer_frame: AtomicU64::new(u64::MAX),
            wal_bytes: AtomicU64::new(0),
            torn_bytes_cut: AtomicU64::new(0),
            damaged_records: AtomicU64::new(0),
            store_bytes: AtomicU64::new(0),
            store_is_paused: AtomicBool::new(false),
            store_passed_over: AtomicU64::new(0),
            store_days_removed: AtomicU64::new(0),
            folders_set_aside: AtomicU64::new(0),
            wal_ended: AtomicBool::new(false),
            orphaned_drained: AtomicBool::new(false),
            cursor: Mutex::default(),
            stored: Mutex::default(),
            last_commit: LastTime::default(),
            last_poll: LastTime::default(),
            alerts: ClickAlerts::new("click log"),
        }
    }
}

impl LogState {
    /// The state of a click log that notifies this many serving threads of its commits.
    pub(super) fn with_awaiting_threads(serving_threads: usize) -> LogState {
        let commits = Arc::new(Commits::for_threads(serving_threads));
        LogState { commits, ..LogState::default() }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Abandoned,
        }
    }

    /// Moves to a stricter phase; a request for an earlier phase changes nothing.
    pub(super) fn request_shutdown(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    pub(super) fn wal_is_open(&self, reader: FrameReader) {
        // Only the click-log thread calls this, once.
        let _ = self.wal_reader.set(reader);
        self.wal_changed.send_replace(());
    }

    /// A reader at the WAL's beginning; `None` while the WAL is not open.
    pub(super) fn wal_reader(&self) -> Option<FrameReader> {
        self.wal_reader.get().cloned()
    }

    /// The next sequence of the WAL; 0 while the WAL is not open.
    pub(super) fn committed(&self) -> u64 {
        self.wal_reader.get().and_then(FrameReader::durable_end).unwrap_or(0)
    }

    /// Frames below this sequence are removable.
    pub(super) fn removable_before(&self) -> u64 {
        // `synced` first: the store thread reports a newer frame before it syncs beyond it.
        let synced = self.synced.load(Ordering::Acquire);
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        synced.min(acknowledged).min(self.first_newer_frame.load(Ordering::Acquire))
    }

    /// Keeps the WAL from this frame on; true if none before it was found.
    pub(super) fn found_newer_frame(&self, frame: u64) -> bool {
        self.first_newer_frame.fetch_min(frame, Ordering::AcqRel) > frame
    }

    /// Whether no sequence can be anywhere but in the store and in the frames that the feed reads.
    pub(super) fn history_is_known(&self) -> bool {
        self.stored().is_known && self.first_newer_frame.load(Ordering::Acquire) == u64::MAX
    }

    pub(super) fn stored(&self) -> MutexGuard<'_, StoredStreams> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The admin's last cursor.
    pub(super) fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
