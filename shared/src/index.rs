//! The index: levels and a catalog that belong together.
//!
//! Invariants, held by [`Index::assemble`]: all parts are those named by the manifest, of one
//! network and one lineage; the levels are newest first and leave no gap down to the base.
//! Therefore the first level with a code has all current rows of that code.

use crate::code::FoldedCode;
use crate::snapshot::SnapshotError;
use crate::snapshot::catalog::CatalogFile;
use crate::snapshot::level::{CodeRows, Level};
use crate::snapshot::manifest::Manifest;
use std::sync::Arc;

/// The levels and the catalog from which a daemon serves.
pub struct Index<D> {
    manifest: Manifest,
    catalog: Arc<CatalogFile>,
    levels: Vec<Level<D>>,
}

impl<D: AsRef<[u8]> + Clone> Index<D> {
    /// Assembles opened parts.
    ///
    /// # Errors
    /// [`SnapshotError::Mismatch`] where a part does not fit the manifest.
    pub fn assemble(
        manifest: Manifest,
        catalog: Arc<CatalogFile>,
        levels: Vec<Level<D>>,
    ) -> Result<Self, SnapshotError> {
        let index = Self { manifest, catalog, levels };
        index.check().map_err(|reason| SnapshotError::Mismatch { reason })?;
        Ok(index)
    }

    fn check(&self) -> Result<(), String> {
        let Manifest { network_id, lineage, sequence, catalog, levels, .. } = &self.manifest;
        let origin = (*network_id, *lineage);
        let of_catalog = self.catalog.meta();
        if *self.catalog.name() != catalog.0
            || (of_catalog.network_id, of_catalog.lineage) != origin
        {
            return Err("the catalog is not the one the manifest names".into());
        }
        let named = levels.iter().map(|name| name.0);
        let of_level = |level: &Level<D>| (level.meta().network_id, level.meta().lineage);
        if !named.eq(self.levels.iter().map(|level| *level.name()))
            || self.levels.iter().any(|level| of_level(level) != origin)
        {
            return Err("the levels are not those the manifest names".into());
        }
        self.check_ranges(*sequence)
    }

    fn check_ranges(&self, sequence: u64) -> Result<(), String> {
        let mut to = sequence;
        for (at, level) in self.levels.iter().enumerate() {
            let range = level.meta();
            let joined = if at == 0 { range.sequence_to <= to } else { range.sequence_to == to };
            if !joined || range.sequence_from > range.sequence_to {
                return Err(format!(
                    "level {at} holds changes {} to {}, which does not join {to}",
                    range.sequence_from, range.sequence_to
                ));
            }
            to = range.sequence_from;
        }
        if to == 0 { Ok(()) } else { Err(format!("no level holds the changes up to {to}")) }
    }

    /// All rows of a code, by ascending coupon code id; `None` for an unknown code.
    pub fn lookup(&self, code: &FoldedCode) -> Option<CodeRows<'_>> {
        self.lookup_by(|level| level.lookup(code))
    }

    /// Like [`Index::lookup`], with a look-up of the caller's own in each level, such as a cached
    /// one.
    #[inline]
    pub fn lookup_by<'i>(
        &'i self,
        in_level: impl FnMut(&'i Level<D>) -> Option<CodeRows<'i>>,
    ) -> Option<CodeRows<'i>> {
        self.levels.iter().find_map(in_level).filter(|rows| !rows.is_empty())
    }

    pub fn catalog(&self) -> &CatalogFile {
        &self.catalog
    }

    /// The catalog, shared so that the next index can use it too where its manifest names the same
    /// file.
    pub fn shared_catalog(&self) -> &Arc<CatalogFile> {
        &self.catalog
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The levels, newest first.
    pub fn levels(&self) -> &[Level<D>] {
        &self.levels
    }

    /// Number of the publication.
    pub fn generation(&self) -> u64 {
        self.manifest.generation
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::snapshot::Lineage;
    use crate::snapshot::catalog::{self, Catalog};
    use crate::snapshot::level::{CodeRecord, LevelBuilder, LevelMeta};
    use crate::snapshot::manifest::ObjectName;

    pub(crate) type Codes<'a> = &'a [(&'a str, &'a [CodeRecord])];

    pub(crate) fn level(range: (u64, u64), codes: Codes<'_>) -> Level<Arc<[u8]>> {
        let (sequence_from, sequence_to) = range;
        let lineage = Lineage([9; 16]);
        let meta = LevelMeta { network_id: 1, lineage, sequence_from, sequence_to };
        let mut builder = LevelBuilder::new(meta);
        for (code, rows) in codes {
            builder.push(&FoldedCode::fold(code.as_bytes()).unwrap(), rows).unwrap();
        }
        Level::open(builder.finish().unwrap().into()).unwrap()
    }

    pub(crate) fn assemble(
        catalog: &Catalog,
        levels: Vec<Level<Arc<[u8]>>>,
    ) -> Result<Index<Arc<[u8]>>, SnapshotError> {
        let file = catalog.to_file(&catalog::tests::meta()).unwrap();
        let catalog = Arc::new(CatalogFile::open(&file).unwrap());
        let manifest = Manifest {
            network_id: 1,
            lineage: Lineage([9; 16]),
            generation: 3,
            sequence: 9,
            catalog: ObjectName(*catalog.name()),
            levels: levels.iter().map(|level| ObjectName(*level.name())).collect(),
        };
        Index::assemble(manifest, catalog, levels)
    }

    pub(crate) fn row(code_id: u32, offer_id: u32, partner_id: u32) -> CodeRecord {
        CodeRecord {
            code_id,
            offer_id,
            partner_id,
            active: true,
            first_day: crate::civil_day::Day::FIRST,
            last_day: crate::civil_day::Day::LAST,
        }
    }

    #[test]
    fn the_newest_level_that_knows_a_code_wins() {
        let base: Codes<'_> =
            &[("aaa", &[row(1, 16, 1)]), ("bbb", &[row(2, 16, 1)]), ("ccc", &[row(3, 16, 1)])];
        let newer: Codes<'_> = &[("bbb", &[row(2, 17, 2)]), ("ccc", &[])];
        let index =
            assemble(&catalog::tests::sample(), vec![level((5, 9), newer), level((0, 5), base)])
                .unwrap();
        let rows = |code: &str| {
            let code = FoldedCode::fold(code.as_bytes()).unwrap();
            index.lookup(&code).map(|rows| rows.iter().collect::<Vec<_>>())
        };
        assert_eq!(rows("aaa"), Some(vec![row(1, 16, 1)]));
        assert_eq!(rows("bbb"), Some(vec![row(2, 17, 2)]));
        assert_eq!(rows("ccc"), None);
        assert_eq!(rows("ddd"), None);
    }

    #[test]
    fn levels_that_do_not_join_are_refused() {
        let refused = |levels| {
            matches!(
                assemble(&catalog::tests::sample(), levels),
                Err(SnapshotError::Mismatch { .. })
            )
        };
        assert!(refused(vec![level((6, 9), &[]), level((0, 5), &[])]), "a gap");
        assert!(refused(vec![level((4, 9), &[]), level((0, 5), &[])]), "an overlap");
        assert!(refused(vec![level((5, 9), &[])]), "no base");
        assert!(refused(vec![level((0, 10), &[])]), "newer than the manifest");
        assert!(!refused(vec![level((5, 7), &[]), level((0, 5), &[])]));
    }
}
