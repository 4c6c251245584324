//! Fetches one object of the index from NATS into a file of the index folder.
//!
//! Parts are asked for ahead and written in their order, so an object of any size needs the memory of
//! a few parts.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coupon_shared::snapshot::manifest::ObjectName;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::AgentShared;
use crate::edges::head::{Description, IndexObject, part_purpose};
use crate::edges::nats::NatsError;
use crate::edges::sealing::{SealError, SealingKey, Secret};
use crate::index_folder::{FetchedObject, FolderError, IndexFolder};

/// Parts under way: over 50 ms of round trip they still fill a line.
const AHEAD: usize = 16;

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
    #[error("the work was broken off")]
    Aborted,
}

/// How far an object is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    written: AtomicU64,
    bytes: AtomicU64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [written, bytes] = [&self.written, &self.bytes].map(|it| it.load(Ordering::Relaxed));
        match bytes {
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
) -> Result<FetchedObject, DownloadError> {
    let name = object.name;
    let source = ObjectParts { shared, name, key_id, key: key.sealing_key() };
    let lacking = |reason: String| DownloadError::Lacking { name, reason };
    let description: Description = serde_json::from_slice(&source.part(0).await?)
        .map_err(|error| lacking(error.to_string()))?;
    progress.bytes.store(description.bytes, Ordering::Relaxed);
    let (sender, arrived) = mpsc::channel(1);
    let file = folder.begin_fetched()?;
    let written = Arc::clone(progress);
    let writing =
        tokio::task::spawn_blocking(move || write(PartReader::new(arrived), file, &written));
    let parts = futures_util::stream::iter(1..=description.parts);
    let mut parts = std::pin::pin!(parts.map(|part| source.part(part)).buffered(AHEAD));
    while let Some(part) = parts.next().await {
        if sender.send(part?).await.is_err() {
            // The writer says why.
            break;
        }
    }
    drop(sender);
    let written = writing.await.map_err(|_panicked| DownloadError::Aborted)?;
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
) -> Result<FetchedObject, DownloadError> {
    let mut file = folder.begin_fetched()?;
    file.write_all(bytes).map_err(|source| DownloadError::Write { name, source })?;
    Ok(file)
}

struct ObjectParts<'a> {
    shared: &'a AgentShared,
    name: ObjectName,
    key_id: u32,
    key: SealingKey,
}

impl ObjectParts<'_> {
    async fn part(&self, part: u32) -> Result<Vec<u8>, DownloadError> {
        let subjects = self.shared.subjects;
        let subject = subjects.object_part(self.key_id, &self.name, part);
        let stored = self.shared.nats.last(&subjects.object_stream(), subject).await?;
        let lacking = |reason: String| DownloadError::Lacking { name: self.name, reason };
        let (_, sealed) = stored.ok_or_else(|| lacking(format!("part {part} is missing")))?;
        let opened = self.key.open(&part_purpose(&self.name, part), &sealed);
        opened.map_err(|error: SealError| lacking(format!("part {part}: {error}")))
    }
}

/// Decompresses, hashes and writes.
fn write(
    parts: PartReader,
    mut file: FetchedObject,
    progress: &Progress,
) -> io::Result<(FetchedObject, u64, String)> {
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
    fn progress_is_told_in_bytes() {
        let progress = |written, bytes| {
            Progress { written: AtomicU64::new(written), bytes: AtomicU64::new(bytes) }.to_string()
        };
        assert!(progress(0, 0).contains("begins"));
        assert!(progress(12, 340).contains("12 of 340 bytes"));
        assert!(progress(340, 340).contains("coupond"));
    }
}
