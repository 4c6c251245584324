//! Postback ingest: takes postbacks from the daemon's spool into the store, each exactly once, and
//! returns verdicts.
//!
//! A task polls the daemon. The request carries a cursor (for each spool the last sequence number
//! that is durably decided or pending here), which is the acknowledgement, and the verdicts on the
//! previous delivery and on pending postbacks decided since. A delivery is decided and stored in
//! the same transaction as the cursor, so only stored postbacks are acknowledged. A repeated
//! delivery, after a crash of either program or from a restored store, is recognised by the
//! postback's id.
//!
//! A pending postback has no verdict yet. Its sender waits at the daemon, within the daemon's
//! limit, and gets a verdict within this time or `queued`.
//!
//! An unreadable postback, or a postback with a failed decision, is stored as received and does not
//! block the postbacks behind it.

use std::time::Duration;

use bytes::Bytes;
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
use crate::daemon_client::{DaemonClient, DaemonError};
use crate::store::{Store, StoreError};
use crate::worker::{self, RetryDelays, Worker};

/// How long the daemon waits for a postback before it gives an empty answer.
const WAIT: Duration = Duration::from_secs(1);
/// Maximum size of one answer, and so of one transaction.
const MAX_BYTES: usize = 1 << 20;

/// Why a poll failed.
#[derive(Debug, thiserror::Error)]
enum IngestError {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
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
    daemon: DaemonClient,
    network_id: u32,
    bounds: Bounds,
    stop: CancellationToken,
) -> PostbackHandle {
    let (processor, decided_late) =
        PostbackProcessor::new(store, archive, clicks, network_id, bounds);
    let handle =
        PostbackHandle { status: processor.status.subscribe(), processor: processor.clone() };
    worker::spawn(PendingPostbacks::new(processor.clone()), stop.clone());
    let ingest =
        PostbackIngest { processor, daemon, cursors: None, verdicts: Vec::new(), decided_late };
    worker::spawn(ingest, stop);
    handle
}

struct PostbackIngest {
    processor: PostbackProcessor,
    daemon: DaemonClient,
    /// `None` at the start and after a failure, until they are read from the store.
    cursors: Option<Vec<(SpoolId, u64)>>,
    /// Verdicts on the previous delivery. A failure drops them, and their senders get `queued`.
    verdicts: Vec<Verdict>,
    /// Verdicts on postbacks that were pending.
    decided_late: mpsc::Receiver<Verdict>,
}

impl Worker for PostbackIngest {
    const NAME: &'static str = "postback ingest";
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: Duration::from_millis(50), longest: Duration::from_secs(5) };
    type Error = IngestError;

    async fn step(&mut self) -> Result<(), IngestError> {
        self.pull().await
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        self.processor.update_status(|status| status.last_error = failure.map(str::to_owned));
    }
}

impl PostbackIngest {
    /// Polls the daemon once and decides its delivery.
    async fn pull(&mut self) -> Result<(), IngestError> {
        let cursors = match self.cursors.take() {
            Some(cursors) => cursors,
            None => self.processor.begin().await?,
        };
        let request = PollRequest { cursors, verdicts: std::mem::take(&mut self.verdicts) };
        let answer = self.poll(request).await?;
        self.processor.update_status(|status| status.last_pull = Some((now_ms() / 1000) as i64));
        let batch = decode(&answer)?;
        if !batch.received.is_empty() {
            self.verdicts = self.processor.decide(batch).await?;
            self.processor.update_unidentified().await?;
        }
        self.cursors = Some(self.processor.cursors().await?);
        Ok(())
    }

    /// Polls the daemon. A late verdict aborts a poll that waits for postbacks and is sent with a
    /// second poll, because its sender waits. The cursor has not moved, so postbacks of an aborted
    /// answer come again.
    async fn poll(&mut self, mut request: PollRequest) -> Result<Bytes, DaemonError> {
        self.add_late_verdicts(&mut request);
        let late = tokio::select! {
            biased;
            answer = self.daemon.postbacks(&request, WAIT, MAX_BYTES) => return answer,
            Some(late) = self.decided_late.recv() => late,
        };
        request.verdicts.push(late);
        self.add_late_verdicts(&mut request);
        // Not aborted again: verdicts in quick succession must not keep postbacks away.
        self.daemon.postbacks(&request, Duration::ZERO, MAX_BYTES).await
    }

    fn add_late_verdicts(&mut self, request: &mut PollRequest) {
        while request.verdicts.len() < MAX_VERDICTS
            && let Ok(late) = self.decided_late.try_recv()
        {
            request.verdicts.push(late);
        }
    }
}

fn decode(answer: &Bytes) -> Result<Batch, PostbackError> {
    let UndecodedDelivery { spool, oldest, postbacks } = UndecodedDelivery::split(answer)?;
    let read = |(sequence, bytes)| ReceivedPostback::read(spool, sequence, bytes);
    Ok(Batch { spool, oldest, received: postbacks.into_iter().map(read).collect() })
}
