//! Blocks that are counted together.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use coupon_geo::Databases;
use coupon_shared::click::block::Block;
use coupon_shared::click::{ClickError, ClickHead, StreamId, VisitKind};
use coupon_shared::decision::Reason;
use coupon_shared::feed::{self, Cursor, RunIds};
use coupon_shared::node_identity::{NodeIdentity, RunId, StoreId};

use crate::classification::{Classifier, VisitPlace};
use crate::store::address_alerts::AddressAlert;
use crate::store::blocks::{self, BlockRow, StreamOwner};
use crate::store::click_archive::RetainedRange;
use crate::store::rollups::Rollups;
use crate::store::{WriteTx, click_terms, facts};

use super::ClickIngestError;
use super::address_watch::{self, AddressWatch};

/// Frame of a block outside of the archive: after all archived ones.
const NEW_FRAME: u64 = u64::MAX;

/// The data folder and run that each stream was first archived from.
pub(super) type StreamOwners = BTreeMap<StreamId, StreamOwner>;

/// The daemon that gave an answer.
#[derive(Debug, Clone)]
pub(super) struct AnswerOrigin {
    pub(super) identity: NodeIdentity,
    /// The runs of the answer's blocks.
    pub(super) runs: RunIds,
}

/// The blocks of an answer that were not known before.
#[derive(Debug, Default)]
pub(super) struct AddedBlocks<'a> {
    pub(super) blocks: Vec<&'a [u8]>,
    pub(super) refusals: Vec<BlockRefusal>,
    /// Time of the last click, in Unix milliseconds.
    pub(super) last_click_ms: Option<u64>,
}

impl AnswerOrigin {
    pub(super) fn run_of(&self, stream: StreamId) -> Option<RunId> {
        self.runs.get(&stream.incarnation).copied()
    }
}

/// Why a block is neither archived nor acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockRefusal {
    /// Damaged, or of an unknown version.
    #[error("a click block from coupond was refused and stays there: {0}")]
    Unreadable(#[from] ClickError),
    /// The stream names a node that the daemon never was.
    #[error(
        "clicks of node {} were refused and stay at coupond, because node {answered} gave them: \
         start each coupond with a data_dir of its own. If the node_id of this one was changed with \
         its upgrade, start it once with node_id {} again, and then with the new one",
        stream.node, stream.node
    )]
    ForeignNode {
        /// Stream and last sequence of the block.
        stream: StreamId,
        last_sequence: u64,
        /// The node of the answer.
        answered: u16,
    },
    /// The stream was archived from another data folder.
    #[error(
        "clicks of node {} from the run {} were refused and stay at coupond, because data folder \
         {owner} has given clicks under the same numbers: two couponds with one node_id started in \
         one second. These clicks cannot be counted; those of other runs are. To go on without \
         them, give this coupond another node_id if it still has that one, move its data_dir away \
         once its other clicks are counted, and restart it",
        stream.node, stream.incarnation
    )]
    ForeignFolder {
        /// Stream and last sequence of the block.
        stream: StreamId,
        last_sequence: u64,
        /// The folder of the archived clicks.
        owner: StoreId,
    },
    /// Another run with this incarnation was archived: of a copy of the data folder, or of the
    /// original.
    #[error(
        "clicks of node {} from the run {} were refused and stay at coupond, because another run of \
         this number has given clicks under the same numbers: a data_dir was copied, and both \
         couponds started in one second. These clicks cannot be counted; those of other runs are. To \
         go on without them, restart this coupond, and once its later clicks are counted, move its \
         data_dir away and restart it again",
        stream.node, stream.incarnation
    )]
    ForeignRun {
        /// Stream and last sequence of the block.
        stream: StreamId,
        last_sequence: u64,
    },
    /// The run was archived under a run id that the data folder does not have.
    #[error(
        "clicks of node {} from the run {} were refused and stay at coupond, because its data_dir no \
         longer tells whether that run gave the archived clicks of the same numbers: restore the \
         file run-ids of this data_dir and restart coupond. Clicks of later runs are counted",
        stream.node, stream.incarnation
    )]
    UnprovenRun {
        /// Stream and last sequence of the block.
        stream: StreamId,
        last_sequence: u64,
    },
    /// The daemon is too old to state its folder, and the stream was archived from a known one.
    #[error(
        "clicks of node {} were refused and stay at coupond, because data folder {owner} has given \
         clicks under the same numbers, and this coupond is too old to tell its own: update coupond",
        stream.node
    )]
    UnprovenFolder {
        /// Stream and last sequence of the block.
        stream: StreamId,
        last_sequence: u64,
        /// The folder of the archived clicks.
        owner: StoreId,
    },
    /// The stream was archived before data folders were told apart, and the daemon is one of several
    /// and does not give the archived clicks again.
    #[error(
        "clicks of node {} were refused and stay at coupond, because nobody knows whether its data \
         folder gave the archived clicks of these numbers: if it did, start coupon-admin once with \
         this coupond alone, as daemon_socket",
        stream.node
    )]
    UnknownFolder {
        /// Stream and last sequence of the block.
        stream: StreamId,
        last_sequence: u64,
    },
}

impl BlockRefusal {
    /// The node of a block that its daemon never was.
    pub(super) fn foreign_node(&self) -> Option<u16> {
        match self {
            BlockRefusal::ForeignNode { stream, .. } => Some(stream.node),
            _ => None,
        }
    }

    /// Stream and last sequence of a block of another daemon.
    pub(super) fn foreign_block(&self) -> Option<(StreamId, u64)> {
        match self {
            BlockRefusal::Unreadable(_) => None,
            BlockRefusal::ForeignNode { stream, last_sequence, .. }
            | BlockRefusal::ForeignFolder { stream, last_sequence, .. }
            | BlockRefusal::ForeignRun { stream, last_sequence }
            | BlockRefusal::UnprovenRun { stream, last_sequence }
            | BlockRefusal::UnprovenFolder { stream, last_sequence, .. }
            | BlockRefusal::UnknownFolder { stream, last_sequence } => {
                Some((*stream, *last_sequence))
            }
        }
    }
}

/// Counts of consecutive frames of the archive.
pub(super) struct Batch {
    cursor: Cursor,
    owners: Arc<StreamOwners>,
    classifier: Classifier,
    rows: Vec<BlockRow>,
    rollups: Rollups,
    databases: Arc<Databases>,
    /// Advanced streams, with their skipped sequences.
    moved: BTreeMap<StreamId, u64>,
    clicks: u64,
    last_click_ms: Option<u64>,
    /// Codes that led to an offer.
    clicked: HashSet<u32>,
    kept: RetainedRange,
    addresses: AddressWatch,
}

impl Batch {
    /// A batch after the clicks of a cursor, whose places these databases tell.
    pub(super) fn after(
        cursor: Cursor,
        classifier: Classifier,
        databases: Arc<Databases>,
    ) -> Batch {
        Batch {
            cursor,
            owners: Arc::default(),
            kept: RetainedRange::default(),
            addresses: AddressWatch::default(),
            classifier,
            rows: Vec::new(),
            rollups: Rollups::default(),
            databases,
            moved: BTreeMap::new(),
            clicks: 0,
            last_click_ms: None,
            clicked: HashSet::new(),
        }
    }

    /// Excludes clicks that the last rebuild kept as counted.
    pub(super) fn without(self, kept: RetainedRange) -> Batch {
        Batch { kept, ..self }
    }

    /// Refuses clicks of a stream that was archived from another data folder.
    pub(super) fn with_owners(self, owners: Arc<StreamOwners>) -> Batch {
        Batch { owners, ..self }
    }

    /// Watches the addresses of the new clicks.
    pub(super) fn with_address_watch(self, addresses: AddressWatch) -> Batch {
        Batch { addresses, ..self }
    }

    /// Adds the blocks of an answer with new clicks; returns these blocks and the refused ones.
    /// Later blocks of a refused block's stream are skipped, because they would leave a gap.
    /// `origin` is `None` for a daemon too old to state its identity.
    pub(super) fn add_new<'a>(
        &mut self,
        answer: &'a [u8],
        origin: Option<&AnswerOrigin>,
    ) -> AddedBlocks<'a> {
        let mut new = AddedBlocks::default();
        let mut waiting = HashSet::new();
        for block in feed::blocks(answer) {
            let added = match &block {
                Ok(block) if waiting.contains(&block.stream()) => continue,
                // Looked at before the sequence: equal numbers of two daemons are no repetition.
                Ok(block) => match self.check_origin(block, origin) {
                    Ok(()) if self.knows(block) => continue,
                    Ok(()) => self.add(block, NEW_FRAME).map_err(BlockRefusal::from),
                    Err(refusal) => Err(refusal),
                },
                Err(error) => Err(error.clone().into()),
            };
            match (added, block) {
                (Ok(()), Ok(block)) => {
                    new.blocks.push(block.as_bytes());
                    new.last_click_ms = new.last_click_ms.max(Some(block.unix_ms().1));
                }
                (added, block) => {
                    waiting.extend(block.ok().map(|block| block.stream()));
                    new.refusals.extend(added.err());
                }
            }
        }
        new
    }

    /// Checks that the daemon may hold the block's stream.
    fn check_origin(
        &self,
        block: &Block<'_>,
        origin: Option<&AnswerOrigin>,
    ) -> Result<(), BlockRefusal> {
        let (stream, last_sequence) = (block.stream(), block.last_sequence());
        let owner = self.owners.get(&stream).copied();
        let Some(origin) = origin else {
            let Some(StreamOwner { store: owner, .. }) = owner else { return Ok(()) };
            return Err(BlockRefusal::UnprovenFolder { stream, last_sequence, owner });
        };
        if !origin.identity.has_run_as(stream.node) {
            let answered = origin.identity.node;
            return Err(BlockRefusal::ForeignNode { stream, last_sequence, answered });
        }
        match owner {
            Some(StreamOwner { store: owner, .. }) if owner != origin.identity.store => {
                Err(BlockRefusal::ForeignFolder { stream, last_sequence, owner })
            }
            Some(owner) => check_run(owner.run, block, origin),
            // Every other stream got an owner before its blocks came here.
            None => Err(BlockRefusal::UnknownFolder { stream, last_sequence }),
        }
    }

    fn knows(&self, block: &Block<'_>) -> bool {
        block.last_sequence() <= self.cursor.last(&block.stream())
    }

    /// Counts the unknown clicks of a block in this frame of the archive. An unreadable block
    /// changes nothing.
    pub(super) fn add(&mut self, block: &Block<'_>, frame: u64) -> Result<(), ClickError> {
        let decoded = block.decode()?;
        let stream = block.stream();
        let next = self.cursor.last(&stream) + 1;
        let row = BlockRow::new(block, next.max(block.first_sequence()));
        for click in decoded.clicks().skip(row.repeated()) {
            let classification = self.classifier.classify(&click);
            if self.kept.has(frame, click.head.unix_ms) {
                continue;
            }
            let place = VisitPlace::find(click.head.kind, click.address(), &self.databases);
            self.addresses.add(&click, classification.class);
            self.rollups.count(&click, &classification, &place);
            self.remember(&click.head);
            self.clicks += 1;
            self.last_click_ms = self.last_click_ms.max(Some(click.head.unix_ms));
        }
        *self.moved.entry(stream).or_default() += row.counted_from - next;
        self.cursor.advance(stream, block.last_sequence());
        self.rows.push(row);
        Ok(())
    }

    /// Sets the archive frames of the blocks.
    pub(super) fn assign_frames(&mut self, first: u64) {
        for (row, sequence) in self.rows.iter_mut().zip(first..) {
            row.archive_sequence = sequence;
        }
    }

    fn remember(&mut self, click: &ClickHead) {
        let leads_on = click.reason == Reason::Redirected && click.code_id != 0;
        if leads_on && !matches!(click.kind, VisitKind::Prefetch | VisitKind::Impression) {
            self.clicked.insert(click.code_id);
        }
    }

    /// Returns the classifier and the watch of addresses, which have seen the whole batch, and the
    /// counts to write.
    pub(super) fn split(self) -> (Classifier, AddressWatch, CountedBatch) {
        let Batch {
            cursor,
            owners: _,
            classifier,
            rows,
            rollups,
            moved,
            clicks,
            last_click_ms,
            clicked,
            mut addresses,
            databases: _,
            kept: _,
        } = self;
        let terms_through = classifier.last_terms_id();
        let counted = CountedBatch {
            cursor,
            rows,
            rollups,
            moved,
            clicks,
            last_click_ms,
            clicked,
            terms_through,
            address_alerts: addresses.take_alerts(),
        };
        (classifier, addresses, counted)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of frames.
    pub(super) fn frames(&self) -> u64 {
        self.rows.len() as u64
    }
}

/// Checks that the block is of the run that its stream was archived from.
fn check_run(
    archived: Option<RunId>,
    block: &Block<'_>,
    origin: &AnswerOrigin,
) -> Result<(), BlockRefusal> {
    let (stream, last_sequence) = (block.stream(), block.last_sequence());
    let Some(archived) = archived else { return Ok(()) };
    // A present run without an id did not give clicks with one.
    let is_present = stream.incarnation == origin.identity.incarnation;
    match origin.run_of(stream) {
        Some(run) if run == archived => Ok(()),
        None if !is_present && origin.identity.run.is_some() => {
            Err(BlockRefusal::UnprovenRun { stream, last_sequence })
        }
        // An older daemon cannot tell the runs of its folder apart.
        None if !is_present => Ok(()),
        _ => Err(BlockRefusal::ForeignRun { stream, last_sequence }),
    }
}

/// Counts of a batch for the store.
pub(super) struct CountedBatch {
    cursor: Cursor,
    rows: Vec<BlockRow>,
    rollups: Rollups,
    moved: BTreeMap<StreamId, u64>,
    clicks: u64,
    last_click_ms: Option<u64>,
    clicked: HashSet<u32>,
    /// Last row of the offer terms used for classification.
    terms_through: u64,
    address_alerts: Vec<AddressAlert>,
}

impl CountedBatch {
    pub(super) fn write(&self, tx: &WriteTx<'_>) -> Result<(), ClickIngestError> {
        check_terms(tx, self.terms_through, self.last_click_ms)?;
        blocks::record(tx, &self.rows)?;
        self.rollups.apply(tx)?;
        facts::remember_clicked(tx, self.clicked.iter().copied())?;
        address_watch::record(tx, &self.address_alerts)?;
        for (stream, missing) in &self.moved {
            blocks::advance(tx, *stream, self.cursor.last(stream), *missing)?;
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    pub(super) fn clicks(&self) -> u64 {
        self.clicks
    }

    pub(super) fn last_click_ms(&self) -> Option<u64> {
        self.last_click_ms
    }

    /// Streams with skipped sequences, and their number.
    pub(super) fn missing(&self) -> impl Iterator<Item = (StreamId, u64)> {
        self.moved.iter().map(|(stream, missing)| (*stream, *missing)).filter(|(_, n)| *n > 0)
    }
}

/// Fails if an offer was edited meanwhile with effect for clicks classified without the edit.
pub(super) fn check_terms(
    tx: &WriteTx<'_>,
    through: u64,
    last_click_ms: Option<u64>,
) -> Result<(), ClickIngestError> {
    match last_click_ms {
        Some(last_ms) if click_terms::has_later_revision(tx, through, last_ms)? => {
            Err(ClickIngestError::Edited)
        }
        _ => Ok(()),
    }
}
