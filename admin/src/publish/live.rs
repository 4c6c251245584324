//! What the daemon serves of what is published: telling it, and waiting for it.

use std::sync::Arc;
use std::time::Duration;

use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::manifest::Manifest;
use serde::Serialize;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use super::LeftOut;
use super::prebuilt::Request;
use crate::daemon_client::{DaemonClient, DaemonError, Reloaded};
use crate::store::meta::Sequence;

/// How long [`PublisherHandle::wait_live`] waits.
const WAIT_LIVE: Duration = Duration::from_secs(5);
/// How often a daemon that did not take the index is told again.
const TELL_AGAIN: Duration = Duration::from_millis(500);
/// How often a daemon that serves the index is asked whether it still does.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How publication stands.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct PublicationStatus {
    /// The published generation; 0 before the first.
    pub generation: u64,
    /// The last change it holds.
    pub sequence: Sequence,
    #[serde(skip)]
    lineage: Option<Lineage>,
    /// Its levels.
    pub levels: usize,
    /// The entries of its levels: codes, where one that was edited counts in several.
    pub entries: u64,
    /// How long the last publication took.
    pub took_ms: f64,
    /// Why the last attempt failed; publication goes on trying.
    pub last_error: Option<String>,
    /// What of the store is not in the published catalog.
    pub left_out: Vec<LeftOut>,
    /// The generation that the daemon says it serves.
    pub served_generation: Option<u64>,
    /// The last change that the daemon says it serves.
    pub served_sequence: Option<Sequence>,
    /// Why the daemon does not serve the published index.
    pub daemon_error: Option<String>,
    /// A generation of this store that the daemon has and we did not know of.
    #[serde(skip)]
    daemon_ahead: Option<(Lineage, u64)>,
}

impl PublicationStatus {
    /// The generation served, when that holds a change.
    fn live(&self, wanted: Sequence) -> Option<u64> {
        self.served_generation.filter(|_| self.served_sequence >= Some(wanted))
    }
}

#[cfg(test)]
impl PublicationStatus {
    pub(super) fn set_daemon_ahead(&mut self, lineage: Lineage, generation: u64) {
        self.daemon_ahead = Some((lineage, generation));
    }
}

/// Why a change is not known to be served. It is saved all the same, and published when possible.
#[derive(Debug, thiserror::Error)]
pub enum WaitLiveError {
    /// It is not published.
    #[error("the change is saved but not published yet: {reason}")]
    NotPublished {
        /// What failed, or that it takes long.
        reason: String,
    },
    /// It is published, but the daemon does not serve it.
    #[error("the change is saved and published, but coupond does not serve it yet: {reason}")]
    NotServed {
        /// What the daemon said, or that it takes long.
        reason: String,
    },
}

/// Speaks to the publisher; clones share it.
#[derive(Clone)]
pub struct PublisherHandle {
    changed: Arc<Notify>,
    status: watch::Sender<PublicationStatus>,
    pub(super) requests: mpsc::Sender<Request>,
}

impl PublisherHandle {
    pub(super) fn new(
        changed: Arc<Notify>,
        status: watch::Sender<PublicationStatus>,
        requests: mpsc::Sender<Request>,
    ) -> PublisherHandle {
        PublisherHandle { changed, status, requests }
    }

    /// Says that a change was committed, so that it is published now and not at the next look.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Waits until the daemon serves the change with this sequence, and answers its generation.
    ///
    /// # Errors
    /// When that does not happen in time, with what stands in the way.
    pub async fn wait_live(&self, sequence: Sequence) -> Result<u64, WaitLiveError> {
        self.wait_live_for(sequence, WAIT_LIVE).await
    }

    /// The same, for as long as the caller has time.
    pub(crate) async fn wait_live_for(
        &self,
        sequence: Sequence,
        longest: Duration,
    ) -> Result<u64, WaitLiveError> {
        self.changed();
        let mut status = self.status.subscribe();
        let live = timeout(longest, status.wait_for(|status| status.live(sequence).is_some()));
        let reached = match live.await {
            Ok(Ok(status)) => status.live(sequence),
            _ => None,
        };
        reached.ok_or_else(|| self.why_not(sequence, longest))
    }

    fn why_not(&self, sequence: Sequence, longest: Duration) -> WaitLiveError {
        let status = self.status.borrow();
        let waited = || format!("nothing was heard for {} s; see the log", longest.as_secs());
        if status.sequence < sequence {
            let reason = status.last_error.clone().unwrap_or_else(waited);
            return WaitLiveError::NotPublished { reason };
        }
        WaitLiveError::NotServed { reason: status.daemon_error.clone().unwrap_or_else(waited) }
    }

    /// How publication stands now.
    #[must_use]
    pub fn status(&self) -> PublicationStatus {
        self.status.borrow().clone()
    }

    #[cfg(test)]
    pub(super) fn subscribe(&self) -> watch::Receiver<PublicationStatus> {
        self.status.subscribe()
    }

    pub(super) async fn notified(&self) {
        self.changed.notified().await;
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut PublicationStatus)) {
        self.status.send_modify(change);
    }

    pub(super) fn published(&self, manifest: &Manifest, entries: u64, took: Duration) {
        self.update(|status| {
            status.generation = manifest.generation;
            status.sequence = manifest.sequence;
            status.lineage = Some(manifest.lineage);
            status.levels = manifest.levels.len();
            status.entries = entries;
            status.took_ms = took.as_secs_f64() * 1000.0;
        });
    }

    /// The highest generation of this lineage that the daemon is known to have.
    pub(super) fn daemon_generation(&self, lineage: Lineage) -> u64 {
        let ahead = self.status.borrow().daemon_ahead;
        ahead.filter(|(of, _)| *of == lineage).map_or(0, |(_, generation)| generation)
    }
}

/// Tells the daemon of every publication, until it serves it.
pub(super) async fn tell(daemon: DaemonClient, handle: PublisherHandle) {
    let mut status = handle.status.subscribe();
    let mut told = 0;
    let mut pause = LOOK_AGAIN;
    loop {
        // Ends early with the next publication; the sender lives in `handle`.
        let _ = timeout(pause, status.wait_for(|status| status.generation > told)).await;
        let (generation, lineage) = {
            let status = handle.status.borrow();
            (status.generation, status.lineage)
        };
        let Some(lineage) = lineage else { continue };
        told = generation;
        let served = daemon.reload().await;
        pause = match note(&handle, lineage, generation, served) {
            Ok(()) => LOOK_AGAIN,
            Err(()) => TELL_AGAIN,
        };
    }
}

/// Notes what the daemon answered; an error when it has to be told again.
fn note(
    handle: &PublisherHandle,
    lineage: Lineage,
    told: u64,
    answer: Result<Reloaded, DaemonError>,
) -> Result<(), ()> {
    let (served, refusal) = match answer {
        Ok(Reloaded { served, refusal }) => (served, refusal),
        Err(error) => (None, Some(error.to_string())),
    };
    let served = served.filter(|served| served.lineage == lineage.to_string());
    let error = refusal.or_else(|| match &served {
        None => Some("coupond serves another store's index".into()),
        Some(served) if served.generation < told => {
            Some(format!("coupond still serves generation {}", served.generation))
        }
        Some(_) => None,
    });
    let before = handle.status.borrow().daemon_error.clone();
    if let Some(error) = error.as_ref().filter(|error| before.as_ref() != Some(error)) {
        tracing::warn!(%error, "the daemon does not serve the published index");
    }
    let answer = if error.is_none() { Ok(()) } else { Err(()) };
    handle.update(|status| {
        // A generation above ours comes from before the store was replaced by a backup: what it
        // holds is not known here, and it must be overtaken.
        let ours = served.as_ref().filter(|served| served.generation <= status.generation);
        status.served_generation = ours.map(|served| served.generation);
        status.served_sequence = ours.map(|served| served.sequence);
        let ahead = served.as_ref().filter(|served| served.generation > status.generation);
        status.daemon_ahead = ahead.map(|served| (lineage, served.generation));
        status.daemon_error = error;
    });
    if handle.status.borrow().daemon_ahead.is_some() {
        handle.changed();
    }
    answer
}
