//! The click WAL: the click-log thread takes records out of the rings and appends and syncs them;
//! then they are durable.
//!
//! - A ring's room is returned only after its records are synced. Records that cannot be written
//!   stay in the ring and are retried with growing pauses until it works; meanwhile the ring fills
//!   up, and the serving thread counts unlogged clicks. So no logged click is dropped.
//! - Orphaned rings are drained first, all of them, before any record of this run is written. A
//!   process killed between a sync and the return of the room leaves records that are both in a
//!   ring and in the WAL. They are in the WAL's last batch, because the next run drains that ring
//!   before it writes anything else. So the newest frames, as many as a batch can have, tell which
//!   records to skip, and each record is in the WAL once.
//! - The WAL has a size limit of its own. A segment is removed when the click store has synced it
//!   and the admin has acknowledged it, and not before.
//! - If answers wait for commits, the answers to misses wait as well: a commit for misses alone
//!   takes as long as a commit with a click.
//!
//! Deliberately absent: any way for a serving thread to block on this thread. If answers wait for
//! commits, this thread notifies of each commit, and commits as soon as there is a record, but
//! rarely enough to gather several clicks per block under load.

mod commit_scheduler;
mod miss_writes;
mod packer;
mod ring_source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use coupon_shared::click::StreamId;
use coupon_shared::click::block::Block;
use coupon_shared::framed_log::{FramedLog, FramedLogError, Options};

use super::alert_kind::AlertKind;
use super::log_state::{LogState, Phase};
use super::ring::{OrphanedRing, RingReader, StoreId, find_orphaned_rings, set_aside};
use super::unlogged::UnloggedLedger;
use commit_scheduler::{CommitScheduler, Tick};
use miss_writes::MissWrites;
use packer::{Batch, MAX_BATCH_BLOCKS, Packer};
use ring_source::{RingEnd, RingSource};

/// Blocks are far shorter; this bounds the length of a valid frame.
const MAX_FRAME_BYTES: u32 = 1 << 20;
/// Age at which a segment is removed once the admin has all its clicks, however short it is.
const SEGMENT_MAX_AGE: Duration = Duration::from_secs(3600);
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The click-log thread's configuration and state.
#[derive(Debug)]
pub(super) struct WalSetup {
    pub(super) folder: PathBuf,
    pub(super) runtime_dir: PathBuf,
    pub(super) store: StoreId,
    pub(super) segment_bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) commit_interval: Duration,
    pub(super) commit_bytes: u64,
    pub(super) rings: Vec<RingReader>,
    pub(super) ledger: UnloggedLedger,
    pub(super) state: Arc<LogState>,
}

/// Errors that keep a batch from being durable.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Log(#[from] FramedLogError),
    #[error(
        "the click log has reached its limit of {max_bytes} bytes: start coupon-admin, which takes clicks over, or raise clicks.wal_max_bytes"
    )]
    Full { max_bytes: u64 },
    #[error("cannot write the file of misses, which makes misses take as long as clicks: {0}")]
    Misses(io::Error),
}

struct ClickLogThread {
    log: FramedLog,
    misses: MissWrites,
    setup: WalSetup,
    orphaned: Vec<RingSource>,
    live: Vec<RingSource>,
    packer: Packer,
    segment_began: Instant,
}

/// Runs the click-log thread; true if every click is durable at its end.
pub(super) fn run(setup: WalSetup) -> bool {
    let state = setup.state.clone();
    state.commits.register_click_log_thread();
    let is_durable = follow_rings(setup);
    state.wal_ended.store(true, Ordering::Release);
    is_durable
}

fn follow_rings(mut setup: WalSetup) -> bool {
    let Some(log) = open_log(&setup) else { return false };
    let Some(orphaned) = open_orphaned_rings(&setup, &log) else { return false };
    let live = std::mem::take(&mut setup.rings);
    let mut thread = ClickLogThread {
        log,
        misses: MissWrites::new(setup.folder.with_file_name("misses")),
        orphaned,
        live: live.into_iter().map(|ring| RingSource::new(ring, 0)).collect(),
        packer: Packer::new(setup.max_bytes),
        segment_began: Instant::now(),
        setup,
    };
    thread.work()
}

/// Retries with growing pauses until success or shutdown.
fn retry_until_done<T>(
    state: &LogState,
    kind: AlertKind,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> Option<T> {
    let mut pause = BACK_OFF.0;
    loop {
        match attempt() {
            Ok(done) => {
                state.alerts.clear(kind);
                return Some(done);
            }
            Err(problem) => state.alerts.raise(kind, problem),
        }
        if state.phase() != Phase::Running {
            return None;
        }
        thread::park_timeout(pause);
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

fn open_log(setup: &WalSetup) -> Option<FramedLog> {
    let options = Options { segment_bytes: setup.segment_bytes, max_frame_bytes: MAX_FRAME_BYTES };
    let state = &setup.state;
    let (log, recovery) = retry_until_done(state, AlertKind::Wal, || {
        match FramedLog::open(&setup.folder, options) {
            Err(damaged @ FramedLogError::Damaged { .. }) => {
                set_wal_aside(setup, &damaged.to_string())
                    .map_err(|error| format!("{damaged}; cannot set it aside: {error}"))?;
                FramedLog::open(&setup.folder, options).map_err(|error| error.to_string())
            }
            opened => opened.map_err(|error| error.to_string()),
        }
    })?;
    if recovery.torn_bytes_cut > 0 {
        tracing::warn!(bytes = recovery.torn_bytes_cut, "torn tail cut off the click WAL");
        state.torn_bytes_cut.store(recovery.torn_bytes_cut, Ordering::Release);
    }
    state.wal_bytes.store(log.bytes_on_disk(), Ordering::Release);
    let reader = log.reader(log.first_sequence()).ok()?;
    state.wal_is_open(reader);
    Some(log)
}

/// Keeps a WAL that recovery must not touch for a person to examine; new clicks get a new WAL.
fn set_wal_aside(setup: &WalSetup, damage: &str) -> io::Result<()> {
    let aside = crate::durable_file::set_aside(&setup.folder)?;
    let text = format!(
        "{damage}. The whole click WAL was set aside as {}, with the clicks that coupon-admin had not taken over yet",
        aside.display()
    );
    setup.state.alerts.raise(AlertKind::WalSetAside, text);
    Ok(())
}

fn open_orphaned_rings(setup: &WalSetup, log: &FramedLog) -> Option<Vec<RingSource>> {
    let state = &setup.state;
    let found = retry_until_done(state, AlertKind::Rings, || {
        find_orphaned_rings(&setup.runtime_dir, setup.store)
            .map_err(|error| format!("cannot look for click rings of earlier runs: {error}"))
    })?;
    let logged = newest_sequences(log);
    let mut rings = Vec::new();
    for orphaned in found {
        match orphaned {
            OrphanedRing::Ours(ring) => {
                let logged_before = logged.get(&ring.stream()).copied().unwrap_or(0);
                rings.push(RingSource::new(*ring, logged_before));
            }
            OrphanedRing::SetAside { path, why } => report_set_aside(state, &path, &why),
            OrphanedRing::InUse { path } => {
                tracing::debug!(ring = %path.display(), "click ring skipped: in use");
            }
        }
    }
    Some(rings)
}

fn report_set_aside(state: &LogState, path: &Path, why: &str) {
    let text = format!("a click ring was set aside as {}: {why}", path.display());
    state.alerts.raise(AlertKind::RingSetAside, text);
}

/// The last logged sequence of each stream in the newest frames; the module header says why they
/// suffice.
fn newest_sequences(log: &FramedLog) -> HashMap<StreamId, u64> {
    let mut newest = HashMap::new();
    // Twice the bound, because each source can add a block to a batch.
    let from = log.next_sequence().saturating_sub(2 * MAX_BATCH_BLOCKS as u64);
    let Ok(mut reader) = log.reader(from.max(log.first_sequence())) else {
        return newest;
    };
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                if let Ok(block) = Block::parse(frame.payload) {
                    let last = newest.entry(block.stream()).or_insert(0);
                    *last = block.last_sequence().max(*last);
                }
            }
            Ok(None) => return newest,
            Err(FramedLogError::Damaged { resume_at: Some(next), .. }) => reader.seek(next),
            Err(_) => return newest,
        }
    }
}

impl ClickLogThread {
    fn work(&mut self) -> bool {
        let mut scheduler = self.scheduler();
        let mut pause = BACK_OFF.0;
        self.report_orphaned();
        loop {
            let phase = self.setup.state.phase();
            if phase == Phase::Abandoned {
                return false;
            }
            if phase == Phase::Draining && self.finish() {
                return true;
            }
            self.trim();
            let tick = match phase {
                Phase::Running => scheduler.tick(Instant::now(), self.bytes_to_commit()),
                _ => Tick::Commit,
            };
            match tick {
                Tick::Look { after } => thread::park_timeout(after),
                Tick::Gather { rest } => thread::sleep(rest),
                Tick::Commit => match self.commit() {
                    Ok(()) => pause = BACK_OFF.0,
                    Err(error) => {
                        self.setup.state.alerts.raise(AlertKind::Wal, error.to_string());
                        self.pause(pause);
                        pause = (pause * 2).min(BACK_OFF.1);
                    }
                },
            }
        }
    }

    fn scheduler(&self) -> CommitScheduler {
        let WalSetup { commit_interval, commit_bytes, state, .. } = &self.setup;
        let now = Instant::now();
        if state.commits.is_awaited() {
            return CommitScheduler::awaited(*commit_interval, *commit_bytes, now);
        }
        CommitScheduler::new(*commit_interval, *commit_bytes, now)
    }

    /// Ends early only when the phase changes: requests for commits do not repair a disk.
    fn pause(&self, length: Duration) {
        let (end, phase) = (Instant::now() + length, self.setup.state.phase());
        while self.setup.state.phase() == phase {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    fn waiting_bytes(&self) -> u64 {
        let live: u64 = self.live.iter().map(RingSource::unread_bytes).sum();
        // An orphaned ring counts even when it is empty, because it has to be removed.
        if self.orphaned.is_empty() { live } else { u64::MAX }
    }

    /// Counts a byte for misses that wait for a commit.
    fn bytes_to_commit(&self) -> u64 {
        let misses = self.setup.state.commits.misses_waiting();
        self.waiting_bytes().saturating_add(misses.is_some().into())
    }

    /// Commits one batch: of the orphaned rings while there are any, then of the live ones.
    fn commit(&mut self) -> Result<(), CommitError> {
        let misses = self.setup.state.commits.misses_waiting();
        let sources = if self.orphaned.is_empty() { &mut self.live } else { &mut self.orphaned };
        let batch = self.packer.pack(sources.iter_mut());
        if !batch.blocks.is_empty()
            && let Err(error) = self.append(&batch)
        {
            let sources = self.orphaned.iter_mut().chain(&mut self.live);
            // Nothing is lost: the records stay in their rings until a release.
            sources.for_each(RingSource::rewind);
            return Err(error);
        }
        if batch.blocks.is_empty() && misses.is_some() {
            // Takes as long as a commit with a click.
            self.misses.append_synced().map_err(CommitError::Misses)?;
        }
        self.setup.state.alerts.clear(AlertKind::Wal);
        if self.orphaned.is_empty() {
            self.release_live();
            let commits = &self.setup.state.commits;
            commits.misses_committed(misses.as_deref().unwrap_or_default());
            commits.notify();
        } else {
            self.release_orphaned()
        }
        Ok(())
    }

    fn append(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let max_bytes = self.setup.max_bytes;
        if self.log.bytes_on_disk() + batch.bytes > max_bytes {
            return Err(CommitError::Full { max_bytes });
        }
        let blocks: Vec<&[u8]> = batch.blocks.iter().map(Vec::as_slice).collect();
        self.log.append_synced(&blocks)?;
        let state = &self.setup.state;
        state.wal_bytes.store(self.log.bytes_on_disk(), Ordering::Release);
        state.last_commit.mark();
        state.wal_changed.send_replace(());
        Ok(())
    }

    fn release_live(&mut self) {
        let state = &self.setup.state;
        for source in &mut self.live {
            let mut lost = source.release();
            if let Some(RingEnd::Damaged(damage)) = source.end.take() {
                let stream = source.stream();
                tracing::error!(?stream, %damage, "click ring damaged; skipping its unread clicks");
                lost += source.give_up_unread();
            }
            state.damaged_records.fetch_add(lost, Ordering::AcqRel);
        }
    }

    /// Removes orphaned rings that are empty, and sets damaged ones aside.
    fn release_orphaned(&mut self) {
        let state = &self.setup.state;
        let ledger = &mut self.setup.ledger;
        self.orphaned.retain_mut(|source| {
            state.damaged_records.fetch_add(source.release(), Ordering::AcqRel);
            let Some(end) = source.end.take() else { return true };
            let done = ledger.set(source.stream(), source.ring().gauge().unlogged());
            let done = done.and_then(|()| match end {
                RingEnd::Empty => std::fs::remove_file(source.ring().path()),
                RingEnd::Damaged(damage) => {
                    let aside = set_aside(source.ring().path(), "damaged")?;
                    report_set_aside(state, &aside, &damage.to_string());
                    Ok(())
                }
            });
            match &done {
                Ok(()) => state.alerts.clear(AlertKind::Rings),
                Err(error) => {
                    let text = format!(
                        "cannot remove or set aside a click ring of an earlier run: {error}"
                    );
                    state.alerts.raise(AlertKind::Rings, text);
                }
            }
            done.is_err()
        });
        self.report_orphaned();
    }

    fn report_orphaned(&self) {
        let drained = self.orphaned.is_empty();
        self.setup.state.orphaned_drained.store(drained, Ordering::Release);
    }

    fn trim(&mut self) {
        match self.remove_segments(Instant::now()) {
            Ok(()) => self.setup.state.alerts.clear(AlertKind::WalRemoval),
            Err(error) => {
                self.setup.state.alerts.raise(AlertKind::WalRemoval, error.to_string());
            }
        }
    }

    fn remove_segments(&mut self, now: Instant) -> Result<(), FramedLogError> {
        // Both the click store and the admin have these frames.
        let before = self.setup.state.removable_before();
        let all = before == self.log.next_sequence() && before > self.log.first_sequence();
        let is_due = now.duration_since(self.segment_began) >= SEGMENT_MAX_AGE;
        // Acknowledged frames in an open segment must not keep a full WAL full.
        let is_needed = self.log.bytes_on_disk() > self.setup.max_bytes / 2;
        if all && (is_due || is_needed) {
            self.log.close_segment()?;
            self.segment_began = now;
        }
        if self.log.remove_segments_before(before)? > 0 {
            self.setup.state.wal_bytes.store(self.log.bytes_on_disk(), Ordering::Release);
        }
        Ok(())
    }

    /// Whether all clicks are durable and all rings put away. A ring with a living writer stays.
    fn finish(&mut self) -> bool {
        let writers_are_gone = self.live.iter().all(|source| source.ring().writer_is_gone());
        if !self.orphaned.is_empty() || self.waiting_bytes() > 0 {
            return false;
        }
        if writers_are_gone {
            self.remove_live_rings();
        }
        true
    }

    fn remove_live_rings(&mut self) {
        for source in self.live.drain(..) {
            let unlogged = source.ring().gauge().unlogged();
            let kept = self.setup.ledger.set(source.stream(), unlogged);
            if let Err(error) = kept.and_then(|()| std::fs::remove_file(source.ring().path())) {
                // The next start finds the empty ring and removes it.
                tracing::warn!(%error, ring = %source.ring().path().display(), "click ring not removed; the next start will remove it");
            }
        }
    }
}
