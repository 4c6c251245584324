//! Fetches one object of the index from NATS into a file of the index folder.
//!
//! Parts are asked for ahead and written in their order, so an object of any size needs the memory of
//! a few parts. They come over a connection of their own, and as many at a time as the line gives
//! within a moment: otherwise requests of the control plane would wait behind them on a thin line.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use coupon_shared::snapshot::manifest::ObjectName;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::AgentShared;
use super::region::{CopyReader, RegionCopy};
use crate::edges::head::{Description, IndexObject, part_purpose};
use crate::edges::nats::NatsError;
use crate::edges::sealing::{SealError, SealingKey, Secret};
use crate::index_folder::{FolderError, IndexFolder, ObjectFile};

/// Most parts under way: over 50 ms of round trip they still fill a line.
const MOST_AHEAD: usize = 16;
/// A line that gives a part within this time gives more parts at once.
const PROMPT: Duration = Duration::from_millis(500);
/// On a line that takes longer for a part, fewer parts are under way.
const SLOW: Duration = Duration::from_secs(2);
/// How long a part is asked for again, while the connection is lost or the server is away.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);
/// How long a server of a cluster may be behind the others.
const LATE_REPLICA: Duration = Duration::from_secs(2);

/// Why an object is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The control plane stores it again when it hears of this.
    #[error("object {name} is not whole at NATS: {reason}")]
    Lacking { name: ObjectName, reason: String },
    #[error("object {name} is sealed with key {id}, which this edge does not have")]
    UnknownKey { name: ObjectName, id: u32 },
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("object {name} cannot be written: {source}")]
    Write { name: ObjectName, source: io::Error },
    #[error(
        "object {name} needs {} MiB, and the disk of index_dir has {} MiB free: free some space there",
        bytes.div_ceil(1 << 20),
        free >> 20
    )]
    NoRoom { name: ObjectName, bytes: u64, free: u64 },
    #[error("the work was broken off")]
    Aborted,
}

/// How far an object is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    written: AtomicU64,
    bytes: AtomicU64,
    is_merging: AtomicBool,
}

impl Progress {
    pub(super) fn begin_merge(&self) {
        self.is_merging.store(true, Ordering::Relaxed);
    }

    pub(super) fn end_merge(&self) {
        self.is_merging.store(false, Ordering::Relaxed);
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [written, bytes] = [&self.written, &self.bytes].map(|it| it.load(Ordering::Relaxed));
        match bytes {
            _ if self.is_merging.load(Ordering::Relaxed) => {
                f.write_str("the edge is merging the level from its own levels")
            }
            0 => f.write_str("the edge begins to fetch the level"),
            _ if written < bytes => {
                write!(f, "the edge is still fetching the level: {written} of {bytes} bytes")
            }
            _ => f.write_str("coupond is still loading the level"),
        }
    }
}

/// Fetches an object; returns the file, which has no final name yet.
pub(super) async fn fetch(
    shared: &AgentShared,
    folder: &IndexFolder,
    object: IndexObject,
    (key_id, key): (u32, Secret),
    progress: &Arc<Progress>,
) -> Result<ObjectFile, DownloadError> {
    let name = object.name;
    let copy = shared.region.as_ref().map(RegionCopy::reader);
    let mut source = ObjectParts { shared, name, key_id, key: key.sealing_key(), copy };
    let fetched = fetch_by(&source, folder, progress).await;
    let parts_of_region = source.copy.take().map_or(0, CopyReader::finish);
    match fetched {
        Err(DownloadError::Lacking { .. } | DownloadError::Write { .. }) if parts_of_region > 0 => {
            tracing::warn!(object = %name, "parts of the region make no whole object: the hub is asked");
            fetch_by(&source, folder, progress).await
        }
        fetched => {
            if fetched.is_ok() {
                tracing::info!(object = %name, parts_of_region, "object of the index fetched");
            }
            fetched
        }
    }
}

async fn fetch_by(
    source: &ObjectParts<'_>,
    folder: &IndexFolder,
    progress: &Arc<Progress>,
) -> Result<ObjectFile, DownloadError> {
    let name = source.name;
    let lacking = |reason: String| DownloadError::Lacking { name, reason };
    // Stored last, so the hub is asked: its copy in a region would come last.
    let description: Description = serde_json::from_slice(&source.part_of_hub(0).await?)
        .map_err(|error| lacking(error.to_string()))?;
    progress.bytes.store(description.bytes, Ordering::Relaxed);
    // A level that cannot be written would travel again and again.
    if let Some(free) = folder.free_bytes().filter(|free| *free < description.bytes) {
        return Err(DownloadError::NoRoom { name, bytes: description.bytes, free });
    }
    let (sender, arrived) = mpsc::channel(1);
    let file = folder.begin_fetched()?;
    let written = Arc::clone(progress);
    let writing =
        tokio::task::spawn_blocking(move || write(PartReader::new(arrived), file, &written));
    let sent = source.send_parts(description.parts, sender).await;
    // Also after a failure: the writer removes its file.
    let written = writing.await.map_err(|_panicked| DownloadError::Aborted)?;
    sent?;
    let (file, bytes, hash) = written.map_err(|source| DownloadError::Write { name, source })?;
    if (bytes, hash.as_str()) != (description.bytes, description.hash.as_str()) {
        return Err(lacking("its bytes differ from its description".to_owned()));
    }
    Ok(file)
}

/// Writes an object that came with the head.
pub(super) fn write_inline(
    folder: &IndexFolder,
    name: ObjectName,
    bytes: &[u8],
) -> Result<ObjectFile, DownloadError> {
    let mut file = folder.begin_fetched()?;
    file.write_all(bytes).map_err(|source| DownloadError::Write { name, source })?;
    Ok(file)
}

struct ObjectParts<'a> {
    shared: &'a AgentShared,
    name: ObjectName,
    key_id: u32,
    key: SealingKey,
    /// The copy in the edge's region.
    copy: Option<CopyReader<'a>>,
}

impl ObjectParts<'_> {
    /// Sends the parts in their order, until all are sent or the receiver is gone.
    async fn send_parts(&self, count: u32, to: mpsc::Sender<Vec<u8>>) -> Result<(), DownloadError> {
        let (mut next, mut window) = (1..=count, Window::default());
        let mut under_way = FuturesOrdered::new();
        loop {
            let free = window.parts.saturating_sub(under_way.len());
            under_way.extend(next.by_ref().take(free).map(|part| self.part(part)));
            let Some(arrived) = under_way.next().await else { return Ok(()) };
            let (part, took) = arrived?;
            window.adapt(took);
            if to.send(part).await.is_err() {
                // The writer says why.
                return Ok(());
            }
        }
    }

    /// Returns a part, and how long it took.
    async fn part(&self, part: u32) -> Result<(Vec<u8>, Duration), DownloadError> {
        let began = Instant::now();
        let opened = match self.part_of_region(part).await {
            Some(opened) => opened,
            None => self.part_of_hub(part).await?,
        };
        Ok((opened, began.elapsed()))
    }

    async fn part_of_region(&self, part: u32) -> Option<Vec<u8>> {
        let subject = self.shared.subjects.object_part(self.key_id, &self.name, part);
        self.copy.as_ref()?.part(&subject, |sealed| self.open(part, sealed)).await
    }

    async fn part_of_hub(&self, part: u32) -> Result<Vec<u8>, DownloadError> {
        let lacking = |reason: String| DownloadError::Lacking { name: self.name, reason };
        let began = Instant::now();
        loop {
            match self.stored_part(part).await {
                Ok(Some(sealed)) => return self.open(part, &sealed).map_err(lacking),
                Ok(None) => return Err(lacking(format!("part {part} is missing"))),
                Err(_) if began.elapsed() < PATIENCE => sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn open(&self, part: u32, sealed: &Bytes) -> Result<Vec<u8>, String> {
        let opened = self.key.open(&part_purpose(&self.name, part), sealed);
        opened.map_err(|error: SealError| format!("part {part}: {error}"))
    }

    /// `None` if the part is not there after a while: one server of a cluster may be a moment behind.
    async fn stored_part(&self, part: u32) -> Result<Option<Bytes>, NatsError> {
        let subjects = self.shared.subjects;
        let stream = subjects.object_stream();
        // Behind a leaf node nobody tells that a stream is missing, so a short request waits shorter.
        let nats = if part == 0 { &self.shared.nats } else { &self.shared.index_nats };
        let began = Instant::now();
        loop {
            let subject = subjects.object_part(self.key_id, &self.name, part);
            match nats.last(&stream, subject).await? {
                Some((_, sealed)) => return Ok(Some(sealed)),
                None if began.elapsed() < LATE_REPLICA => sleep(PAUSE).await,
                None => return Ok(None),
            }
        }
    }
}

/// The number of parts under way.
struct Window {
    parts: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window { parts: 2 }
    }
}

impl Window {
    fn adapt(&mut self, took: Duration) {
        if took <= PROMPT {
            self.parts = (self.parts + 1).min(MOST_AHEAD);
        } else if took > SLOW {
            self.parts = (self.parts / 2).max(1);
        }
    }
}

/// Decompresses, hashes and writes.
fn write(
    parts: PartReader,
    mut file: ObjectFile,
    progress: &Progress,
) -> io::Result<(ObjectFile, u64, String)> {
    let mut decoder = zstd::Decoder::new(parts)?;
    let (mut hash, mut bytes) = (blake3::Hasher::new(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = decoder.read(&mut buffer)?;
        let chunk = buffer.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            return Ok((file, bytes, hash.finalize().to_hex().to_string()));
        }
        hash.update(chunk);
        file.write_all(chunk)?;
        bytes += read as u64;
        progress.written.store(bytes, Ordering::Relaxed);
    }
}

/// Reads the parts that arrive as one text of bytes.
struct PartReader {
    arrived: mpsc::Receiver<Vec<u8>>,
    part: io::Cursor<Vec<u8>>,
}

impl PartReader {
    fn new(arrived: mpsc::Receiver<Vec<u8>>) -> PartReader {
        PartReader { arrived, part: io::Cursor::default() }
    }
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.part.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.arrived.blocking_recv() {
                Some(part) => self.part = io::Cursor::new(part),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thin_line_has_few_parts_under_way_and_a_wide_one_many() {
        let mut window = Window::default();
        (0..40).for_each(|_| window.adapt(Duration::from_millis(60)));
        assert_eq!(window.parts, MOST_AHEAD);
        (0..3).for_each(|_| window.adapt(Duration::from_secs(3)));
        assert_eq!(window.parts, 2);
        (0..3).for_each(|_| window.adapt(Duration::from_secs(8)));
        assert_eq!(window.parts, 1);
        window.adapt(Duration::from_secs(1));
        assert_eq!(window.parts, 1, "as it should be");
    }

    #[test]
    fn progress_is_told_in_bytes() {
        let progress = |written, bytes| {
            let [written, bytes] = [written, bytes].map(AtomicU64::new);
            Progress { written, bytes, is_merging: AtomicBool::new(false) }.to_string()
        };
        assert!(progress(0, 0).contains("begins"));
        assert!(progress(12, 340).contains("12 of 340 bytes"));
        assert!(progress(340, 340).contains("coupond"));
    }
}
