//! The bytes of one publication, out of one read transaction.

use coupon_shared::snapshot::level::{BuildError, LevelBuilder, LevelMeta};
use coupon_shared::snapshot::{Lineage, SnapshotError};
use rusqlite::Connection;

use super::catalog_rows::{self, CatalogRows, LeftOut};
use super::stack::{self, Placed};
use crate::store::meta::{self, Meta, Sequence};
use crate::store::{StoreError, publication};

/// What is published already, so that only the rest is built.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) levels: Vec<Placed>,
    /// The last catalog change the published catalog holds; `None` when it is to be built anew.
    pub(super) catalog: Option<Sequence>,
}

/// What has to be written.
pub(super) struct Content {
    pub(super) meta: Meta,
    pub(super) level: Option<NewLevel>,
    pub(super) catalog: Option<NewCatalog>,
}

pub(super) struct NewLevel {
    pub(super) from: Sequence,
    pub(super) to: Sequence,
    pub(super) bytes: Vec<u8>,
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

/// Builds what changed since `known`.
pub(super) fn build(
    connection: &Connection,
    known: &Known,
    network_id: u32,
) -> Result<Content, ContentError> {
    let meta = meta::read(connection)?;
    Ok(Content {
        level: new_level(connection, &known.levels, &meta, network_id)?,
        catalog: new_catalog(connection, known.catalog, &meta, network_id)?,
        meta,
    })
}

fn new_level(
    connection: &Connection,
    levels: &[Placed],
    meta: &Meta,
    network_id: u32,
) -> Result<Option<NewLevel>, ContentError> {
    let last = publication::last_code_change(connection)?;
    if levels.first().is_some_and(|top| last <= top.to) {
        return Ok(None);
    }
    let from =
        stack::plan(levels, |after, limit| publication::count_changed(connection, after, limit))?;
    let to = meta.change_seq;
    let mut builder = LevelBuilder::new(LevelMeta {
        network_id,
        lineage: Lineage(meta.lineage),
        sequence_from: from,
        sequence_to: to,
    });
    let push = |code: &_, rows: &[_]| builder.push(code, rows).map_err(ContentError::from);
    match from {
        0 => publication::all_codes(connection, push)?,
        after => publication::changed_codes(connection, after, push)?,
    }
    Ok(Some(NewLevel { from, to, bytes: builder.finish()? }))
}

fn new_catalog(
    connection: &Connection,
    known: Option<Sequence>,
    meta: &Meta,
    network_id: u32,
) -> Result<Option<NewCatalog>, ContentError> {
    if known == Some(meta.catalog_seq) {
        return Ok(None);
    }
    let rows = CatalogRows::read(connection)?;
    let (catalog, left_out) = catalog_rows::to_catalog(&rows, meta.click_id_key)?;
    let sequence = meta.catalog_seq;
    let bytes = catalog.to_file(&coupon_shared::snapshot::catalog::CatalogMeta {
        network_id,
        lineage: Lineage(meta.lineage),
        sequence,
    })?;
    Ok(Some(NewCatalog { sequence, bytes, left_out }))
}
