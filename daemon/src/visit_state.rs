//! State of visits: which caps are reached, which visitors were here, which have converted.
//!
//! The decision only reads this state. A click that it accepts is committed before it is recorded
//! ([`LiveVisitState::commit`]): its visitor is marked as seen, and it counts against the click caps
//! of its offer, partner and code. If another thread took a cap's last click, or accepted the same
//! visitor, between decision and commit, nothing is counted and the visit is decided again. So on
//! one daemon a cap is exact.
//!
//! The counts come from three places: the admin's message ([`state_file`]), this run's clicks
//! ([`journal`]), and at a start the clicks of earlier runs that the message does not include, out
//! of the click log. Seen visitors are in a file in memory ([`seen_table`]).
//!
//! After a restart of the machine the table is empty, and is filled again from the click store.
//!
//! A missing table, or a missing message, lets visits pass; such visits are counted.
//!
//! Deliberately absent: counts for reports. The admin counts clicks; this state only refuses visits.

mod alert_kind;
mod cap_counters;
mod journal;
mod restore;
mod seen_table;
mod state_file;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use coupon_rules::caps::Cap;
use coupon_rules::sessions::Session;
use coupon_shared::click::{MAX_COUNTED_CAPS, StreamId};
use coupon_shared::snapshot::catalog::CatalogFile;
use coupon_shared::snapshot::{Lineage, SnapshotError};
use coupon_shared::visit_state::PublishedState;

use crate::active_alerts::ActiveAlerts;
use crate::clock::unix_ms;
use crate::config::Config;
use alert_kind::AlertKind;
use cap_counters::{CapCounters, CountedClick};
use journal::JournalLine;
use seen_table::SeenTable;
use state_file::StateFile;

pub use restore::restore_state;

const SEEN_TABLE: &str = "seen-visitors";

/// The state that all serving threads share.
pub struct LiveVisitState {
    caps: CapCounters,
    published: ArcSwapOption<PublishedState>,
    seen: ArcSwapOption<SeenTable>,
    seen_path: PathBuf,
    file: StateFile,
    failed_open: FailedOpen,
    alerts: ActiveAlerts<AlertKind>,
}

/// Questions that were answered with "no" because nothing was known.
#[derive(Debug, Default)]
struct FailedOpen {
    /// About seen visitors, without a table.
    repeats: AtomicU64,
    /// About converted visitors, without a message of the admin.
    converted: AtomicU64,
    /// About caps of a catalog that is not, or no longer, in service.
    caps: AtomicU64,
}

/// An accepted click before it is recorded.
pub(crate) struct AcceptedClick<C> {
    /// The stream and the sequence that its record will have.
    pub(crate) stream: StreamId,
    pub(crate) sequence: u64,
    pub(crate) unix_seconds: i64,
    /// The hash of visitor and offer; `None` for a visitor of whom nothing is known.
    pub(crate) visitor: Option<u64>,
    pub(crate) session: Session,
    /// Whether the offer refuses repeats.
    pub(crate) refuses_repeats: bool,
    /// The hard click caps that it counts against.
    pub(crate) caps: C,
}

/// The caps that a committed click counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CountedCaps {
    bytes: [u8; 4 * MAX_COUNTED_CAPS],
    len: usize,
}

impl Default for CountedCaps {
    fn default() -> CountedCaps {
        CountedCaps { bytes: [0; 4 * MAX_COUNTED_CAPS], len: 0 }
    }
}

/// The state changed between decision and commit: decide again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outrun;

/// Why a message of the admin is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateRefusal {
    #[error(transparent)]
    Unusable(#[from] SnapshotError),
    #[error(
        "the state is of network {network_id}, lineage {lineage}, but network {served_network}, \
         lineage {served} is in service: send the state of that store"
    )]
    Foreign { network_id: u32, lineage: Lineage, served_network: u32, served: Lineage },
}

/// Figures for health and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VisitStateStatus {
    /// When the admin made the last message; `None` without a message.
    pub(crate) made_unix_ms: Option<u64>,
    pub(crate) converted: u64,
    pub(crate) caps: u64,
    pub(crate) caps_reached: u64,
    pub(crate) journal_lines: u64,
    pub(crate) journal_folded: u64,
    pub(crate) seen_visitors: u64,
    pub(crate) seen_evictions: u64,
    pub(crate) failed_open_repeats: u64,
    pub(crate) failed_open_converted: u64,
    pub(crate) failed_open_caps: u64,
}

impl LiveVisitState {
    /// Reads the last message of an earlier run.
    pub fn open(config: &Config) -> LiveVisitState {
        let state = LiveVisitState {
            caps: CapCounters::default(),
            published: ArcSwapOption::empty(),
            seen: ArcSwapOption::empty(),
            seen_path: config.runtime_dir.join(SEEN_TABLE),
            file: StateFile::new(&config.data_dir),
            failed_open: FailedOpen::default(),
            alerts: ActiveAlerts::new("visit state"),
        };
        match state.file.read() {
            Ok(Some(published)) => state.publish(Arc::new(published)),
            Ok(None) => {}
            Err(problem) => state.alerts.raise(AlertKind::File, problem),
        }
        state
    }

    /// Prepares for a catalog that is about to come into service.
    pub fn adopt_catalog(&self, catalog: &Arc<CatalogFile>) {
        let meta = catalog.meta();
        let published = self.published.load_full();
        if published
            .is_some_and(|it| (it.network_id, it.lineage) != (meta.network_id, meta.lineage))
        {
            tracing::warn!("stored visit state ignored: it belongs to another network");
            self.published.store(None);
            self.caps.drop_state(unix_seconds());
        }
        self.caps.adopt_catalog(catalog, unix_seconds());
        if catalog.asks_for_seen_visitors() && self.seen.load().is_none() {
            self.open_seen_table();
        }
    }

    fn open_seen_table(&self) {
        match SeenTable::open(&self.seen_path) {
            Ok(table) => {
                self.alerts.clear(AlertKind::SeenTable);
                self.seen.store(Some(Arc::new(table)));
            }
            Err(error) => {
                let path = self.seen_path.display();
                let text = format!(
                    "cannot use the table of seen visitors {path}: {error}; every visitor counts as \
                     new until the next publication finds it usable"
                );
                self.alerts.raise(AlertKind::SeenTable, text);
            }
        }
    }

    /// Takes a message of the admin over, and keeps it for the next start. Writes a file.
    pub fn receive(&self, bytes: &[u8]) -> Result<Arc<PublishedState>, StateRefusal> {
        let state = PublishedState::decode(bytes)?;
        let (network_id, lineage) = (state.network_id, state.lineage);
        if let Some((served_network, served)) = self.caps.network()
            && (served_network, served) != (network_id, lineage)
        {
            return Err(StateRefusal::Foreign { network_id, lineage, served_network, served });
        }
        let state = Arc::new(state);
        self.publish(Arc::clone(&state));
        match self.file.replace(bytes) {
            Ok(()) => self.alerts.clear(AlertKind::File),
            Err(problem) => self.alerts.raise(AlertKind::File, problem),
        }
        Ok(state)
    }

    fn publish(&self, state: Arc<PublishedState>) {
        self.caps.adopt_state(&state, unix_seconds());
        self.published.store(Some(state));
    }

    /// Adds clicks of earlier runs to the counts.
    fn add_earlier(&self, lines: &[JournalLine]) {
        self.caps.add_earlier(lines, unix_seconds());
    }

    /// Whether the table of seen visitors has nobody: it is new, or was lost with the memory.
    fn has_no_seen_visitors(&self) -> bool {
        self.seen.load().as_ref().is_some_and(|table| table.occupied() == 0)
    }

    fn is_seen_table_full(&self) -> bool {
        self.seen.load().as_ref().is_none_or(|table| table.is_full())
    }

    /// Notes accepted clicks of earlier runs, as hashes of visitor and offer with their seconds.
    fn add_seen(&self, clicks: &[(u64, i64)]) {
        let seen = self.seen.load();
        let Some(table) = seen.as_deref() else { return };
        // Held, so that there is one writer to the table.
        let _ledger = self.caps.lock();
        for (visitor, unix_seconds) in clicks {
            table.mark_earlier(*visitor, *unix_seconds);
        }
    }

    /// The last sequence of a stream that the admin's message includes.
    fn last_counted(&self, stream: &StreamId) -> u64 {
        self.published.load().as_ref().map_or(0, |state| state.last_counted(stream))
    }

    /// Whether a hard cap takes no more visits.
    pub(crate) fn is_cap_reached(&self, cap: &Cap, now: i64) -> bool {
        self.caps.is_reached(cap, now).unwrap_or_else(|| fail_open(&self.failed_open.caps))
    }

    /// Whether the last accepted click of a visitor on an offer lies within the session.
    pub(crate) fn is_repeat(&self, visitor: u64, session: &Session, now: i64) -> bool {
        match &*self.seen.load() {
            Some(table) => table.is_within(visitor, session.seconds, now),
            None => fail_open(&self.failed_open.repeats),
        }
    }

    /// Whether a visitor has converted on an offer.
    pub(crate) fn has_converted(&self, visitor: u64) -> bool {
        match &*self.published.load() {
            Some(state) => state.has_converted(visitor),
            None => fail_open(&self.failed_open.converted),
        }
    }

    /// Marks the visitor as seen and counts the click against its caps, or does neither.
    pub(crate) fn commit<'c, C>(&self, click: AcceptedClick<C>) -> Result<CountedCaps, Outrun>
    where
        C: Iterator<Item = &'c Cap> + Clone,
    {
        let AcceptedClick { stream, sequence, unix_seconds, visitor, session, .. } = click;
        let seen = self.seen.load();
        let table = seen.as_deref();
        if visitor.is_some() && table.is_none() && !click.refuses_repeats {
            // The decision has not asked for the visitor.
            fail_open(&self.failed_open.repeats);
        }
        // Held to the end, so that there is one writer to the table, and the answer about the
        // visitor stays right.
        let mut ledger = self.caps.lock();
        let is_repeat = visitor.zip(table).is_some_and(|(visitor, table)| {
            table.is_within(visitor, session.seconds, unix_seconds)
        });
        if is_repeat && click.refuses_repeats {
            return Err(Outrun);
        }
        let mut counted = CountedCaps::default();
        if !is_repeat {
            let counting = CountedClick { stream, sequence, unix_seconds };
            ledger.count(counting, click.caps.clone()).map_err(|_| Outrun)?;
            click.caps.for_each(|cap| counted.add(cap.id));
        }
        if let Some((visitor, table)) = visitor.zip(table) {
            table.mark(visitor, unix_seconds);
        }
        Ok(counted)
    }

    /// Notes that a committed click found no room in its ring, so that no message will include it.
    #[cold]
    pub(crate) fn mark_unlogged(&self, stream: StreamId, sequence: u64) {
        self.caps.lock().mark_unlogged(stream, sequence);
    }

    /// The texts of the active alerts.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.alerts.texts()
    }

    pub(crate) fn status(&self) -> VisitStateStatus {
        let published = self.published.load();
        let seen = self.seen.load();
        let (caps_reached, caps) = self.caps.totals(unix_seconds());
        let (journal_lines, journal_folded) = self.caps.journal_lens();
        let FailedOpen { repeats, converted, caps: unknown_caps } = &self.failed_open;
        VisitStateStatus {
            made_unix_ms: published.as_ref().map(|state| state.made_unix_ms),
            converted: published.as_ref().map_or(0, |state| state.converted.len() as u64),
            caps,
            caps_reached,
            journal_lines,
            journal_folded,
            seen_visitors: seen.as_ref().map_or(0, |table| table.occupied()),
            seen_evictions: seen.as_ref().map_or(0, |table| table.evictions()),
            failed_open_repeats: repeats.load(Ordering::Relaxed),
            failed_open_converted: converted.load(Ordering::Relaxed),
            failed_open_caps: unknown_caps.load(Ordering::Relaxed),
        }
    }
}

impl CountedCaps {
    /// Later caps than [`MAX_COUNTED_CAPS`] are left out of the record: after a crash they count
    /// the click only once the admin has.
    fn add(&mut self, id: u32) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + 4) {
            room.copy_from_slice(&id.to_le_bytes());
            self.len += 4;
        }
    }

    /// The bytes of [`coupon_shared::click::Tag::CountedCaps`].
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cold]
fn fail_open(count: &AtomicU64) -> bool {
    count.fetch_add(1, Ordering::Relaxed);
    false
}

fn unix_seconds() -> i64 {
    (unix_ms() / 1000).cast_signed()
}

#[cfg(test)]
mod tests;
