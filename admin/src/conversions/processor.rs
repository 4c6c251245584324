//! Decides delivered postbacks in batches and reports the status of postback ingest.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coupon_shared::node_identity::StoreId;
use coupon_shared::postback::{
    MAX_DELIVERED, MAX_VERDICTS, PostbackId, SpoolId, Verdict, VerdictStatus,
};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, watch};

use super::now_ms;
use super::received::ReceivedPostback;
use super::writer::{ConversionWriter, Decisions};
use crate::archive::Archive;
use crate::click_ingest::ClickIngestHandle;
use crate::click_lookup::{ClickLookup, LookUpError};
use crate::disk::Disk;
use crate::nodes::{Daemon, NodeRegistry};
use crate::store::postbacks::{self, unidentified, waiting};
use crate::store::{ReadTx, Store, StoreError, WriteTx};

/// Buffer of late verdicts until the next poll, which also carries the verdicts on one delivery. On
/// overflow a verdict is dropped, and its sender gets `queued`.
const MAX_LATE_VERDICTS: usize = MAX_VERDICTS - MAX_DELIVERED;

/// The status of postback ingest.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct PostbackStatus {
    /// When the daemon last answered, in Unix seconds.
    pub last_pull: Option<i64>,
    /// When the last postback taken in came, in Unix milliseconds.
    pub last_postback_unix_ms: Option<u64>,
    /// Time from receipt to decision of the last postback.
    pub lag_ms: Option<u64>,
    /// Postbacks taken in since the program started, including repeats.
    pub postbacks: u64,
    /// Pending postbacks, which wait for their click or behind an earlier pending postback.
    pub waiting: u64,
    /// Pending postbacks behind an earlier postback of possibly the same sale.
    pub waiting_behind: u64,
    /// Postbacks decided before an earlier postback of possibly the same sale, since the program
    /// started, because too many waited behind the earlier postback.
    pub decided_out_of_order: u64,
    /// Skipped sequence numbers: postbacks that the daemon no longer had.
    pub missing: u64,
    /// Log size of unidentified postbacks (without any known code, click or partner), in bytes.
    pub unidentified_bytes: u64,
    /// Limit of this size; the oldest are removed first.
    pub unidentified_max_bytes: u64,
    /// Unidentified postbacks removed early because of this limit.
    pub unidentified_removed: u64,
    /// Unidentified postbacks not stored because the disk was low.
    pub unidentified_dropped: u64,
    /// Why the last pull failed; ingest keeps retrying.
    pub last_error: Option<String>,
}

impl PostbackStatus {
    /// Takes over the state of the daemons.
    pub(super) fn show_daemons(&mut self, nodes: &NodeRegistry) {
        self.last_pull = nodes.earliest(|status| status.last_postback_pull);
        self.last_error = nodes.join_failures(|status| status.postback_error.as_ref());
    }
}

/// Storage limits for postbacks of unknown senders.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The reserve of this disk is not available to unknown senders.
    pub disk: Disk,
    /// Limit of the log size of unidentified postbacks.
    pub unidentified_max_bytes: u64,
}

/// Decides postbacks; clones share status and channels.
#[derive(Clone)]
pub(super) struct PostbackProcessor {
    pub(super) store: Store,
    archive: Archive,
    pub(super) clicks: ClickIngestHandle,
    network_id: u32,
    pub(super) bounds: Bounds,
    pub(super) status: watch::Sender<PostbackStatus>,
    /// Notified when a postback becomes pending.
    pub(super) waits_begun: Arc<Notify>,
    pub(super) nodes: NodeRegistry,
    /// The channel of each daemon, by its position.
    late_verdicts: Arc<Mutex<BTreeMap<usize, mpsc::Sender<Verdict>>>>,
}

impl PostbackProcessor {
    pub(super) fn new(
        store: Store,
        archive: Archive,
        clicks: ClickIngestHandle,
        nodes: &NodeRegistry,
        network_id: u32,
        bounds: Bounds,
    ) -> PostbackProcessor {
        let status = watch::Sender::new(PostbackStatus {
            unidentified_max_bytes: bounds.unidentified_max_bytes,
            ..PostbackStatus::default()
        });
        PostbackProcessor {
            store,
            archive,
            clicks,
            network_id,
            bounds,
            status,
            waits_begun: Arc::default(),
            nodes: nodes.clone(),
            late_verdicts: Arc::default(),
        }
    }

    /// The late verdicts for a daemon, from now on.
    pub(super) fn receive_late_verdicts(&self, daemon: &Daemon) -> mpsc::Receiver<Verdict> {
        let (sender, decided_late) = mpsc::channel(MAX_LATE_VERDICTS);
        let mut channels = self.late_verdict_channels();
        // Those of daemons that left.
        channels.retain(|_, channel| !channel.is_closed());
        channels.insert(daemon.index, sender);
        decided_late
    }

    fn late_verdict_channels(&self) -> MutexGuard<'_, BTreeMap<usize, mpsc::Sender<Verdict>>> {
        self.late_verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn network_id(&self) -> u32 {
        self.network_id
    }

    pub(super) fn update_status(&self, change: impl FnOnce(&mut PostbackStatus)) {
        self.status.send_modify(change);
    }

    /// Reads the stored status after a start or a failure, and returns the cursors of a data folder.
    pub(super) async fn begin(
        &self,
        store: Option<StoreId>,
    ) -> Result<Vec<(SpoolId, u64)>, StoreError> {
        let counts =
            |c: &ReadTx<'_>| Ok::<_, StoreError>((waiting::count(c)?, postbacks::missing(c)?));
        let (waiting, missing) = self.store.read(counts).await?;
        self.update_status(|status| {
            (status.waiting, status.waiting_behind) = (waiting.all, waiting.behind);
            status.missing = missing;
        });
        self.update_unidentified().await?;
        self.cursors(store).await
    }

    pub(super) async fn update_unidentified(&self) -> Result<(), StoreError> {
        let totals = self.store.read(unidentified::totals).await?;
        self.update_status(|status| {
            status.unidentified_bytes = totals.bytes;
            status.unidentified_removed = totals.removed;
            status.unidentified_dropped = totals.dropped;
        });
        Ok(())
    }

    /// The cursors of a data folder; those of all for a daemon that does not state its own.
    pub(super) async fn cursors(
        &self,
        store: Option<StoreId>,
    ) -> Result<Vec<(SpoolId, u64)>, StoreError> {
        self.store.read(move |c| postbacks::cursors(c, store)).await
    }

    pub(super) fn writer<'t, 'c>(
        &self,
        tx: &'t WriteTx<'c>,
    ) -> Result<ConversionWriter<'t, 'c>, StoreError> {
        ConversionWriter::new(tx, self.network_id, self.bounds.disk.space().is_low)
    }

    /// Looks up the named clicks before the write transaction: the store's writer must not wait for
    /// archive files.
    pub(super) async fn look_up(
        &self,
        received: &[ReceivedPostback],
    ) -> Result<ClickLookup, LookUpError> {
        // Read before the lookup: a click that arrives in between is then found, never missed.
        let passed = self.clicks.status().passed;
        let ids = received.iter().flat_map(ReceivedPostback::transaction_ids);
        let ids: std::collections::BTreeSet<_> = ids.collect();
        ClickLookup::look_up(&self.store, &self.archive, ids.into_iter().collect(), passed).await
    }

    /// Decides and stores a batch. Returns its verdicts after they are durable.
    pub(super) async fn decide(&self, batch: Batch) -> Result<Vec<Verdict>, LookUpError> {
        let clicks = Arc::new(self.look_up(&batch.received).await?);
        let batch = Arc::new(batch);
        let decisions = match self.commit(&batch, 0..batch.received.len(), &clicks).await {
            Err(StoreError::Aborted) => self.commit_one_by_one(&batch, &clicks).await?,
            done => done?,
        };
        self.count_batch(&batch);
        if decisions.waiting > 0 {
            self.waits_begun.notify_one();
        }
        let mut verdicts = self.take_verdicts(decisions);
        // The daemon counts misses by address, so it gets them now, also for a pending postback.
        verdicts.retain(|verdict| verdict.status != VerdictStatus::Queued || verdict.is_miss);
        Ok(verdicts)
    }

    /// Returns the verdicts, and reports postbacks that were decided out of order.
    fn take_verdicts(&self, decisions: Decisions) -> Vec<Verdict> {
        let Decisions { verdicts, out_of_order, .. } = decisions;
        if out_of_order > 0 {
            tracing::warn!(postbacks = out_of_order, "postbacks decided out of order");
            self.update_status(|status| status.decided_out_of_order += out_of_order);
        }
        verdicts
    }

    /// Sends late verdicts on these postbacks to the daemons they came from. Returns the number of
    /// decided postbacks.
    pub(super) fn send_late_verdicts(
        &self,
        decisions: Decisions,
        nodes: &HashMap<PostbackId, u16>,
    ) -> usize {
        let decided = decisions.verdicts.len() - decisions.waiting;
        let mut verdicts = self.take_verdicts(decisions);
        verdicts.retain(|verdict| verdict.status != VerdictStatus::Queued);
        let channels = self.late_verdict_channels();
        for verdict in verdicts {
            let node = nodes.get(&verdict.postback);
            let daemon = node.and_then(|node| self.nodes.daemon_of(*node));
            let channel = daemon.and_then(|daemon| channels.get(&daemon.index));
            if let Some(channel) = channel {
                // With a full buffer the daemon answers `queued` to this sender when its time is
                // over.
                let _ = channel.try_send(verdict);
            }
        }
        decided
    }

    async fn commit(
        &self,
        batch: &Arc<Batch>,
        range: Range<usize>,
        clicks: &Arc<ClickLookup>,
    ) -> Result<Decisions, StoreError> {
        let (batch, clicks, processor) = (Arc::clone(batch), Arc::clone(clicks), self.clone());
        self.store.write(move |tx| batch.write(tx, range, &clicks, &processor)).await
    }

    /// Repeats an aborted batch, one postback per transaction. After a second abort the postback is
    /// stored undecided and does not block the others.
    async fn commit_one_by_one(
        &self,
        batch: &Arc<Batch>,
        clicks: &Arc<ClickLookup>,
    ) -> Result<Decisions, StoreError> {
        let mut all = Decisions::default();
        for at in 0..batch.received.len() {
            match self.commit(batch, at..at + 1, clicks).await {
                Err(StoreError::Aborted) => {
                    let batch = Arc::clone(batch);
                    self.store.write(move |tx| batch.store_undecided(tx, at)).await?;
                }
                done => {
                    let Decisions { verdicts, waiting, out_of_order } = done?;
                    all.verdicts.extend(verdicts);
                    all.waiting += waiting;
                    all.out_of_order += out_of_order;
                }
            }
        }
        Ok(all)
    }

    fn count_batch(&self, batch: &Batch) {
        if batch.received.is_empty() {
            return;
        }
        let last = batch.received.iter().map(|received| received.row.received_ms).max();
        self.update_status(|status| {
            status.postbacks += batch.received.len() as u64;
            status.last_postback_unix_ms = last;
            status.lag_ms = last.map(|last| now_ms().saturating_sub(last));
        });
    }
}

/// The postbacks of one answer of a daemon.
pub(super) struct Batch {
    pub(super) spool: SpoolId,
    /// `None` for a daemon that is too old to state it.
    pub(super) store: Option<StoreId>,
    /// The oldest sequence number in the spool.
    pub(super) oldest: u64,
    pub(super) received: Vec<ReceivedPostback>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    fn write(
        &self,
        tx: &WriteTx<'_>,
        range: Range<usize>,
        clicks: &ClickLookup,
        processor: &PostbackProcessor,
    ) -> Result<Decisions, StoreError> {
        let received = self.received.get(range).unwrap_or_default();
        let mut writer = processor.writer(tx)?;
        received.iter().try_for_each(|received| writer.ingest(received, clicks))?;
        let decisions = writer.finish()?;
        unidentified::keep_within(tx, processor.bounds.unidentified_max_bytes)?;
        self.advance_cursor(tx, received)?;
        Ok(decisions)
    }

    fn store_undecided(&self, tx: &WriteTx<'_>, at: usize) -> Result<(), StoreError> {
        let Some(received) = self.received.get(at) else { return Ok(()) };
        if postbacks::get(tx, received.row.id)?.is_none() {
            postbacks::insert(tx, &received.undecided())?;
        }
        self.advance_cursor(tx, std::slice::from_ref(received))
    }

    /// Advances the cursor past these postbacks, and counts postbacks missing in the spool.
    fn advance_cursor(
        &self,
        tx: &WriteTx<'_>,
        received: &[ReceivedPostback],
    ) -> Result<(), StoreError> {
        let sequences = || received.iter().map(|received| received.row.sequence);
        let (Some(first), Some(last)) = (sequences().min(), sequences().max()) else {
            return Ok(());
        };
        let known = postbacks::last_sequence(tx, self.spool)?;
        let missing = known.map_or(0, |last| self.oldest.min(first).saturating_sub(last + 1));
        if missing > 0 {
            tracing::error!(missing, "postbacks lost: coupond no longer had them");
        }
        postbacks::advance(tx, self.spool, self.store, last, missing)
    }
}
