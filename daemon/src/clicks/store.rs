//! The click store: the blocks of the WAL, stored by day in sled.
//!
//! The store thread follows the WAL with a lag. Every block in the store is also in the WAL or at
//! the admin, so the store can be discarded at any time: a damaged day folder is set aside and
//! filled again from the WAL. The store serves an admin that was restored from a backup and
//! requests clicks that have left the WAL.
//!
//! - `synced` is published after the folders' files are on the disk, never before.
//! - After any error the handle is closed and the folder opened again, because a sled handle
//!   returns errors forever after the first. If the folder then does not open, or fails twice
//!   without a sync in between, it counts as damaged. Errors of the machine (a full disk) damage
//!   nothing and are retried. A folder in which a newer coupond wrote is left alone: until the newer
//!   one runs again, clicks stay in the WAL, and so do blocks in the WAL that only it can read.
//! - Beyond its bounds the store removes its oldest days and stops growing ([`bounds`]): blocks are
//!   then passed over. They stay in the WAL until the admin has them.
//! - A day is removed when it is older than the retention, by a trusted clock, and the admin has
//!   acknowledged all its blocks.

mod bounds;
mod day_folder;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use coupon_shared::click::block::Block;
use coupon_shared::click::{ClickError, StreamId};
use coupon_shared::framed_log::{FrameReader, FramedLogError};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::alert_kind::AlertKind;
use super::log_state::{LogState, Phase};
use crate::removal_clock::RemovalClock;
use bounds::BoundsWatch;
use day_folder::{Blocks, DayError, DayFolder};

pub(super) use bounds::StoreBounds;

/// Longest wait for a query while there are no blocks to follow.
const POLL: Duration = Duration::from_millis(25);
/// Interval between two syncs while blocks arrive: each sync writes sled's open buffer, however
/// little is in it.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// Blocks inserted before queries are answered.
const ROUND_BLOCKS: usize = 256;
/// Day folders open at once; clicks around midnight need two.
const MAX_OPEN_DAYS: usize = 2;
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The store thread's configuration and channels.
#[derive(Debug)]
pub(super) struct StoreSetup {
    pub(super) folder: PathBuf,
    pub(super) cache_bytes: u64,
    pub(super) retention_days: u32,
    pub(super) bounds: StoreBounds,
    pub(super) removal_clock: Arc<RemovalClock>,
    pub(super) state: Arc<LogState>,
    pub(super) questions: Receiver<HistoryQuestion>,
}

/// A query for blocks of a stream that have left the WAL.
#[derive(Debug)]
pub(super) struct HistoryQuestion {
    pub(super) stream: StreamId,
    pub(super) sequences: RangeInclusive<u64>,
    pub(super) max_bytes: usize,
    /// Blocks that begin before this day are left out.
    pub(super) from_day: Date,
    /// Receives the blocks, one after another. Dropped without an answer if the store cannot tell.
    pub(super) answer: Sender<Vec<u8>>,
}

/// Errors that interrupt the store thread.
#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error("{source}")]
    Day { day: Date, source: DayError },
    #[error("cannot use {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Wal(#[from] FramedLogError),
}

#[derive(Debug, Default)]
struct Day {
    streams: BTreeMap<StreamId, u64>,
    /// The last WAL frame whose block is in this day.
    last_frame: u64,
    failures_since_sync: u32,
}

struct StoreThread {
    setup: StoreSetup,
    reader: FrameReader,
    days: BTreeMap<Date, Day>,
    /// Ordered by last use, the most recent last.
    open: Vec<(Date, DayFolder)>,
    is_scanned: bool,
    bounds: BoundsWatch,
    catch_up_to: Option<u64>,
    last_sync: Instant,
    pause: Duration,
}

/// Runs the store thread until the click log ends.
pub(super) fn run(setup: StoreSetup) {
    let reader = loop {
        match setup.state.wal_reader() {
            Some(reader) => break reader,
            None if setup.state.phase() == Phase::Running => std::thread::sleep(POLL),
            None => return,
        }
    };
    StoreThread::new(setup, reader).work();
}

impl StoreThread {
    fn new(setup: StoreSetup, reader: FrameReader) -> StoreThread {
        StoreThread {
            bounds: BoundsWatch::new(setup.bounds, setup.folder.clone()),
            setup,
            reader,
            days: BTreeMap::new(),
            open: Vec::new(),
            is_scanned: false,
            catch_up_to: None,
            last_sync: Instant::now(),
            pause: BACK_OFF.0,
        }
    }

    fn work(&mut self) {
        while self.setup.state.phase() != Phase::Abandoned {
            let wait = match self.run_round() {
                Ok(true) => Duration::ZERO,
                Ok(false) if self.setup.state.phase() == Phase::Draining && self.has_drained() => {
                    return;
                }
                Ok(false) => POLL,
                Err(error) if self.is_ending_before_newer_folder(&error) => return,
                Err(error) => self.recover(error),
            };
            match self.setup.questions.recv_timeout(wait) {
                Ok(question) => self.answer(question),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait),
            }
        }
    }

    /// Whether the click log ends and could only wait in vain for a newer program's folder to become
    /// readable. The clicks stay in the WAL.
    fn is_ending_before_newer_folder(&self, error: &StoreError) -> bool {
        let is_newer = matches!(error, StoreError::Day { source: DayError::Newer { .. }, .. });
        is_newer && self.setup.state.phase() != Phase::Running
    }

    /// Whether the WAL has ended and all of it is synced.
    fn has_drained(&self) -> bool {
        let state = &self.setup.state;
        state.wal_ended.load(Ordering::Acquire)
            && state.synced.load(Ordering::Acquire) >= state.committed()
    }

    /// Follows the WAL for one round; true if there are more blocks.
    fn run_round(&mut self) -> Result<bool, StoreError> {
        if !self.is_scanned {
            self.scan_days()?;
        }
        self.keep_within_bounds()?;
        let more = self.follow_wal()?;
        let is_ending = !more && self.setup.state.phase() != Phase::Running;
        if is_ending || self.last_sync.elapsed() >= SYNC_INTERVAL {
            self.sync()?;
        }
        self.remove_old_days()?;
        Ok(more)
    }

    /// Reads from the folder which days and streams exist.
    fn scan_days(&mut self) -> Result<(), StoreError> {
        let folder = self.setup.folder.clone();
        let failed = |source| StoreError::Folder { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        crate::durable_file::sync_folder_of(&folder).map_err(failed)?;
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".removed") {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            } else if let Ok(day) = name.parse::<Date>()
                && name == day.to_string()
                && !self.days.contains_key(&day)
            {
                let streams = self.day(day)?.streams();
                let streams = streams.map_err(|source| StoreError::Day { day, source })?;
                self.days.insert(day, Day { streams, ..Day::default() });
            }
        }
        self.is_scanned = true;
        self.publish_stored(false);
        Ok(())
    }

    /// Inserts the next blocks of the WAL; true if there are more.
    fn follow_wal(&mut self) -> Result<bool, StoreError> {
        for _ in 0..ROUND_BLOCKS {
            let (frame, bytes) = match self.reader.next_frame() {
                Ok(Some(frame)) => (frame.sequence, frame.payload.to_vec()),
                Ok(None) => return Ok(false),
                Err(FramedLogError::Damaged { resume_at: Some(next), path, offset, what }) => {
                    let state = &self.setup.state;
                    let text = format!(
                        "{} is damaged at byte {offset} ({what}): clicks there may be lost",
                        path.display()
                    );
                    state.alerts.raise(AlertKind::WalDamage, text);
                    self.reader.seek(next);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match Block::parse(&bytes) {
                Ok(block) if self.bounds.is_paused => self.pass_over(&block),
                Ok(block) => self.insert(frame, &block)?,
                Err(error) if error.is_of_newer_program() => self.keep_newer_frame(frame, &error),
                Err(error) => {
                    tracing::error!(frame, %error, "frame of the click WAL is not a block")
                }
            }
        }
        Ok(true)
    }

    /// Leaves a block to the newer program that wrote it.
    fn keep_newer_frame(&self, frame: u64, error: &ClickError) {
        let state = &self.setup.state;
        if !state.found_newer_frame(frame) {
            return;
        }
        let text = format!(
            "the click log has clicks of a newer coupond from frame {frame} on ({error}): they are kept, \
             and so are all later clicks; run the newer coupond until coupon-admin has them"
        );
        state.alerts.raise(AlertKind::NewerBlocks, text);
    }

    fn insert(&mut self, frame: u64, block: &Block<'_>) -> Result<(), StoreError> {
        let day = day_of(block);
        let last = self.days.get(&day).and_then(|known| known.streams.get(&block.stream()));
        // A block behind the last known one cannot exist yet, which saves a look-up.
        let is_known_new = last.is_none_or(|last| block.first_sequence() > *last);
        let folder = self.day(day)?;
        let inserted =
            if is_known_new { folder.insert(block) } else { folder.insert_missing(block) };
        inserted.map_err(|source| StoreError::Day { day, source })?;
        let known = self.days.entry(day).or_default();
        known.last_frame = frame;
        let last = known.streams.entry(block.stream()).or_default();
        *last = block.last_sequence().max(*last);
        let mut stored = self.setup.state.stored();
        let last = stored.last.entry(block.stream()).or_default();
        *last = block.last_sequence().max(*last);
        Ok(())
    }

    /// Leaves a block to the WAL and the admin.
    fn pass_over(&self, block: &Block<'_>) {
        let state = &self.setup.state;
        state.store_passed_over.fetch_add(1, Ordering::AcqRel);
        state.stored().passed_over(block.stream());
    }

    /// Removes the oldest days while the store exceeds a bound; if none is removable, blocks are
    /// passed over until the store is within its bounds.
    fn keep_within_bounds(&mut self) -> Result<(), StoreError> {
        if !self.bounds.is_due() {
            return Ok(());
        }
        let mut bytes = self.measure()?;
        let mut excess = self.bounds.excess(bytes);
        while excess.is_some()
            && let Some(day) = self.oldest_removable_day()
        {
            self.remove_day(day)?;
            self.setup.state.store_days_removed.fetch_add(1, Ordering::AcqRel);
            tracing::info!(%day, "day removed from the click store to make room");
            bytes = self.measure()?;
            excess = self.bounds.excess(bytes);
        }
        let state = &self.setup.state;
        self.bounds.is_paused = excess.is_some();
        state.store_is_paused.store(excess.is_some(), Ordering::Release);
        match excess {
            Some(excess) => state.alerts.raise(AlertKind::StoreBounds, excess.problem()),
            None => state.alerts.clear(AlertKind::StoreBounds),
        }
        Ok(())
    }

    fn measure(&self) -> Result<u64, StoreError> {
        let path = self.setup.folder.clone();
        let bytes = self.bounds.store_bytes();
        let bytes = bytes.map_err(|source| StoreError::Folder { path, source })?;
        self.setup.state.store_bytes.store(bytes, Ordering::Release);
        Ok(bytes)
    }

    /// The removable day whose last block came first. Days of earlier runs count as older, in the
    /// order of their dates.
    fn oldest_removable_day(&self) -> Option<Date> {
        let mut days: Vec<(u64, Date)> =
            self.days.iter().map(|(day, known)| (known.last_frame, *day)).collect();
        days.sort_unstable();
        days.into_iter().map(|(_, day)| day).find(|day| self.is_removable(*day))
    }

    fn day(&mut self, day: Date) -> Result<&mut DayFolder, StoreError> {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == day) {
            // Moves the folder behind those used less recently.
            self.open[at..].rotate_left(1);
        } else {
            while self.open.len() >= MAX_OPEN_DAYS {
                let (day, folder) = &mut self.open[0];
                folder.sync().map_err(|source| StoreError::Day { day: *day, source })?;
                self.open.remove(0);
            }
            let path = self.setup.folder.join(day.to_string());
            let folder = DayFolder::open(&path, self.setup.cache_bytes)
                .map_err(|source| StoreError::Day { day, source })?;
            self.open.push((day, folder));
        }
        let newest = self.open.len() - 1;
        Ok(&mut self.open[newest].1)
    }

    /// Makes the inserted blocks durable, then publishes `synced`.
    fn sync(&mut self) -> Result<(), StoreError> {
        for (day, folder) in &mut self.open {
            folder.sync().map_err(|source| StoreError::Day { day: *day, source })?;
        }
        self.last_sync = Instant::now();
        self.pause = BACK_OFF.0;
        self.days.values_mut().for_each(|day| day.failures_since_sync = 0);
        let state = &self.setup.state;
        let synced = self.reader.next_sequence();
        state.synced.store(synced, Ordering::Release);
        state.alerts.clear(AlertKind::Store);
        self.catch_up(synced);
        Ok(())
    }

    /// Marks the store's contents as known once it has caught up with the WAL as it was when the
    /// last orphaned ring was drained.
    fn catch_up(&mut self, synced: u64) {
        let state = &self.setup.state;
        if self.catch_up_to.is_none() && state.orphaned_drained.load(Ordering::Acquire) {
            self.catch_up_to = Some(state.committed());
        }
        if self.catch_up_to.is_some_and(|target| synced >= target) {
            state.stored().is_known = true;
        }
    }

    fn publish_stored(&self, is_known: bool) {
        let mut stored = self.setup.state.stored();
        stored.is_known = is_known;
        stored.last.clear();
        for (stream, last) in self.days.values().flat_map(|day| &day.streams) {
            let newest = stored.last.entry(*stream).or_default();
            *newest = (*newest).max(*last);
        }
    }

    /// Closes all folders and goes back to the last synced frame; returns the pause before the next
    /// attempt.
    fn recover(&mut self, error: StoreError) -> Duration {
        // A sled handle returns errors forever after the first.
        self.open.clear();
        self.setup.state.alerts.raise(AlertKind::Store, format!("click store: {error}"));
        if let StoreError::Day { day, source: DayError::Damaged { .. } } = &error {
            self.handle_damaged_day(*day);
        }
        let synced = self.setup.state.synced.load(Ordering::Acquire);
        // Synced frames may have left the WAL already.
        let oldest = self.reader.first_sequence().unwrap_or(synced);
        self.reader.seek(synced.max(oldest));
        let pause = self.pause;
        self.pause = (pause * 2).min(BACK_OFF.1);
        pause
    }

    /// Sets a damaged folder aside, unless reopening it may be enough.
    fn handle_damaged_day(&mut self, day: Date) {
        let failures = &mut self.days.entry(day).or_default().failures_since_sync;
        *failures += 1;
        let path = self.setup.folder.join(day.to_string());
        if *failures < 2 && DayFolder::open(&path, self.setup.cache_bytes).is_ok() {
            return;
        }
        // Must precede the renaming: from now on the WAL's segments are needed again.
        self.setup.state.synced.store(0, Ordering::Release);
        match crate::durable_file::set_aside(&path) {
            Ok(aside) => {
                tracing::error!(
                    folder = %path.display(), aside = %aside.display(),
                    "damaged click store folder set aside; filling a new one from the click WAL"
                );
                self.setup.state.folders_set_aside.fetch_add(1, Ordering::AcqRel);
                self.days.remove(&day);
                self.catch_up_to = None;
                self.publish_stored(false);
            }
            Err(error) => {
                tracing::error!(folder = %path.display(), %error, "click store folder not set aside")
            }
        }
    }

    fn answer(&mut self, question: HistoryQuestion) {
        match self.read_history(&question) {
            // The receiver may have given up waiting.
            Ok(blocks) => drop(question.answer.send(blocks)),
            Err(error) => {
                let pause = self.recover(error);
                std::thread::sleep(pause);
            }
        }
    }

    /// Orders the blocks by sequence, which differs from the order of days after a clock went back.
    fn read_history(&mut self, question: &HistoryQuestion) -> Result<Vec<u8>, StoreError> {
        let HistoryQuestion { stream, sequences, max_bytes, from_day, .. } = question;
        let days = self.days.range(*from_day..);
        let holding = days.filter(|(_, day)| day.streams.contains_key(stream));
        let days: Vec<Date> = holding.map(|(day, _)| *day).collect();
        let mut all = Blocks::default();
        for day in days {
            let read = self.day(day)?.read(*stream, sequences.clone(), *max_bytes);
            let blocks = read.map_err(|source| StoreError::Day { day, source })?;
            all.found.extend(blocks.found);
            all.rest_from = [all.rest_from, blocks.rest_from].into_iter().flatten().min();
        }
        // Several days may hold parts of one stream in any order.
        all.found.sort_unstable();
        let mut bytes = Vec::new();
        for (first, block) in all.found {
            if bytes.len() >= *max_bytes || all.rest_from.is_some_and(|rest| first >= rest) {
                break;
            }
            bytes.extend_from_slice(&block);
        }
        Ok(bytes)
    }

    fn remove_old_days(&mut self) -> Result<(), StoreError> {
        let Ok(now) = self.setup.removal_clock.removal_time() else { return Ok(()) };
        let keep_from = date_of(now.days_before(self.setup.retention_days));
        let old: Vec<Date> = self.days.range(..keep_from).map(|(day, _)| *day).collect();
        let mut removed = 0;
        for day in old {
            if self.is_removable(day) {
                self.remove_day(day)?;
                removed += 1;
            }
        }
        if removed > 0 {
            tracing::info!(days = removed, before = %keep_from, "old days removed from the click store");
        }
        Ok(())
    }

    /// Whether the admin has all blocks of the day, and none would come out of the WAL again.
    fn is_removable(&self, day: Date) -> bool {
        let cursor = self.setup.state.cursor();
        let oldest_frame = self.reader.first_sequence().unwrap_or(0);
        self.days.get(&day).is_some_and(|day| {
            day.last_frame < oldest_frame
                && day.streams.iter().all(|(stream, last)| cursor.last(stream) >= *last)
        })
    }

    fn remove_day(&mut self, day: Date) -> Result<(), StoreError> {
        self.open.retain(|(open, _)| *open != day);
        let path = self.setup.folder.join(day.to_string());
        let removed = self.setup.folder.join(format!("{day}.removed"));
        let failed = |source| StoreError::Folder { path: path.clone(), source };
        // Renamed first: a partly removed folder must not look like a damaged one.
        fs::rename(&path, &removed).map_err(failed)?;
        self.days.remove(&day);
        let is_known = self.setup.state.stored().is_known;
        self.publish_stored(is_known);
        fs::remove_dir_all(&removed).map_err(failed)
    }
}

/// The UTC day of a block's first click, by the node's clock.
fn day_of(block: &Block<'_>) -> Date {
    date_of(block.unix_ms().0)
}

pub(super) fn date_of(unix_ms: u64) -> Date {
    let ms = i64::try_from(unix_ms).unwrap_or(0);
    Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned_datetime(TimeZone::UTC).date()
}
