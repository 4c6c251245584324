//! Publication: the store's changes become the index that the daemon serves.
//!
//! One task watches the store's change sequence: it is told of edits made here, and looks every
//! [`POLL`] for those of another process. Each round takes one consistent state of the store,
//! writes the files that differ from what is published, and announces them in one manifest.
//!
//! What holds:
//! - A generation is reserved durably in the store before a manifest carries it, so it never stands
//!   for two contents, also not after a crash or a restored backup ([`generations`]).
//! - Whatever fails (a full disk, a busy store), the published index stays as it is, the failure
//!   is logged and shown, and the round is tried again, less often each time.
//! - An edit rebuilds one small level, and an import one of its own; [`level_policy`] says which. No round
//!   reads more of the store than it publishes.
//! - Larger levels, and the base of all codes, are made one with what lies on them by a [`merge`]
//!   in the background, while edits go on being published on top. When it is done, a round puts it
//!   into the stack: that round publishes the store as it is then, so whatever changed while the
//!   merge read is in the levels above. A merge that fails, or whose place is gone, costs nothing
//!   but its work.
//! - What is published need not be durable yet: the store is. [`syncing`] makes it so beside the way.
//! - Neither does publication wait for who keeps the store from being written, nor an edit for the
//!   level of a large change before it, which is built [`prebuilt`] of its commit.
//!
//! A second task, [`live`], tells the daemon and knows what it serves, so that a daemon that hangs
//! delays no publication.

mod catalog_rows;
mod content;
mod folder;
mod generations;
mod level_policy;
mod live;
mod merge;
mod prebuilt;
mod syncing;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coupon_shared::index::Index;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, ObjectName, PREVIOUS};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::daemon_client::DaemonClient;
use crate::store::meta::{self, Sequence};
use crate::store::{Store, StoreError, publication};
use catalog_rows::KnownOffers;
use content::{Content, LevelContext, PublishedVersions};
use folder::{IndexFolder, Unsynced};
use generations::Generations;
use level_policy::LevelInfo;
use merge::Merge;
use prebuilt::{PublishedState, Request};
use syncing::{MAX_UNSYNCED, Syncing};

pub use catalog_rows::LeftOut;
pub use content::ContentError;
pub use folder::FolderError;
pub use live::{PublicationStatus, PublisherHandle, WaitLiveError};
pub use prebuilt::PrebuiltLevel;

/// The index folder's name in the data folder.
pub const FOLDER_NAME: &str = "index";

/// How often the store is asked for changes that nobody told of.
const POLL: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
/// How long no merge is begun after one that failed.
const MERGE_PAUSE: Duration = Duration::from_secs(30);
/// How long a file stays that no manifest names any more: longer than a daemon takes to open it.
const KEEP_UNREFERENCED: Duration = Duration::from_secs(10);
/// How many of them go at once: more than a publication makes, and few, because both the daemon and the
/// next publication want the folder meanwhile.
const REMOVED_AT_ONCE: usize = 4;

/// Why a publication did not come about.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The state could not be read or made into files.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files could not be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No thread could be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The work panicked.
    #[error("the work on the index folder was broken off")]
    BrokenOff,
}

/// The index as published, opened as a daemon opens it. Nothing in the folder is changed.
///
/// # Errors
/// When nothing is published, or it cannot be read.
pub fn published(data_dir: &Path) -> Result<Index<Bytes>, FolderError> {
    let folder = IndexFolder::at(data_dir.join(FOLDER_NAME));
    let read = || folder.manifest(CURRENT).and_then(|manifest| folder.index(manifest));
    // A publication may remove a file between the two steps; by then there is a newer manifest.
    read().or_else(|_| read())
}

/// Starts publication and telling the daemon; both end with `stop`.
#[must_use]
pub fn start(
    store: Store,
    network_id: u32,
    daemon: DaemonClient,
    stop: CancellationToken,
) -> PublisherHandle {
    let (status, _) = watch::channel(PublicationStatus::default());
    let (to_publisher, requests) = prebuilt::requests();
    let handle = PublisherHandle::new(Arc::new(Notify::new()), status, to_publisher);
    let publisher = Publisher::new(store, network_id, daemon.clone(), handle.clone(), requests);
    tokio::spawn(stop.clone().run_until_cancelled_owned(publisher.run()));
    tokio::spawn(stop.run_until_cancelled_owned(live::tell(daemon, handle.clone())));
    handle
}

struct Publisher {
    store: Store,
    network_id: u32,
    daemon: DaemonClient,
    path: PathBuf,
    handle: PublisherHandle,
    requests: mpsc::Receiver<Request>,
    folder: Option<IndexFolder>,
    generations: Generations,
    published: Published,
    offers: Arc<Mutex<KnownOffers>>,
    /// Built before its change was committed, and not published yet.
    ahead: Option<LevelInfo>,
    merging: Merging,
    syncing: Syncing,
    garbage: GarbageFiles,
}

/// What is published, as far as it is known to be intact.
#[derive(Debug, Clone, Default)]
struct Published {
    /// What `CURRENT` says; `None` until it is ours.
    manifest: Option<Manifest>,
    levels: Vec<LevelInfo>,
    catalog: Option<(ObjectName, Sequence)>,
    /// No lower generation may be announced, whatever the store says.
    floor: u64,
}

/// Files that no manifest names, from one look to the next.
struct GarbageFiles {
    names: HashSet<String>,
    looked: Instant,
    /// Those that were unreferenced at two looks.
    due: Vec<String>,
}

impl Publisher {
    fn new(
        store: Store,
        network_id: u32,
        daemon: DaemonClient,
        handle: PublisherHandle,
        requests: mpsc::Receiver<Request>,
    ) -> Publisher {
        Publisher {
            path: store.dir().join(FOLDER_NAME),
            generations: Generations::new(store.clone()),
            store,
            network_id,
            daemon,
            handle,
            requests,
            folder: None,
            published: Published::default(),
            offers: Arc::default(),
            ahead: None,
            merging: Merging::new(),
            syncing: Syncing::default(),
            garbage: GarbageFiles {
                names: HashSet::new(),
                looked: Instant::now(),
                due: Vec::new(),
            },
        }
    }

    async fn run(mut self) {
        let mut back_off = POLL;
        let mut request = None;
        loop {
            let done = match request.take() {
                Some(request) => self.pause_for_bulk(request).await,
                None => self.round().await,
            };
            match done {
                Ok(()) => {
                    back_off = POLL;
                    tokio::select! {
                        _ = tokio::time::timeout(POLL, self.handle.notified()) => {}
                        asked = self.requests.recv() => request = asked,
                    }
                }
                Err(error) => {
                    tracing::error!(%error, retry_ms = back_off.as_millis(), "cannot publish");
                    self.handle.update(|status| status.last_error = Some(error.to_string()));
                    // What the folder holds after a failure of its own is read, not assumed.
                    if !matches!(error, PublishError::Store(_)) {
                        self.folder = None;
                    }
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(LONGEST_BACK_OFF);
                }
            }
        }
    }

    /// Lets a change be published ahead of its commit: says what is published, and waits for what
    /// becomes of the change. Who asked hears nothing when publication fails.
    async fn pause_for_bulk(&mut self, request: Request) -> Result<(), PublishError> {
        self.round().await?;
        let Some(folder) = &self.folder else { return Err(PublishError::BrokenOff) };
        let state = PublishedState {
            levels: self.with_merged().levels,
            cut: self.merging.cut(),
            place: self.place(folder),
            daemon: self.daemon.clone(),
        };
        if request.state.send(state).is_ok() {
            self.ahead = request.committed.await.ok();
        }
        Ok(())
    }

    /// Publishes what is not published yet.
    async fn round(&mut self) -> Result<(), PublishError> {
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => self.open().await?,
        };
        let begun = Instant::now();
        self.merging.look();
        self.syncing.look(&folder).await?;
        let meta = self.store.read(meta::read).await?;
        let floor = self.published.floor.max(self.handle.daemon_generation(Lineage(meta.lineage)));
        let is_due = self.published.manifest.as_ref().is_none_or(|manifest| {
            manifest.sequence != meta.change_seq || manifest.generation < floor
        });
        if is_due || self.published.catalog.is_none() || self.merging.merged.is_some() {
            self.published.floor = floor;
            self.publish(&folder, begun).await?;
        }
        self.generations.prepare().await;
        self.merge_what_is_due(&folder);
        self.handle.update(|status| status.last_error = None);
        self.garbage.remove_old(folder, self.merging.files()).await
    }

    /// Opens the folder and takes over what in it belongs to this store and is intact.
    async fn open(&mut self) -> Result<IndexFolder, PublishError> {
        let read = |connection: &_| {
            Ok::<_, StoreError>((meta::read(connection)?, publication::last_reserved(connection)?))
        };
        let (meta, reserved) = self.store.read(read).await?;
        let (path, network_id) = (self.path.clone(), self.network_id);
        // What it makes durable, and what waits for it, is looked at as all else in the folder.
        std::mem::take(&mut self.syncing).end().await;
        let (folder, adopted) = on_disk(move || {
            let folder = IndexFolder::open(path)?;
            folder.sync_named(CURRENT)?;
            folder.sync_named(PREVIOUS)?;
            let adopted = recover_published(&folder, &meta, reserved, network_id);
            Ok((folder, adopted))
        })
        .await?;
        self.published = adopted;
        // What was merged or built ahead was for levels that may not be these, and may be gone.
        (self.merging, self.ahead) = (Merging::new(), None);
        self.folder = Some(folder.clone());
        Ok(folder)
    }

    async fn publish(&mut self, folder: &IndexFolder, begun: Instant) -> Result<(), PublishError> {
        self.syncing.settle(folder, MAX_UNSYNCED).await?;
        let (ahead, cut) = (self.ahead, self.merging.cut());
        let before = self.with_merged().with_prebuilt(ahead);
        let known = PublishedVersions {
            levels: before.levels.clone(),
            cut,
            catalog: before.catalog.map(|(_, sequence)| sequence),
            offers: Arc::clone(&self.offers),
        };
        let place = self.place(folder);
        let network_id = self.network_id;
        let content = self.store.read(move |c| content::build(c, &known, &place)).await?;
        let built = content.level.as_ref().map(|level| level.range.from);
        if built.into_iter().chain(ahead.map(|level| level.from)).any(|from| from < cut) {
            self.merging.give_up();
        }
        self.report_skipped(&content);
        let to = folder.clone();
        let (mut next, mut manifest, mut unsynced) = on_disk(move || {
            let mut unsynced = Unsynced::default();
            let (next, manifest) = before.with_files(content, &to, network_id, &mut unsynced)?;
            Ok((next, manifest, unsynced))
        })
        .await?;

        let is_new = self.published.manifest.as_ref() != Some(&manifest);
        if is_new || manifest.generation < next.floor {
            manifest.generation = self.generations.next(next.floor).await?;
            let (to, announced) = (folder.clone(), manifest.clone());
            self.syncing.look(folder).await?;
            let is_first = self.published.manifest.is_none();
            let follows = !is_first && self.syncing.is_durable();
            unsynced = on_disk(move || {
                to.announce(&announced, follows, &mut unsynced)?;
                Ok(unsynced)
            })
            .await?;
            self.syncing.begin(folder, unsynced);
            if is_first {
                // No manifest before would serve.
                self.syncing.settle(folder, 0).await?;
            }
            self.generations.published().await;
        }
        next.manifest = Some(manifest);
        self.published = next;
        (self.merging.merged, self.ahead) = (None, None);
        self.tell(begun);
        Ok(())
    }

    fn place(&self, folder: &IndexFolder) -> LevelContext {
        LevelContext { network_id: self.network_id, folder: folder.clone() }
    }

    /// What is published, with what a merge has made in the place of what it was made of.
    fn with_merged(&self) -> Published {
        let mut published = self.published.clone();
        if let Some(merged) = self.merging.merged {
            match level_policy::swap(&published.levels, merged) {
                Some(levels) => published.levels = levels,
                None => tracing::debug!("the place of a merged level is gone"),
            }
        }
        published
    }

    fn merge_what_is_due(&mut self, folder: &IndexFolder) {
        if self.merging.may_begin()
            && let Some(range) = level_policy::due(&self.published.levels)
        {
            let place = self.place(folder);
            let (store, daemon) = (self.store.clone(), self.daemon.clone());
            let merge = Merge::start(store, place, range, daemon, self.handle.clone());
            self.merging.begin(merge);
        }
    }

    fn report_skipped(&self, content: &Content) {
        let Some(catalog) = &content.catalog else { return };
        for left_out in &catalog.left_out {
            tracing::warn!(what = left_out.what, error = left_out.error, "left out of the catalog");
        }
        self.handle.update(|status| status.left_out.clone_from(&catalog.left_out));
    }

    fn tell(&self, begun: Instant) {
        let Some(manifest) = &self.published.manifest else { return };
        let took = begun.elapsed();
        tracing::debug!(
            generation = manifest.generation,
            sequence = manifest.sequence,
            levels = manifest.levels.len(),
            took_ms = took.as_millis(),
            "published"
        );
        self.handle.published(manifest, self.published.levels.iter().map(|l| l.codes).sum(), took);
    }
}

impl Published {
    /// With a level that was built ahead of its change, which is committed now.
    fn with_prebuilt(mut self, ahead: Option<LevelInfo>) -> Published {
        let Some(ahead) = ahead else { return self };
        match level_policy::push_prebuilt(&self.levels, ahead) {
            Some(levels) => self.levels = levels,
            None => tracing::debug!("the place of a level that was built ahead is gone"),
        }
        self
    }

    /// Writes what is new, and says what is published once the manifest is announced, which still
    /// has the generation of the one before.
    fn with_files(
        mut self,
        content: Content,
        folder: &IndexFolder,
        network_id: u32,
        unsynced: &mut Unsynced,
    ) -> Result<(Published, Manifest), PublishError> {
        if let Some(new) = content.level {
            self.levels = level_policy::put(&self.levels, new.put(folder, unsynced)?);
        }
        let catalog = match (content.catalog, self.catalog) {
            (None, Some((name, _))) => name,
            (Some(new), _) => {
                let name = folder.put_catalog(&new.bytes, unsynced)?;
                self.catalog = Some((name, new.sequence));
                name
            }
            (None, None) => return Err(PublishError::BrokenOff),
        };
        let manifest = Manifest {
            network_id,
            lineage: Lineage(content.meta.lineage),
            generation: self.manifest.as_ref().map_or(0, |current| current.generation),
            sequence: content.meta.change_seq,
            catalog,
            levels: self.levels.iter().map(|level| level.name).collect(),
        };
        Ok((self, manifest))
    }
}

/// What of the folder can be built on: `CURRENT`, else `CURRENT.prev`, where it is of this store's
/// past and every byte of it is as written.
fn recover_published(
    folder: &IndexFolder,
    meta: &meta::Meta,
    reserved: u64,
    network_id: u32,
) -> Published {
    let mut published = Published::default();
    for name in [CURRENT, PREVIOUS] {
        let manifest = match folder.manifest(name) {
            Ok(manifest) => manifest,
            Err(error) => {
                tracing::info!(%error, "no index to go on from");
                continue;
            }
        };
        if manifest.lineage.0 == meta.lineage {
            published.floor = published.floor.max(manifest.generation);
        }
        // A later generation than the store knows to be published may be of a store that was since
        // replaced by its backup: its sequences would not be ours.
        let is_ours = manifest.lineage.0 == meta.lineage
            && manifest.network_id == network_id
            && manifest.generation <= meta.generation
            && manifest.sequence <= meta.change_seq;
        if !is_ours {
            // A crash can come between publishing and noting it: that is no news.
            let is_unnoted = (meta.generation + 1..=reserved).contains(&manifest.generation);
            if manifest.lineage.0 == meta.lineage && is_unnoted {
                tracing::info!(file = name, "published last and not noted: it is published anew");
            } else {
                tracing::warn!(
                    file = name,
                    "the index folder's manifest is not of this store's past"
                );
            }
            continue;
        }
        if published.levels.is_empty() {
            match folder.index(manifest) {
                Ok(index) => published.take_over(&index, name == CURRENT),
                Err(error) => {
                    tracing::error!(%error, file = name, "the published index is damaged")
                }
            }
        }
    }
    published
}

impl Published {
    fn take_over(&mut self, index: &Index<Bytes>, is_current: bool) {
        let placed = index.levels().iter().map(|level| LevelInfo {
            name: ObjectName(*level.name()),
            from: level.meta().sequence_from,
            to: level.meta().sequence_to,
            codes: level.codes(),
        });
        self.levels = placed.collect();
        self.manifest = is_current.then(|| index.manifest().clone());
    }
}

/// The one merge that is under way or done.
struct Merging {
    under_way: Option<Merge>,
    /// Done, and not published yet.
    merged: Option<LevelInfo>,
    /// After a failure, how long no other is begun.
    pause_until: Option<Instant>,
}

impl Merging {
    fn new() -> Merging {
        Merging { under_way: None, merged: None, pause_until: None }
    }

    /// The end of what is made one, which no level that is published meanwhile must cross; else 0.
    fn cut(&self) -> Sequence {
        self.under_way.as_ref().map_or(0, Merge::cut)
    }

    /// What it makes or has made, and no manifest names yet.
    fn files(&self) -> Vec<String> {
        let made = self.under_way.as_ref().and_then(Merge::file).cloned();
        made.into_iter().chain(self.merged.map(|level| level.name.level_file())).collect()
    }

    fn look(&mut self) {
        match self.under_way.as_mut().and_then(Merge::result) {
            None => return,
            Some(Ok(merged)) => self.merged = Some(merged),
            Some(Err(error)) => self.failed(&error),
        }
        self.under_way = None;
    }

    fn failed(&mut self, error: &PublishError) {
        tracing::error!(%error, retry_ms = MERGE_PAUSE.as_millis(), "cannot merge levels");
        self.pause_until = Some(Instant::now() + MERGE_PAUSE);
    }

    fn give_up(&mut self) {
        tracing::debug!("a merge is given up: a large change needs its place");
        self.under_way = None;
    }

    fn may_begin(&self) -> bool {
        self.under_way.is_none() && self.pause_until.is_none_or(|until| until <= Instant::now())
    }

    fn begin(&mut self, merge: io::Result<Merge>) {
        match merge {
            Ok(merge) => self.under_way = Some(merge),
            Err(error) => self.failed(&PublishError::Thread(error)),
        }
    }
}

impl GarbageFiles {
    /// Removes what was unreferenced at two looks, a few files each time, but not what is `kept`.
    async fn remove_old(
        &mut self,
        folder: IndexFolder,
        kept: Vec<String>,
    ) -> Result<(), PublishError> {
        let is_time = self.looked.elapsed() >= KEEP_UNREFERENCED;
        if self.due.is_empty() && !is_time {
            return Ok(());
        }
        let to = folder.clone();
        let mut unreferenced = on_disk(move || Ok(to.unreferenced()?)).await?;
        unreferenced.retain(|name| !kept.contains(name));
        if self.due.is_empty() {
            self.looked = Instant::now();
            self.due.extend(self.names.drain().filter(|name| unreferenced.remove(name)));
            self.names = unreferenced;
        } else {
            self.due.retain(|name| unreferenced.contains(name));
        }
        let go = self.due.split_off(self.due.len().saturating_sub(REMOVED_AT_ONCE));
        on_disk(move || Ok(go.iter().try_for_each(|name| folder.remove(name))?)).await
    }
}

/// Runs work on files on a thread that may block.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PublishError> + Send + 'static,
) -> Result<T, PublishError> {
    tokio::task::spawn_blocking(work).await.map_err(|_panicked| PublishError::BrokenOff)?
}
