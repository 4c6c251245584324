//! Postback ingest: takes postbacks from the daemons' spools into the store, each exactly once, and
//! returns verdicts.
//!
//! A task for each daemon polls it, so a daemon that fails stops no other. The request carries a cursor (for each spool the last sequence number
//! that is durably decided or pending here), which is the acknowledgement, and the verdicts on the
//! previous delivery and on pending postbacks decided since. A delivery is decided and stored in
//! the same transaction as the cursor, so only stored postbacks are acknowledged. A repeated
//! delivery, after a crash of either program or from a restored store, is recognised by the
//! postback's id.
//!
//! A pending postback has no verdict yet. Its sender waits at the daemon, within the daemon's
//! limit, and gets a verdict within this time or `queued`. A verdict goes to the daemon that the
//! postback came from.
//!
//! A postback that names the node of another daemon is refused: it is not stored, and its sender
//! gets `invalid`.
//!
//! An unreadable postback, or a postback with a failed decision, is stored as received and does not
//! block the postbacks behind it.

use std::borrow::Cow;
use std::time::Duration;

use coupon_shared::node_identity::{NodeIdentity, StoreId};
use coupon_shared::postback::{
    MAX_VERDICTS, PollRequest, PostbackError, SpoolId, UndecodedDelivery, Verdict,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::creation::{CreationError, WantedConversions};
use super::now_ms;
use super::pending::PendingPostbacks;
use super::processor::{Batch, PostbackProcessor};
pub use super::processor::{Bounds, PostbackStatus};
use super::received::ReceivedPostback;
use crate::archive::Archive;
use crate::click_ingest::ClickIngestHandle;
use crate::click_lookup::LookUpError;
use crate::daemon_client::{DaemonError, PostbackAnswer};
use crate::nodes::{AdmissionError, Daemon, DaemonStatus, NodeRegistry};
use crate::store::{Store, StoreError};
use crate::worker::{self, RetryDelays, Worker};

/// How long the daemon waits for a postback before it gives an empty answer.
const WAIT: Duration = Duration::from_secs(1);
/// Maximum size of one answer, and so of one transaction.
const MAX_BYTES: usize = 1 << 20;
/// Maximum size of the answers of all daemons.
const ALL_BYTES: usize = 32 << 20;

/// Why a poll failed.
#[derive(Debug, thiserror::Error)]
enum IngestError {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    #[error("coupond's postbacks are not understood: {0}")]
    Delivery(#[from] PostbackError),
    #[error(transparent)]
    Clicks(#[from] LookUpError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives access to the status of postback ingest, and creates conversions; clones share it.
#[derive(Clone)]
pub struct PostbackHandle {
    status: watch::Receiver<PostbackStatus>,
    processor: PostbackProcessor,
}

impl PostbackHandle {
    #[must_use]
    pub fn status(&self) -> PostbackStatus {
        self.status.borrow().clone()
    }

    /// Creates conversions for clicks, all or none. The verdicts have the order of the clicks.
    ///
    /// # Errors
    /// When a click is not one of the offer, or the store or the archive cannot be used.
    pub async fn create(&self, wanted: WantedConversions) -> Result<Vec<Verdict>, CreationError> {
        self.processor.create(wanted).await
    }
}

/// Starts postback ingest, which runs until `stop`. `clicks` is the handle of click ingest.
#[must_use]
pub fn start(
    store: Store,
    archive: Archive,
    clicks: ClickIngestHandle,
    nodes: NodeRegistry,
    network_id: u32,
    bounds: Bounds,
    stop: CancellationToken,
) -> PostbackHandle {
    let processor = PostbackProcessor::new(store, archive, clicks, &nodes, network_id, bounds);
    let handle =
        PostbackHandle { status: processor.status.subscribe(), processor: processor.clone() };
    worker::spawn(PendingPostbacks::new(processor.clone()), stop.clone());
    let (registry, shown) = (nodes.clone(), processor.clone());
    nodes.follow(stop.clone(), move |_| {
        shown.update_status(|status| status.show_daemons(&registry));
    });
    let registry = nodes.clone();
    nodes.spawn_for_each(stop, move |daemon| PostbackIngest {
        processor: processor.clone(),
        daemon: daemon.clone(),
        nodes: registry.clone(),
        identified: None,
        cursors: None,
        verdicts: Vec::new(),
        decided_late: processor.receive_late_verdicts(daemon),
    });
    handle
}

struct PostbackIngest {
    processor: PostbackProcessor,
    daemon: Daemon,
    nodes: NodeRegistry,
    /// The identity as of the last answer, if the daemon states one; `None` until it is identified.
    identified: Option<Option<NodeIdentity>>,
    /// `None` at the start and after a failure, until they are read from the store.
    cursors: Option<Vec<(SpoolId, u64)>>,
    /// Verdicts on the previous delivery. A failure drops them, and their senders get `queued`.
    verdicts: Vec<Verdict>,
    /// Verdicts on postbacks of this daemon that were pending.
    decided_late: mpsc::Receiver<Verdict>,
}

impl Worker for PostbackIngest {
    const NAME: &'static str = "postback ingest";
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: Duration::from_millis(50), longest: Duration::from_secs(5) };
    type Error = IngestError;

    fn label(&self) -> Cow<'static, str> {
        self.daemon.work_label(Self::NAME)
    }

    async fn step(&mut self) -> Result<(), IngestError> {
        self.pull().await
    }

    fn reset_after(&mut self, _error: &IngestError) {
        // Another data folder may answer the next time.
        (self.identified, self.cursors) = (None, None);
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        self.show(|status| status.postback_error = failure.map(str::to_owned));
    }
}

impl PostbackIngest {
    /// Polls the daemon once and decides its delivery.
    async fn pull(&mut self) -> Result<(), IngestError> {
        let expected = self.identify().await?;
        let cursors = match self.cursors.take() {
            Some(cursors) => cursors,
            None => self.processor.begin(expected).await?,
        };
        let request = PollRequest { cursors, verdicts: std::mem::take(&mut self.verdicts) };
        let answer = self.poll(request, expected).await?;
        let identity = self.nodes.admit(&self.daemon, answer.stamp.as_ref()).await?;
        self.show(|status| status.last_postback_pull = Some((now_ms() / 1000) as i64));
        let store = identity.as_ref().map(|identity| identity.store);
        let batch = decode(&answer, store)?;
        self.identified = Some(identity);
        if !batch.is_empty() {
            let foreign = foreign_nodes(&batch, self.identified.as_ref());
            self.nodes.note_held(&self.daemon, foreign.iter().copied()).await?;
            self.verdicts = self.processor.decide(batch).await?;
            self.processor.update_unidentified().await?;
            if !foreign.is_empty() {
                self.show(|status| status.foreign_postbacks += foreign.len() as u64);
            }
        }
        self.cursors = Some(self.processor.cursors(store).await?);
        Ok(())
    }

    /// The data folder of the daemon; `None` for a daemon that is too old to state it.
    async fn identify(&mut self) -> Result<Option<StoreId>, IngestError> {
        if self.identified.is_none() {
            let daemon = self.daemon.client.identify().await?;
            self.identified = Some(self.nodes.admit(&self.daemon, daemon.stamp.as_ref()).await?);
        }
        let identity = self.identified.as_ref().and_then(Option::as_ref);
        Ok(identity.map(|identity| identity.store))
    }

    /// Polls the daemon. A late verdict aborts a poll that waits for postbacks and is sent with a
    /// second poll, because its sender waits. The cursor has not moved, so postbacks of an aborted
    /// answer come again.
    async fn poll(
        &mut self,
        mut request: PollRequest,
        expected: Option<StoreId>,
    ) -> Result<PostbackAnswer, DaemonError> {
        self.add_late_verdicts(&mut request);
        let max_bytes = (ALL_BYTES / self.nodes.daemons().len().max(1)).min(MAX_BYTES);
        let client = &self.daemon.client;
        let late = tokio::select! {
            biased;
            answer = client.postbacks(&request, expected, WAIT, max_bytes) => return answer,
            Some(late) = self.decided_late.recv() => late,
        };
        request.verdicts.push(late);
        self.add_late_verdicts(&mut request);
        // Not aborted again: verdicts in quick succession must not keep postbacks away.
        self.daemon.client.postbacks(&request, expected, Duration::ZERO, max_bytes).await
    }

    fn show(&self, change: impl FnOnce(&mut DaemonStatus)) {
        self.nodes.update(&self.daemon, change);
        self.processor.update_status(|status| status.show_daemons(&self.nodes));
    }

    fn add_late_verdicts(&mut self, request: &mut PollRequest) {
        while request.verdicts.len() < MAX_VERDICTS
            && let Ok(late) = self.decided_late.try_recv()
        {
            request.verdicts.push(late);
        }
    }
}

fn decode(answer: &PostbackAnswer, store: Option<StoreId>) -> Result<Batch, PostbackError> {
    let UndecodedDelivery { spool, oldest, postbacks } =
        UndecodedDelivery::split(&answer.delivery)?;
    let read = |(sequence, bytes)| ReceivedPostback::read(spool, sequence, bytes);
    let received = postbacks.into_iter().map(read).collect();
    Ok(Batch { spool, store, oldest, received })
}

/// The nodes of postbacks that name a node which the daemon never stated. They are decided as the
/// others: a coupond that changed its node id with the upgrade to this version states no former one,
/// and the sender of each was told that it is kept. Their clicks may still be with the daemon.
fn foreign_nodes(batch: &Batch, identified: Option<&Option<NodeIdentity>>) -> Vec<u16> {
    let Some(identity) = identified.and_then(Option::as_ref) else { return Vec::new() };
    let is_foreign = |received: &&ReceivedPostback| {
        // An unreadable message names no node.
        received.fields.is_some() && !identity.has_run_as(received.row.node)
    };
    let foreign = batch.received.iter().filter(is_foreign).inspect(|received| {
        let (id, node) = (received.row.id, received.row.node);
        tracing::warn!(%id, node, "a postback names a node that its coupond never had");
    });
    foreign.map(|received| received.row.node).collect()
}
