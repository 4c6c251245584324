//! Which level a publication builds: the newest, cheap one, or a larger one when that has grown.
//!
//! The stack has the base at the bottom, at most one middle level on it, and a small level on top
//! that is rebuilt by each edit. What has outgrown its place is rebuilt from the store over the
//! joined range, so an edit's cost depends on neither how many codes there are nor on what
//! happened before.

use coupon_shared::snapshot::manifest::ObjectName;

use crate::store::meta::Sequence;

/// A level with more rows than this is no longer rebuilt by every edit.
pub(super) const SMALL: u64 = 1_000;
/// A middle level may have at least so many rows, however small the base is.
const MIDDLE: u64 = 32_000;
/// A middle level may have one row for so many codes of the base.
const BASE_PER_MIDDLE: u64 = 8;
const MAX_LEVELS: usize = 3;

/// A published level, as far as the publisher needs to remember it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) name: ObjectName,
    /// Changes up to this one are older.
    pub(super) from: Sequence,
    pub(super) to: Sequence,
    pub(super) codes: u64,
}

/// Changes after which sequence the new level holds; 0 for a new base. `changed` counts the rows
/// changed after a sequence, up to a limit.
pub(super) fn plan<E>(
    newest_first: &[Placed],
    mut changed: impl FnMut(Sequence, u64) -> Result<u64, E>,
) -> Result<Sequence, E> {
    let (Some(top), Some(base)) = (newest_first.first(), newest_first.last()) else {
        return Ok(0);
    };
    let is_on_base = newest_first.len() == 1;
    let is_replaceable = !is_on_base && top.codes <= SMALL;
    let from = match is_replaceable || newest_first.len() >= MAX_LEVELS {
        true => top.from,
        false => top.to,
    };
    if changed(from, SMALL + 1)? <= SMALL {
        return Ok(from);
    }
    let most = MIDDLE.max(base.codes / BASE_PER_MIDDLE);
    if changed(base.to, most + 1)? <= most { Ok(base.to) } else { Ok(0) }
}

/// The stack with a new level on what it leaves of the old one.
pub(super) fn put(newest_first: &[Placed], new: Placed) -> Vec<Placed> {
    let kept = newest_first.iter().filter(|level| level.to <= new.from && new.from > 0);
    std::iter::once(new).chain(kept.copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn level(from: Sequence, to: Sequence, codes: u64) -> Placed {
        Placed { name: ObjectName([0; 32]), from, to, codes }
    }

    /// One row is changed by each sequence up to `now`.
    fn planned(stack: &[Placed], now: Sequence) -> Sequence {
        let Ok(from) = plan(stack, |after, limit| Ok::<_, Infallible>((now - after).min(limit)));
        from
    }

    #[test]
    fn the_first_level_is_the_base() {
        assert_eq!(planned(&[], 5), 0);
    }

    #[test]
    fn an_edit_rebuilds_only_the_small_level_on_top() {
        let base = level(0, 100, 100);
        assert_eq!(planned(&[base], 101), 100);
        assert_eq!(planned(&[level(100, 101, 1), base], 102), 100);
        let middle = level(100, 5_100, 5_000);
        assert_eq!(planned(&[middle, base], 5_101), 5_100);
        assert_eq!(planned(&[level(5_100, 5_101, 1), middle, base], 5_200), 5_100);
    }

    #[test]
    fn a_level_that_outgrew_its_place_is_joined_with_the_one_below() {
        let base = level(0, 100, 100);
        let middle = level(100, 5_100, 5_000);
        let small = level(5_100, 6_100, 1_000);
        assert_eq!(planned(&[small, middle, base], 6_101), 100);
        assert_eq!(planned(&[small, middle, base], 40_000), 0);
        let large = level(0, 100, 1_000_000);
        assert_eq!(planned(&[small, middle, large], 40_000), 100);
    }

    #[test]
    fn any_history_of_edits_keeps_a_gapless_stack_of_at_most_three() {
        let mut stack = Vec::new();
        let mut now = 0;
        for step in [1, 1, 900, 99, 1, 1, 5_000, 1, 2_000, 1, 40_000, 1, 30_000, 1, 500, 600, 1] {
            now += step;
            let from = planned(&stack, now);
            stack = put(&stack, level(from, now, now - from));
            assert!(stack.len() <= MAX_LEVELS);
            assert_eq!(stack.last().map(|base| base.from), Some(0));
            assert!(stack.windows(2).all(|pair| pair[0].from == pair[1].to), "{stack:?}");
        }
    }
}
