//! Joins neighbouring levels from their files alone.
//!
//! Equal levels give an equal result, byte for byte, on every machine: whoever has the levels can make
//! their merged level, and knows by its name whether it is the right one.

use fst::Streamer;
use fst::map::{IndexedValue, OpBuilder};

use super::{CodeRecord, Level, LevelMeta, folded_key};
use crate::code::FoldedCode;
use crate::snapshot::SnapshotError;

/// Neighbouring levels, which cover one range of changes together.
pub struct LevelMerge<'a, D> {
    newest_first: &'a [Level<D>],
    meta: LevelMeta,
}

impl<'a, D: AsRef<[u8]> + Clone> LevelMerge<'a, D> {
    /// # Errors
    /// When the levels are not of one store, or not neighbours.
    pub fn new(newest_first: &'a [Level<D>]) -> Result<LevelMerge<'a, D>, SnapshotError> {
        let mismatch = |reason: &str| SnapshotError::Mismatch { reason: reason.to_owned() };
        let (Some(newest), Some(oldest)) = (newest_first.first(), newest_first.last()) else {
            return Err(mismatch("there are no levels to merge"));
        };
        let are_neighbours = newest_first.windows(2).all(|pair| {
            let [newer, older] = [&pair[0].meta, &pair[1].meta];
            newer.network_id == older.network_id
                && newer.lineage == older.lineage
                && newer.sequence_from == older.sequence_to
        });
        if !are_neighbours {
            return Err(mismatch("the levels to merge are not neighbours"));
        }
        let meta = LevelMeta { sequence_from: oldest.meta.sequence_from, ..newest.meta };
        Ok(LevelMerge { newest_first, meta })
    }

    /// Store and range of the merged level.
    pub fn meta(&self) -> LevelMeta {
        self.meta
    }

    /// Visits each code of the merged level, in folded order, with all its rows; a deleted code has
    /// none. A base leaves deleted codes out, as nothing is below it.
    ///
    /// # Errors
    /// When a key is no folded code, or what `visit` answers.
    pub fn visit<E: From<SnapshotError>>(
        &self,
        mut visit: impl FnMut(&FoldedCode, &[CodeRecord]) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_base = self.meta.sequence_from == 0;
        let keys: OpBuilder<'_> =
            self.newest_first.iter().map(|level| level.fst.stream()).collect();
        let (mut keys, mut rows) = (keys.union(), Vec::new());
        while let Some((key, found)) = keys.next() {
            let code = folded_key(key)?;
            // The newest level with a code has all its rows.
            let Some(newest) = found.iter().min_by_key(|found| found.index) else { continue };
            rows.clear();
            rows.extend(self.rows(newest));
            if !rows.is_empty() || !is_base {
                visit(&code, &rows)?;
            }
        }
        Ok(())
    }

    fn rows(&self, found: &IndexedValue) -> impl Iterator<Item = CodeRecord> {
        self.newest_first[found.index].rows_from(found.value).iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::civil_day::Day;
    use crate::snapshot::Lineage;
    use crate::snapshot::level::LevelBuilder;

    const LINEAGE: Lineage = Lineage([9; 16]);

    fn meta(from: u64, to: u64) -> LevelMeta {
        LevelMeta { network_id: 1, lineage: LINEAGE, sequence_from: from, sequence_to: to }
    }

    fn row(code_id: u32, offer_id: u32) -> CodeRecord {
        CodeRecord {
            code_id,
            offer_id,
            partner_id: 7,
            active: true,
            first_day: Day::FIRST,
            last_day: Day::LAST,
        }
    }

    /// Codes with the offers of their rows; without one, deleted.
    type Codes = BTreeMap<String, Vec<u32>>;

    fn level(meta: LevelMeta, codes: &Codes) -> Level<Vec<u8>> {
        let mut level = LevelBuilder::new(meta);
        for (code, offers) in codes {
            let rows: Vec<_> = (1..).zip(offers).map(|(id, offer)| row(id, *offer)).collect();
            level.push(&FoldedCode::fold(code.as_bytes()).unwrap(), &rows).unwrap();
        }
        Level::open(level.finish().unwrap()).unwrap()
    }

    fn merged(newest_first: &[Level<Vec<u8>>]) -> Level<Vec<u8>> {
        let merge = LevelMerge::new(newest_first).unwrap();
        let mut level = LevelBuilder::new(merge.meta());
        merge
            .visit(|code, rows| {
                level.push(code, rows).unwrap();
                Ok::<_, SnapshotError>(())
            })
            .unwrap();
        Level::open(level.finish().unwrap()).unwrap()
    }

    #[test]
    fn levels_that_are_not_neighbours_are_refused() {
        let codes = Codes::new();
        let at = |from, to| level(meta(from, to), &codes);
        let foreign = LevelMeta { lineage: Lineage([8; 16]), ..meta(0, 5) };
        let other_network = LevelMeta { network_id: 2, ..meta(0, 5) };
        for levels in [
            vec![],
            vec![at(6, 9), at(0, 5)],
            vec![at(0, 5), at(5, 9)],
            vec![at(5, 9), level(foreign, &codes)],
            vec![at(5, 9), level(other_network, &codes)],
        ] {
            assert!(matches!(LevelMerge::new(&levels), Err(SnapshotError::Mismatch { .. })));
        }
        let levels = [at(7, 9), at(5, 7), at(2, 5)];
        assert_eq!(LevelMerge::new(&levels).unwrap().meta(), meta(2, 9));
    }

    fn changes() -> impl Strategy<Value = Codes> {
        proptest::collection::btree_map(
            "[ab]{3,5}",
            proptest::collection::vec(1..9_u32, 0..3),
            0..20,
        )
    }

    proptest! {
        #[test]
        fn a_merged_level_has_the_bytes_of_one_built_anew(
            oldest_first in proptest::collection::vec(changes(), 1..5),
            is_base in any::<bool>(),
        ) {
            let first = u64::from(!is_base);
            let levels = oldest_first.iter().zip(first..);
            let mut levels: Vec<_> =
                levels.map(|(codes, from)| level(meta(from, from + 1), codes)).collect();
            levels.reverse();
            let mut codes = Codes::new();
            for changed in &oldest_first {
                codes.extend(changed.clone());
            }
            codes.retain(|_, rows| !is_base || !rows.is_empty());
            let whole = level(meta(first, first + oldest_first.len() as u64), &codes);
            let merged = merged(&levels);
            merged.check_entries().unwrap();
            prop_assert_eq!(merged.name(), whole.name());
            prop_assert_eq!(merged.codes(), whole.codes());
        }
    }
}
