//! The publisher: builds and announces the difference between the store and the published index.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, PREVIOUS};
use tokio::time::timeout;
use tracing::Level;

use super::catalog_rows::{KnownOffers, LeftOut};
use super::content::{self, LevelContext, NewCatalog, PublishedVersions};
use super::error::{PublishError, on_disk};
use super::generations::Generations;
use super::handle::PublisherHandle;
use super::level_policy::{self, LevelInfo};
use super::merge::{Merge, Merging};
use super::pause::{MAX_PRELOAD, PauseRequest, PublishedState};
use super::preload::preload_near;
use super::published::{Published, recover_published};
use super::syncing::{MAX_UNSYNCED, Syncing};
use crate::index_folder::{FOLDER_NAME, GarbageFiles, IndexFolder, MergeRecipe, Unsynced};
use crate::store::meta;
use crate::store::{ReadTx, Store, StoreError, publication};
use crate::worker::{RetryDelays, Worker};

/// How often the store is polled for changes of other processes.
const POLL: Duration = Duration::from_millis(250);
/// How long an unreferenced file stays: longer than a daemon needs to open it.
pub(super) const KEEP_UNREFERENCED: Duration = Duration::from_secs(10);

pub(super) struct Publisher {
    store: Store,
    network_id: u32,
    path: PathBuf,
    pub(super) handle: PublisherHandle,
    /// `None` before the first round and after a failure in the folder.
    pub(super) folder: Option<IndexFolder>,
    pub(super) generations: Generations,
    pub(super) published: Published,
    offers: Arc<Mutex<KnownOffers>>,
    /// The unpublished level of a committed bulk change.
    pub(super) prebuilt: Option<LevelInfo>,
    pub(super) merging: Merging,
    /// How published levels follow from earlier ones.
    pub(super) recipes: Vec<MergeRecipe>,
    pub(super) syncing: Syncing,
    pub(super) garbage: GarbageFiles,
}

/// Objects that a catalog does not have, or has closed.
struct LeftOutOfCatalog {
    closed_offers: u64,
    objects: Vec<LeftOut>,
}

impl LeftOutOfCatalog {
    fn new(catalog: &NewCatalog) -> LeftOutOfCatalog {
        let built = &catalog.built;
        LeftOutOfCatalog { closed_offers: built.closed_offers, objects: built.left_out.clone() }
    }
}

impl Worker for Publisher {
    const NAME: &'static str = "publication";
    const FAILURE_LEVEL: Level = Level::ERROR;
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: POLL, longest: Duration::from_secs(5) };
    type Error = PublishError;

    async fn step(&mut self) -> Result<(), PublishError> {
        match self.handle.pause_requests.take() {
            Some(request) => self.pause_for_bulk(request).await,
            None => self.round().await,
        }
    }

    async fn wait_for_work(&mut self) {
        let _ = timeout(POLL, self.handle.notified()).await;
    }

    fn reset_after(&mut self, error: &PublishError) {
        // A failure in the folder leaves its content unknown, so it is read again.
        if !matches!(error, PublishError::Store(_)) {
            self.folder = None;
        }
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        self.handle.update(|status| status.last_error = failure.map(str::to_owned));
    }
}

impl Publisher {
    pub(super) fn new(store: Store, network_id: u32, handle: PublisherHandle) -> Publisher {
        Publisher {
            path: store.dir().join(FOLDER_NAME),
            generations: Generations::new(store.clone()),
            store,
            network_id,
            handle,
            folder: None,
            published: Published::default(),
            offers: Arc::default(),
            prebuilt: None,
            merging: Merging::new(),
            recipes: Vec::new(),
            syncing: Syncing::default(),
            garbage: GarbageFiles::new(KEEP_UNREFERENCED),
        }
    }

    /// Publishes all committed changes, then pauses until the requesting bulk change is
    /// committed or rolled back. The requester's channel closes if publication fails.
    async fn pause_for_bulk(&mut self, request: PauseRequest) -> Result<(), PublishError> {
        self.round().await?;
        let Some(folder) = &self.folder else { return Err(PublishError::Aborted) };
        let state = PublishedState {
            levels: self.with_merged().levels,
            cut: self.merging.cut(),
            context: self.level_context(folder),
        };
        if request.state.send(state).is_err() {
            // The requester stopped waiting and commits without a prebuilt level.
            return Ok(());
        }
        if let Ok(built) = request.built.await {
            let preloading = preload_near(&self.handle, built.name);
            if timeout(MAX_PRELOAD, preloading).await.is_err() {
                tracing::debug!("prebuilt level not preloaded by every daemon");
            }
            let _ = built.preloaded.send(());
        }
        self.prebuilt = request.committed.await.ok();
        Ok(())
    }

    /// Publishes all changes since the last round.
    pub(super) async fn round(&mut self) -> Result<(), PublishError> {
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => self.open().await?,
        };
        let begun = Instant::now();
        self.merging.take_result();
        self.syncing.take_finished(&folder).await?;
        let meta = self.store.read(meta::read).await?;
        let floor = self.published.floor.max(self.handle.daemon_generation(Lineage(meta.lineage)));
        let is_due = self.published.manifest.as_ref().is_none_or(|manifest| {
            manifest.sequence != meta.change_seq || manifest.generation < floor
        });
        let form = self.handle.catalog_form();
        let has_form = self.published.catalog.is_some_and(|catalog| catalog.form == form);
        if is_due || !has_form || self.merging.merged.is_some() {
            self.published.floor = floor;
            self.publish(&folder, begun).await?;
        }
        self.generations.prepare().await;
        self.start_due_merge(&folder);
        self.remove_unreferenced(folder).await
    }

    /// Removes a few old files that neither a manifest nor the merge needs.
    async fn remove_unreferenced(&mut self, folder: IndexFolder) -> Result<(), PublishError> {
        if !self.garbage.is_scan_due() {
            return Ok(());
        }
        let to_scan = folder.clone();
        let mut unreferenced = on_disk(move || Ok(to_scan.unreferenced()?)).await?;
        let kept = self.merging.files();
        unreferenced.retain(|name| !kept.contains(name));
        let removed = self.garbage.take_scan(unreferenced);
        on_disk(move || Ok(folder.remove_all(&removed)?)).await
    }

    /// Opens the folder and recovers this store's intact levels.
    async fn open(&mut self) -> Result<IndexFolder, PublishError> {
        let read = |connection: &ReadTx<'_>| {
            Ok::<_, StoreError>((meta::read(connection)?, publication::last_reserved(connection)?))
        };
        let (meta, reserved) = self.store.read(read).await?;
        let (path, network_id) = (self.path.clone(), self.network_id);
        // A sync in progress may still remove files, so the folder is read after its end.
        std::mem::take(&mut self.syncing).end().await;
        let (folder, recovered) = on_disk(move || {
            let folder = IndexFolder::open(path)?;
            // The previous process may have been killed between announcing and syncing. Only
            // durable files may become `CURRENT.prev`.
            folder.sync_named(CURRENT)?;
            folder.sync_named(PREVIOUS)?;
            let recovered = recover_published(&folder, &meta, reserved, network_id);
            Ok((folder, recovered))
        })
        .await?;
        self.published = recovered;
        // Merged and prebuilt levels fitted the levels before, and their files may be gone.
        (self.merging, self.prebuilt) = (Merging::new(), None);
        self.folder = Some(folder.clone());
        Ok(folder)
    }

    async fn publish(&mut self, folder: &IndexFolder, begun: Instant) -> Result<(), PublishError> {
        self.syncing.wait_until_at_most(MAX_UNSYNCED, folder).await?;
        let (prebuilt, cut) = (self.prebuilt, self.merging.cut());
        let before = self.with_merged().with_prebuilt(prebuilt);
        let form = self.handle.catalog_form();
        let catalog = before.catalog.filter(|catalog| catalog.form == form);
        let known = PublishedVersions {
            levels: before.levels.clone(),
            cut,
            catalog: catalog.map(|catalog| catalog.sequence),
            form,
            offers: Arc::clone(&self.offers),
        };
        let context = self.level_context(folder);
        let network_id = self.network_id;
        let content = self.store.read(move |c| content::build(c, &known, &context)).await?;
        let built = content.level.as_ref().map(|level| level.range.from);
        if built.into_iter().chain(prebuilt.map(|level| level.from)).any(|from| from < cut) {
            self.merging.cancel();
        }
        let left_out = content.catalog.as_ref().map(LeftOutOfCatalog::new);
        let to = folder.clone();
        let (mut next, mut manifest, unsynced) = on_disk(move || {
            let mut unsynced = Unsynced::default();
            let (next, manifest) = before.with_files(content, &to, network_id, &mut unsynced)?;
            Ok((next, manifest, unsynced))
        })
        .await?;

        let is_new = self.published.manifest.as_ref() != Some(&manifest);
        if is_new || manifest.generation < next.floor {
            manifest.generation = self.generations.next(next.floor).await?;
            self.announce(folder, &manifest, unsynced).await?;
            next.is_current_intact = true;
        }
        self.recipes.extend(self.merging.merged.take().and_then(|merged| merged.recipe));
        self.recipes.retain(|recipe| manifest.levels.contains(&recipe.level));
        next.manifest = Some(manifest);
        self.published = next;
        // Only now: the status describes the published catalog, never one that is still written.
        if let Some(left_out) = left_out {
            self.report_left_out(left_out);
        }
        self.prebuilt = None;
        self.report_published(begun);
        Ok(())
    }

    /// Announces `manifest` and starts to sync its files.
    async fn announce(
        &mut self,
        folder: &IndexFolder,
        manifest: &Manifest,
        mut unsynced: Unsynced,
    ) -> Result<(), PublishError> {
        self.syncing.take_finished(folder).await?;
        let (to, announced) = (folder.clone(), manifest.clone());
        let keeps_current = self.published.is_current_intact && self.syncing.is_durable();
        let unsynced = on_disk(move || {
            to.announce(&announced, keeps_current, &mut unsynced)?;
            Ok(unsynced)
        })
        .await?;
        self.syncing.begin(folder, unsynced);
        if self.published.manifest.is_none() {
            // The previous manifest, if there is one, is not known to be of this store's past. So
            // the first publication is durable before anything else happens.
            self.syncing.wait_until_at_most(0, folder).await?;
        }
        self.generations.published().await;
        Ok(())
    }

    pub(super) fn level_context(&self, folder: &IndexFolder) -> LevelContext {
        LevelContext { network_id: self.network_id, folder: folder.clone() }
    }

    /// The published levels, with the merged level substituted for its inputs.
    pub(super) fn with_merged(&self) -> Published {
        let mut published = self.published.clone();
        if let Some(merged) = &self.merging.merged {
            match level_policy::replace_merged(&published.levels, merged.info) {
                Some(levels) => published.levels = levels,
                None => tracing::debug!("merged level discarded: its inputs were replaced"),
            }
        }
        published
    }

    fn start_due_merge(&mut self, folder: &IndexFolder) {
        if self.merging.may_begin()
            && let Some(range) = level_policy::due_merge(&self.published.levels)
        {
            let context = self.level_context(folder);
            let levels = (&*self.published.levels, range);
            let merge = Merge::start(self.store.clone(), context, levels, self.handle.clone());
            self.merging.begin(merge);
        }
    }

    fn report_left_out(&self, LeftOutOfCatalog { closed_offers, objects }: LeftOutOfCatalog) {
        if closed_offers > 0 {
            tracing::error!(
                closed_offers,
                "offers with rules are closed: the running coupond does not know rules, so their \
                 visits get the fallback; upgrade coupond, or remove the rules"
            );
        }
        for object in &objects {
            tracing::warn!(object = object.what, error = object.error, "catalog skipped an object");
        }
        self.handle.update(|status| {
            status.left_out = objects;
            status.offers_closed_for_old_daemon = closed_offers;
        });
    }

    fn report_published(&self, begun: Instant) {
        let Some(manifest) = &self.published.manifest else { return };
        let took = begun.elapsed();
        tracing::debug!(
            generation = manifest.generation,
            sequence = manifest.sequence,
            levels = manifest.levels.len(),
            took_ms = took.as_millis(),
            "index published"
        );
        let entries = self.published.levels.iter().map(|level| level.codes).sum();
        self.handle.show_published(manifest, &self.recipes, entries, took);
    }
}
