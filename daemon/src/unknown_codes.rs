//! The most frequent unknown codes.
//!
//! Misprinted codes and codes that were never entered show here. Visitors choose these codes, so
//! memory and work per visit are fixed: each code belongs to one small group. In a full group, a
//! new code lowers the count of the rarest member by one and replaces the member at zero. A count
//! is therefore a lower bound. A keyed hash assigns the groups, so no client can target one.

use std::hash::{BuildHasher, RandomState};

use coupon_shared::code::FoldedCode;

const GROUPS: usize = 64;
const GROUP_LEN: usize = 4;

/// An unknown code and its visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCode {
    pub code: FoldedCode,
    /// A lower bound.
    pub visits: u64,
}

/// The most frequent unknown codes of one thread, at most 256.
#[derive(Debug)]
pub struct UnknownCodes {
    groups: Box<[[Option<UnknownCode>; GROUP_LEN]; GROUPS]>,
    hasher: RandomState,
}

impl Default for UnknownCodes {
    fn default() -> UnknownCodes {
        UnknownCodes { groups: Box::new([[None; GROUP_LEN]; GROUPS]), hasher: RandomState::new() }
    }
}

impl UnknownCodes {
    pub fn count(&mut self, code: &FoldedCode) {
        let group = self.hasher.hash_one(code.as_bytes()) as usize % GROUPS;
        let group = &mut self.groups[group];
        if let Some(seen) = group.iter_mut().flatten().find(|seen| seen.code == *code) {
            seen.visits += 1;
            return;
        }
        let visits_at = |seen: &Option<UnknownCode>| seen.map_or(0, |seen| seen.visits);
        let Some(rarest) = group.iter_mut().min_by_key(|seen| visits_at(seen)) else { return };
        match rarest {
            Some(seen) if seen.visits > 1 => seen.visits -= 1,
            place => *place = Some(UnknownCode { code: *code, visits: 1 }),
        }
    }

    /// All listed codes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = UnknownCode> {
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
            [UnknownCode { code: code("misprint"), visits: 5 }]
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
