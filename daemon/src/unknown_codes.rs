//! The commonest of the codes that nobody made.
//!
//! A misprinted code, or one that was never entered, shows here. Visitors write what stands here,
//! so its size is fixed and so is the work for each visit: a code belongs to one small group; in a
//! full group a newcomer wears the rarest member down by one and takes its place at zero. A count
//! is therefore *at least*: what is left after the wear. The groups are chosen by a keyed hash, so
//! nobody can aim at one.

use std::hash::{BuildHasher, RandomState};

use coupon_shared::code::FoldedCode;

const GROUPS: usize = 64;
const GROUP_LEN: usize = 4;

/// An unknown code and how often it was asked for, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The code.
    pub code: FoldedCode,
    /// Visits, at least.
    pub visits: u64,
}

/// The commonest unknown codes of one thread, at most 256.
#[derive(Debug)]
pub struct UnknownCodes {
    groups: Box<[[Option<Seen>; GROUP_LEN]; GROUPS]>,
    hasher: RandomState,
}

impl Default for UnknownCodes {
    fn default() -> UnknownCodes {
        UnknownCodes { groups: Box::new([[None; GROUP_LEN]; GROUPS]), hasher: RandomState::new() }
    }
}

impl UnknownCodes {
    /// Counts a visit.
    pub fn count(&mut self, code: &FoldedCode) {
        let group = self.hasher.hash_one(code.as_bytes()) as usize % GROUPS;
        let group = &mut self.groups[group];
        if let Some(seen) = group.iter_mut().flatten().find(|seen| seen.code == *code) {
            seen.visits += 1;
            return;
        }
        let visits_at = |seen: &Option<Seen>| seen.map_or(0, |seen| seen.visits);
        let Some(rarest) = group.iter_mut().min_by_key(|seen| visits_at(seen)) else { return };
        match rarest {
            Some(seen) if seen.visits > 1 => seen.visits -= 1,
            place => *place = Some(Seen { code: *code, visits: 1 }),
        }
    }

    /// All that is kept, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Seen> {
        self.groups.iter().flatten().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> FoldedCode {
        FoldedCode::fold(text.as_bytes()).unwrap()
    }

    #[test]
    fn repeated_codes_are_counted() {
        let mut unknown = UnknownCodes::default();
        for _ in 0..5 {
            unknown.count(&code("Misprint"));
        }
        assert_eq!(
            unknown.iter().collect::<Vec<_>>(),
            [Seen { code: code("misprint"), visits: 5 }]
        );
    }

    #[test]
    fn a_common_code_outlives_a_flood_of_others_and_the_list_stays_small() {
        let mut unknown = UnknownCodes::default();
        for number in 0..50_000 {
            unknown.count(&code(&format!("flood{number}")));
            if number % 20 == 0 {
                unknown.count(&code("misprint"));
            }
        }
        assert!(unknown.iter().any(|seen| seen.code == code("misprint")));
        assert!(unknown.iter().count() <= 256);
    }
}
