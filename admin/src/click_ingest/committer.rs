//! Archives and counts the answers of all daemons: one append, one sync and one transaction for the
//! answers that have come together. With many daemons their number grows with the time that a commit
//! takes, so commits do not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coupon_shared::click::StreamId;
use coupon_shared::feed::{self, Cursor};
use coupon_shared::node_identity::StoreId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::batch::{AnswerOrigin, Batch, BlockRefusal, StreamOwners};
use super::click_counter::ClickCounter;
use super::reclassify::Reclassifier;
use super::stream_evidence;
use super::{ClickIngestError, ClickIngestStatus, LONGEST_BACK_OFF, MAX_BYTES, SHORTEST_BACK_OFF};
use crate::archive::Archive;
use crate::nodes::NodeRegistry;
use crate::store::WriteTx;
use crate::store::blocks::{self, StreamOwner};
use crate::worker::{RetryDelays, Worker};

/// Time slice for classifying the archive again, between two commits.
const RECLASSIFY_SLICE: Duration = Duration::from_millis(300);
/// Longest wait for an answer before the bot list is looked at again.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What each daemon may forget. `None` while the archive is being compared with the counts.
pub(super) type Acknowledged = watch::Receiver<Option<Arc<ArchivedStreams>>>;

/// The streams of the archive.
#[derive(Debug, Clone, Default)]
pub(super) struct ArchivedStreams {
    /// For each stream the last archived and counted sequence.
    pub(super) cursor: Cursor,
    pub(super) owners: Arc<StreamOwners>,
}

/// Data folders with streams that they gave before folders were told apart.
type ProvenStreams = BTreeSet<(StoreId, StreamId)>;

/// The blocks of one answer.
pub(super) struct ArrivedBlocks {
    pub(super) blocks: Bytes,
    /// `None` for a daemon too old to state its identity.
    pub(super) origin: Option<AnswerOrigin>,
    /// Whether the daemon goes on with streams of before data folders were told apart.
    pub(super) inherits_streams: bool,
    /// Gets the result once the blocks are archived and counted; closed after a failure.
    pub(super) committed: oneshot::Sender<CommittedAnswer>,
}

/// The result of one answer.
#[derive(Debug, Default)]
pub(super) struct CommittedAnswer {
    /// Whether the answer held any block that was not known.
    pub(super) has_new: bool,
    /// Time of the last new click, in Unix milliseconds.
    pub(super) last_click_ms: Option<u64>,
    pub(super) refusals: Vec<BlockRefusal>,
}

pub(super) struct ClickCommitter {
    pub(super) counter: ClickCounter,
    pub(super) reclassifier: Reclassifier,
    nodes: NodeRegistry,
    arriving: mpsc::Receiver<ArrivedBlocks>,
    /// `None` after a failure, until the archive is checked.
    streams: Option<Arc<ArchivedStreams>>,
    acknowledged: watch::Sender<Option<Arc<ArchivedStreams>>>,
    /// Whether the archive was found to match the counts.
    is_compared: bool,
}

impl Worker for ClickCommitter {
    const NAME: &'static str = "click ingest";
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: SHORTEST_BACK_OFF, longest: LONGEST_BACK_OFF };
    type Error = ClickIngestError;

    async fn step(&mut self) -> Result<(), ClickIngestError> {
        self.begin().await?;
        let wait = if self.reclassify().await? { Duration::ZERO } else { LONGEST_WAIT };
        let Ok(Some(first)) = timeout(wait, self.arriving.recv()).await else { return Ok(()) };
        let mut bytes = first.blocks.len();
        let mut answers = vec![first];
        while bytes < MAX_BYTES
            && let Ok(next) = self.arriving.try_recv()
        {
            bytes += next.blocks.len();
            answers.push(next);
        }
        self.take_in(answers).await
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        let nodes = self.nodes.clone();
        self.counter.update(|status| {
            status.commit_error = failure.map(str::to_owned);
            status.show_daemons(&nodes);
        });
    }
}

impl ClickCommitter {
    pub(super) fn new(
        counter: ClickCounter,
        nodes: NodeRegistry,
        arriving: mpsc::Receiver<ArrivedBlocks>,
    ) -> ClickCommitter {
        ClickCommitter {
            counter,
            reclassifier: Reclassifier::default(),
            nodes,
            arriving,
            streams: None,
            acknowledged: watch::Sender::default(),
            is_compared: false,
        }
    }

    pub(super) fn subscribe(&self) -> Acknowledged {
        self.acknowledged.subscribe()
    }

    pub(super) fn status_sender(&self) -> watch::Sender<ClickIngestStatus> {
        self.counter.status_sender()
    }

    /// Counts archived frames that the store does not know, after a start and after a failure.
    pub(super) async fn begin(&mut self) -> Result<(), ClickIngestError> {
        if self.streams.is_some() {
            return Ok(());
        }
        if !self.is_compared {
            self.counter.check_archive_matches().await?;
            self.is_compared = true;
        }
        let cursor = self.counter.catch_up().await?;
        let owners = Arc::new(self.counter.store().read(blocks::owners).await?);
        self.acknowledge(ArchivedStreams { cursor, owners });
        Ok(())
    }

    fn acknowledge(&mut self, streams: ArchivedStreams) {
        let streams = Arc::new(streams);
        self.acknowledged.send_replace(Some(Arc::clone(&streams)));
        self.streams = Some(streams);
    }

    /// Continues classifying the archive by the new bot list; returns whether more is left.
    pub(super) async fn reclassify(&mut self) -> Result<bool, ClickIngestError> {
        let began = Instant::now();
        while self.reclassifier.step(&self.counter).await? {
            if began.elapsed() >= RECLASSIFY_SLICE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records data folder and run of each stream that has none, before the archive holds its
    /// clicks: a crash must not leave archived clicks of which nobody knows the folder.
    async fn assign_owners(
        &self,
        mut streams: Arc<ArchivedStreams>,
        answers: &[ArrivedBlocks],
    ) -> Result<Arc<ArchivedStreams>, ClickIngestError> {
        let new = new_owners(&streams, answers, &self.prove_streams(&streams, answers).await?);
        if new.is_empty() {
            return Ok(streams);
        }
        let written = new.clone();
        let write = move |tx: &WriteTx<'_>| {
            written.iter().try_for_each(|(stream, owner)| blocks::set_owner(tx, *stream, owner))
        };
        self.counter.store().write(write).await?;
        Arc::make_mut(&mut Arc::make_mut(&mut streams).owners).extend(new);
        Ok(streams)
    }

    /// Archived streams without an owner that a daemon among several proves to be of its folder.
    async fn prove_streams(
        &self,
        streams: &ArchivedStreams,
        answers: &[ArrivedBlocks],
    ) -> Result<ProvenStreams, ClickIngestError> {
        let mut proven = ProvenStreams::new();
        for answer in answers.iter().filter(|answer| !answer.inherits_streams) {
            let Some(AnswerOrigin { identity, .. }) = &answer.origin else { continue };
            for block in feed::blocks(&answer.blocks).flatten() {
                let stream = block.stream();
                let claim = (identity.store, stream);
                let is_unknown =
                    streams.cursor.last(&stream) > 0 && !streams.owners.contains_key(&stream);
                if is_unknown
                    && identity.has_run_as(stream.node)
                    && !proven.contains(&claim)
                    && stream_evidence::repeats_archived(&self.counter, &block).await?
                {
                    proven.insert(claim);
                }
            }
        }
        Ok(proven)
    }

    /// Archives and counts the new blocks of answers, and tells the pollers.
    pub(super) async fn take_in(
        &mut self,
        answers: Vec<ArrivedBlocks>,
    ) -> Result<(), ClickIngestError> {
        // Only success restores the cursor: after a failure the archive's content is unknown. No
        // poller asks until then.
        let Some(streams) = self.streams.take() else { return Ok(()) };
        let streams = self.assign_owners(streams, &answers).await?;
        self.acknowledged.send_replace(None);
        let ArchivedStreams { cursor, owners } = Arc::unwrap_or_clone(streams);
        let classifier = self.counter.classifier().await?;
        let watch = self.counter.address_watch().await?;
        let known = Arc::clone(&owners);
        let append = move |archive: &Archive| {
            let batch = Batch::after(cursor, classifier, archive.databases());
            let mut batch = batch.with_owners(known).with_address_watch(watch);
            let (mut new, mut results) = (Vec::new(), Vec::with_capacity(answers.len()));
            for answer in &answers {
                let added = batch.add_new(&answer.blocks, answer.origin.as_ref());
                results.push(CommittedAnswer {
                    has_new: !added.blocks.is_empty(),
                    last_click_ms: added.last_click_ms,
                    refusals: added.refusals,
                });
                new.extend(added.blocks);
            }
            batch.assign_frames(archive.append(&new)?.start);
            drop(new);
            let pollers = answers.into_iter().map(|answer| answer.committed);
            Ok((batch, pollers.zip(results).collect::<Vec<_>>()))
        };
        let (batch, results) = self.counter.archive().on_disk(append).await?;
        let counted = self.counter.commit(batch).await?;
        self.acknowledge(ArchivedStreams { cursor: counted.cursor().clone(), owners });
        for (poller, result) in results {
            // A poller that was stopped needs no result.
            let _ = poller.send(result);
        }
        Ok(())
    }
}

/// The owners of streams that have none yet, or whose run was not known; the first of several
/// answers decides.
fn new_owners(
    streams: &ArchivedStreams,
    answers: &[ArrivedBlocks],
    proven: &ProvenStreams,
) -> StreamOwners {
    let mut new = StreamOwners::new();
    for answer in answers {
        let Some(origin) = &answer.origin else { continue };
        for block in feed::blocks(&answer.blocks).flatten() {
            let stream = block.stream();
            let owner = StreamOwner { store: origin.identity.store, run: origin.run_of(stream) };
            let is_new = match new.get(&stream).or_else(|| streams.owners.get(&stream)) {
                Some(known) => {
                    known.store == owner.store && known.run.is_none() && owner.run.is_some()
                }
                None => {
                    let is_proven = answer.inherits_streams
                        || streams.cursor.last(&stream) == 0
                        || proven.contains(&(origin.identity.store, stream));
                    origin.identity.has_run_as(stream.node) && is_proven
                }
            };
            if is_new {
                new.insert(stream, owner);
            }
        }
    }
    new
}
