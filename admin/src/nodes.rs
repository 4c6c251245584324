//! The daemons, and the nodes that the daemons answer as.
//!
//! Daemons join and leave while the program runs. A daemon has one position until the program ends.
//! A daemon that left is in no list; its name may join again, with another position. Services start
//! a worker per daemon by [`NodeRegistry::spawn_for_each`], which follows joining and leaving.
//!
//! A node id belongs to one data folder at a time. Each answer of a daemon is admitted before its
//! clicks or postbacks are taken in:
//! - A data folder that is new for its node id replaces the former one if it answers on the same
//!   socket: the folder was lost and made anew. Streams of clicks keep the folder that they were
//!   first archived from, so the new folder cannot pass its clicks for known ones.
//! - The first seen of two daemons with one node id stays; the other is refused until it has
//!   another node id. The admin archives and acknowledges nothing of a refused daemon.
//! - A daemon that is too old to state its node is admitted only as the only one.
//!
//! Nodes are in the store, so the order of two daemons survives a restart. The rest is in memory.

mod admission;
mod click_pace;
mod daemon;
mod membership;
mod passed_times;
mod seen;
mod status;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coupon_shared::node_identity::{NodeIdentity, NodeStamp};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, watch};

use crate::store::nodes::{self, NodeRow};
use crate::store::{ReadTx, Store, StoreError, WriteTx, blocks};
use admission::{LastAnswer, Question};
use seen::{SeenDaemon, SeenDaemons};

pub use admission::NodeConflict;
pub use daemon::{Daemon, ONLY_DAEMON_NAME};
pub use passed_times::PassedTimes;
pub use status::DaemonStatus;

/// A daemon without an answer for this long is silent: edits no longer wait for it.
const SILENT_AFTER: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 15 });
/// After this time SmartSwitch goes on without an edge that is silent. Sales wait on.
pub(crate) const LEFT_OUT_AFTER: Duration =
    Duration::from_secs(if cfg!(test) { 60 } else { 3_600 });
/// How often the time of a node's last answer is stored.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// Why a daemon's answer is not used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AdmissionError {
    #[error(transparent)]
    Conflict(#[from] NodeConflict),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the daemon was retired")]
    Retired,
}

/// The daemons with the state of each; clones share it.
#[derive(Clone)]
pub struct NodeRegistry {
    store: Store,
    /// The daemons that have not left, by position.
    daemons: watch::Sender<Arc<[Daemon]>>,
    /// The nodes of the store; `None` until they are read. The lock orders admissions.
    rows: Arc<AsyncMutex<Option<Vec<NodeRow>>>>,
    seen: Arc<Mutex<SeenDaemons>>,
}

impl NodeRegistry {
    /// Marks a daemon as answering now.
    pub(crate) fn note_answer(&self, daemon: &Daemon) {
        let mut seen = self.seen();
        let Some(seen) = seen.daemons.get_mut(&daemon.index) else { return };
        seen.answered = Some(Instant::now());
        seen.status.last_answer = Some(jiff::Timestamp::now().as_second());
    }

    /// Whether a daemon has not answered for 15 s.
    pub(crate) fn is_silent(&self, daemon: &Daemon) -> bool {
        self.seen().daemons.get(&daemon.index).is_none_or(SeenDaemon::is_silent)
    }

    /// Whether a daemon is refused.
    pub(crate) fn is_refused(&self, daemon: &Daemon) -> bool {
        let seen = self.seen();
        seen.daemons.get(&daemon.index).is_some_and(|seen| seen.status.conflict.is_some())
    }

    /// Whether a daemon did not load the last level in time.
    pub(crate) fn is_slow_to_load(&self, daemon: &Daemon) -> bool {
        let seen = self.seen();
        seen.daemons.get(&daemon.index).is_some_and(|seen| seen.status.preload_error.is_some())
    }

    /// Admits an answer of a daemon; returns the identity of a daemon that states one.
    ///
    /// # Errors
    /// When the daemon cannot be told from another one, or the store fails.
    pub(crate) async fn admit(
        &self,
        daemon: &Daemon,
        stamp: Option<&NodeStamp>,
    ) -> Result<Option<NodeIdentity>, AdmissionError> {
        self.note_answer(daemon);
        let mut rows = self.loaded_rows().await?;
        let rows = rows.get_or_insert_default();
        self.note_nodes(daemon, stamp).await?;
        let admission = self.judge(rows, daemon, stamp);
        match &admission {
            Ok(_) => self.show_admission(daemon, stamp, None),
            Err(AdmissionError::Conflict(conflict)) => {
                self.show_admission(daemon, stamp, Some(conflict))
            }
            Err(_) => {}
        }
        let replaced = admission?;
        let Some(stamp) = stamp else { return Ok(None) };
        self.save(rows, daemon, stamp, replaced.as_ref()).await?;
        Ok(Some(stamp.identity.clone()))
    }

    /// Reads the nodes that the daemons stated in earlier runs, if no answer caused this before.
    ///
    /// # Errors
    /// When the nodes cannot be read.
    pub async fn load(&self) -> Result<(), StoreError> {
        self.loaded_rows().await.map(drop)
    }

    async fn loaded_rows(&self) -> Result<AsyncMutexGuard<'_, Option<Vec<NodeRow>>>, StoreError> {
        let mut loaded = self.rows.lock().await;
        if loaded.is_none() {
            let read = |connection: &ReadTx<'_>| {
                Ok::<_, StoreError>((nodes::all(connection)?, nodes::stated(connection)?))
            };
            let (rows, stated) = self.store.read(read).await?;
            let mut seen = self.seen();
            stated.into_iter().for_each(|(name, node)| seen.note_stated(&name, [node]));
            rows.iter().for_each(|row| seen.note_stated(&row.name, [row.id]));
            seen.refresh_passed();
            drop(seen);
            *loaded = Some(rows);
        }
        Ok(loaded)
    }

    /// Remembers what a daemon states, before anything is decided by it: a restart must not forget
    /// that a refused daemon holds clicks of a node.
    async fn note_nodes(
        &self,
        daemon: &Daemon,
        stamp: Option<&NodeStamp>,
    ) -> Result<(), StoreError> {
        match stamp {
            Some(stamp) => self.note_held(daemon, stamp.identity.nodes()).await,
            None => Ok(()),
        }
    }

    /// Remembers nodes of which a daemon holds clicks or sales, though it may not state them.
    pub(crate) async fn note_held(
        &self,
        daemon: &Daemon,
        nodes: impl Iterator<Item = u16>,
    ) -> Result<(), StoreError> {
        let known: BTreeSet<u16> = self.seen().nodes(&daemon.name).collect();
        let new: BTreeSet<u16> = nodes.filter(|node| !known.contains(node)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let (name, written) = (daemon.name.to_string(), new.clone());
        self.store.write(move |tx| nodes::note_stated(tx, &name, written)).await?;
        let mut seen = self.seen();
        seen.note_stated(&daemon.name, new);
        seen.refresh_passed();
        Ok(())
    }

    /// Returns the node's row if the answer is used and the node had another data folder.
    fn judge(
        &self,
        rows: &[NodeRow],
        daemon: &Daemon,
        stamp: Option<&NodeStamp>,
    ) -> Result<Option<NodeRow>, AdmissionError> {
        let seen = self.seen();
        // An edge before its installation must not make the others look like several.
        let is_asked = |of_daemon: &&SeenDaemon| {
            of_daemon.daemon.index == daemon.index || seen.is_expected(of_daemon)
        };
        let concerned: Vec<&SeenDaemon> = seen.daemons.values().filter(is_asked).collect();
        let position = concerned.iter().position(|seen| seen.daemon.index == daemon.index);
        let position = position.ok_or(AdmissionError::Retired)?;
        let answers = concerned.iter().map(|seen| LastAnswer {
            name: &seen.daemon.name,
            shown_name: seen.daemon.shown_name(),
            identity: seen.stamp.as_ref().map(|stamp| &stamp.identity),
            is_alive: seen.is_admitted && !seen.is_silent(),
            was_heard: seen.answered.is_some(),
        });
        let is_settling = seen.started.elapsed() < SILENT_AFTER;
        let answers: Vec<LastAnswer<'_>> = answers.collect();
        let question = Question { rows, answers: &answers, daemon: position, is_settling };
        Ok(question.judge(stamp.map(|stamp| &stamp.identity))?)
    }

    fn show_admission(
        &self,
        daemon: &Daemon,
        stamp: Option<&NodeStamp>,
        conflict: Option<&NodeConflict>,
    ) {
        let conflict = conflict.map(NodeConflict::to_string);
        let is_first = |before: &Option<String>| conflict.is_some() && *before != conflict;
        let mut seen = self.seen();
        let Some(seen) = seen.daemons.get_mut(&daemon.index) else { return };
        if is_first(&seen.status.conflict) {
            let error = conflict.as_deref().unwrap_or_default();
            tracing::error!(error, "clicks and postbacks of a daemon are refused");
        }
        seen.is_admitted = conflict.is_none();
        seen.status.show_stamp(stamp, now_ms());
        seen.status.conflict = conflict;
        seen.stamp = stamp.cloned();
    }

    /// Stores the node of an admitted daemon, where it changed or was not stored for long.
    async fn save(
        &self,
        rows: &mut Vec<NodeRow>,
        daemon: &Daemon,
        stamp: &NodeStamp,
        replaced: Option<&NodeRow>,
    ) -> Result<(), StoreError> {
        let NodeIdentity { node, store, .. } = stamp.identity;
        let row = NodeRow { id: node, name: daemon.name.to_string(), store };
        let saved = self.seen().daemons.get(&daemon.index).and_then(|seen| seen.saved);
        let is_fresh = saved.is_some_and(|at| at.elapsed() < SAVE_INTERVAL);
        let is_known = rows.contains(&row);
        if is_known && is_fresh {
            return Ok(());
        }
        if let Some(former) = replaced {
            tracing::warn!(
                node,
                former_store_id = %former.store,
                store_id = %store,
                "a node has a new data folder: clicks and postbacks that only the former one had are lost"
            );
        }
        let claimed = if daemon.inherits_streams && saved.is_none() {
            stamp.identity.nodes().collect()
        } else {
            Vec::new()
        };
        let (own_store, written) = (self.store.clone(), row.clone());
        let write = async move {
            let save = move |tx: &WriteTx<'_>| {
                blocks::claim_streams(tx, &claimed, store)?;
                nodes::save(tx, &written)
            };
            own_store.write(save).await
        };
        if is_known {
            // Only the time changes: an import that holds the store must not delay the answer.
            tokio::spawn(write);
        } else {
            write.await?;
            rows.retain(|known| known.id != node);
            rows.push(row);
        }
        if let Some(seen) = self.seen().daemons.get_mut(&daemon.index) {
            seen.saved = Some(Instant::now());
        }
        Ok(())
    }

    /// Records that all clicks of an admitted daemon up to a time by its clock have arrived, or
    /// never will.
    pub(crate) fn set_passed(&self, daemon: &Daemon, passed_ms: u64) {
        let mut seen = self.seen();
        let Some(of_daemon) = seen.daemons.get_mut(&daemon.index) else { return };
        let status = &mut of_daemon.status;
        status.passed_unix_ms = status.passed_unix_ms.max(passed_ms);
        match of_daemon.stamp {
            Some(_) => seen.refresh_passed(),
            None => seen.passed = Arc::new(PassedTimes::of_older_daemon(status.passed_unix_ms)),
        }
    }

    /// Asks for the clicks of a node now: a sale waits for one.
    pub(crate) fn hurry_clicks(&self, node: u16) {
        let seen = self.seen();
        let states_it = |seen: &&SeenDaemon| {
            seen.stamp.as_ref().is_some_and(|stamp| stamp.identity.node == node)
        };
        seen.daemons.values().filter(states_it).for_each(|seen| seen.daemon.click_pace.hurry());
    }

    /// Whether click caps are in force: then clicks of edges gather for a second at most.
    pub(crate) fn set_caps_count(&self, caps_count: bool) {
        self.seen().caps_count.store(caps_count, Ordering::Relaxed);
    }

    /// Up to which time the clicks of each node have arrived.
    pub(crate) fn passed_times(&self) -> Arc<PassedTimes> {
        Arc::clone(&self.seen().passed)
    }

    /// The same for the daemon that is least far; 0 without a daemon. Leaves out edges that have been
    /// silent for an hour.
    pub(crate) fn all_passed_ms(&self) -> u64 {
        let seen = self.seen();
        seen.attended().map(|seen| seen.status.passed_unix_ms).min().unwrap_or(0)
    }

    /// The earliest of one moment of all admitted daemons; `None` if it is missing for one. Leaves out
    /// edges that have been silent for an hour.
    pub(crate) fn earliest(&self, moment: impl Fn(&DaemonStatus) -> Option<i64>) -> Option<i64> {
        let seen = self.seen();
        // A refused daemon is not asked; the status shows its conflict.
        let admitted = seen.attended().filter(|seen| seen.status.conflict.is_none());
        admitted.map(|seen| moment(&seen.status)).min().flatten()
    }

    /// Changes the status of a daemon that has not left.
    pub(crate) fn update(&self, daemon: &Daemon, change: impl FnOnce(&mut DaemonStatus)) {
        if let Some(seen) = self.seen().daemons.get_mut(&daemon.index) {
            change(&mut seen.status);
        }
    }

    /// The state of a daemon; `None` after its leaving.
    pub(crate) fn status(&self, daemon: &Daemon) -> Option<DaemonStatus> {
        Some(self.seen().daemons.get(&daemon.index)?.status.clone())
    }

    /// The state of each daemon, in the order in which they joined.
    #[must_use]
    pub fn statuses(&self) -> Vec<DaemonStatus> {
        let seen = self.seen();
        let statuses = seen.daemons.values().map(|of_daemon| {
            let name = match seen.has_several() {
                true => of_daemon.daemon.shown_name().to_owned(),
                false => of_daemon.status.name.clone(),
            };
            DaemonStatus { name, ..of_daemon.status.clone() }
        });
        statuses.collect()
    }

    /// The daemon that a node's postbacks came from.
    pub(crate) fn daemon_of(&self, node: u16) -> Option<Daemon> {
        let seen = self.seen();
        let has_several = seen.expected().count() > 1;
        let gave = |seen: &&SeenDaemon| {
            let identity = seen.stamp.as_ref().map(|stamp| &stamp.identity);
            !has_several
                || seen.is_admitted && identity.is_some_and(|identity| identity.node == node)
        };
        seen.expected().find(gave).map(|seen| seen.daemon.clone())
    }

    /// One text for the failures of all daemons; several are named.
    pub(crate) fn join_failures(
        &self,
        failure: impl Fn(&DaemonStatus) -> Option<&String>,
    ) -> Option<String> {
        let seen = self.seen();
        let failures = seen.expected().filter_map(|of_daemon| {
            let error = failure(&of_daemon.status)?;
            Some(if seen.has_several() {
                format!("{}: {error}", of_daemon.daemon.label())
            } else {
                error.clone()
            })
        });
        let failures: Vec<String> = failures.collect();
        (!failures.is_empty()).then(|| failures.join("; "))
    }

    fn seen(&self) -> MutexGuard<'_, SeenDaemons> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
