//! The indexes of a run, all written before it: a base and, above it, a small level that each edit
//! rebuilds, as coupon-admin publishes them.
//!
//! Each generation is a level swap (replaces the small level) or a base swap (also replaces the
//! base). In each small level the hottest codes lead to a page that names the generation, so
//! answers identify their index.

use std::collections::HashMap;
use std::path::Path;

use coupon_shared::snapshot::manifest::{Manifest, ObjectName};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::code_sampler::CodeSampler;
use crate::codes::CodeList;
use crate::server::published::{IndexFolder, Placed, offer_naming, placed};

/// Number of codes that name the generation: a sixth or more of Zipf traffic.
const NAMING: usize = 10;
/// The base holds changes up to 1; the small level above it makes the first generation.
pub(super) const FIRST_GENERATION: u64 = 2;

/// Kind of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Level,
    Base,
}

/// An index ready for publication.
pub(super) struct Publication {
    pub(super) kind: Kind,
    pub(super) manifest: Manifest,
}

/// Number of swaps of each kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) level_swaps: u32,
    pub(super) base_swaps: u32,
}

/// The codes of a run in the order of levels.
struct Levels {
    folder: IndexFolder,
    all: Vec<Placed>,
    /// Positions in `all` of the small level's codes; true for codes that name the generation.
    changed: Vec<(usize, bool)>,
}

impl Counts {
    /// Spreads the base swaps evenly among the level swaps.
    pub(super) fn in_order(self) -> impl Iterator<Item = Kind> {
        let Counts { level_swaps, base_swaps } = self;
        let total = level_swaps + base_swaps;
        (0..total).map(move |at| {
            let bases_up_to = |at: u32| {
                (u64::from(at) * u64::from(base_swaps) * 2 + u64::from(total))
                    / (u64::from(total) * 2)
            };
            if bases_up_to(at + 1) > bases_up_to(at) { Kind::Base } else { Kind::Level }
        })
    }
}

/// Writes all files, publishes the first index, and returns the folder and the further indexes.
pub(super) fn prepare(
    codes: &CodeList,
    seed: u64,
    level_codes: usize,
    counts: Counts,
    folder: &Path,
    bar: &ProgressBar,
) -> anyhow::Result<(IndexFolder, Vec<Publication>)> {
    let last = FIRST_GENERATION + u64::from(counts.level_swaps + counts.base_swaps);
    let levels = Levels::new(codes, seed, level_codes, IndexFolder::create(folder, last)?)?;
    let mut base_to = FIRST_GENERATION - 1;
    let mut base = levels.base(base_to)?;
    let small = levels.small(base_to, FIRST_GENERATION)?;
    levels.folder.publish(&levels.folder.manifest(FIRST_GENERATION, vec![small, base]))?;
    let mut publications = Vec::new();
    for (kind, generation) in counts.in_order().zip(FIRST_GENERATION + 1..) {
        if kind == Kind::Base {
            base_to = generation - 1;
            base = levels.base(base_to)?;
        }
        let small = levels.small(base_to, generation)?;
        let manifest = levels.folder.manifest(generation, vec![small, base]);
        publications.push(Publication { kind, manifest });
        bar.inc(1);
    }
    Ok((levels.folder, publications))
}

impl Levels {
    fn new(
        codes: &CodeList,
        seed: u64,
        level_codes: usize,
        folder: IndexFolder,
    ) -> anyhow::Result<Levels> {
        let all = placed(codes)?;
        let hottest = CodeSampler::hottest(codes.len(), seed).take(level_codes.max(1));
        let hottest: HashMap<usize, bool> =
            hottest.enumerate().map(|(rank, at)| (at, rank < NAMING)).collect();
        let changed = all.iter().enumerate();
        let changed = changed.filter_map(|(place, code)| Some((place, *hottest.get(&code.at)?)));
        let changed = changed.collect();
        Ok(Levels { folder, all, changed })
    }

    fn base(&self, to: u64) -> anyhow::Result<ObjectName> {
        self.folder.level(0..to, self.all.iter().copied())
    }

    fn small(&self, base_to: u64, generation: u64) -> anyhow::Result<ObjectName> {
        let codes = self.changed.iter().map(|(place, names)| {
            let code = self.all[*place];
            let offer = if *names { offer_naming(generation) } else { code.offer };
            Placed { offer, ..code }
        });
        self.folder.level(base_to..generation, codes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_swaps_are_spread_among_the_level_swaps() {
        let order = |level_swaps, base_swaps| {
            let kinds = Counts { level_swaps, base_swaps }.in_order();
            kinds.map(|kind| if kind == Kind::Base { 'B' } else { 'l' }).collect::<String>()
        };
        assert_eq!(order(20, 3), "lllBlllllllBlllllllBlll");
        assert_eq!(order(4, 2), "lBllBl");
        assert_eq!((order(3, 0), order(0, 2)), ("lll".into(), "BB".into()));
    }
}
