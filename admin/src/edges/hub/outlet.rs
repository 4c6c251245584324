//! Stores the published index at NATS for the edges: first the objects, then the head with their names.
//!
//! The stream at NATS may lose anything at any moment. Each round compares the stored head with the
//! own head. After a difference the stored objects are listed again, and missing objects are stored.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, ObjectName};
use tokio::sync::watch;
use tokio::time::timeout;

use super::ownership::Claimant;
use super::{HubError, HubShared};
use crate::edges::head::{self, Description, Head, IndexObject, MAX_INLINE_BYTES, part_purpose};
use crate::edges::link::Control;
use crate::edges::nats::{MAX_PAYLOAD, StreamSettings};
use crate::edges::sealing::{SEAL_LEN, Secret, SigningKey};
use crate::index_folder::IndexFolder;
use crate::publish::PublisherHandle;
use crate::worker::{RetryDelays, Worker};

/// How often the stored head is compared with the own one.
const RECHECK: Duration = Duration::from_secs(10);
/// How long an object without a head stays: an edge may be fetching the object.
const KEEP_UNNAMED: Duration = Duration::from_secs(60 * 60);
/// Bytes of one part of an object.
const PART_BYTES: usize = (512 << 10) - SEAL_LEN;
/// Room of the head's stream.
const HEAD_STREAM_BYTES: i64 = 16 << 20;
/// Level and worker threads of compression: the network is slower than this.
const COMPRESSION_LEVEL: i32 = 3;
const _: () = assert!(PART_BYTES + SEAL_LEN <= MAX_PAYLOAD);

type KeyId = u32;

pub(super) struct Outlet {
    shared: Arc<HubShared>,
    publisher: PublisherHandle,
    folder: IndexFolder,
    claimant: Claimant,
    signing: SigningKey,
    control: watch::Sender<Control>,
    object_max_bytes: u64,
    interval: Duration,
    work: watch::Receiver<u64>,
    /// The whole objects at NATS; `None` before the first listing.
    stored: Option<HashSet<(KeyId, ObjectName)>>,
    /// The stored objects without a head, each with the time of its last head.
    unnamed: HashMap<(KeyId, ObjectName), Instant>,
    /// The stored head.
    put: Option<StoredHead>,
}

#[derive(Clone)]
struct StoredHead {
    manifest: Manifest,
    epoch: u64,
    key_id: KeyId,
    /// Sequence at NATS.
    sequence: u64,
}

impl Worker for Outlet {
    const NAME: &'static str = "publication to edges";
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: Duration::from_millis(250), longest: Duration::from_secs(5) };
    type Error = HubError;

    async fn step(&mut self) -> Result<(), HubError> {
        let began = Instant::now();
        let published = self.round().await;
        if let Err(error) = &published {
            self.stop_asking(error);
        }
        published?;
        // Edits that come in quick succession reach the edges together.
        tokio::time::sleep(self.interval.saturating_sub(began.elapsed())).await;
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        let generation = self.put.as_ref().map_or(0, |put| put.manifest.generation);
        let later = self.publisher.wait_for_generation_above(generation);
        let _ = timeout(RECHECK, async {
            tokio::select! {
                () = later => {}
                _ = self.work.changed() => {}
            }
        })
        .await;
    }

    fn reset_after(&mut self, _error: &HubError) {
        (self.stored, self.put) = (None, None);
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        self.shared.show_failure(failure);
    }
}

impl Outlet {
    pub(super) fn new(
        shared: Arc<HubShared>,
        publisher: PublisherHandle,
        folder: IndexFolder,
        (claimant, signing): (Claimant, SigningKey),
        control: watch::Sender<Control>,
        (object_max_bytes, interval): (u64, Duration),
    ) -> Outlet {
        Outlet {
            work: shared.work.subscribe(),
            shared,
            publisher,
            folder,
            claimant,
            signing,
            control,
            object_max_bytes,
            interval,
            stored: None,
            unnamed: HashMap::new(),
            put: None,
        }
    }

    /// Ends the requests to edges after a lost ownership.
    fn stop_asking(&self, error: &HubError) {
        if matches!(error, HubError::Foreign { .. }) {
            let problem = Some(error.to_string());
            self.control.send_modify(|control| (control.epoch, control.problem) = (None, problem));
        }
    }

    async fn round(&mut self) -> Result<(), HubError> {
        if self.stored.is_none() {
            self.open_streams().await?;
        }
        let followed = self.shared.followed_epoch.load(Ordering::Acquire);
        let epoch = self.claimant.own(&self.signing, followed).await?;
        self.control.send_if_modified(|control| {
            let is_new = control.epoch != Some(epoch);
            (control.epoch, control.problem) = (Some(epoch), None);
            is_new
        });
        let subjects = self.shared.subjects;
        let stored = self.shared.nats.last(&subjects.head_stream(), subjects.head()).await?;
        let stored = stored.map_or(0, |(sequence, _)| sequence);
        if self.put.as_ref().is_some_and(|put| put.sequence != stored) {
            // Lost, set back or replaced.
            (self.stored, self.put) = (None, None);
        }
        if self.stored.is_none() {
            self.list_stored().await?;
        }
        for object in self.shared.take_lacking() {
            self.stored.get_or_insert_default().retain(|(_, name)| *name != object);
            self.put = None;
        }
        let Some(key) = self.shared.fleet_keys().first().cloned() else { return Ok(()) };
        let folder = self.folder.clone();
        let manifest = tokio::task::spawn_blocking(move || folder.manifest(CURRENT)).await;
        let manifest = match manifest.map_err(|_panicked| HubError::Aborted)? {
            Ok(manifest) => manifest,
            // Before the first publication.
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let is_put = self.put.as_ref().is_some_and(|put| {
            put.manifest == manifest && put.epoch == epoch && put.key_id == key.0
        });
        if !is_put {
            self.publish(manifest, epoch, &key, stored).await?;
        }
        self.remove_unnamed().await
    }

    async fn open_streams(&self) -> Result<(), HubError> {
        let subjects = self.shared.subjects;
        let heads = StreamSettings {
            name: subjects.head_stream(),
            subjects: vec![subjects.head(), subjects.owner()],
            max_bytes: HEAD_STREAM_BYTES,
        };
        self.shared.nats.open_stream(heads).await?;
        let objects = StreamSettings {
            name: subjects.object_stream(),
            subjects: vec![subjects.all_objects()],
            max_bytes: i64::try_from(self.object_max_bytes).unwrap_or(i64::MAX),
        };
        Ok(self.shared.nats.open_stream(objects).await?)
    }

    async fn list_stored(&mut self) -> Result<(), HubError> {
        let subjects = self.shared.subjects;
        let filter = subjects.object_descriptions();
        let found = self.shared.nats.stored_subjects(&subjects.object_stream(), filter).await?;
        let found = found.iter().filter_map(|subject| subjects.described_object(subject));
        self.stored = Some(found.collect());
        Ok(())
    }

    async fn publish(
        &mut self,
        manifest: Manifest,
        epoch: u64,
        key: &(KeyId, Secret),
        last: u64,
    ) -> Result<(), HubError> {
        let folder = self.folder.clone();
        let named: Vec<IndexObject> = head::objects(&manifest).collect();
        let objects = named.clone();
        let inline = tokio::task::spawn_blocking(move || read_small(&folder, &objects)).await;
        let inline = inline.map_err(|_panicked| HubError::Aborted)??;
        for object in named {
            if !inline.iter().any(|(name, _)| *name == object.name) {
                self.put_object(object, key).await?;
            }
        }
        let head = Head { epoch, manifest: manifest.clone(), inline };
        let stored = Bytes::from(head.encode(&self.signing, (key.0, &key.1))?);
        let subject = self.shared.subjects.head();
        let sequence = self.shared.nats.replace(subject, stored.clone(), last).await?;
        self.control.send_modify(|control| control.head = stored);
        self.publisher.note_put(manifest.generation);
        self.put = Some(StoredHead { manifest, epoch, key_id: key.0, sequence });
        Ok(())
    }

    /// Stores an object in parts, unless it is there.
    async fn put_object(
        &mut self,
        object: IndexObject,
        (key_id, key): &(KeyId, Secret),
    ) -> Result<(), HubError> {
        let stored = self.stored.get_or_insert_default();
        if stored.contains(&(*key_id, object.name)) {
            return Ok(());
        }
        let (sealing, subjects) = (key.sealing_key(), self.shared.subjects);
        let path = self.folder.path_of(&object.file());
        let (parts, mut compressed) = tokio::sync::mpsc::channel(4);
        let reading = tokio::task::spawn_blocking(move || compress(&path, &parts));
        let mut count = 0;
        while let Some(part) = compressed.recv().await {
            count += 1;
            let sealed = sealing.seal(&part_purpose(&object.name, count), &part)?;
            let subject = subjects.object_part(*key_id, &object.name, count);
            self.shared.nats.put(subject, Bytes::from(sealed)).await?;
        }
        let (bytes, hash) = reading.await.map_err(|_panicked| HubError::Aborted)??;
        let description = Description { parts: count, bytes, hash };
        let description = serde_json::to_vec(&description).unwrap_or_default();
        let sealed = sealing.seal(&part_purpose(&object.name, 0), &description)?;
        let subject = subjects.object_part(*key_id, &object.name, 0);
        self.shared.nats.put(subject, Bytes::from(sealed)).await?;
        tracing::info!(object = %object.name, bytes, parts = count, "object stored for edges");
        self.stored.get_or_insert_default().insert((*key_id, object.name));
        Ok(())
    }

    /// Removes objects without a head since an hour.
    async fn remove_unnamed(&mut self) -> Result<(), HubError> {
        let Some(put) = &self.put else { return Ok(()) };
        let named: HashSet<ObjectName> =
            head::objects(&put.manifest).map(|object| object.name).collect();
        let key_id = put.key_id;
        let is_named = |(id, name): &(KeyId, ObjectName)| *id == key_id && named.contains(name);
        let stored = self.stored.get_or_insert_default();
        self.unnamed.retain(|object, _| stored.contains(object) && !is_named(object));
        let now = Instant::now();
        for object in stored.iter().filter(|object| !is_named(object)) {
            self.unnamed.entry(*object).or_insert(now);
        }
        let is_due = |since: &Instant| since.elapsed() >= KEEP_UNNAMED;
        let due = self.unnamed.iter().find(|(_, since)| is_due(since)).map(|(object, _)| *object);
        // One in a round: removal must not delay publication.
        let Some((id, name)) = due else { return Ok(()) };
        let subjects = self.shared.subjects;
        // The description first: without it the object is not there for anyone.
        let description = subjects.object_part(id, &name, 0);
        self.shared.nats.purge(&subjects.object_stream(), description).await?;
        let parts = subjects.object_parts(id, &name);
        self.shared.nats.purge(&subjects.object_stream(), parts).await?;
        stored.remove(&(id, name));
        Ok(())
    }
}

/// Reads the newest objects that fit into a head.
fn read_small(
    folder: &IndexFolder,
    objects: &[IndexObject],
) -> Result<Vec<(ObjectName, Vec<u8>)>, HubError> {
    let (mut room, mut inline) = (MAX_INLINE_BYTES as u64, Vec::new());
    for object in objects {
        let path = folder.path_of(&object.file());
        let length = std::fs::metadata(&path).map_err(HubError::read(&path))?.len();
        if length <= room {
            let bytes = std::fs::read(&path).map_err(HubError::read(&path))?;
            room = room.saturating_sub(bytes.len() as u64);
            inline.push((object.name, bytes));
        }
    }
    Ok(inline)
}

/// Sends a file's compressed bytes in parts; returns length and hash of the file.
fn compress(
    path: &std::path::Path,
    parts: &tokio::sync::mpsc::Sender<Vec<u8>>,
) -> Result<(u64, String), HubError> {
    let file = File::open(path).map_err(HubError::read(path))?;
    let hashing = Hashing { file, hash: blake3::Hasher::new(), bytes: 0 };
    let encoder = zstd::stream::read::Encoder::new(hashing, COMPRESSION_LEVEL);
    let mut encoder = encoder.map_err(HubError::read(path))?;
    loop {
        let mut part = Vec::with_capacity(PART_BYTES);
        let read = encoder.by_ref().take(PART_BYTES as u64).read_to_end(&mut part);
        read.map_err(HubError::read(path))?;
        if part.is_empty() {
            break;
        }
        if parts.blocking_send(part).is_err() {
            // The round was given up.
            return Err(HubError::Aborted);
        }
    }
    let hashing = encoder.finish().into_inner();
    Ok((hashing.bytes, hashing.hash.finalize().to_hex().to_string()))
}

/// Hashes a file while reading.
struct Hashing {
    file: File,
    hash: blake3::Hasher,
    bytes: u64,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}
