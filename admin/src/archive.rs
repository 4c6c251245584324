//! The click archive: the daemon's blocks, verbatim, in a framed log in `DIR/archive`.
//!
//! The archive is the truth about clicks at the admin. A block is ingested once it is durable here;
//! positions and rollups in the store are derived from the archive and can be rebuilt. Only click
//! ingest appends. Reports read concurrently, and only frames recorded in the store. Removals take
//! out personal fields, and whole segments by age; nothing else changes.
//!
//! The archive also hands out the databases of places, because every reader of clicks needs them: an
//! archived click has an address and no place.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coupon_geo::{Databases, LiveDatabases};
use coupon_shared::click::block::{Block, DecodedBlock, PersonalAction};
use coupon_shared::click::{Click, ClickError};
use coupon_shared::framed_log::{FrameReader, FramedLog, FramedLogError, Options};
use coupon_shared::transaction_id::TransactionId;

use crate::store::blocks::BlockRow;

/// Name of the archive in the data folder.
pub const FOLDER_NAME: &str = "archive";

/// Finding a frame walks its segment, which takes milliseconds at this size.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Above the longest block.
const MAX_BLOCK_BYTES: u32 = 4 << 20;
/// A frame further ahead is found by a new look-up instead of walking.
const WALKED_FRAMES: u64 = 2_000;

/// Reasons why the archive did not take or give blocks.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The log failed.
    #[error("the click archive failed: {0}")]
    Log(#[from] FramedLogError),
    /// A frame is no readable block.
    #[error("frame {sequence} of the click archive cannot be read: {source}")]
    Block {
        /// The frame.
        sequence: u64,
        /// The error in the block.
        source: ClickError,
    },
    /// The archive ends before an expected frame.
    #[error(
        "the click archive has no frame {sequence}, which the store knows of: restore the archive from its backup, or run rebuild-reports"
    )]
    Missing {
        /// The frame.
        sequence: u64,
    },
    /// The archive differs from the source of the store's counts.
    #[error(
        "the click archive and the reports do not belong together (they differ at frame {sequence}): restore both from one backup, or count what the archive holds with `coupon-admin rebuild-reports`"
    )]
    Differs {
        /// The last frame known to the store.
        sequence: u64,
    },
    /// The work panicked.
    #[error("the work on the click archive was broken off")]
    Aborted,
}

/// The archive, open for appending; clones share it.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: Arc<Path>,
    log: Arc<Mutex<FramedLog>>,
    appends: Arc<AtomicU64>,
    databases: Option<Arc<LiveDatabases>>,
}

impl Archive {
    /// Opens the archive in a data folder; creates a missing one.
    ///
    /// # Errors
    /// When it is damaged, or another process appends to it.
    pub fn open(data_dir: &Path) -> Result<Archive, ArchiveError> {
        let folder = data_dir.join(FOLDER_NAME);
        let options = Options { segment_bytes: SEGMENT_BYTES, max_frame_bytes: MAX_BLOCK_BYTES };
        let (log, recovery) = FramedLog::open(&folder, options)?;
        if recovery.torn_bytes_cut > 0 {
            tracing::warn!(
                bytes = recovery.torn_bytes_cut,
                "cut an unfinished append off the click archive"
            );
        }
        Ok(Archive {
            folder: folder.into(),
            log: Arc::new(Mutex::new(log)),
            appends: Arc::default(),
            databases: None,
        })
    }

    /// The same archive with databases that tell the places of its clicks.
    #[must_use]
    pub fn with_databases(self, databases: Arc<LiveDatabases>) -> Archive {
        Archive { databases: Some(databases), ..self }
    }

    /// The databases of places in service; none without any.
    pub(crate) fn databases(&self) -> Arc<Databases> {
        self.databases.as_ref().map(|databases| databases.current()).unwrap_or_default()
    }

    /// Appends blocks durably, all or none; returns their sequences.
    pub(crate) fn append(&self, blocks: &[&[u8]]) -> Result<Range<u64>, ArchiveError> {
        let sequences = self.log().append_synced(blocks)?;
        // An append of nothing neither writes nor syncs.
        self.appends.fetch_add((!blocks.is_empty()).into(), Ordering::Relaxed);
        Ok(sequences)
    }

    /// Number of appends since the start, each with one sync.
    pub(crate) fn appends(&self) -> u64 {
        self.appends.load(Ordering::Relaxed)
    }

    /// Range of sequences.
    pub(crate) fn sequences(&self) -> Range<u64> {
        let log = self.log();
        log.first_sequence()..log.next_sequence()
    }

    /// Number of blocks.
    pub(crate) fn block_count(&self) -> u64 {
        let held = self.sequences();
        held.end - held.start
    }

    /// Size on disk.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        self.log().bytes_on_disk()
    }

    /// Reader from a sequence on.
    pub(crate) fn reader(&self, from: u64) -> Result<FrameReader, ArchiveError> {
        Ok(self.log().reader(from)?)
    }

    /// Reader of single blocks, independent of appends.
    pub(crate) fn block_reader(&self) -> BlockReader {
        BlockReader { folder: self.folder.to_path_buf(), reader: None }
    }

    /// Sequences of each closed segment, oldest first.
    pub(crate) fn closed_segments(&self) -> Vec<Range<u64>> {
        self.log().closed_segments()
    }

    /// Sequences of the open segment.
    pub(crate) fn open_segment(&self) -> Range<u64> {
        let log = self.log();
        let closed = log.closed_segments();
        closed.last().map_or(log.first_sequence(), |last| last.end)..log.next_sequence()
    }

    /// Closes the open segment unless empty.
    pub(crate) fn close_segment(&self) -> Result<(), ArchiveError> {
        Ok(self.log().close_segment()?)
    }

    /// Removes closed segments whose frames are all before a sequence.
    pub(crate) fn remove_before(&self, sequence: u64) -> Result<(), ArchiveError> {
        self.log().remove_segments_before(sequence)?;
        Ok(())
    }

    /// Rewrites personal fields in the closed segment that begins at `first`; frames and their
    /// other content stay. Appends continue meanwhile.
    pub(crate) fn rewrite(
        &self,
        first: u64,
        mut choose: impl FnMut(&Click<'_>) -> PersonalAction,
    ) -> Result<(), ArchiveError> {
        let rewriter = self.log().rewriter();
        rewriter.rewrite(first, |sequence, payload| {
            let changed =
                Block::parse(payload).and_then(|block| block.with_personal_fields(&mut choose));
            changed.map_err(|source| ArchiveError::Block { sequence, source })
        })?;
        Ok(())
    }

    /// Runs file work on a thread that may block.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let archive = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&archive));
        done.await.map_err(|_panicked| ArchiveError::Aborted)?
    }

    fn log(&self) -> MutexGuard<'_, FramedLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads single blocks. Close, ascending sequences are read in one pass.
pub(crate) struct BlockReader {
    folder: PathBuf,
    reader: Option<FrameReader>,
}

impl BlockReader {
    pub(crate) fn read(&mut self, sequence: u64) -> Result<DecodedBlock, ArchiveError> {
        let near = self.reader.take().filter(|reader| {
            (reader.next_sequence()..reader.next_sequence() + WALKED_FRAMES).contains(&sequence)
        });
        let mut reader = match near {
            Some(reader) => reader,
            None => FrameReader::open(&self.folder, sequence)?,
        };
        while reader.next_sequence() < sequence {
            reader.next_frame()?.ok_or(ArchiveError::Missing { sequence })?;
        }
        let frame = reader.next_frame()?.ok_or(ArchiveError::Missing { sequence })?;
        let decoded = Block::parse(frame.payload).and_then(|block| block.decode());
        let decoded = decoded.map_err(|source| ArchiveError::Block { sequence, source })?;
        self.reader = Some(reader);
        Ok(decoded)
    }
}

impl BlockReader {
    /// Applies `of` to the click with this id, in whichever of these blocks it is.
    pub(crate) fn find<T>(
        &mut self,
        places: &[BlockRow],
        id: TransactionId,
        of: impl Fn(&Click<'_>) -> T,
    ) -> Result<Option<T>, ArchiveError> {
        for place in places {
            let decoded = self.read(place.archive_sequence)?;
            let click = decoded.clicks().find(|click| click.head.transaction_id == id);
            if let Some(click) = click {
                return Ok(Some(of(&click)));
            }
        }
        Ok(None)
    }
}
