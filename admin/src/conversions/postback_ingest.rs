//! Intake of postbacks: from the daemon's spool into the store, each once, with a verdict back.
//!
//! One task asks with a cursor, for each spool the last sequence that is durably decided or waits
//! here, and with the verdicts on what it got before and on what was decided since; the cursor is the
//! acknowledgement. What comes is decided and kept in one transaction together with the cursor. So nothing is acknowledged that
//! is not kept; and what is delivered again, after a crash of either program or to a store that was
//! restored, is known by its id.
//!
//! There is no verdict on a postback that waits here: its sender waits at the daemon, as long as the
//! daemon lets him, and gets the verdict if it comes in that time.
//!
//! A postback that this program cannot read, or whose decision fails, is kept as it came: it never
//! holds up those behind it. The clicks that a batch names are looked for before the transaction, so
//! the writer does not wait for files.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coupon_shared::postback::{
    MAX_DELIVERED, MAX_VERDICTS, PollRequest, PostbackError, SpoolId, UndecodedDelivery, Verdict,
    VerdictStatus,
};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::now_ms;
use super::pending;
use super::received::ReceivedPostback;
use super::writer::{ConversionWriter, Decisions};
use crate::archive::Archive;
use crate::click_ingest::ClickIngestHandle;
use crate::click_lookup::{ClickLookup, LookUpError, PassedMs};
use crate::daemon_client::{DaemonClient, DaemonError};
use crate::disk::Disk;
use crate::store::postbacks::{self, unidentified, waiting as waiting_rows};
use crate::store::{Store, StoreError, WriteTx};

/// How long the daemon waits for a postback before it answers that there is none.
const WAIT: Duration = Duration::from_secs(1);
/// What one answer may hold; also what is decided in one transaction.
const MAX_BYTES: usize = 1 << 20;
/// Verdicts on postbacks that waited, until they are told: they fit into one question beside those on
/// a delivery. What is beyond goes untold, and its sender is answered `queued`.
const MAX_LATE_VERDICTS: usize = MAX_VERDICTS - MAX_DELIVERED;
const SHORTEST_BACK_OFF: Duration = Duration::from_millis(50);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// Why postbacks were not taken in.
#[derive(Debug, thiserror::Error)]
pub(super) enum IngestError {
    /// The daemon gave none.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// What it gave is not understood.
    #[error("coupond's postbacks are not understood: {0}")]
    Delivery(#[from] PostbackError),
    /// The clicks they name could not be looked for.
    #[error(transparent)]
    ClickLookup(#[from] LookUpError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How the intake of postbacks stands.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct PostbackStatus {
    /// When the daemon last answered, in Unix seconds.
    pub last_pull: Option<i64>,
    /// When the last postback taken in came, in Unix milliseconds.
    pub last_postback_unix_ms: Option<u64>,
    /// From its coming to its being decided.
    pub lag_ms: Option<u64>,
    /// Postbacks taken in since the program started, repeats among them.
    pub postbacks: u64,
    /// Postbacks that wait: for their click, or behind an earlier one that does.
    pub waiting: u64,
    /// Of these, those that wait behind an earlier postback that may be about the same sale.
    pub waiting_behind: u64,
    /// Postbacks that were decided before an earlier one that may be about the same sale, since the
    /// program started: too many waited behind that.
    pub decided_out_of_order: u64,
    /// Sequences that the daemon passed over: postbacks it no longer had.
    pub missing: u64,
    /// What postbacks that identify nothing take in the log, in bytes.
    pub unidentified_bytes: u64,
    /// What they may take; beyond it the oldest go first.
    pub unidentified_max_bytes: u64,
    /// How many of them were removed before their time, to stay within that.
    pub unidentified_removed: u64,
    /// How many of them were not kept at all, because the disk was low.
    pub unidentified_dropped: u64,
    /// Why the last pull failed; intake goes on trying.
    pub last_error: Option<String>,
}

/// Shows how the intake of postbacks stands; clones share it.
#[derive(Clone)]
pub struct PostbackHandle {
    status: watch::Receiver<PostbackStatus>,
}

impl PostbackHandle {
    /// How it stands now.
    #[must_use]
    pub fn status(&self) -> PostbackStatus {
        self.status.borrow().clone()
    }
}

/// What decisions are made with.
#[derive(Clone)]
pub(super) struct PostbackProcessor {
    pub(super) store: Store,
    pub(super) archive: Archive,
    pub(super) clicks: ClickIngestHandle,
    pub(super) network_id: u32,
    pub(super) bounds: Bounds,
    pub(super) status: watch::Sender<PostbackStatus>,
    /// Told when a postback begins to wait.
    pub(super) waits_begun: Arc<Notify>,
    late_verdicts: mpsc::Sender<Verdict>,
}

/// Bounds on what strangers can make us keep.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Its reserve is not for what strangers send.
    pub disk: Disk,
    /// What postbacks that identify nothing may take in the log.
    pub unidentified_max_bytes: u64,
}

/// Starts the intake of postbacks; it ends with `stop`. `clicks` is the intake of clicks.
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
    let status = watch::Sender::new(PostbackStatus {
        unidentified_max_bytes: bounds.unidentified_max_bytes,
        ..PostbackStatus::default()
    });
    let handle = PostbackHandle { status: status.subscribe() };
    let (late_verdicts, decided_late) = mpsc::channel(MAX_LATE_VERDICTS);
    let waits_begun = Arc::default();
    let processor = PostbackProcessor {
        store,
        archive,
        clicks,
        network_id,
        bounds,
        status,
        waits_begun,
        late_verdicts,
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(pending::run(processor.clone())));
    let intake =
        PostbackIngest { processor, daemon, cursors: None, verdicts: Vec::new(), decided_late };
    tokio::spawn(stop.run_until_cancelled_owned(intake.run()));
    handle
}

/// The postbacks of one answer.
pub(super) struct Batch {
    spool: SpoolId,
    oldest: u64,
    received: Vec<ReceivedPostback>,
}

struct PostbackIngest {
    processor: PostbackProcessor,
    daemon: DaemonClient,
    /// What is decided or waits here; `None` after a failure, until the store was asked.
    cursors: Option<Vec<(SpoolId, u64)>>,
    /// On what was delivered before. Lost with a failure: who waits for one is answered `queued`.
    verdicts: Vec<Verdict>,
    /// On postbacks that waited.
    decided_late: mpsc::Receiver<Verdict>,
}

impl PostbackIngest {
    async fn run(mut self) {
        let mut back_off = SHORTEST_BACK_OFF;
        loop {
            match self.pull().await {
                Ok(()) => {
                    back_off = SHORTEST_BACK_OFF;
                    self.processor.update(|status| status.last_error = None);
                }
                Err(error) => {
                    self.tell(&error);
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(LONGEST_BACK_OFF);
                }
            }
        }
    }

    /// A failure is logged when it begins, not every time it is met again.
    fn tell(&self, error: &IngestError) {
        let text = error.to_string();
        if self.processor.status.borrow().last_error.as_ref() != Some(&text) {
            tracing::warn!(error = %text, "postbacks cannot be taken in; trying again");
        }
        self.processor.update(|status| status.last_error = Some(text));
    }

    /// Takes in one answer of the daemon.
    async fn pull(&mut self) -> Result<(), IngestError> {
        let cursors = match self.cursors.take() {
            Some(cursors) => cursors,
            None => self.processor.begin().await?,
        };
        let question = PollRequest { cursors, verdicts: std::mem::take(&mut self.verdicts) };
        let answer = self.ask(question).await?;
        self.processor.update(|status| status.last_pull = Some((now_ms() / 1000) as i64));
        let batch = read(&answer)?;
        if !batch.received.is_empty() {
            self.verdicts = self.processor.decide(batch).await?;
            self.processor.show_unidentified().await?;
        }
        self.cursors = Some(self.processor.cursors().await?);
        Ok(())
    }

    /// Asks the daemon. A verdict that comes while it waits for postbacks is told at once, since its
    /// sender waits: the question is broken off and asked again. The cursor has not moved, so what the
    /// first answer may have held comes again. It is broken off once only, so that verdicts in quick
    /// succession do not keep postbacks away.
    async fn ask(&mut self, mut question: PollRequest) -> Result<Bytes, DaemonError> {
        self.add_late_verdicts(&mut question);
        let late = tokio::select! {
            biased;
            answer = self.daemon.postbacks(&question, WAIT, MAX_BYTES) => return answer,
            Some(late) = self.decided_late.recv() => late,
        };
        question.verdicts.push(late);
        self.add_late_verdicts(&mut question);
        self.daemon.postbacks(&question, Duration::ZERO, MAX_BYTES).await
    }

    fn add_late_verdicts(&mut self, question: &mut PollRequest) {
        while question.verdicts.len() < MAX_VERDICTS
            && let Ok(late) = self.decided_late.try_recv()
        {
            question.verdicts.push(late);
        }
    }
}

fn read(answer: &Bytes) -> Result<Batch, PostbackError> {
    let UndecodedDelivery { spool, oldest, postbacks } = UndecodedDelivery::split(answer)?;
    let read = |(sequence, bytes)| ReceivedPostback::read(spool, sequence, bytes);
    Ok(Batch { spool, oldest, received: postbacks.into_iter().map(read).collect() })
}

impl PostbackProcessor {
    pub(super) fn update(&self, change: impl FnOnce(&mut PostbackStatus)) {
        self.status.send_modify(change);
    }

    async fn begin(&self) -> Result<Vec<(SpoolId, u64)>, StoreError> {
        let counts = |c: &_| Ok::<_, StoreError>((waiting_rows::count(c)?, postbacks::missing(c)?));
        let (waiting, missing) = self.store.read(counts).await?;
        self.update(|status| {
            (status.waiting, status.waiting_behind) = (waiting.all, waiting.behind);
            status.missing = missing;
        });
        self.show_unidentified().await?;
        self.cursors().await
    }

    async fn show_unidentified(&self) -> Result<(), StoreError> {
        let totals = self.store.read(unidentified::totals).await?;
        self.update(|status| {
            status.unidentified_bytes = totals.bytes;
            status.unidentified_removed = totals.removed;
            status.unidentified_dropped = totals.dropped;
        });
        Ok(())
    }

    async fn cursors(&self) -> Result<Vec<(SpoolId, u64)>, StoreError> {
        self.store.read(postbacks::cursors).await
    }

    pub(super) fn writer<'t, 'c>(
        &self,
        tx: &'t WriteTx<'c>,
    ) -> Result<ConversionWriter<'t, 'c>, StoreError> {
        ConversionWriter::new(tx, self.network_id, self.bounds.disk.space().is_low)
    }

    /// Looks for the clicks that postbacks name.
    pub(super) async fn look_up(
        &self,
        received: &[ReceivedPostback],
    ) -> Result<ClickLookup, LookUpError> {
        let passed = PassedMs(self.clicks.status().passed_unix_ms);
        let ids = received.iter().flat_map(ReceivedPostback::transaction_ids);
        let ids: std::collections::BTreeSet<_> = ids.collect();
        ClickLookup::look_up(&self.store, &self.archive, ids.into_iter().collect(), passed).await
    }

    /// Decides and keeps a batch, and answers the verdicts once that is durable.
    async fn decide(&self, batch: Batch) -> Result<Vec<Verdict>, IngestError> {
        let clicks = Arc::new(self.look_up(&batch.received).await?);
        let batch = Arc::new(batch);
        let decisions = match self.commit(&batch, 0..batch.received.len(), &clicks).await {
            Err(StoreError::BrokenOff) => self.commit_one_by_one(&batch, &clicks).await?,
            done => done?,
        };
        self.show(&batch);
        if decisions.waiting > 0 {
            self.waits_begun.notify_one();
        }
        let mut verdicts = self.ordered(decisions);
        // That something cannot be used is told at once, also beside a click that is waited for: the
        // daemon has to count it.
        verdicts.retain(|verdict| verdict.status != VerdictStatus::Queued || verdict.is_miss);
        Ok(verdicts)
    }

    /// The verdicts; that some were not made in their order is noted.
    fn ordered(&self, decisions: Decisions) -> Vec<Verdict> {
        let Decisions { verdicts, out_of_order, .. } = decisions;
        if out_of_order > 0 {
            tracing::warn!(postbacks = out_of_order, "postbacks were decided out of their order");
            self.update(|status| status.decided_out_of_order += out_of_order);
        }
        verdicts
    }

    /// Has the verdicts on postbacks that waited told to their senders, and answers how many were
    /// decided.
    pub(super) fn tell_later(&self, decisions: Decisions) -> usize {
        let decided = decisions.verdicts.len() - decisions.waiting;
        let mut verdicts = self.ordered(decisions);
        verdicts.retain(|verdict| verdict.status != VerdictStatus::Queued);
        for verdict in verdicts {
            // Where there is no room left, the sender is answered `queued` in time.
            let _ = self.late_verdicts.try_send(verdict);
        }
        decided
    }

    async fn commit(
        &self,
        batch: &Arc<Batch>,
        range: std::ops::Range<usize>,
        clicks: &Arc<ClickLookup>,
    ) -> Result<Decisions, StoreError> {
        let (batch, clicks, processor) = (Arc::clone(batch), Arc::clone(clicks), self.clone());
        self.store.write(move |tx| batch.write(tx, range, &clicks, &processor)).await
    }

    /// After a batch was broken off: what breaks off alone too is kept undecided.
    async fn commit_one_by_one(
        &self,
        batch: &Arc<Batch>,
        clicks: &Arc<ClickLookup>,
    ) -> Result<Decisions, StoreError> {
        let mut all = Decisions::default();
        for at in 0..batch.received.len() {
            match self.commit(batch, at..at + 1, clicks).await {
                Err(StoreError::BrokenOff) => {
                    let batch = Arc::clone(batch);
                    self.store.write(move |tx| batch.keep_undecided(tx, at)).await?;
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

    fn show(&self, batch: &Batch) {
        let last = batch.received.iter().map(|received| received.row.received_ms).max();
        self.update(|status| {
            status.postbacks += batch.received.len() as u64;
            status.last_postback_unix_ms = last;
            status.lag_ms = last.map(|last| now_ms().saturating_sub(last));
        });
    }
}

impl Batch {
    fn write(
        &self,
        tx: &WriteTx<'_>,
        range: std::ops::Range<usize>,
        clicks: &ClickLookup,
        processor: &PostbackProcessor,
    ) -> Result<Decisions, StoreError> {
        let received = self.received.get(range).unwrap_or_default();
        let mut writer = processor.writer(tx)?;
        received.iter().try_for_each(|received| writer.take_in(received, clicks))?;
        let decisions = writer.finish()?;
        unidentified::keep_within(tx, processor.bounds.unidentified_max_bytes)?;
        self.advance(tx, received)?;
        Ok(decisions)
    }

    fn keep_undecided(&self, tx: &WriteTx<'_>, at: usize) -> Result<(), StoreError> {
        let Some(received) = self.received.get(at) else { return Ok(()) };
        if postbacks::get(tx, received.row.id)?.is_none() {
            postbacks::insert(tx, &received.undecided())?;
        }
        self.advance(tx, std::slice::from_ref(received))
    }

    /// Moves the cursor over them, and counts what the spool no longer had.
    fn advance(&self, tx: &WriteTx<'_>, received: &[ReceivedPostback]) -> Result<(), StoreError> {
        let sequences = || received.iter().map(|received| received.row.sequence);
        let (Some(first), Some(last)) = (sequences().min(), sequences().max()) else {
            return Ok(());
        };
        let known = postbacks::cursors(tx)?.into_iter().find(|(spool, _)| *spool == self.spool);
        let missing = known.map_or(0, |(_, last)| self.oldest.min(first).saturating_sub(last + 1));
        if missing > 0 {
            tracing::error!(missing, "coupond no longer had these postbacks; they are lost");
        }
        postbacks::advance(tx, self.spool, last, missing)
    }
}
