//! Keeps the index folder at the published generation.
//!
//! The control plane sends each head with its reload; every ten seconds the agent looks for itself.
//! A head is followed if the control plane signed it and it is later than the folder's. Objects come
//! from the head, from the folder or from NATS, each under its hash. As in the publisher, `CURRENT` is
//! replaced when all files are there, and `CURRENT.prev` names durable files only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use coupon_shared::snapshot::manifest::{CURRENT, Manifest};
use tokio::sync::watch;
use tokio::time::timeout;

use super::AgentShared;
use super::download::{DownloadError, Progress};
use super::objects::{FolderObjects, ObjectOrigin, on_disk};
use crate::edges::head::{self, Head, HeadError, IndexObject};
use crate::edges::nats::NatsError;
use crate::index_folder::{FolderError, GarbageFiles, IndexFolder, Unsynced};
use crate::worker::{RetryDelays, Worker};

/// How often the agent looks for a later head by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How long a file stays that no manifest names: longer than coupond needs to open it.
const KEEP_UNREFERENCED: Duration = Duration::from_secs(60);

/// Why the folder has not the published generation.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error("the head is of run {got} of the control plane, and this edge has followed {known}")]
    Superseded { got: u64, known: u64 },
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Hands heads to the fetcher; clones share it.
#[derive(Clone, Default)]
pub(super) struct FetcherHandle {
    /// The last offered head, and the number of offers.
    offered: watch::Sender<(u64, Bytes)>,
    /// Number of finished heads, and the problem of the last head.
    done: watch::Sender<(u64, Option<String>)>,
    /// Whether coupond refused the files.
    is_suspect: Arc<AtomicBool>,
}

impl FetcherHandle {
    /// Has a head followed, or with an empty one the head at NATS; waits for the result.
    ///
    /// # Errors
    /// With the obstacle.
    pub(super) async fn fetch(&self, head: Bytes, longest: Duration) -> Result<(), String> {
        let mut number = 0;
        self.offered.send_modify(|(count, offered)| {
            *count += 1;
            number = *count;
            *offered = head;
        });
        let mut done = self.done.subscribe();
        let waiting = timeout(longest, done.wait_for(|(count, _)| *count >= number)).await;
        match waiting {
            Ok(Ok(done)) => done.1.clone().map_or(Ok(()), Err),
            _ => Err("the edge is still fetching the index".to_owned()),
        }
    }

    /// Has all files read back before they are used again.
    pub(super) fn check_again(&self) {
        self.is_suspect.store(true, Ordering::Release);
        self.look_again();
    }

    /// Has the head at NATS looked at again.
    pub(super) fn look_again(&self) {
        self.offered.send_modify(|(count, head)| (*count, *head) = (*count + 1, Bytes::new()));
    }
}

pub(super) struct Fetcher {
    shared: Arc<AgentShared>,
    folder: IndexFolder,
    objects: Arc<FolderObjects>,
    handle: FetcherHandle,
    offered: watch::Receiver<(u64, Bytes)>,
    /// The sync of the last announcement.
    syncing: Option<tokio::task::JoinHandle<Result<(), FolderError>>>,
    /// Whether the files of `CURRENT` are known to be durable.
    is_durable: bool,
    /// The manifest whose files are being brought.
    following: Option<Manifest>,
    garbage: GarbageFiles,
}

impl Worker for Fetcher {
    const NAME: &'static str = "fetching of the published index";
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: Duration::from_millis(250), longest: Duration::from_secs(5) };
    type Error = FetchError;

    async fn step(&mut self) -> Result<(), FetchError> {
        let (number, head) = self.offered.borrow_and_update().clone();
        let fetched = self.follow(&head).await;
        let problem = fetched.as_ref().err().map(FetchError::to_string);
        self.handle.done.send_replace((number, problem));
        // Also after a failure: a full disk may be full of old files.
        let removed = self.remove_unreferenced().await;
        fetched?;
        removed
    }

    async fn wait_for_work(&mut self) {
        // The channel cannot close: `handle` holds its sender.
        let _ = timeout(LOOK_INTERVAL, self.offered.changed()).await;
    }

    async fn wait_for_retry(&mut self, delay: Duration) {
        let _ = timeout(delay, self.offered.changed()).await;
    }

    fn reset_after(&mut self, error: &FetchError) {
        if let FetchError::Download(DownloadError::Lacking { name, .. }) = error {
            self.shared.report_lacking(name);
        }
        // Keys, and whatever the control plane must mend.
        self.shared.greet.notify_one();
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        let mut shown = self.shared.fetch_problem.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = failure.map(str::to_owned);
    }
}

impl Fetcher {
    pub(super) fn new(
        shared: Arc<AgentShared>,
        folder: IndexFolder,
        objects: Arc<FolderObjects>,
        handle: FetcherHandle,
    ) -> Fetcher {
        Fetcher {
            shared,
            folder,
            objects,
            offered: handle.offered.subscribe(),
            handle,
            syncing: None,
            is_durable: false,
            following: None,
            garbage: GarbageFiles::new(KEEP_UNREFERENCED),
        }
    }

    /// Brings the folder to a head; an empty one stands for the one at NATS.
    async fn follow(&mut self, offered: &Bytes) -> Result<(), FetchError> {
        if !self.shared.has_joined() {
            // The keys come with the first lease, which has the head looked at again.
            return Ok(());
        }
        let (stored, subjects) = (offered.clone(), self.shared.subjects);
        let stored = match stored.is_empty() {
            false => stored,
            true => {
                let last = self.shared.nats.last(&subjects.head_stream(), subjects.head()).await?;
                // Before the first publication.
                let Some((_, stored)) = last else { return Ok(()) };
                stored
            }
        };
        let bundle = &self.shared.bundle;
        let key = |id| self.shared.fleet_key(id);
        let head = Head::open(&stored, bundle.control_plane, bundle.network_id, key)?;
        if !self.shared.epoch.follows(head.epoch) {
            let known = self.shared.epoch.highest();
            return Err(FetchError::Superseded { got: head.epoch, known });
        }
        if self.handle.is_suspect.swap(false, Ordering::AcqRel) {
            self.objects.distrust_all();
        }
        let current = self.current().await?;
        if let Some(current) = current.filter(|current| is_as_late(current, &head.manifest))
            && self.are_whole(&current).await?
        {
            return Ok(());
        }
        // The head was opened with this key, so it names one.
        let key_id = head::key_id(&stored).unwrap_or_default();
        self.take_over(head, key_id).await
    }

    /// The folder's manifest; `None` if there is none, or a damaged one.
    async fn current(&self) -> Result<Option<Manifest>, FetchError> {
        let folder = self.folder.clone();
        let current = on_disk(move || match folder.manifest(CURRENT) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(FolderError::Manifest { .. }) => Ok(None),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        });
        Ok(current.await?)
    }

    /// Whether all files of an index are there and whole.
    async fn are_whole(&self, manifest: &Manifest) -> Result<bool, FetchError> {
        for object in head::objects(manifest) {
            if !self.objects.has_whole(object).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn take_over(&mut self, head: Head, key_id: u32) -> Result<(), FetchError> {
        self.finish_sync().await?;
        self.following = Some(head.manifest.clone());
        let mut unsynced = Unsynced::default();
        for object in head::objects(&head.manifest) {
            self.take_object(&head, object, key_id, &mut unsynced).await?;
        }
        let (folder, keeps_current) = (self.folder.clone(), self.is_durable);
        self.is_durable = false;
        let manifest = head.manifest;
        let generation = manifest.generation;
        let unsynced = on_disk(move || {
            let keeps_current = keeps_current && folder.has(CURRENT);
            folder.announce(&manifest, keeps_current, &mut unsynced)?;
            Ok(unsynced)
        })
        .await?;
        self.following = None;
        let folder = self.folder.clone();
        self.syncing = Some(tokio::task::spawn_blocking(move || unsynced.sync(&folder)));
        tracing::debug!(generation, "index fetched");
        Ok(())
    }

    async fn take_object(
        &self,
        head: &Head,
        object: IndexObject,
        key_id: u32,
        unsynced: &mut Unsynced,
    ) -> Result<(), FetchError> {
        let inline = head.inline.iter().find(|(name, _)| *name == object.name);
        let recipe = head.recipes.iter().find(|recipe| recipe.level == object.name);
        let progress = Arc::<Progress>::default();
        let origin = match inline {
            Some((_, bytes)) => ObjectOrigin::Inline(bytes),
            None => ObjectOrigin::Nats { key_id, recipe, progress: &progress },
        };
        Ok(self.objects.bring(object, origin, unsynced).await?)
    }

    async fn finish_sync(&mut self) -> Result<(), FetchError> {
        if let Some(syncing) = self.syncing.take() {
            syncing.await.map_err(|_panicked| DownloadError::Aborted)??;
            self.is_durable = true;
        }
        Ok(())
    }

    async fn remove_unreferenced(&mut self) -> Result<(), FetchError> {
        let is_syncing = self.syncing.as_ref().is_some_and(|syncing| !syncing.is_finished());
        if is_syncing || !self.garbage.is_scan_due() {
            return Ok(());
        }
        let folder = self.folder.clone();
        let found = on_disk(move || match folder.unreferenced() {
            // Before the first index.
            Err(error) if error.is_missing() => Ok(Default::default()),
            found => found,
        })
        .await?;
        let mut removable = self.objects.removable(found);
        for object in self.following.iter().flat_map(head::objects) {
            removable.remove(&object.file());
        }
        let removed = self.garbage.take_scan(removable);
        Ok(self.objects.remove(removed).await?)
    }
}

/// Whether an index is as late as a published one of the same store.
fn is_as_late(current: &Manifest, published: &Manifest) -> bool {
    current.lineage == published.lineage && current.generation >= published.generation
}

#[cfg(test)]
impl Fetcher {
    /// Lets the files that are unreferenced now be old at the next look.
    pub(super) fn age_garbage(&mut self) {
        self.garbage.scanned = std::time::Instant::now().checked_sub(KEEP_UNREFERENCED).unwrap();
    }
}
