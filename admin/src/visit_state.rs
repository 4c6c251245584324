//! Sends the visit state to the daemons: counts of caps, and converted visitors.
//!
//! A task looks a few times a second whether something changed that the state depends on: the
//! catalog, clicks, conversions, or a window that began. Then the state is built in one read
//! transaction, so that the counts include exactly the clicks up to the sequences in the state, and
//! sent. The daemon adds later clicks by itself and never waits for the state.
//!
//! Counts of clicks before the present day are kept between two states, because only late clicks and
//! another bot list change these counts.
//!
//! Limits that are reached, or nearly, become events and log lines, once for each limit and window.

mod build;
mod click_counts;

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coupon_shared::snapshot::SnapshotError;
use coupon_shared::visit_state::PublishedState;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::caps::ReachedLimit;
use crate::catalog::CapMetric;
use crate::daemon_client::DaemonError;
use crate::nodes::{Daemon, NodeRegistry};
use crate::store::caps::{AlertLevel, record_alert};
use crate::store::{ReadTx, Store, StoreError, WriteTx, events};
use crate::worker::{self, RetryDelays, Worker};
use build::{BuiltState, StateBuilder, StateVersions};

/// Shortest time between two states.
const INTERVAL: Duration = Duration::from_millis(250);
/// Interval between states with the same counts that include later clicks.
const CURSOR_INTERVAL: Duration = Duration::from_secs(1);
/// An unchanged state is sent so often, because a daemon may have lost the last one.
const REPEAT_INTERVAL: Duration = Duration::from_secs(30);
/// Building states takes at most one part in ten of the time.
const REST_FACTOR: u32 = 9;
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);

/// Why no state was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VisitStateError {
    /// The daemon did not take the state.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state exceeds the format's bounds.
    #[error(transparent)]
    Content(#[from] SnapshotError),
}

/// The state that was built last, for explanations of visits.
#[derive(Debug, Clone, Default)]
pub struct VisitStateHandle(Arc<watch::Sender<Option<Arc<PublishedState>>>>);

impl VisitStateHandle {
    /// `None` while no rule of the network asks for a state.
    #[must_use]
    pub fn last(&self) -> Option<Arc<PublishedState>> {
        self.0.borrow().clone()
    }

    fn show(&self, state: Option<&BuiltState>) {
        self.0.send_replace(state.map(BuiltState::share));
    }
}

/// Starts the task; it ends with `stop`.
pub(crate) fn start(
    store: Store,
    nodes: NodeRegistry,
    network_id: u32,
    stop: CancellationToken,
) -> VisitStateHandle {
    let handle = VisitStateHandle::default();
    worker::spawn(VisitStateSender::new(store, nodes, network_id, handle.clone()), stop);
    handle
}

/// The state now; `None` for a network without rules that need one.
pub(crate) fn read(
    connection: &ReadTx<'_>,
    network_id: u32,
) -> Result<Option<Arc<PublishedState>>, StoreError> {
    let built = StateBuilder::default().build(connection, network_id)?;
    Ok(built.as_ref().map(BuiltState::share))
}

struct VisitStateSender {
    store: Store,
    nodes: NodeRegistry,
    /// Positions of the daemons that the last state was sent to; silent ones lack it.
    reached: BTreeSet<usize>,
    /// Taken out while a state is built.
    builder: Option<StateBuilder>,
    network_id: u32,
    handle: VisitStateHandle,
    /// Versions of the last built state.
    seen: Option<StateVersions>,
    sent: Option<SentState>,
    alerted: HashSet<(u32, CapMetric, AlertLevel, Range<u64>)>,
    took: Duration,
}

struct SentState {
    state: BuiltState,
    at: Instant,
}

impl Worker for VisitStateSender {
    const NAME: &'static str = "sending of the visit state";
    const RETRY_DELAYS: RetryDelays = RetryDelays { shortest: INTERVAL, longest: LONGEST_BACK_OFF };
    type Error = VisitStateError;

    async fn step(&mut self) -> Result<(), VisitStateError> {
        let began = Instant::now();
        let versions = self.store.read(StateVersions::read).await?;
        if self.is_lacking_anywhere() {
            (self.seen, self.sent) = (None, None);
        }
        let is_due = self.sent.as_ref().is_some_and(|sent| sent.at.elapsed() >= REPEAT_INTERVAL);
        if !is_due && self.seen.as_ref().is_some_and(|seen| seen.is_current(&versions)) {
            self.took = Duration::ZERO;
            return Ok(());
        }
        let built = self.build().await?;
        self.took = began.elapsed();
        self.seen = Some(versions);
        self.handle.show(built.as_ref());
        self.nodes.set_caps_count(built.as_ref().is_some_and(BuiltState::has_caps));
        let Some(state) = built else { return Ok(()) };
        let alerts = state.alerts().to_vec();
        if !self.send_changed(state).await? {
            // The later clicks are sent with a state in a moment.
            self.seen = None;
        }
        Ok(self.alert(&alerts).await?)
    }

    async fn wait_for_work(&mut self) {
        tokio::time::sleep(INTERVAL.max(self.took * REST_FACTOR)).await;
    }

    fn reset_after(&mut self, _error: &VisitStateError) {
        (self.seen, self.sent) = (None, None);
    }
}

impl VisitStateSender {
    fn new(
        store: Store,
        nodes: NodeRegistry,
        network_id: u32,
        handle: VisitStateHandle,
    ) -> VisitStateSender {
        VisitStateSender {
            store,
            nodes,
            reached: BTreeSet::new(),
            builder: None,
            network_id,
            handle,
            seen: None,
            sent: None,
            alerted: HashSet::new(),
            took: Duration::ZERO,
        }
    }

    /// The present state; `None` for a network without rules that need one.
    async fn build(&mut self) -> Result<Option<BuiltState>, StoreError> {
        let mut builder = self.builder.take().unwrap_or_default();
        let network_id = self.network_id;
        let work = move |connection: &ReadTx<'_>| {
            let built = builder.build(connection, network_id)?;
            Ok::<_, StoreError>((builder, built))
        };
        let (builder, built) = self.store.read(work).await?;
        self.builder = Some(builder);
        Ok(built)
    }

    /// Sends a state that says something new. Returns whether the daemon has the whole state.
    async fn send_changed(&mut self, state: BuiltState) -> Result<bool, VisitStateError> {
        if let Some(sent) = &self.sent
            && sent.state.has_same_counts(&state)
        {
            let (age, has_cursor) = (sent.at.elapsed(), sent.state.has_same_cursor(&state));
            let interval = if has_cursor { REPEAT_INTERVAL } else { CURSOR_INTERVAL };
            if age < interval {
                return Ok(has_cursor);
            }
        }
        let bytes = Bytes::from(state.published().encode()?);
        self.send_everywhere(&bytes).await?;
        self.sent = Some(SentState { state, at: Instant::now() });
        Ok(true)
    }

    /// Sends a state to all daemons at once, so that a slow daemon delays no other. A silent daemon
    /// beside others gets the state after its next answer.
    ///
    /// # Errors
    /// The first failure, after the other daemons have the state.
    async fn send_everywhere(&mut self, state: &Bytes) -> Result<(), DaemonError> {
        self.reached.clear();
        let mut sending = JoinSet::new();
        for daemon in self.nodes.daemons().iter() {
            if !self.is_asked(daemon) {
                continue;
            }
            self.reached.insert(daemon.index);
            let (daemon, state) = (daemon.clone(), state.clone());
            sending.spawn(async move {
                let sent = daemon.while_present(daemon.client.send_visit_state(state)).await;
                sent.unwrap_or(Ok(()))
            });
        }
        sending.join_all().await.into_iter().collect()
    }

    /// Whether the state is sent to a daemon now.
    fn is_asked(&self, daemon: &Daemon) -> bool {
        !self.nodes.has_several() || !self.nodes.is_silent(daemon)
    }

    /// Whether a daemon joined, or answered again, after the last state was sent.
    fn is_lacking_anywhere(&self) -> bool {
        let lacks = |daemon: &Daemon| !self.reached.contains(&daemon.index);
        let daemons = self.nodes.daemons();
        self.sent.is_some() && daemons.iter().any(|daemon| lacks(daemon) && self.is_asked(daemon))
    }

    /// Records limits that are reached, or nearly, each once for its window.
    async fn alert(&mut self, limits: &[(ReachedLimit, Range<u64>)]) -> Result<(), StoreError> {
        for (limit, window) in limits {
            let (level, key) = (limit.level(), (limit.cap_id, limit.metric));
            if self.alerted.contains(&(key.0, key.1, level, window.clone())) {
                continue;
            }
            let (recorded, recorded_window) = (limit.clone(), window.clone());
            let record = move |tx: &WriteTx<'_>| record_limit(tx, &recorded, &recorded_window);
            if self.store.write(record).await? {
                match level {
                    AlertLevel::Near => tracing::warn!(%limit, "cap nearly reached"),
                    AlertLevel::Reached => tracing::warn!(%limit, "cap reached"),
                }
            }
            self.alerted.insert((key.0, key.1, level, window.clone()));
        }
        Ok(())
    }
}

/// Records an alert and its event. Returns whether the alert is new.
fn record_limit(
    tx: &WriteTx<'_>,
    limit: &ReachedLimit,
    window: &Range<u64>,
) -> Result<bool, StoreError> {
    let is_new = record_alert(tx, limit.cap_id, limit.metric, limit.level(), window)?;
    if is_new {
        let (event_type, data) = limit.event(window);
        events::record(tx, event_type, &data)?;
    }
    Ok(is_new)
}

#[cfg(test)]
mod tests;
