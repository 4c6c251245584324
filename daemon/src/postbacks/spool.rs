//! The spool: a framed log of postbacks, one frame each, and the thread that owns it.
//!
//! - Whatever waits is appended in one piece and synced once; only then is each request told. When
//!   that fails they are all told so, and the next postback tries again.
//! - Nothing goes before the admin has acknowledged it. What it has acknowledged stays for a while
//!   all the same, because an admin restored from a backup wants it again; it goes segment by
//!   segment when it is too old, by a clock that can be trusted, or sooner when room is needed for
//!   new ones or the disk is low.
//! - A segment holds the postbacks of one UTC day and one run at most, so that old ones can go
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
use super::{AlertKind, OpenSpool, Shared, spool_id};
use crate::clock::unix_ms;
use crate::durable_file;
use crate::removal_clock::RemovalClock;

const MAX_SEGMENT_BYTES: u64 = 16 << 20;
/// Appended with one sync; far more than gathers while the one before is written.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// A frame's header; only to reckon with.
const FRAME_OVERHEAD_BYTES: u64 = 16;
const TIME_BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Frames whose age is looked at in one go, so that no postback waits long meanwhile.
const MAX_LOOKED_AT: usize = 10_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// What the thread works with.
pub(super) struct SpoolSetup {
    pub(super) folder: PathBuf,
    pub(super) keep: Duration,
    pub(super) removal_clock: Arc<RemovalClock>,
    pub(super) max_bytes: u64,
    pub(super) disk_reserve_bytes: u64,
    pub(super) incoming: Receiver<Incoming>,
    pub(super) shared: Arc<Shared>,
}

/// An encoded postback whose request waits to hear that it is durable.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) record: Vec<u8>,
    pub(super) is_kept: oneshot::Sender<bool>,
    /// Given back when the disk has it, or nobody.
    pub(super) _memory: Reservation,
}

/// Why postbacks are not kept.
#[derive(Debug, thiserror::Error)]
enum SpoolError {
    #[error("postbacks cannot be kept and are refused: {0}")]
    Log(#[from] FramedLogError),
    #[error("postbacks cannot be kept and are refused: cannot name the spool {}: {source}", folder.display())]
    Name { folder: PathBuf, source: std::io::Error },
    #[error("postbacks cannot be kept and are refused: {} is damaged and cannot be set aside: {source}", folder.display())]
    SetAside { folder: PathBuf, source: std::io::Error },
    #[error(
        "postbacks are refused: the spool has the {max_bytes} bytes it may have: start coupon-admin, which takes postbacks over, or raise postbacks.max_bytes"
    )]
    Full { max_bytes: u64 },
}

/// The thread's whole life.
pub(super) fn run(setup: SpoolSetup) {
    let mut thread = SpoolThread { setup, spool: None, looked: Instant::now() };
    // A postback that comes early finds it open, or hears why not.
    let opened = thread.open();
    thread.report(opened);
    while let Some(batch) = thread.next_batch() {
        thread.keep(batch);
        thread.look();
    }
}

struct SpoolThread {
    setup: SpoolSetup,
    spool: Option<Spool>,
    looked: Instant,
}

impl SpoolThread {
    /// What waits now, after waiting for it a while; `None` when nobody can send any more.
    fn next_batch(&self) -> Option<Vec<Incoming>> {
        let incoming = &self.setup.incoming;
        let mut batch = match incoming.recv_timeout(TIME_BETWEEN_LOOKS) {
            Ok(first) => vec![first],
            Err(RecvTimeoutError::Timeout) => return Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        let mut bytes = batch[0].record.len();
        let max_bytes = MAX_BATCH_BYTES.min(self.setup.max_bytes as usize / 8);
        while bytes < max_bytes
            && let Ok(next) = incoming.try_recv()
        {
            bytes += next.record.len();
            batch.push(next);
        }
        Some(batch)
    }

    fn keep(&mut self, batch: Vec<Incoming>) {
        if batch.is_empty() {
            return;
        }
        let kept = self.append(&batch);
        let is_kept = kept.is_ok();
        if is_kept {
            self.setup.shared.counters.kept(batch.len() as u64);
        }
        self.report(kept);
        for incoming in batch {
            // Its request may have gone; then nobody hears of it.
            let _ = incoming.is_kept.send(is_kept);
        }
    }

    fn append(&mut self, batch: &[Incoming]) -> Result<(), SpoolError> {
        self.open()?;
        let Some(spool) = &mut self.spool else { return Ok(()) };
        let records: Vec<&[u8]> = batch.iter().map(|incoming| &incoming.record[..]).collect();
        let shared = &self.setup.shared;
        let appended = spool.append(&records, shared.acknowledged(), unix_ms());
        report_disk(shared, &spool.disk);
        shared.spool_bytes.store(spool.log.bytes_on_disk(), Ordering::Release);
        let next = appended?;
        shared.committed.send_replace(next);
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
        // Only this thread opens it, once.
        let _ = shared.spool.set(OpenSpool { id: id.into(), reader });
        shared.spool_bytes.store(spool.log.bytes_on_disk(), Ordering::Release);
        shared.committed.send_replace(spool.log.next_sequence());
        self.spool = Some(spool);
        Ok(())
    }

    /// A spool that is damaged where recovery must not touch it is kept for a person to look at;
    /// new postbacks need one that works.
    fn open_or_set_aside(&self) -> Result<Spool, SpoolError> {
        let SpoolSetup { folder, keep, max_bytes, disk_reserve_bytes, shared, .. } = &self.setup;
        let open = || Spool::open(folder, *keep, *max_bytes, *disk_reserve_bytes);
        let damaged = match open() {
            Ok((spool, torn_bytes_cut)) => {
                if torn_bytes_cut > 0 {
                    tracing::warn!(bytes = torn_bytes_cut, "cut a torn tail off the spool");
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
            "{damaged}. All of the spool was set aside as {}; its postbacks that coupon-admin had not taken over yet are there",
            aside.display()
        );
        shared.alerts.raise(AlertKind::SetAside, text);
        Ok(open()?.0)
    }

    fn report(&self, done: Result<(), SpoolError>) {
        let alerts = &self.setup.shared.alerts;
        match done {
            Ok(()) => alerts.clear(AlertKind::Spool),
            Err(error) => alerts.raise(AlertKind::Spool, error.to_string()),
        }
    }

    /// Now and then: opens what did not open, and removes what is too old.
    fn look(&mut self) {
        if self.looked.elapsed() < TIME_BETWEEN_LOOKS {
            return;
        }
        self.looked = Instant::now();
        let shared = Arc::clone(&self.setup.shared);
        match &mut self.spool {
            None => {
                let opened = self.open();
                self.report(opened);
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

fn report_disk(shared: &Shared, disk: &SpoolDisk) {
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

/// The disk that the spool is on, of which a part is a reserve.
struct SpoolDisk {
    folder: PathBuf,
    reserve_bytes: u64,
}

impl SpoolDisk {
    /// Whether less is free than the reserve. Where the system does not say, the write itself will.
    fn is_low(&self) -> bool {
        let disk = rustix::fs::statvfs(&self.folder);
        let free = disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        free.is_ok_and(|free| free < self.reserve_bytes)
    }
}

/// The open log and what bounds it. It knows no time and no admin but what it is told.
struct Spool {
    log: FramedLog,
    keep_ms: u64,
    max_bytes: u64,
    disk: SpoolDisk,
    /// The day of the last segment, unless that is of an earlier run.
    segment_day: Option<u64>,
    oldest: Oldest,
}

/// A place in the log: everything before is too old.
struct Oldest {
    reader: FrameReader,
    /// When the frame before the reader's place came, where that is not too old.
    next_ms: Option<u64>,
}

impl Spool {
    /// Opens it, and tells how many bytes of a torn tail were cut.
    fn open(
        folder: &std::path::Path,
        keep: Duration,
        max_bytes: u64,
        reserve_bytes: u64,
    ) -> Result<(Spool, u64), FramedLogError> {
        let segment_bytes = MAX_SEGMENT_BYTES.min(max_bytes / 8);
        let options = Options { segment_bytes, max_frame_bytes: MAX_POSTBACK_BYTES as u32 };
        let (log, recovery) = FramedLog::open(folder, options)?;
        let oldest = Oldest { reader: log.reader(log.first_sequence())?, next_ms: None };
        let keep_ms = keep.as_millis() as u64;
        let disk = SpoolDisk { folder: folder.to_owned(), reserve_bytes };
        let spool = Spool { log, keep_ms, max_bytes, disk, segment_day: None, oldest };
        Ok((spool, recovery.torn_bytes_cut))
    }

    /// Appends all records or none, and returns the next sequence.
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
            self.log.close_segment()?;
            self.segment_day = Some(today);
        }
        Ok(self.log.append_synced(records)?.end)
    }

    /// Gives up acknowledged segments, the oldest first, until there is room for so many bytes and
    /// the disk is not low.
    fn make_room(&mut self, bytes: u64, acknowledged: u64) -> Result<(), SpoolError> {
        while self.log.bytes_on_disk() + bytes > self.max_bytes {
            if !self.give_up_oldest(acknowledged)? {
                return Err(SpoolError::Full { max_bytes: self.max_bytes });
            }
        }
        Ok(self.relieve_disk(acknowledged)?)
    }

    fn relieve_disk(&mut self, acknowledged: u64) -> Result<(), FramedLogError> {
        while self.disk.is_low() && self.give_up_oldest(acknowledged)? {}
        Ok(())
    }

    /// Gives up the oldest segment, or closes the last one so that it can be; false where the oldest
    /// is not acknowledged, or nothing is left.
    fn give_up_oldest(&mut self, acknowledged: u64) -> Result<bool, FramedLogError> {
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

    /// Removes the segments whose postbacks are all acknowledged and too old.
    fn remove_old(&mut self, acknowledged: u64, now: RemovalTime) -> Result<(), FramedLogError> {
        // An admin restored from a backup takes acknowledgements back.
        let before = self.too_old_before(acknowledged, now.unix_ms())?.min(acknowledged + 1);
        if before == self.log.next_sequence() {
            self.log.close_segment()?;
        }
        let first = self.log.first_sequence();
        self.log.remove_segments_before(before)?;
        let removed = self.log.first_sequence() - first;
        if removed > 0 {
            tracing::info!(postbacks = removed, "removed old postbacks from the spool");
        }
        Ok(())
    }

    /// The first sequence that must stay, as far as was looked.
    fn too_old_before(&mut self, acknowledged: u64, now_ms: u64) -> Result<u64, FramedLogError> {
        let first = self.log.first_sequence();
        let is_old = |came_ms: u64| came_ms.saturating_add(self.keep_ms) <= now_ms;
        let Oldest { reader, next_ms } = &mut self.oldest;
        if reader.next_sequence() < first {
            reader.seek(first);
            *next_ms = None;
        }
        for _ in 0..MAX_LOOKED_AT {
            match *next_ms {
                // The reader stands behind the frame that must stay.
                Some(came_ms) if !is_old(came_ms) => return Ok(reader.next_sequence() - 1),
                _ => *next_ms = None,
            }
            if reader.next_sequence() > acknowledged {
                break;
            }
            match reader.next_frame() {
                // What cannot be read was never delivered, or long ago.
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
