//! The published index in the publisher's memory, and its recovery from the folder at start.

use bytes::Bytes;
use coupon_shared::index::Index;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, ObjectName, PREVIOUS};

use super::content::{Content, NewCatalog};
use super::error::PublishError;
use super::level_policy::{self, LevelInfo};
use super::older_daemon::CatalogForm;
use crate::index_folder::{IndexFolder, Unsynced};
use crate::store::meta::{Meta, Sequence};

/// Levels and catalog, known to be intact.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    /// The manifest in `CURRENT`; `None` unless published from this store's past.
    pub(super) manifest: Option<Manifest>,
    pub(super) levels: Vec<LevelInfo>,
    pub(super) catalog: Option<PublishedCatalog>,
    /// The lowest generation that may be announced, even if the store allows a lower one.
    pub(super) floor: u64,
    /// `CURRENT` and its files were read back, so `CURRENT` may become `CURRENT.prev`.
    pub(super) is_current_intact: bool,
}

/// The published catalog.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublishedCatalog {
    pub(super) name: ObjectName,
    /// The last change that it has.
    pub(super) sequence: Sequence,
    pub(super) form: CatalogForm,
}

impl Published {
    /// Adds a prebuilt level, whose change is committed by now.
    pub(super) fn with_prebuilt(mut self, prebuilt: Option<LevelInfo>) -> Published {
        let Some(prebuilt) = prebuilt else { return self };
        match level_policy::push_prebuilt(&self.levels, prebuilt) {
            Some(levels) => self.levels = levels,
            None => tracing::debug!("prebuilt level discarded: the level below was replaced"),
        }
        self
    }

    /// Writes the new files. The returned manifest carries the generation of the one before.
    pub(super) fn with_files(
        mut self,
        content: Content,
        folder: &IndexFolder,
        network_id: u32,
        unsynced: &mut Unsynced,
    ) -> Result<(Published, Manifest), PublishError> {
        if let Some(new) = content.level {
            self.levels = level_policy::push_level(&self.levels, new.put(folder, unsynced)?);
        }
        let catalog = match (content.catalog, self.catalog) {
            (None, Some(published)) => published.name,
            (Some(NewCatalog { sequence, form, built }), _) => {
                let name = folder.put_catalog(&built.file, unsynced)?;
                self.catalog = Some(PublishedCatalog { name, sequence, form });
                name
            }
            (None, None) => return Err(PublishError::Aborted),
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

    fn adopt_levels(&mut self, index: &Index<Bytes>) {
        let levels = index.levels().iter().map(|level| LevelInfo {
            name: ObjectName(*level.name()),
            from: level.meta().sequence_from,
            to: level.meta().sequence_to,
            codes: level.codes(),
        });
        self.levels = levels.collect();
    }
}

/// Recovers the levels of `CURRENT`, else of `CURRENT.prev`, if the manifest belongs to this
/// store's past and every byte is intact. Publication continues on top of these levels.
pub(super) fn recover_published(
    folder: &IndexFolder,
    meta: &Meta,
    reserved: u64,
    network_id: u32,
) -> Published {
    let mut published = Published::default();
    for name in [CURRENT, PREVIOUS] {
        let manifest = match folder.manifest(name) {
            Ok(manifest) => manifest,
            Err(error) => {
                tracing::info!(%error, "no published index recovered");
                continue;
            }
        };
        if manifest.lineage.0 == meta.lineage {
            published.floor = published.floor.max(manifest.generation);
        }
        let origin = origin(&manifest, meta, reserved, network_id);
        report_origin(name, origin);
        let is_wanted = match origin {
            Origin::ThisStore => published.levels.is_empty(),
            Origin::Unnoted => name == CURRENT,
            Origin::Other => false,
        };
        if !is_wanted {
            continue;
        }
        match folder.index(manifest) {
            Ok(index) => {
                published.is_current_intact |= name == CURRENT;
                if origin == Origin::ThisStore {
                    published.adopt_levels(&index);
                    published.manifest = (name == CURRENT).then(|| index.manifest().clone());
                }
            }
            Err(error) => tracing::error!(%error, file = name, "published index is damaged"),
        }
    }
    published
}

/// Origin of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Published from this store, and noted.
    ThisStore,
    /// Published with a generation reserved by this store and not noted. Either the process was
    /// killed in between, or the store was since replaced by a backup in which the same generations
    /// were reserved. So publication does not build on this index, but it is a better fallback than
    /// an older one.
    Unnoted,
    /// Published for another network or lineage, or from a later state of a store since
    /// replaced by its backup: the sequences may stand for other changes.
    Other,
}

fn origin(manifest: &Manifest, meta: &Meta, reserved: u64, network_id: u32) -> Origin {
    if manifest.lineage.0 != meta.lineage || manifest.network_id != network_id {
        Origin::Other
    } else if manifest.generation <= meta.generation && manifest.sequence <= meta.change_seq {
        Origin::ThisStore
    } else if (meta.generation + 1..=reserved).contains(&manifest.generation) {
        Origin::Unnoted
    } else {
        Origin::Other
    }
}

fn report_origin(name: &str, origin: Origin) {
    match origin {
        Origin::ThisStore => {}
        // Expected after a crash between publishing and noting.
        Origin::Unnoted => {
            tracing::info!(file = name, "last publication was not noted; publishing anew")
        }
        Origin::Other => {
            tracing::warn!(file = name, "index folder's manifest is not of this store's past")
        }
    }
}
