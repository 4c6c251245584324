//! Counts of unique clicks against caps.
//!
//! The count of a cap in a window is the admin's count plus this daemon's clicks behind the admin's
//! ([`Journal`]). Reading takes no lock: each window has atomics in a table, and a new catalog
//! replaces the table. Counting is serialised by a mutex and checks the limits again, so that only a
//! single thread takes the last free click of a cap.
//!
//! A window ends by the clock: the first visit behind the end begins the next window, with the
//! admin's announced count or at zero. So a daemon without an admin goes on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use coupon_rules::caps::Cap;
use coupon_shared::click::StreamId;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::catalog::CatalogFile;
use coupon_shared::visit_state::{CapState, CapWindow, PublishedState, WindowBounds};

use super::journal::{Journal, JournalLine};

/// A clock that goes back by less does not begin a window of the past again.
const MAX_STEP_BACK_SECONDS: i64 = 3600;

type CapTable = HashMap<u32, [WindowCount; 4], foldhash::fast::FixedState>;

/// The counts of the caps of the catalog in service.
pub(super) struct CapCounters {
    table: ArcSwap<CapTable>,
    ledger: Mutex<CapLedger>,
}

/// One cap in one window. Changed only under the ledger's mutex.
#[derive(Debug)]
struct WindowCount {
    starts: AtomicI64,
    ends: AtomicI64,
    clicks: AtomicU64,
    /// Whether a limit on conversions or money is reached.
    is_reached: AtomicBool,
}

/// The sources of the counts.
pub(super) struct CapLedger {
    table: Arc<CapTable>,
    catalog: Option<Arc<CatalogFile>>,
    published: Option<IndexedState>,
    journal: Journal,
    latest: i64,
}

/// The admin's last message, and the place of each cap's first window in it: all caps are counted
/// again with each message, while accepted clicks wait.
struct IndexedState {
    state: Arc<PublishedState>,
    first_windows: HashMap<u32, usize, foldhash::fast::FixedState>,
}

/// A click to count.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountedClick {
    pub(super) stream: StreamId,
    pub(super) sequence: u64,
    pub(super) unix_seconds: i64,
}

/// A cap took its last click in the meantime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CapFull;

impl Default for CapCounters {
    fn default() -> CapCounters {
        let table = Arc::<CapTable>::default();
        let ledger = CapLedger {
            table: Arc::clone(&table),
            catalog: None,
            published: None,
            journal: Journal::default(),
            latest: 0,
        };
        CapCounters { table: ArcSwap::new(table), ledger: Mutex::new(ledger) }
    }
}

impl CapCounters {
    /// Whether a hard cap takes no more visits at a moment; `None` for a cap that only a newer or an
    /// older catalog has.
    pub(super) fn is_reached(&self, cap: &Cap, now: i64) -> Option<bool> {
        let table = self.table.load();
        let counts = table.get(&cap.id)?;
        if counts.iter().any(|count| count.has_ended(now)) {
            drop(table);
            let mut ledger = self.lock();
            ledger.roll(cap.id, now);
            return ledger.table.get(&cap.id).map(|counts| is_any_reached(counts, cap));
        }
        Some(is_any_reached(counts, cap))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, CapLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the caps of a catalog before it comes into service.
    pub(super) fn adopt_catalog(&self, catalog: &Arc<CatalogFile>, now: i64) {
        let mut ledger = self.lock();
        let ids = catalog.caps().filter(|cap| cap.can_refuse()).map(|cap| cap.id);
        let table: CapTable = ids.map(|id| (id, WindowCount::new_windows())).collect();
        ledger.table = Arc::new(table);
        ledger.catalog = Some(Arc::clone(catalog));
        ledger.recount(now);
        self.table.store(Arc::clone(&ledger.table));
    }

    /// Takes the admin's counts over.
    pub(super) fn adopt_state(&self, state: &Arc<PublishedState>, now: i64) {
        let indexed = IndexedState::new(Arc::clone(state));
        let mut ledger = self.lock();
        ledger.journal.remove_covered(state);
        ledger.published = Some(indexed);
        ledger.recount(now);
    }

    /// Forgets the admin's counts: they are another network's.
    pub(super) fn drop_state(&self, now: i64) {
        let mut ledger = self.lock();
        ledger.published = None;
        ledger.recount(now);
    }

    /// The network that the catalog belongs to.
    pub(super) fn network(&self) -> Option<(u32, Lineage)> {
        let ledger = self.lock();
        let meta = ledger.catalog.as_ref()?.meta();
        Some((meta.network_id, meta.lineage))
    }

    /// Adds clicks of earlier runs, out of the click log.
    pub(super) fn add_earlier(&self, lines: &[JournalLine], now: i64) {
        let mut ledger = self.lock();
        for line in lines {
            let counted =
                ledger.published.as_ref().map_or(0, |known| known.state.last_counted(&line.stream));
            if line.sequence > counted {
                ledger.push(*line);
            }
        }
        ledger.recount(now);
    }

    /// Hard caps that are reached, and all caps.
    pub(super) fn totals(&self, now: i64) -> (u64, u64) {
        let Some(catalog) = self.lock().catalog.clone() else { return (0, 0) };
        let table = self.table.load();
        let caps = catalog.caps().filter(|cap| cap.can_refuse());
        caps.fold((0, 0), |(reached, all), cap| {
            let counts = table.get(&cap.id);
            let is_reached = counts.is_some_and(|counts| {
                !counts.iter().any(|count| count.has_ended(now)) && is_any_reached(counts, cap)
            });
            (reached + u64::from(is_reached), all + 1)
        })
    }

    /// Lines of the journal, and lines folded since the start.
    pub(super) fn journal_lens(&self) -> (u64, u64) {
        let ledger = self.lock();
        (ledger.journal.len(), ledger.journal.folded())
    }
}

impl CapLedger {
    /// Counts a click against all the caps. A full cap keeps all from counting.
    pub(super) fn count<'c>(
        &mut self,
        click: CountedClick,
        caps: impl Iterator<Item = &'c Cap> + Clone,
    ) -> Result<(), CapFull> {
        let CountedClick { stream, sequence, unix_seconds } = click;
        let unix_seconds = self.not_back(unix_seconds);
        for cap in caps.clone() {
            self.roll(cap.id, unix_seconds);
            if self.table.get(&cap.id).is_some_and(|counts| is_any_reached(counts, cap)) {
                return Err(CapFull);
            }
        }
        for cap in caps {
            let counts = self.table.get(&cap.id);
            counts.into_iter().flatten().for_each(|count| count.add(1));
            self.push(JournalLine { stream, sequence, unix_seconds, cap_id: cap.id });
        }
        Ok(())
    }

    pub(super) fn mark_unlogged(&mut self, stream: StreamId, sequence: u64) {
        self.journal.mark_unlogged(stream, sequence);
    }

    fn push(&mut self, line: JournalLine) {
        let table = &self.table;
        self.journal.push(line, |cap_id| {
            let counts = table.get(&cap_id).into_iter().flatten();
            CapWindow::ALL.into_iter().zip(counts.map(WindowCount::bounds)).collect()
        });
    }

    /// Begins the next windows of a cap where the current ones have ended.
    fn roll(&mut self, cap_id: u32, now: i64) {
        let now = self.not_back(now);
        let Some(counts) = self.table.get(&cap_id) else { return };
        for (window, count) in CapWindow::ALL.into_iter().zip(counts) {
            if count.has_ended(now) {
                // Clicks in the journal are older: a click of the new window would have begun it.
                let bounds = || self.bounds_at(window, now);
                count.set(&self.window_at(cap_id, window, now, bounds));
            }
        }
    }

    /// Works out all counts again.
    fn recount(&mut self, now: i64) {
        let now = self.not_back(now);
        let bounds = CapWindow::ALL.map(|window| self.bounds_at(window, now));
        for (cap_id, counts) in self.table.iter() {
            for ((window, bounds), count) in CapWindow::ALL.into_iter().zip(bounds).zip(counts) {
                let mut state = self.window_at(*cap_id, window, now, || bounds);
                state.clicks += self.journal.folded_clicks(*cap_id, window, state.bounds);
                count.set(&state);
            }
        }
        for line in self.journal.lines() {
            let counts = self.table.get(&line.cap_id).into_iter().flatten();
            let within = counts.filter(|count| count.bounds().contain(line.unix_seconds));
            within.for_each(|count| count.add(1));
        }
    }

    /// The admin's word on a window, else the window with these bounds and without any click.
    fn window_at(
        &self,
        cap_id: u32,
        window: CapWindow,
        now: i64,
        bounds: impl FnOnce() -> WindowBounds,
    ) -> CapState {
        let announced = self.published.as_ref().and_then(|known| known.find(cap_id, window, now));
        announced.unwrap_or_else(|| {
            let bounds = bounds();
            CapState { cap_id, window, bounds, clicks: 0, is_reached: false }
        })
    }

    /// The window by the catalog's zone.
    fn bounds_at(&self, window: CapWindow, now: i64) -> WindowBounds {
        let catalog = self.catalog.as_ref();
        window.bounds_at(now, |moment| catalog.map_or(0, |catalog| catalog.utc_offset_at(moment)))
    }

    fn not_back(&mut self, now: i64) -> i64 {
        let step_back = self.latest - now;
        if !(0..MAX_STEP_BACK_SECONDS).contains(&step_back) {
            self.latest = now;
        }
        self.latest
    }
}

impl IndexedState {
    fn new(state: Arc<PublishedState>) -> IndexedState {
        // Backwards, so that the first window of a cap stays.
        let windows = state.caps.iter().enumerate().rev();
        let first_windows = windows.map(|(at, cap)| (cap.cap_id, at)).collect();
        IndexedState { state, first_windows }
    }

    /// The window of a cap that a moment lies in.
    fn find(&self, cap_id: u32, window: CapWindow, now: i64) -> Option<CapState> {
        let first = *self.first_windows.get(&cap_id)?;
        let mut of_cap = self.state.caps[first..].iter().take_while(|cap| cap.cap_id == cap_id);
        of_cap.find(|cap| cap.window == window && cap.bounds.contain(now)).copied()
    }
}

/// Whether a limit of the cap is reached in any window.
fn is_any_reached(counts: &[WindowCount; 4], cap: &Cap) -> bool {
    counts.iter().zip(cap.click_limits).any(|(count, limit)| {
        limit != 0 && count.clicks.load(Ordering::Acquire) >= limit
            || cap.has_conversion_limits && count.is_reached.load(Ordering::Acquire)
    })
}

impl WindowCount {
    fn new_windows() -> [WindowCount; 4] {
        std::array::from_fn(|_| WindowCount {
            starts: AtomicI64::new(i64::MIN),
            ends: AtomicI64::new(i64::MIN),
            clicks: AtomicU64::new(0),
            is_reached: AtomicBool::new(false),
        })
    }

    fn has_ended(&self, now: i64) -> bool {
        now >= self.ends.load(Ordering::Acquire)
    }

    fn bounds(&self) -> WindowBounds {
        WindowBounds {
            starts: self.starts.load(Ordering::Acquire),
            ends: self.ends.load(Ordering::Acquire),
        }
    }

    fn add(&self, clicks: u64) {
        self.clicks.fetch_add(clicks, Ordering::AcqRel);
    }

    /// The end last, so that a reader who finds the window open finds its count.
    fn set(&self, state: &CapState) {
        self.clicks.store(state.clicks, Ordering::Release);
        self.is_reached.store(state.is_reached, Ordering::Release);
        self.starts.store(state.bounds.starts, Ordering::Release);
        self.ends.store(state.bounds.ends, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
