//! The spool: a framed log of postbacks, one frame each, and its thread.
//!
//! - All waiting postbacks are appended with one sync; only then do their requests learn the
//!   result. After a failure all of them are refused, and the next postback tries again.
//! - Only acknowledged postbacks are removed, and not at once: an admin restored from a backup
//!   needs them again. Segments are removed when all their postbacks are too old, by a trusted
//!   clock, or earlier when new postbacks need the room or the disk is low.
//! - A segment holds postbacks of one UTC day and one run at most, so old postbacks can be removed
//!   however few there are.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use coupon_shared::framed_log::{FrameReader, FramedLog, FramedLogError, Options};
use coupon_shared::postback::{MAX_POSTBACK_BYTES, Postback};
use coupon_shared::removal_clock::RemovalTime;
use tokio::sync::oneshot;

use super::memory_budget::Reservation;
use super::spool_id;
use super::state::{AlertKind, OpenSpool, PostbackState};
use crate::clock::unix_ms;
use crate::durable_file;
use crate::removal_clock::RemovalClock;

const MAX_SEGMENT_BYTES: u64 = 16 << 20;
/// Most bytes appended with one sync; far more than arrive during a write.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// Length of a frame's header, for estimates only.
const FRAME_OVERHEAD_BYTES: u64 = 16;
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);
/// Most frames checked for their age in one go; keeps postbacks from waiting long meanwhile.
const MAX_AGE_CHECKS: usize = 10_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// The spool thread's configuration and channels.
pub(super) struct SpoolSetup {
    pub(super) folder: PathBuf,
    pub(super) keep: Duration,
    pub(super) removal_clock: Arc<RemovalClock>,
    pub(super) max_bytes: u64,
    pub(super) disk_reserve_bytes: u64,
    pub(super) incoming: Receiver<Incoming>,
    pub(super) shared: Arc<PostbackState>,
}

/// An encoded postback whose request waits until it is durable.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) record: Vec<u8>,
    pub(super) is_kept: oneshot::Sender<bool>,
    /// Returned once the postback is on the disk or refused.
    pub(super) _memory: Reservation,
}

/// Reasons why postbacks are not kept.
#[derive(Debug, thiserror::Error)]
enum SpoolError {
    #[error("postbacks cannot be kept and are refused: {0}")]
    Log(#[from] FramedLogError),
    #[error("postbacks cannot be kept and are refused: cannot write the name of the spool {}: {source}", folder.display())]
    Name { folder: PathBuf, source: std::io::Error },
    #[error("postbacks cannot be kept and are refused: {} is damaged and cannot be set aside: {source}", folder.display())]
    SetAside { folder: PathBuf, source: std::io::Error },
    #[error(
        "postbacks are refused: the spool has reached its limit of {max_bytes} bytes: start coupon-admin, which takes postbacks over, or raise postbacks.max_bytes"
    )]
    Full { max_bytes: u64 },
}

/// Runs the spool thread until all receivers are dropped.
pub(super) fn run(setup: SpoolSetup) {
    let mut thread = SpoolThread { setup, spool: None, last_maintenance: Instant::now() };
    // Opened before the first postback, which then finds the spool open or the reason why not.
    let opened = thread.open();
    thread.report_result(opened);
    while let Some(batch) = thread.next_batch() {
        thread.keep_batch(batch);
        thread.maintain();
    }
}

struct SpoolThread {
    setup: SpoolSetup,
    spool: Option<Spool>,
    last_maintenance: Instant,
}

impl SpoolThread {
    /// The waiting postbacks, after a short wait for the first; `None` when all senders are
    /// dropped.
    fn next_batch(&self) -> Option<Vec<Incoming>> {
        let incoming = &self.setup.incoming;
        let mut batch = match incoming.recv_timeout(MAINTENANCE_INTERVAL) {
            Ok(first) => vec![first],
            Err(RecvTimeoutError::Timeout) => return Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        let mut bytes = batch[0].record.len();
        // A batch must fit into a small spool, too.
        let max_bytes = MAX_BATCH_BYTES.min(self.setup.max_bytes as usize / 8);
        while bytes < max_bytes
            && let Ok(next) = incoming.try_recv()
        {
            bytes += next.record.len();
            batch.push(next);
        }
        Some(batch)
    }

    fn keep_batch(&mut self, batch: Vec<Incoming>) {
        if batch.is_empty() {
            return;
        }
        let kept = self.append(&batch);
        let is_kept = kept.is_ok();
        if is_kept {
            self.setup.shared.counters.kept(batch.len() as u64);
        }
        self.report_result(kept);
        for incoming in batch {
            // The request may have ended; then the result is dropped.
            let _ = incoming.is_kept.send(is_kept);
        }
    }

    fn append(&mut self, batch: &[Incoming]) -> Result<(), SpoolError> {
        self.open()?;
        let Some(spool) = &mut self.spool else { return Ok(()) };
        let records: Vec<&[u8]> = batch.iter().map(|incoming| &incoming.record[..]).collect();
        let shared = &self.setup.shared;
        let appended = spool.append(&records, shared.acknowledged(), unix_ms());
        // Also after a failed append.
        report_disk(shared, &spool.disk);
        shared.spool_bytes.store(spool.log.bytes_on_disk(), Ordering::Release);
        appended?;
        shared.spool_changed.send_replace(());
        Ok(())
    }

    /// Opens the spool unless it is open.
    fn open(&mut self) -> Result<(), SpoolError> {
        if self.spool.is_some() {
            return Ok(());
        }
        let spool = self.open_or_set_aside()?;
        let folder = &self.setup.folder;
        let id = spool_id::read_or_create(folder)
            .map_err(|source| SpoolError::Name { folder: folder.clone(), source })?;
        let shared = &self.setup.shared;
        let reader = spool.log.reader(spool.log.first_sequence())?;
        // Only this thread sets it, once.
        let _ = shared.spool.set(OpenSpool { id: id.into(), reader });
        shared.spool_bytes.store(spool.log.bytes_on_disk(), Ordering::Release);
        shared.spool_changed.send_replace(());
        self.spool = Some(spool);
        Ok(())
    }

    /// Keeps a spool with damage beyond recovery for a person to examine; new postbacks get a new
    /// spool.
    fn open_or_set_aside(&self) -> Result<Spool, SpoolError> {
        let SpoolSetup { folder, keep, max_bytes, disk_reserve_bytes, shared, .. } = &self.setup;
        let open = || Spool::open(folder, *keep, *max_bytes, *disk_reserve_bytes);
        let damaged = match open() {
            Ok((spool, torn_bytes_cut)) => {
                if torn_bytes_cut > 0 {
                    tracing::warn!(bytes = torn_bytes_cut, "torn tail cut off the spool");
                    shared.torn_bytes_cut.store(torn_bytes_cut, Ordering::Release);
                }
                return Ok(spool);
            }
            Err(damaged @ FramedLogError::Damaged { .. }) => damaged,
            Err(error) => return Err(error.into()),
        };
        let aside = durable_file::set_aside(folder)
            .map_err(|source| SpoolError::SetAside { folder: folder.clone(), source })?;
        let text = format!(
            "{damaged}. The whole spool was set aside as {}, with the postbacks that coupon-admin had not taken over yet",
            aside.display()
        );
        shared.alerts.raise(AlertKind::SetAside, text);
        Ok(open()?.0)
    }

    fn report_result(&self, done: Result<(), SpoolError>) {
        let alerts = &self.setup.shared.alerts;
        match done {
            Ok(()) => alerts.clear(AlertKind::Spool),
            Err(error) => alerts.raise(AlertKind::Spool, error.to_string()),
        }
    }

    /// Opens a spool that failed to open, and removes old postbacks; does nothing between the
    /// intervals.
    fn maintain(&mut self) {
        if self.last_maintenance.elapsed() < MAINTENANCE_INTERVAL {
            return;
        }
        self.last_maintenance = Instant::now();
        let shared = Arc::clone(&self.setup.shared);
        match &mut self.spool {
            None => {
                let opened = self.open();
                self.report_result(opened);
            }
            Some(spool) => {
                let now = self.setup.removal_clock.removal_time();
                let acknowledged = shared.acknowledged();
                let removed = now.map_or(Ok(()), |now| spool.remove_old(acknowledged, now));
                match removed.and_then(|()| spool.relieve_disk(acknowledged)) {
                    Ok(()) => shared.alerts.clear(AlertKind::Removal),
                    Err(error) => shared.alerts.raise(AlertKind::Removal, error.to_string()),
                }
                shared.spool_bytes.store(spool.log.bytes_on_disk(), Ordering::Release);
                report_disk(&shared, &spool.disk);
            }
        }
    }
}

fn report_disk(shared: &PostbackState, disk: &SpoolDisk) {
    let is_low = disk.is_low();
    shared.is_disk_low.store(is_low, Ordering::Release);
    if is_low {
        let text = format!(
            "less than postbacks.disk_reserve_bytes ({}) is free on the disk of {}: postbacks that \
             name nothing known are refused, and decided ones are not kept for a restored \
             coupon-admin; free some space",
            disk.reserve_bytes,
            disk.folder.display()
        );
        shared.alerts.raise(AlertKind::Disk, text);
    } else {
        shared.alerts.clear(AlertKind::Disk);
    }
}

/// The spool's disk, part of which is a reserve.
struct SpoolDisk {
    folder: PathBuf,
    reserve_bytes: u64,
}

impl SpoolDisk {
    /// Whether less is free than the reserve. If the system does not say, writes will fail by
    /// themselves.
    fn is_low(&self) -> bool {
        let disk = rustix::fs::statvfs(&self.folder);
        let free = disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        free.is_ok_and(|free| free < self.reserve_bytes)
    }
}

/// The open log and its bounds. Time and acknowledgements come in as parameters.
struct Spool {
    log: FramedLog,
    keep_ms: u64,
    max_bytes: u64,
    disk: SpoolDisk,
    /// The day of the last segment; `None` if an earlier run wrote the segment.
    segment_day: Option<u64>,
    age_cursor: AgeCursor,
}

/// A position in the log: all earlier postbacks are too old.
struct AgeCursor {
    reader: FrameReader,
    /// When the postback before the reader's position came, unless it is too old.
    next_ms: Option<u64>,
}

impl Spool {
    /// Opens the log; returns the spool and the number of bytes cut off a torn tail.
    fn open(
        folder: &std::path::Path,
        keep: Duration,
        max_bytes: u64,
        reserve_bytes: u64,
    ) -> Result<(Spool, u64), FramedLogError> {
        // A small spool has several segments, or none could be removed.
        let segment_bytes = MAX_SEGMENT_BYTES.min(max_bytes / 8);
        let options = Options { segment_bytes, max_frame_bytes: MAX_POSTBACK_BYTES as u32 };
        let (log, recovery) = FramedLog::open(folder, options)?;
        let age_cursor = AgeCursor { reader: log.reader(log.first_sequence())?, next_ms: None };
        let keep_ms = keep.as_millis() as u64;
        let disk = SpoolDisk { folder: folder.to_owned(), reserve_bytes };
        let spool = Spool { log, keep_ms, max_bytes, disk, segment_day: None, age_cursor };
        Ok((spool, recovery.torn_bytes_cut))
    }

    /// Appends all records or none; returns the next sequence.
    fn append(
        &mut self,
        records: &[&[u8]],
        acknowledged: u64,
        now_ms: u64,
    ) -> Result<u64, SpoolError> {
        let bytes = records.iter().map(|record| record.len() as u64 + FRAME_OVERHEAD_BYTES).sum();
        self.make_room(bytes, acknowledged)?;
        let today = now_ms / DAY_MS;
        if self.segment_day != Some(today) {
            // A segment per day and run: old postbacks can go however few there are.
            self.log.close_segment()?;
            self.segment_day = Some(today);
        }
        Ok(self.log.append_synced(records)?.end)
    }

    /// Removes acknowledged segments, the oldest first, until `bytes` fit and the disk is not low.
    fn make_room(&mut self, bytes: u64, acknowledged: u64) -> Result<(), SpoolError> {
        while self.log.bytes_on_disk() + bytes > self.max_bytes {
            if !self.remove_oldest_segment(acknowledged)? {
                return Err(SpoolError::Full { max_bytes: self.max_bytes });
            }
        }
        Ok(self.relieve_disk(acknowledged)?)
    }

    fn relieve_disk(&mut self, acknowledged: u64) -> Result<(), FramedLogError> {
        while self.disk.is_low() && self.remove_oldest_segment(acknowledged)? {}
        Ok(())
    }

    /// Removes the oldest segment, or closes the last one to make it removable; false if the oldest
    /// is not acknowledged or no segment is left.
    fn remove_oldest_segment(&mut self, acknowledged: u64) -> Result<bool, FramedLogError> {
        let all = self.log.first_sequence()..self.log.next_sequence();
        match self.log.closed_segments().first().map(|oldest| oldest.end) {
            Some(next) if next <= acknowledged + 1 => {
                self.log.remove_segments_before(next)?;
                Ok(true)
            }
            None if !all.is_empty() && all.end <= acknowledged + 1 => {
                self.log.close_segment()?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Removes segments with only acknowledged and old postbacks.
    fn remove_old(&mut self, acknowledged: u64, now: RemovalTime) -> Result<(), FramedLogError> {
        // An admin restored from a backup takes acknowledgements back.
        let before = self.first_to_keep(acknowledged, now.unix_ms())?.min(acknowledged + 1);
        if before == self.log.next_sequence() {
            self.log.close_segment()?;
        }
        let first = self.log.first_sequence();
        self.log.remove_segments_before(before)?;
        let removed = self.log.first_sequence() - first;
        if removed > 0 {
            tracing::info!(postbacks = removed, "old postbacks removed from the spool");
        }
        Ok(())
    }

    /// The first sequence that must stay, as far as checked.
    fn first_to_keep(&mut self, acknowledged: u64, now_ms: u64) -> Result<u64, FramedLogError> {
        let first = self.log.first_sequence();
        let is_old = |came_ms: u64| came_ms.saturating_add(self.keep_ms) <= now_ms;
        let AgeCursor { reader, next_ms } = &mut self.age_cursor;
        if reader.next_sequence() < first {
            reader.seek(first);
            *next_ms = None;
        }
        for _ in 0..MAX_AGE_CHECKS {
            match *next_ms {
                // The reader stands behind the frame that must stay.
                Some(came_ms) if !is_old(came_ms) => return Ok(reader.next_sequence() - 1),
                _ => *next_ms = None,
            }
            if reader.next_sequence() > acknowledged {
                break;
            }
            match reader.next_frame() {
                // Unreadable frames were never delivered, or long ago.
                Ok(Some(frame)) => {
                    *next_ms = Some(Postback::decode(frame.payload).map_or(0, |p| p.unix_ms));
                }
                Ok(None) => break,
                Err(FramedLogError::Damaged { resume_at: Some(next), .. }) => reader.seek(next),
                Err(error) => return Err(error),
            }
        }
        Ok(reader.next_sequence() - u64::from(next_ms.is_some()))
    }
}
