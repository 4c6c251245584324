//! The configured daemons, and the nodes that they answer as.
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
mod passed_times;
mod status;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coupon_shared::node_identity::{NodeIdentity, NodeStamp};
use tokio::sync::Mutex as AsyncMutex;

use crate::daemon_client::DaemonClient;
use crate::store::nodes::{self, NodeRow};
use crate::store::{ReadTx, Store, StoreError, WriteTx, blocks};
use admission::{LastAnswer, Question};

pub use admission::NodeConflict;
pub use passed_times::PassedTimes;
pub use status::DaemonStatus;

/// A daemon without an answer for this long is silent: edits no longer wait for it.
const SILENT_AFTER: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 15 });
/// How often the time of a node's last answer is stored.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// A configured daemon.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Position in the configuration.
    pub(crate) index: usize,
    /// As configured; empty for the only daemon of `daemon_socket`.
    pub(crate) name: Arc<str>,
    pub(crate) client: DaemonClient,
}

impl Daemon {
    /// Names the daemon in a sentence; several daemons are told apart by their names.
    pub(crate) fn label(&self) -> String {
        match &*self.name {
            "" => "coupond".to_owned(),
            name => format!("coupond `{name}`"),
        }
    }

    /// The name of a work, for this daemon.
    pub(crate) fn work_label(&self, work: &'static str) -> Cow<'static, str> {
        match &*self.name {
            "" => work.into(),
            name => format!("{work} (coupond {name})").into(),
        }
    }
}

/// Why a daemon's answer is not used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AdmissionError {
    #[error(transparent)]
    Conflict(#[from] NodeConflict),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The daemons with the state of each; clones share it.
#[derive(Clone)]
pub struct NodeRegistry {
    store: Store,
    daemons: Arc<[Daemon]>,
    /// The nodes of the store; `None` until they are read. The lock orders admissions.
    rows: Arc<AsyncMutex<Option<Vec<NodeRow>>>>,
    seen: Arc<Mutex<SeenDaemons>>,
}

struct SeenDaemons {
    started: Instant,
    daemons: Vec<SeenDaemon>,
    passed: Arc<PassedTimes>,
}

#[derive(Default, Clone)]
struct SeenDaemon {
    /// As of the last answer, also of a refused daemon.
    stamp: Option<NodeStamp>,
    /// Every node that the daemon ever stated, also while it was refused.
    nodes: BTreeSet<u16>,
    answered: Option<Instant>,
    is_admitted: bool,
    /// Whether the last level was not loaded in time.
    is_slow_to_load: bool,
    /// When the store heard of it.
    saved: Option<Instant>,
    status: DaemonStatus,
}

impl NodeRegistry {
    /// The registry of the daemons with these names and sockets.
    #[must_use]
    pub fn new<'a>(
        store: Store,
        sockets: impl IntoIterator<Item = (&'a str, &'a Path)>,
    ) -> NodeRegistry {
        let clients = sockets.into_iter().map(|(name, socket)| (name, DaemonClient::new(socket)));
        NodeRegistry::with_clients(store, clients)
    }

    /// A registry with the only daemon.
    #[must_use]
    pub fn with_one(store: Store, client: DaemonClient) -> NodeRegistry {
        NodeRegistry::with_clients(store, [("", client)])
    }

    fn with_clients<'a>(
        store: Store,
        clients: impl IntoIterator<Item = (&'a str, DaemonClient)>,
    ) -> NodeRegistry {
        let numbered = clients.into_iter().enumerate();
        let daemons: Arc<[Daemon]> = numbered
            .map(|(index, (name, client))| Daemon { index, name: name.into(), client })
            .collect();
        let status = |daemon: &Daemon| SeenDaemon {
            status: DaemonStatus::named(&daemon.name),
            ..SeenDaemon::default()
        };
        let seen = SeenDaemons {
            started: Instant::now(),
            daemons: daemons.iter().map(status).collect(),
            passed: Arc::default(),
        };
        NodeRegistry { store, daemons, rows: Arc::default(), seen: Arc::new(Mutex::new(seen)) }
    }

    pub(crate) fn daemons(&self) -> &[Daemon] {
        &self.daemons
    }

    /// Whether there are several daemons: then a daemon is named wherever it is spoken of.
    pub(crate) fn has_several(&self) -> bool {
        self.daemons.len() > 1
    }

    /// Marks a daemon as answering now.
    pub(crate) fn note_answer(&self, daemon: &Daemon) {
        let mut seen = self.seen();
        let Some(seen) = seen.daemons.get_mut(daemon.index) else { return };
        seen.answered = Some(Instant::now());
        seen.status.last_answer = Some(jiff::Timestamp::now().as_second());
    }

    /// Whether a daemon has not answered for 15 s.
    pub(crate) fn is_silent(&self, daemon: &Daemon) -> bool {
        self.seen().daemons.get(daemon.index).is_none_or(SeenDaemon::is_silent)
    }

    /// Whether a daemon is refused.
    pub(crate) fn is_refused(&self, daemon: &Daemon) -> bool {
        let seen = self.seen();
        seen.daemons.get(daemon.index).is_some_and(|seen| seen.status.conflict.is_some())
    }

    /// Whether a daemon did not load the last level in time.
    pub(crate) fn is_slow_to_load(&self, daemon: &Daemon) -> bool {
        self.seen().daemons.get(daemon.index).is_some_and(|seen| seen.is_slow_to_load)
    }

    pub(crate) fn set_slow_to_load(&self, daemon: &Daemon, is_slow: bool) {
        if let Some(seen) = self.seen().daemons.get_mut(daemon.index) {
            seen.is_slow_to_load = is_slow;
        }
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
        let mut rows = self.rows.lock().await;
        if rows.is_none() {
            *rows = Some(self.load().await?);
        }
        let rows = rows.get_or_insert_default();
        self.note_nodes(daemon, stamp).await?;
        let admission = self.judge(rows, daemon, stamp);
        self.show_admission(daemon, stamp, admission.as_ref().err());
        let replaced = admission?;
        let Some(stamp) = stamp else { return Ok(None) };
        self.save(rows, daemon, stamp, replaced.as_ref()).await?;
        Ok(Some(stamp.identity.clone()))
    }

    /// Reads the nodes of the store, and which of them each daemon ever stated.
    async fn load(&self) -> Result<Vec<NodeRow>, StoreError> {
        let read = |connection: &ReadTx<'_>| {
            Ok::<_, StoreError>((nodes::all(connection)?, nodes::stated(connection)?))
        };
        let (rows, stated) = self.store.read(read).await?;
        let owned = rows.iter().map(|row| (row.name.clone(), row.id));
        let known: Vec<(String, u16)> = stated.into_iter().chain(owned).collect();
        let mut seen = self.seen();
        for (daemon, seen) in self.daemons.iter().zip(&mut seen.daemons) {
            let own = known.iter().filter(|(name, _)| **name == *daemon.name);
            seen.nodes.extend(own.map(|(_, node)| *node));
        }
        seen.refresh_passed();
        Ok(rows)
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
        let known = self.seen().daemons.get(daemon.index).map(|seen| seen.nodes.clone());
        let known = known.unwrap_or_default();
        let new: BTreeSet<u16> = nodes.filter(|node| !known.contains(node)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let (name, written) = (daemon.name.to_string(), new.clone());
        self.store.write(move |tx| nodes::note_stated(tx, &name, written)).await?;
        let mut seen = self.seen();
        if let Some(seen) = seen.daemons.get_mut(daemon.index) {
            seen.nodes.extend(new);
        }
        seen.refresh_passed();
        Ok(())
    }

    /// Returns the node's row if the answer is used and the node had another data folder.
    fn judge(
        &self,
        rows: &[NodeRow],
        daemon: &Daemon,
        stamp: Option<&NodeStamp>,
    ) -> Result<Option<NodeRow>, NodeConflict> {
        let seen = self.seen();
        let answers = self.daemons.iter().zip(&seen.daemons).map(|(daemon, seen)| LastAnswer {
            name: &daemon.name,
            identity: seen.stamp.as_ref().map(|stamp| &stamp.identity),
            is_alive: seen.is_admitted && !seen.is_silent(),
            was_heard: seen.answered.is_some(),
        });
        let is_settling = seen.started.elapsed() < SILENT_AFTER;
        let answers: Vec<LastAnswer<'_>> = answers.collect();
        let question = Question { rows, answers: &answers, daemon: daemon.index, is_settling };
        question.judge(stamp.map(|stamp| &stamp.identity))
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
        let Some(seen) = seen.daemons.get_mut(daemon.index) else { return };
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
        let saved = self.seen().daemons.get(daemon.index).and_then(|seen| seen.saved);
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
        // An only daemon goes on with all streams of before data folders were told apart.
        let claimed = if self.has_several() || saved.is_some() {
            Vec::new()
        } else {
            stamp.identity.nodes().collect()
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
        if let Some(seen) = self.seen().daemons.get_mut(daemon.index) {
            seen.saved = Some(Instant::now());
        }
        Ok(())
    }

    /// Records that all clicks of an admitted daemon up to a time by its clock have arrived, or
    /// never will.
    pub(crate) fn set_passed(&self, daemon: &Daemon, passed_ms: u64) {
        let mut seen = self.seen();
        let Some(of_daemon) = seen.daemons.get_mut(daemon.index) else { return };
        let status = &mut of_daemon.status;
        status.passed_unix_ms = status.passed_unix_ms.max(passed_ms);
        match of_daemon.stamp {
            Some(_) => seen.refresh_passed(),
            None => seen.passed = Arc::new(PassedTimes::of_older_daemon(status.passed_unix_ms)),
        }
    }

    /// Up to which time the clicks of each node have arrived.
    pub(crate) fn passed_times(&self) -> Arc<PassedTimes> {
        Arc::clone(&self.seen().passed)
    }

    /// The same for the daemon that is least far.
    pub(crate) fn all_passed_ms(&self) -> u64 {
        let seen = self.seen();
        seen.daemons.iter().map(|seen| seen.status.passed_unix_ms).min().unwrap_or(0)
    }

    pub(crate) fn update(&self, daemon: &Daemon, change: impl FnOnce(&mut DaemonStatus)) {
        if let Some(seen) = self.seen().daemons.get_mut(daemon.index) {
            change(&mut seen.status);
        }
    }

    /// The state of each daemon, in the order of the configuration.
    #[must_use]
    pub fn statuses(&self) -> Vec<DaemonStatus> {
        self.seen().daemons.iter().map(|seen| seen.status.clone()).collect()
    }

    /// The daemon that a node's postbacks came from.
    pub(crate) fn daemon_of(&self, node: u16) -> Option<&Daemon> {
        if let [only] = &*self.daemons {
            return Some(only);
        }
        let seen = self.seen();
        let gave = |seen: &SeenDaemon| {
            let identity = seen.stamp.as_ref().map(|stamp| &stamp.identity);
            seen.is_admitted && identity.is_some_and(|identity| identity.node == node)
        };
        self.daemons.get(seen.daemons.iter().position(gave)?)
    }

    /// One text for the failures of all daemons; several are named.
    pub(crate) fn join_failures(
        &self,
        failure: impl Fn(&DaemonStatus) -> Option<&String>,
    ) -> Option<String> {
        let seen = self.seen();
        let failures = self.daemons.iter().zip(&seen.daemons).filter_map(|(daemon, seen)| {
            let error = failure(&seen.status)?;
            Some(if self.has_several() {
                format!("{}: {error}", daemon.label())
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

impl SeenDaemon {
    fn is_silent(&self) -> bool {
        self.answered.is_none_or(|at| at.elapsed() >= SILENT_AFTER)
    }
}

impl SeenDaemons {
    /// A node has passed the time that every daemon has passed which ever stated the node: a
    /// refused daemon, or one that has another node id by now, may still hold clicks of it.
    fn refresh_passed(&mut self) {
        let stated = |seen: &SeenDaemon| !seen.nodes.is_empty();
        let are_all_known = self.daemons.iter().all(stated);
        let mut by_node = BTreeMap::new();
        for seen in &self.daemons {
            let passed_ms = if are_all_known { seen.status.passed_unix_ms } else { 0 };
            for node in &seen.nodes {
                let least = by_node.entry(*node).or_insert(passed_ms);
                *least = passed_ms.min(*least);
            }
        }
        self.passed = Arc::new(PassedTimes::of_nodes(by_node, are_all_known));
    }
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
