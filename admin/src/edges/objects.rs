//! The objects of the index at NATS, in the control plane.
//!
//! Each object is stored once, in parts ([`head`](super::head)), also if several callers want it at the
//! same time. The stream may lose anything at any moment: the list of the stored objects is compared
//! with it, and edges report missing objects.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coupon_shared::snapshot::manifest::ObjectName;
use tokio::sync::{OnceCell, mpsc};

use super::head::{Description, IndexObject, MAX_INLINE_BYTES, part_purpose};
use super::nats::{MAX_PAYLOAD, Nats, NatsError, StreamSettings};
use super::sealing::{SEAL_LEN, SealError, Secret};
use super::subjects::Subjects;
use crate::index_folder::IndexFolder;

/// How long an object without a head stays: an edge may be fetching the object, and the head that
/// names a merged level may be on its way.
const KEEP_UNNAMED: Duration = Duration::from_secs(60 * 60);
/// Bytes of one part of an object.
const PART_BYTES: usize = (512 << 10) - SEAL_LEN;
/// Level of compression: the network is slower than this.
const COMPRESSION_LEVEL: i32 = 3;
const _: () = assert!(PART_BYTES + SEAL_LEN <= MAX_PAYLOAD);

pub(super) type KeyId = u32;
type ObjectId = (KeyId, ObjectName);

/// Why an object is not at NATS.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("this control plane does not own the edges yet")]
    Unowned,
    #[error("the work was broken off")]
    Aborted,
}

impl ObjectError {
    fn read(path: &Path) -> impl FnOnce(io::Error) -> ObjectError {
        move |source| ObjectError::Read { path: path.into(), source }
    }
}

/// The objects at NATS; clones share them.
#[derive(Clone)]
pub(super) struct ObjectStore(Arc<Inner>);

struct Inner {
    nats: Nats,
    subjects: Subjects,
    folder: IndexFolder,
    /// The keys that objects and heads are sealed with, the newest first.
    fleet_keys: Mutex<Vec<(KeyId, Secret)>>,
    objects: Mutex<HashMap<ObjectId, StoredObject>>,
}

/// An object that is stored, or is being stored.
#[derive(Default)]
struct StoredObject {
    /// Set when all parts are stored.
    is_stored: Arc<OnceCell<()>>,
    /// When the object was first found without a head.
    unnamed_since: Option<Instant>,
}

impl StoredObject {
    fn is_whole(&self) -> bool {
        self.is_stored.initialized()
    }
}

impl ObjectStore {
    pub(super) fn new(nats: Nats, subjects: Subjects, folder: IndexFolder) -> ObjectStore {
        let (fleet_keys, objects) = (Mutex::default(), Mutex::default());
        ObjectStore(Arc::new(Inner { nats, subjects, folder, fleet_keys, objects }))
    }

    /// The newest first.
    pub(super) fn fleet_keys(&self) -> Vec<(KeyId, Secret)> {
        self.0.fleet_keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn newest_key(&self) -> Option<(KeyId, Secret)> {
        self.fleet_keys().into_iter().next()
    }

    /// Returns whether the keys are others than before.
    pub(super) fn set_fleet_keys(&self, keys: Vec<(KeyId, Secret)>) -> bool {
        let mut known = self.0.fleet_keys.lock().unwrap_or_else(PoisonError::into_inner);
        let are_new = *known != keys;
        *known = keys;
        are_new
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<ObjectId, StoredObject>> {
        self.0.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn open(&self, max_bytes: u64, replicas: usize) -> Result<(), ObjectError> {
        let subjects = self.0.subjects;
        let stream = StreamSettings {
            name: subjects.object_stream(),
            subjects: vec![subjects.all_objects()],
            max_bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX),
            replicas,
        };
        Ok(self.0.nats.open_stream(stream).await?)
    }

    /// Lists the stored objects anew.
    pub(super) async fn list(&self) -> Result<(), ObjectError> {
        let subjects = self.0.subjects;
        let filter = subjects.object_descriptions();
        let found = self.0.nats.stored_subjects(&subjects.object_stream(), filter).await?;
        let found = found.iter().filter_map(|subject| subjects.described_object(subject));
        update_list(&mut self.objects(), &found.collect());
        Ok(())
    }

    /// Has an object stored anew that an edge does not find.
    pub(super) fn forget(&self, name: ObjectName) {
        self.objects().retain(|(_, known), object| *known != name || !object.is_whole());
    }

    /// Stores a level that no head names yet. A small level comes with its head; returns whether it is
    /// large.
    pub(super) async fn put_ahead(&self, level: ObjectName) -> Result<bool, ObjectError> {
        let object = IndexObject { name: level, is_catalog: false };
        let path = self.0.folder.path_of(&object.file());
        let length = tokio::fs::metadata(&path).await.map_err(ObjectError::read(&path))?.len();
        if length <= MAX_INLINE_BYTES as u64 {
            return Ok(false);
        }
        let key = self.newest_key().ok_or(ObjectError::Unowned)?;
        self.put(object, &key).await?;
        Ok(true)
    }

    /// Stores an object in parts, unless it is there. Waits for a caller that is storing it.
    pub(super) async fn put(
        &self,
        object: IndexObject,
        key: &(KeyId, Secret),
    ) -> Result<(), ObjectError> {
        let is_stored = {
            let mut objects = self.objects();
            let stored = objects.entry((key.0, object.name)).or_default();
            stored.unnamed_since = None;
            Arc::clone(&stored.is_stored)
        };
        is_stored.get_or_try_init(|| self.put_parts(object, key)).await.copied()
    }

    async fn put_parts(
        &self,
        object: IndexObject,
        (key_id, key): &(KeyId, Secret),
    ) -> Result<(), ObjectError> {
        let (sealing, subjects) = (key.sealing_key(), self.0.subjects);
        let path = self.0.folder.path_of(&object.file());
        let (parts, mut compressed) = mpsc::channel(4);
        let reading = tokio::task::spawn_blocking(move || compress(&path, &parts));
        let mut count = 0;
        while let Some(part) = compressed.recv().await {
            count += 1;
            let sealed = sealing.seal(&part_purpose(&object.name, count), &part)?;
            let subject = subjects.object_part(*key_id, &object.name, count);
            self.0.nats.put(subject, Bytes::from(sealed)).await?;
        }
        let (bytes, hash) = reading.await.map_err(|_panicked| ObjectError::Aborted)??;
        let description = Description { parts: count, bytes, hash };
        let description = serde_json::to_vec(&description).unwrap_or_default();
        let sealed = sealing.seal(&part_purpose(&object.name, 0), &description)?;
        let subject = subjects.object_part(*key_id, &object.name, 0);
        self.0.nats.put(subject, Bytes::from(sealed)).await?;
        tracing::info!(object = %object.name, bytes, parts = count, "object stored for edges");
        Ok(())
    }

    /// Removes one object that no head has named for an hour. `named` are the objects of the present
    /// head.
    pub(super) async fn remove_unnamed(
        &self,
        named: &HashSet<ObjectId>,
    ) -> Result<(), ObjectError> {
        // One in a round: removal must not delay publication.
        let Some((key_id, name)) = take_unnamed(&mut self.objects(), named, KEEP_UNNAMED) else {
            return Ok(());
        };
        let (nats, subjects) = (&self.0.nats, self.0.subjects);
        // The description first: without it the object is not there for anyone.
        let description = subjects.object_part(key_id, &name, 0);
        nats.purge(&subjects.object_stream(), description).await?;
        nats.purge(&subjects.object_stream(), subjects.object_parts(key_id, &name)).await?;
        Ok(())
    }
}

/// Objects that are being stored stay.
fn update_list(objects: &mut HashMap<ObjectId, StoredObject>, found: &HashSet<ObjectId>) {
    objects.retain(|id, object| !object.is_whole() || found.contains(id));
    for id in found {
        let object = objects.entry(*id).or_default();
        // Fails for a whole object; one that is being stored will say so itself.
        let _ = object.is_stored.set(());
    }
}

/// Takes one object out of the list that has been without a head for so long.
fn take_unnamed(
    objects: &mut HashMap<ObjectId, StoredObject>,
    named: &HashSet<ObjectId>,
    keep: Duration,
) -> Option<ObjectId> {
    let now = Instant::now();
    for (id, object) in objects.iter_mut() {
        let is_unnamed = object.is_whole() && !named.contains(id);
        object.unnamed_since = is_unnamed.then(|| object.unnamed_since.unwrap_or(now));
    }
    let is_due = |since: Instant| since.elapsed() >= keep;
    let due = objects.iter().find(|(_, object)| object.unnamed_since.is_some_and(is_due));
    let due = *due?.0;
    objects.remove(&due);
    Some(due)
}

/// Sends a file's compressed bytes in parts; returns length and hash of the file.
fn compress(path: &Path, parts: &mpsc::Sender<Vec<u8>>) -> Result<(u64, String), ObjectError> {
    let file = File::open(path).map_err(ObjectError::read(path))?;
    let hashing = Hashing { file, hash: blake3::Hasher::new(), bytes: 0 };
    let encoder = zstd::stream::read::Encoder::new(hashing, COMPRESSION_LEVEL);
    let mut encoder = encoder.map_err(ObjectError::read(path))?;
    loop {
        let mut part = Vec::with_capacity(PART_BYTES);
        let read = encoder.by_ref().take(PART_BYTES as u64).read_to_end(&mut part);
        read.map_err(ObjectError::read(path))?;
        if part.is_empty() {
            break;
        }
        if parts.blocking_send(part).is_err() {
            // The caller was given up.
            return Err(ObjectError::Aborted);
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
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ObjectId {
        (1, ObjectName([byte; 32]))
    }

    #[test]
    fn an_object_without_a_head_is_removed_in_time_and_one_being_stored_is_not() {
        let mut objects = HashMap::new();
        update_list(&mut objects, &HashSet::from([id(1), id(2)]));
        objects.insert(id(3), StoredObject::default());
        let named = HashSet::from([id(1)]);
        assert_eq!(take_unnamed(&mut objects, &named, Duration::from_secs(60)), None);
        assert_eq!(take_unnamed(&mut objects, &named, Duration::ZERO), Some(id(2)));
        assert_eq!(take_unnamed(&mut objects, &named, Duration::ZERO), None);
        objects.get_mut(&id(1)).unwrap().unnamed_since = Instant::now().checked_sub(KEEP_UNNAMED);
        assert_eq!(take_unnamed(&mut objects, &named, Duration::ZERO), None, "named again");
        assert_eq!(objects.len(), 2);
    }

    #[test]
    fn a_lost_object_is_not_in_the_list_and_one_being_stored_stays() {
        let mut objects = HashMap::new();
        update_list(&mut objects, &HashSet::from([id(1), id(2)]));
        objects.insert(id(3), StoredObject::default());
        update_list(&mut objects, &HashSet::from([id(2)]));
        let mut listed: Vec<u8> = objects.keys().map(|(_, name)| name.0[0]).collect();
        listed.sort_unstable();
        assert_eq!(listed, [2, 3]);
        assert!(!objects[&id(3)].is_whole());
    }
}
