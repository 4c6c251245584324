//! Builds the files of one publication from one read transaction.

use std::sync::{Arc, Mutex, PoisonError};

use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::catalog::CatalogMeta;
use coupon_shared::snapshot::level::LevelMeta;

use super::catalog_rows::{self, BuiltCatalog, CatalogRows, KnownOffers};
use super::error::ContentError;
use super::level_policy::{self, LevelInfo, Range};
use super::older_daemon::CatalogForm;
use crate::index_folder::{FinishedLevel, FolderError, IndexFolder, Unsynced};
use crate::store::ReadTx;
use crate::store::meta::{self, Meta, Sequence};
use crate::store::publication;

/// Versions of the published files, so that only changes are built.
#[derive(Debug, Clone, Default)]
pub(super) struct PublishedVersions {
    pub(super) levels: Vec<LevelInfo>,
    /// End of the running merge's range, else 0.
    pub(super) cut: Sequence,
    /// The last change in the published catalog; `None` forces a new one.
    pub(super) catalog: Option<Sequence>,
    /// The form of a new catalog.
    pub(super) form: CatalogForm,
    /// The offers of the last catalog.
    pub(super) offers: Arc<Mutex<KnownOffers>>,
}

/// The changed files of a publication.
pub(super) struct Content {
    pub(super) meta: Meta,
    pub(super) level: Option<NewLevel>,
    pub(super) catalog: Option<NewCatalog>,
}

pub(super) struct NewLevel {
    pub(super) range: Range,
    pub(super) file: FinishedLevel,
}

impl NewLevel {
    /// Gives the file its final name in the folder.
    pub(super) fn put(
        self,
        folder: &IndexFolder,
        unsynced: &mut Unsynced,
    ) -> Result<LevelInfo, FolderError> {
        let NewLevel { range: Range { from, to }, file } = self;
        let (name, codes) = folder.put_level(file, unsynced)?;
        Ok(LevelInfo { name, from, to, codes })
    }
}

pub(super) struct NewCatalog {
    pub(super) sequence: Sequence,
    pub(super) form: CatalogForm,
    pub(super) built: BuiltCatalog,
}

/// The network and folder of new levels.
#[derive(Debug, Clone)]
pub(super) struct LevelContext {
    pub(super) network_id: u32,
    pub(super) folder: IndexFolder,
}

/// Builds the changes since `known`.
pub(super) fn build(
    connection: &ReadTx<'_>,
    known: &PublishedVersions,
    context: &LevelContext,
) -> Result<Content, ContentError> {
    let meta = meta::read(connection)?;
    Ok(Content {
        level: new_level(connection, &known.levels, known.cut, &meta, context)?,
        catalog: new_catalog(connection, known, &meta, context.network_id)?,
        meta,
    })
}

/// Builds the level to be pushed on `published`; `None` if no code changed since.
pub(super) fn new_level(
    connection: &ReadTx<'_>,
    published: &[LevelInfo],
    cut: Sequence,
    meta: &Meta,
    context: &LevelContext,
) -> Result<Option<NewLevel>, ContentError> {
    let last = publication::last_code_change(connection)?;
    if published.first().is_some_and(|top| last <= top.to) {
        return Ok(None);
    }
    let from = level_policy::plan_level_start(published, cut, |after, limit| {
        publication::count_changed(connection, after, limit)
    })?;
    let range = Range { from, to: meta.change_seq };
    let file = write_level(connection, range, meta.lineage, context, || true)?;
    Ok(Some(NewLevel { range, file }))
}

/// Streams the codes changed after the range's start into a level. Stops when `is_wanted` is false.
pub(super) fn write_level(
    connection: &ReadTx<'_>,
    Range { from, to }: Range,
    lineage: [u8; 16],
    context: &LevelContext,
    is_wanted: impl Fn() -> bool,
) -> Result<FinishedLevel, ContentError> {
    let mut level = context.folder.begin_level(LevelMeta {
        network_id: context.network_id,
        lineage: Lineage(lineage),
        sequence_from: from,
        sequence_to: to,
    })?;
    let push = |code: &_, rows: &[_]| match is_wanted() {
        true => level.push(code, rows).map_err(ContentError::from),
        false => Err(ContentError::Cancelled),
    };
    match from {
        0 => publication::all_codes(connection, push)?,
        after => publication::changed_codes(connection, after, push)?,
    }
    Ok(level.finish()?)
}

fn new_catalog(
    connection: &ReadTx<'_>,
    known: &PublishedVersions,
    meta: &Meta,
    network_id: u32,
) -> Result<Option<NewCatalog>, ContentError> {
    if known.catalog == Some(meta.catalog_seq) {
        return Ok(None);
    }
    let sequence = meta.catalog_seq;
    let catalog_meta = CatalogMeta { network_id, lineage: Lineage(meta.lineage), sequence };
    let rows = CatalogRows::read(connection)?;
    let mut known_offers = known.offers.lock().unwrap_or_else(PoisonError::into_inner);
    // Taken out, so that after a failure the half-updated offers are gone and all are read again.
    let mut offers = std::mem::take(&mut *known_offers);
    offers.update(connection)?;
    let form = known.form;
    let built = catalog_rows::to_file(&rows, &mut offers, form, meta.click_id_key, &catalog_meta)?;
    *known_offers = offers;
    Ok(Some(NewCatalog { sequence, form, built }))
}
