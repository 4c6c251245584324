//! A serving thread's cache of the positions of recently visited codes.
//!
//! A look-up in a large level reads a dozen places that no processor cache holds, and most visits
//! are of few codes. So each thread caches positions in a table of fixed size, with two codes per
//! cache line. The cache works by level: an edit adds a small level, and the cached positions in
//! the large levels stay valid.
//!
//! Invariant: a cached position is the level's own answer, because a level never changes and its
//! name is a hash of its contents. Codes that a level lacks are not cached: guessed codes rarely
//! repeat.

use std::hash::BuildHasher as _;

use coupon_shared::code::FoldedCode;
use coupon_shared::snapshot::level::{CodePosition, CodeRows, Level};
use foldhash::fast::RandomState;

use crate::file_bytes::FileBytes;
use crate::live_index::ServedIndex;

/// Pairs of codes of 64 bytes each: 2 MiB, of which unused parts are never touched.
const PAIRS: usize = 1 << 15;
/// Longer codes are not cached.
const MAX_CODE_LEN: usize = 19;
/// A look-up in a smaller level is as fast as the cache.
const MIN_LEVEL_CODES: u64 = 20_000;

#[derive(Debug)]
pub struct HotCodes {
    pairs: Box<[Pair]>,
    hasher: RandomState,
}

/// The code used last stands first; the second one is replaced.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Pair {
    first: HotCode,
    second: HotCode,
}

/// A code of a level and its position there.
#[derive(Debug, Clone, Copy, Default)]
struct HotCode {
    /// The first eight bytes of the level's name; 0 marks an empty entry.
    level: u64,
    place: CodePosition,
    code: [u8; MAX_CODE_LEN],
    code_len: u8,
}

const _: () = assert!(size_of::<Pair>() == 64);

impl Default for HotCodes {
    fn default() -> HotCodes {
        HotCodes { pairs: vec![Pair::default(); PAIRS].into(), hasher: RandomState::default() }
    }
}

impl HotCodes {
    /// Returns the same as [`ServedIndex::lookup`].
    #[inline]
    pub fn lookup<'i>(
        &mut self,
        index: &'i ServedIndex,
        code: &FoldedCode,
    ) -> Option<CodeRows<'i>> {
        index.lookup_by(|level| match HotCode::key(level, code) {
            Some(key) => self.locate(level, code, key).map(|place| level.rows_at(place)),
            None => level.lookup(code),
        })
    }

    #[inline]
    fn locate(
        &mut self,
        level: &Level<FileBytes>,
        code: &FoldedCode,
        key: HotCode,
    ) -> Option<CodePosition> {
        let pair = &mut self.pairs[key.hash(&self.hasher) as usize % PAIRS];
        if pair.first.matches(&key) {
            return Some(pair.first.place);
        }
        if pair.second.matches(&key) {
            // The code used last moves to the front; the other becomes the next to be replaced.
            std::mem::swap(&mut pair.first, &mut pair.second);
            return Some(pair.first.place);
        }
        // A code that the level lacks ends here and is not cached.
        let place = level.locate(code)?;
        pair.second = HotCode { place, ..key };
        Some(place)
    }
}

impl HotCode {
    /// An entry without position; `None` if this code is not cached in this level.
    #[inline]
    fn key(level: &Level<FileBytes>, code: &FoldedCode) -> Option<HotCode> {
        if level.codes() < MIN_LEVEL_CODES || code.as_bytes().len() > MAX_CODE_LEN {
            return None;
        }
        let name = level.name().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let code_len = code.as_bytes().len() as u8;
        Some(HotCode { level: name, place: CodePosition::default(), code: code.prefix(), code_len })
    }

    #[inline]
    fn matches(&self, key: &HotCode) -> bool {
        self.code == key.code && self.code_len == key.code_len && self.level == key.level
    }

    #[inline]
    fn hash(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one((self.level, self.code_len, self.code))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coupon_shared::civil_day::Day;
    use coupon_shared::snapshot::Lineage;
    use coupon_shared::snapshot::catalog::{Catalog, CatalogFile, CatalogMeta, ZoneOffset};
    use coupon_shared::snapshot::level::{CodeRecord, LevelBuilder, LevelMeta};
    use coupon_shared::snapshot::manifest::{Manifest, ObjectName};

    use super::*;

    const LINEAGE: Lineage = Lineage([1; 16]);
    const CODES: u32 = MIN_LEVEL_CODES as u32;

    fn code(number: u32) -> FoldedCode {
        FoldedCode::fold(format!("CODE{number:08}").as_bytes()).unwrap()
    }

    fn level(
        range: (u64, u64),
        codes: impl Iterator<Item = (FoldedCode, u32)>,
    ) -> Level<FileBytes> {
        let (sequence_from, sequence_to) = range;
        let meta = LevelMeta { network_id: 1, lineage: LINEAGE, sequence_from, sequence_to };
        let mut builder = LevelBuilder::new(meta);
        for (code, code_id) in codes {
            let row = CodeRecord {
                code_id,
                offer_id: 1,
                partner_id: 1,
                active: true,
                first_day: Day::FIRST,
                last_day: Day::LAST,
            };
            builder.push(&code, &[row][usize::from(code_id == 0)..]).unwrap();
        }
        Level::open(FileBytes::new(builder.finish().unwrap())).unwrap()
    }

    fn index(levels: Vec<Level<FileBytes>>) -> ServedIndex {
        let catalog = Catalog {
            click_id_key: [7; 16],
            zone: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
            fallback: None,
            offers: vec![],
            partners: vec![],
            approvals: vec![],
            domains: vec![],
            rules: vec![],
        };
        let meta = CatalogMeta { network_id: 1, lineage: LINEAGE, sequence: 1 };
        let catalog = CatalogFile::open(&catalog.to_file(&meta).unwrap()).unwrap();
        let manifest = Manifest {
            network_id: 1,
            lineage: LINEAGE,
            generation: 1,
            sequence: levels[0].meta().sequence_to,
            catalog: ObjectName(*catalog.name()),
            levels: levels.iter().map(|level| ObjectName(*level.name())).collect(),
        };
        ServedIndex::assemble(manifest, Arc::new(catalog), levels).unwrap()
    }

    fn asked(hot: &mut HotCodes, index: &ServedIndex, code: &FoldedCode) -> Option<u32> {
        let remembered = hot.lookup(index, code).map(|rows| rows.iter().next().unwrap().code_id);
        let found = index.lookup(code).map(|rows| rows.iter().next().unwrap().code_id);
        assert_eq!(remembered, found, "{code}");
        found
    }

    #[test]
    fn codes_asked_for_again_and_in_turn_are_found_where_they_are() {
        let index = index(vec![level((0, 1), (0..CODES).map(|n| (code(n), n + 1)))]);
        let mut hot = HotCodes::default();
        for n in (0..CODES).chain(0..CODES).chain((0..CODES).rev()) {
            assert_eq!(asked(&mut hot, &index, &code(n)), Some(n + 1));
            assert_eq!(asked(&mut hot, &index, &code(n % 7)), Some(n % 7 + 1));
            assert_eq!(asked(&mut hot, &index, &code(CODES + n)), None);
        }
    }

    #[test]
    fn a_code_is_not_taken_for_one_that_it_begins_or_that_is_too_long_to_remember() {
        let alike = ["codes", "codesx", "codesxcodesxcodesxc", "codesxcodesxcodesxcx"];
        let alike = alike.map(|code| FoldedCode::fold(code.as_bytes()).unwrap());
        let mut codes: Vec<_> = (0..CODES).map(code).chain(alike).collect();
        codes.sort_unstable();
        let index = index(vec![level((0, 1), codes.into_iter().zip(1..))]);
        let mut hot = HotCodes::default();
        let ids = [(); 2].map(|()| alike.map(|code| asked(&mut hot, &index, &code).unwrap()));
        assert_eq!(ids[0], ids[1]);
        assert!(ids[0].is_sorted());
    }

    #[test]
    fn what_a_newer_level_says_of_a_remembered_code_holds() {
        let base = level((0, 1), (0..CODES).map(|n| (code(n), n + 1)));
        let before = index(vec![base.clone()]);
        let mut hot = HotCodes::default();
        assert_eq!(asked(&mut hot, &before, &code(5)), Some(6));
        assert_eq!(asked(&mut hot, &before, &code(7)), Some(8));
        let edited = level((1, 2), [(code(5), 99_999), (code(7), 0)].into_iter());
        let after = index(vec![edited, base]);
        assert_eq!(asked(&mut hot, &after, &code(5)), Some(99_999));
        assert_eq!(asked(&mut hot, &after, &code(7)), None);
        assert_eq!(asked(&mut hot, &after, &code(9)), Some(10));
        let rebuilt = index(vec![level((0, 3), (0..CODES).map(|n| (code(n), n + 500)))]);
        assert_eq!(asked(&mut hot, &rebuilt, &code(5)), Some(505));
    }
}
