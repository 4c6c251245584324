//! Stores the published index at NATS for the edges: first the objects, then the head with their names.
//!
//! The stream at NATS may lose anything at any moment. Each round compares the stored head with the
//! own head. After a difference the stored objects are listed again, and missing objects are stored.
//! A merged level is [stored ahead](crate::edges::objects) of its head, beside the rounds, so that no
//! head waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, ObjectName};
use tokio::sync::watch;
use tokio::time::timeout;

use super::head_stream::HeadStream;
use super::ownership::Claimant;
use super::{HubError, HubShared};
use crate::edges::head::{self, Head, IndexObject, MAX_INLINE_BYTES};
use crate::edges::link::Control;
use crate::edges::nats::NatsError;
use crate::edges::objects::KeyId;
use crate::edges::sealing::{Secret, SigningKey};
use crate::index_folder::IndexFolder;
use crate::publish::PublisherHandle;
use crate::worker::{RetryDelays, Worker};

/// How often the stored head is compared with the own one.
const RECHECK: Duration = Duration::from_secs(10);

pub(super) struct Outlet {
    shared: Arc<HubShared>,
    publisher: PublisherHandle,
    folder: IndexFolder,
    claimant: Claimant,
    signing: SigningKey,
    control: watch::Sender<Control>,
    heads: HeadStream,
    settings: OutletSettings,
    work: watch::Receiver<u64>,
    /// Whether the objects at NATS were listed since the last difference.
    is_listed: bool,
    /// The stored head.
    put: Option<StoredHead>,
    /// When the size of the objects was read.
    measured: Option<Instant>,
}

/// How the index is stored at NATS, and how often.
pub(super) struct OutletSettings {
    pub(super) object_max_bytes: u64,
    /// Least time between two heads.
    pub(super) interval: Duration,
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
        tokio::time::sleep(self.settings.interval.saturating_sub(began.elapsed())).await;
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

    fn reset_after(&mut self, error: &HubError) {
        if matches!(error, HubError::Nats(NatsError::Overtaken)) {
            self.shared.heads_overtaken.fetch_add(1, Ordering::Relaxed);
        }
        (self.is_listed, self.put) = (false, None);
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
        (heads, settings): (HeadStream, OutletSettings),
    ) -> Outlet {
        Outlet {
            work: shared.work.subscribe(),
            shared,
            publisher,
            folder,
            claimant,
            signing,
            control,
            heads,
            settings,
            is_listed: false,
            put: None,
            measured: None,
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
        if !self.is_listed {
            self.open_streams().await?;
        }
        let epoch = self.own_edges().await?;
        let stored_head = self.compare_head().await?;
        if !self.is_listed {
            self.shared.objects.list().await?;
            self.is_listed = true;
        }
        for object in self.shared.take_lacking() {
            self.shared.objects.forget(object);
            self.put = None;
        }
        let Some(key) = self.shared.objects.newest_key() else { return Ok(()) };
        let Some(manifest) = self.published().await? else { return Ok(()) };
        let is_put = self.put.as_ref().is_some_and(|put| {
            put.manifest == manifest && put.epoch == epoch && put.key_id == key.0
        });
        if !is_put {
            self.publish(manifest, epoch, &key, stored_head).await?;
        }
        self.remove_unnamed().await?;
        self.measure_objects().await
    }

    async fn measure_objects(&mut self) -> Result<(), HubError> {
        if self.measured.is_some_and(|at| at.elapsed() < RECHECK) {
            return Ok(());
        }
        let stream = self.shared.subjects.object_stream();
        let state = self.shared.nats.stream_state(&stream).await?;
        let bytes = state.ok_or(NatsError::NoStream)?.bytes;
        self.shared.object_bytes.store(bytes, Ordering::Relaxed);
        self.measured = Some(Instant::now());
        Ok(())
    }

    async fn open_streams(&self) -> Result<(), HubError> {
        self.heads.open().await?;
        let (bytes, replicas) = (self.settings.object_max_bytes, self.heads.replicas);
        Ok(self.shared.objects.open(bytes, replicas).await?)
    }

    /// Claims the edges, or checks that they are still this control plane's; returns the epoch.
    async fn own_edges(&mut self) -> Result<u64, HubError> {
        let followed = self.shared.followed_epoch.load(Ordering::Acquire);
        let epoch = self.claimant.own(&self.signing, followed).await?;
        self.control.send_if_modified(|control| {
            let is_new = control.epoch != Some(epoch);
            (control.epoch, control.problem) = (Some(epoch), None);
            is_new
        });
        Ok(epoch)
    }

    /// Compares the stored head with the own one; returns its sequence, 0 without a head.
    async fn compare_head(&mut self) -> Result<u64, HubError> {
        let stored = self.heads.last(self.shared.subjects.head()).await?;
        let stored = stored.map_or(0, |(sequence, _)| sequence);
        if self.put.as_ref().is_some_and(|put| put.sequence != stored) {
            // Lost, set back or replaced.
            (self.is_listed, self.put) = (false, None);
        }
        Ok(stored)
    }

    /// The published manifest; `None` before the first publication.
    async fn published(&self) -> Result<Option<Manifest>, HubError> {
        let folder = self.folder.clone();
        let manifest = tokio::task::spawn_blocking(move || folder.manifest(CURRENT)).await;
        match manifest.map_err(|_panicked| HubError::Aborted)? {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
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
                self.shared.objects.put(object, key).await?;
            }
        }
        let mut recipes = self.publisher.recipes();
        recipes.retain(|recipe| manifest.levels.contains(&recipe.level));
        let head = Head { epoch, manifest: manifest.clone(), recipes, inline };
        let stored = Bytes::from(head.encode(&self.signing, (key.0, &key.1))?);
        let subject = self.shared.subjects.head();
        let sequence = self.shared.nats.replace(subject, stored.clone(), last).await?;
        self.control.send_modify(|control| control.head = stored);
        self.publisher.note_put(manifest.generation);
        self.put = Some(StoredHead { manifest, epoch, key_id: key.0, sequence });
        Ok(())
    }

    async fn remove_unnamed(&self) -> Result<(), HubError> {
        let Some(put) = &self.put else { return Ok(()) };
        let named = head::objects(&put.manifest).map(|object| (put.key_id, object.name));
        Ok(self.shared.objects.remove_unnamed(&named.collect()).await?)
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
