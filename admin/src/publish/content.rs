//! The files of one publication, out of one read transaction.

use std::sync::{Arc, Mutex, PoisonError};

use coupon_shared::snapshot::catalog::CatalogMeta;
use coupon_shared::snapshot::level::{BuildError, LevelMeta};
use coupon_shared::snapshot::{Lineage, SnapshotError};
use rusqlite::Connection;

use super::catalog_rows::{self, CatalogRows, KnownOffers, LeftOut};
use super::folder::{FinishedLevel, FolderError, IndexFolder, Unsynced};
use super::level_policy::{self, LevelInfo, Range};
use crate::store::meta::{self, Meta, Sequence};
use crate::store::{StoreError, publication};

/// What is published already, so that only the rest is built.
#[derive(Debug, Clone, Default)]
pub(super) struct PublishedVersions {
    pub(super) levels: Vec<LevelInfo>,
    /// The end of the merge under way, else 0.
    pub(super) cut: Sequence,
    /// The last catalog change the published catalog holds; `None` when it is to be built anew.
    pub(super) catalog: Option<Sequence>,
    /// The offers of the catalog that was made last.
    pub(super) offers: Arc<Mutex<KnownOffers>>,
}

/// What differs from what is published.
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
    /// Gives it its name in the folder.
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
    pub(super) bytes: Vec<u8>,
    /// Offers and URLs that could not be published.
    pub(super) left_out: Vec<LeftOut>,
}

/// Why the store's state could not be made into files.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A level could not be built.
    #[error("cannot build a level: {0}")]
    Level(#[from] BuildError),
    /// Nobody wants the level any more.
    #[error("the level was given up")]
    GivenUp,
    /// The catalog could not be built.
    #[error("cannot build the catalog: {0}")]
    Catalog(#[from] SnapshotError),
    /// The network's zone is not known to this program.
    #[error(
        "the time zone {zone} is not known here: choose another one in the settings ({source})"
    )]
    Zone {
        /// Its name.
        zone: String,
        /// Why not.
        source: jiff::Error,
    },
}

/// Where levels come from and go to.
#[derive(Debug, Clone)]
pub(super) struct LevelContext {
    pub(super) network_id: u32,
    pub(super) folder: IndexFolder,
}

/// Builds what changed since `known`.
pub(super) fn build(
    connection: &Connection,
    known: &PublishedVersions,
    place: &LevelContext,
) -> Result<Content, ContentError> {
    let meta = meta::read(connection)?;
    Ok(Content {
        level: new_level(connection, &known.levels, known.cut, &meta, place)?,
        catalog: new_catalog(connection, known, &meta, place.network_id)?,
        meta,
    })
}

/// The level that is to lie on those that are `published`, if any code changed since.
pub(super) fn new_level(
    connection: &Connection,
    published: &[LevelInfo],
    cut: Sequence,
    meta: &Meta,
    place: &LevelContext,
) -> Result<Option<NewLevel>, ContentError> {
    let last = publication::last_code_change(connection)?;
    if published.first().is_some_and(|top| last <= top.to) {
        return Ok(None);
    }
    let from = level_policy::plan(published, cut, |after, limit| {
        publication::count_changed(connection, after, limit)
    })?;
    let range = Range { from, to: meta.change_seq };
    let file = write_level(connection, range, meta.lineage, place, || true)?;
    Ok(Some(NewLevel { range, file }))
}

/// Writes what changed after the range's beginning, piece by piece, as long as `is_wanted`.
pub(super) fn write_level(
    connection: &Connection,
    Range { from, to }: Range,
    lineage: [u8; 16],
    place: &LevelContext,
    is_wanted: impl Fn() -> bool,
) -> Result<FinishedLevel, ContentError> {
    let mut level = place.folder.begin_level(LevelMeta {
        network_id: place.network_id,
        lineage: Lineage(lineage),
        sequence_from: from,
        sequence_to: to,
    })?;
    let push = |code: &_, rows: &[_]| match is_wanted() {
        true => level.push(code, rows).map_err(ContentError::from),
        false => Err(ContentError::GivenUp),
    };
    match from {
        0 => publication::all_codes(connection, push)?,
        after => publication::changed_codes(connection, after, push)?,
    }
    Ok(level.finish()?)
}

fn new_catalog(
    connection: &Connection,
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
    // Whatever breaks this off, what is half done is forgotten, and all offers are read next time.
    let mut offers = std::mem::take(&mut *known_offers);
    offers.follow(connection)?;
    let (bytes, left_out) =
        catalog_rows::to_file(&rows, &mut offers, meta.click_id_key, &catalog_meta)?;
    *known_offers = offers;
    Ok(Some(NewCatalog { sequence, bytes, left_out }))
}
