//! The objects in the index folder: each is brought by one task at a time, checked, and kept while it
//! is needed.
//!
//! A merged level is made from its inputs where they are here: a base of all codes needs no transfer.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coupon_shared::snapshot::manifest::ObjectName;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::AgentShared;
use super::download::{self, DownloadError, Progress};
use crate::edges::head::IndexObject;
use crate::index_folder::{
    FinishedLevel, FolderError, IndexFolder, MergeError, MergeRecipe, ObjectFile, Unsynced,
    spawn_low_priority,
};

/// How long a level stays that was fetched ahead of its head. The control plane waits for two minutes
/// before it names the level.
const KEEP_AHEAD: Duration = Duration::from_secs(10 * 60);
/// How long a merge may take. Visitors come first on a busy machine, and edits must not wait longer for
/// the level than it takes to fetch it.
const LONGEST_MERGE: Duration = Duration::from_secs(30);
/// Most levels that stay ahead of their heads; a later one replaces the oldest.
const MAX_AHEAD: usize = 2;

/// Where an object comes from.
#[derive(Clone, Copy)]
pub(super) enum ObjectOrigin<'a> {
    /// The bytes came with the head.
    Inline(&'a [u8]),
    /// NATS, sealed with this key; or the levels of the recipe, if they are here.
    Nats { key_id: u32, recipe: Option<&'a MergeRecipe>, progress: &'a Arc<Progress> },
}

/// The objects in the index folder.
pub(super) struct FolderObjects {
    shared: Arc<AgentShared>,
    folder: IndexFolder,
    state: Mutex<State>,
    /// The objects under way.
    fetching: watch::Sender<HashSet<ObjectName>>,
}

#[derive(Default)]
struct State {
    /// The files that were fetched or read back since the start, or since coupond refused them. Any
    /// other file may be damaged, such as after a power cut.
    checked: HashSet<String>,
    ahead: AheadFiles,
}

impl FolderObjects {
    pub(super) fn new(shared: Arc<AgentShared>, folder: IndexFolder) -> FolderObjects {
        let (state, fetching) = (Mutex::default(), watch::Sender::default());
        FolderObjects { shared, folder, state, fetching }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has every file read back before it is used again.
    pub(super) fn distrust_all(&self) {
        self.state().checked.clear();
    }

    /// Has a level read back before it is used again.
    pub(super) fn distrust(&self, level: ObjectName) {
        self.state().checked.remove(&level.level_file());
    }

    /// Whether an object's file is there and whole. A damaged file is removed.
    pub(super) async fn has_whole(&self, object: IndexObject) -> Result<bool, DownloadError> {
        let file = object.file();
        if !self.folder.has(&file) {
            return Ok(false);
        }
        if self.state().checked.contains(&file) {
            return Ok(true);
        }
        let folder = self.folder.clone();
        let is_whole = on_disk(move || {
            let Err(error) = folder.check_object(&object.name, object.is_catalog) else {
                return Ok(true);
            };
            tracing::warn!(%error, "file of the index is damaged, and is fetched anew");
            folder.remove(&object.file())?;
            Ok(false)
        })
        .await?;
        if is_whole {
            self.state().checked.insert(file);
        }
        Ok(is_whole)
    }

    /// Brings an object unless its whole file is there. Waits for another task that brings it.
    pub(super) async fn bring(
        &self,
        object: IndexObject,
        origin: ObjectOrigin<'_>,
        unsynced: &mut Unsynced,
    ) -> Result<(), DownloadError> {
        let _turn = self.take_turn(object.name).await;
        self.bring_in_turn(object, origin, unsynced).await
    }

    /// Brings a level that no head names yet, makes it durable, and keeps it for a while.
    pub(super) async fn bring_ahead(
        &self,
        level: ObjectName,
        origin: ObjectOrigin<'_>,
    ) -> Result<(), DownloadError> {
        let _turn = self.take_turn(level).await;
        self.state().ahead.keep(level.level_file());
        let object = IndexObject { name: level, is_catalog: false };
        let mut unsynced = Unsynced::default();
        self.bring_in_turn(object, origin, &mut unsynced).await?;
        // In the turn: a head that names the file takes it for durable.
        let folder = self.folder.clone();
        on_disk(move || unsynced.sync(&folder)).await
    }

    async fn bring_in_turn(
        &self,
        object: IndexObject,
        origin: ObjectOrigin<'_>,
        unsynced: &mut Unsynced,
    ) -> Result<(), DownloadError> {
        if self.has_whole(object).await? {
            return Ok(());
        }
        let brought = match self.merge(object, origin).await? {
            Some(merged) => merged,
            None => self.fetch(object, origin).await?,
        };
        let file = object.file();
        self.folder.put_published(&file, brought, unsynced)?;
        self.state().checked.insert(file);
        Ok(())
    }

    async fn fetch(
        &self,
        object: IndexObject,
        origin: ObjectOrigin<'_>,
    ) -> Result<ObjectFile, DownloadError> {
        match origin {
            ObjectOrigin::Inline(bytes) => download::write_inline(&self.folder, object.name, bytes),
            ObjectOrigin::Nats { key_id, progress, recipe: _ } => {
                let unknown = DownloadError::UnknownKey { name: object.name, id: key_id };
                let key = self.shared.fleet_key(key_id).ok_or(unknown)?;
                download::fetch(&self.shared, &self.folder, object, (key_id, key), progress).await
            }
        }
    }

    /// Makes a level by its recipe; `None` if an input is missing, or another level comes out.
    async fn merge(
        &self,
        object: IndexObject,
        origin: ObjectOrigin<'_>,
    ) -> Result<Option<ObjectFile>, DownloadError> {
        let ObjectOrigin::Nats { recipe: Some(recipe), progress, .. } = origin else {
            return Ok(None);
        };
        if !self.has_inputs(recipe).await? || !self.has_room(recipe) {
            return Ok(None);
        }
        let began = Instant::now();
        progress.begin_merge();
        let merging = self.merge_files(recipe.newest_first.clone());
        let merged = timeout(LONGEST_MERGE, merging).await;
        progress.end_merge();
        let level = &object.name;
        let Ok(merged) = merged else {
            tracing::info!(%level, "level is fetched: this machine has no time to merge it");
            return Ok(None);
        };
        let merged = match merged {
            Ok(merged) if merged.name() == object.name => Ok(merged.into_object()),
            Ok(_) | Err(UselessMerge::Failed(MergeError::Levels(_))) => {
                Err(UselessMerge::OtherLevel(object.name))
            }
            Err(error) => Err(error),
        };
        let took_ms = began.elapsed().as_millis();
        match &merged {
            Ok(_) => tracing::info!(%level, took_ms, "level merged from the levels here"),
            Err(error) => {
                tracing::error!(%level, %error, "level is fetched instead of merged");
                // A damaged input is found when it is read back.
                recipe.newest_first.iter().for_each(|input| self.distrust(*input));
            }
        }
        // Other failures are mended by the transfer, or come again with it.
        let wrong = merged.as_ref().err().filter(|it| matches!(it, UselessMerge::OtherLevel(_)));
        self.shared.show_merge_problem(wrong.map(UselessMerge::to_string));
        Ok(merged.ok())
    }

    /// Whether all inputs are here. Waits for inputs that are being fetched: on a thin line the level
    /// of an import is still on its way when its merge is done.
    async fn has_inputs(&self, recipe: &MergeRecipe) -> Result<bool, DownloadError> {
        for input in recipe.newest_first.iter().filter(|input| **input != recipe.level) {
            let _turn = self.take_turn(*input).await;
            if !self.has_whole(IndexObject { name: *input, is_catalog: false }).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the disk has room for a merge: for the level, and for its records, which are written
    /// apart first.
    fn has_room(&self, recipe: &MergeRecipe) -> bool {
        let lengths = recipe.newest_first.iter();
        let lengths = lengths.filter_map(|input| self.folder.file_len(&input.level_file()));
        let needed = lengths.sum::<u64>().saturating_mul(2);
        self.folder.free_bytes().is_none_or(|free| free >= needed)
    }

    async fn merge_files(
        &self,
        newest_first: Vec<ObjectName>,
    ) -> Result<FinishedLevel, UselessMerge> {
        let (sender, merged) = oneshot::channel();
        let folder = self.folder.clone();
        spawn_low_priority("merge", move || {
            let merged = folder.merge_levels(&newest_first, || !sender.is_closed());
            // Where nobody waits any more, the result removes its file.
            let _ = sender.send(merged);
        })
        .map_err(UselessMerge::Thread)?;
        Ok(merged.await.map_err(|_panicked| UselessMerge::Aborted)??)
    }

    async fn take_turn(&self, name: ObjectName) -> FetchTurn<'_> {
        while !self.fetching.send_if_modified(|names| names.insert(name)) {
            // The channel cannot close: `self` holds its sender.
            let _ = self.fetching.subscribe().wait_for(|names| !names.contains(&name)).await;
        }
        FetchTurn { fetching: &self.fetching, name }
    }

    /// The unreferenced files that are not kept for a head to come.
    pub(super) fn removable(&self, mut unreferenced: HashSet<String>) -> HashSet<String> {
        self.state().ahead.retain_others(&mut unreferenced);
        unreferenced
    }

    /// Removes files.
    pub(super) async fn remove(&self, files: Vec<String>) -> Result<(), DownloadError> {
        self.state().checked.retain(|name| !files.contains(name));
        let folder = self.folder.clone();
        on_disk(move || folder.remove_all(&files)).await
    }
}

/// Why a level was not made by its recipe.
#[derive(Debug, thiserror::Error)]
enum UselessMerge {
    #[error(transparent)]
    Failed(#[from] MergeError),
    #[error(
        "level {0} does not follow from the levels that the control plane names for it, and was \
         fetched whole: use coupon-admin of one release here and there"
    )]
    OtherLevel(ObjectName),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error("the merge was broken off")]
    Aborted,
}

/// The right to bring one object.
struct FetchTurn<'a> {
    fetching: &'a watch::Sender<HashSet<ObjectName>>,
    name: ObjectName,
}

impl Drop for FetchTurn<'_> {
    fn drop(&mut self) {
        self.fetching.send_if_modified(|names| names.remove(&self.name));
    }
}

/// Files ahead of their heads, the oldest first. The clock of the machine does not count.
#[derive(Default)]
struct AheadFiles(VecDeque<(String, Instant)>);

impl AheadFiles {
    fn keep(&mut self, file: String) {
        self.0.retain(|(known, _)| *known != file);
        self.0.push_back((file, Instant::now()));
        if self.0.len() > MAX_AHEAD {
            self.0.pop_front();
        }
    }

    /// Leaves the files that are not kept, or no longer.
    fn retain_others(&mut self, files: &mut HashSet<String>) {
        self.0.retain(|(_, since)| since.elapsed() < KEEP_AHEAD);
        for (kept, _) in &self.0 {
            files.remove(kept);
        }
    }
}

pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FolderError> + Send + 'static,
) -> Result<T, DownloadError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_panicked| DownloadError::Aborted)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn files_ahead_of_their_heads_stay_within_bounds_of_time_and_number() {
        let mut ahead = AheadFiles::default();
        for file in ["a", "b", "a", "c"] {
            ahead.keep(file.to_owned());
        }
        let mut found = files(&["a", "b", "c", "old"]);
        ahead.retain_others(&mut found);
        assert_eq!(found, files(&["b", "old"]), "the oldest gave way");
        ahead.0[0].1 = Instant::now().checked_sub(KEEP_AHEAD).unwrap();
        let mut found = files(&["a", "c"]);
        ahead.retain_others(&mut found);
        assert_eq!(found, files(&["a"]), "given up");
    }
}
