//! Which level a publication builds, and which levels are merged in the background.
//!
//! The stack of levels has the base at the bottom and a small level on top, which every edit
//! rebuilds. An edit waits for at most [`SMALL`] rows, occasionally for [`LARGE`]:
//!
//! - A full small level stays in place; the next edit begins a new level on top.
//! - A change of many rows, such as an import, becomes a level of its own, joined with the small
//!   level below. A free place remains for a new small level.
//! - Levels are merged in the background ([`due_merge`]). The base is included when the levels
//!   above reach an eighth of its size. So each row is merged few times, however long the history.
//!
//! A merge joins neighbouring levels below a **cut**; the result replaces these levels. Levels
//! published meanwhile lie above the cut and stay. Only a change too large for a free place above
//! the cut crosses the cut; the merge is then cancelled and started again later.

use coupon_shared::snapshot::manifest::{MAX_LEVELS, ObjectName};

use crate::store::meta::Sequence;

/// The most rows of a level that every edit rebuilds.
const SMALL: u64 = 1_000;
/// The most rows that are merged during an edit rather than in the background.
pub(super) const LARGE: u64 = 8_000;
/// A level is merged into the next level if the latter has less than this multiple of its codes.
const RATIO: u64 = 8;

/// Name, range and size of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LevelInfo {
    pub(super) name: ObjectName,
    /// The level holds the changes after `from`, up to `to`.
    pub(super) from: Sequence,
    pub(super) to: Sequence,
    pub(super) codes: u64,
}

/// Returns the sequence after which the new level begins; 0 for a new base. `changed` counts the
/// rows changed after a sequence, up to a limit. `cut` is the end of the running merge's range,
/// else 0.
pub(super) fn plan_level_start<E>(
    newest_first: &[LevelInfo],
    cut: Sequence,
    mut changed: impl FnMut(Sequence, u64) -> Result<u64, E>,
) -> Result<Sequence, E> {
    let Some(top) = newest_first.first() else { return Ok(0) };
    let levels = newest_first.len();
    let is_small = levels > 1 && top.codes <= SMALL && top.from >= cut;
    if is_small && changed(top.from, SMALL + 1)? <= SMALL {
        return Ok(top.from);
    }
    let new = changed(top.to, LARGE + 1)?;
    let is_crowded = levels == MAX_LEVELS;
    let joined = if new > LARGE || (is_crowded && top.codes > LARGE) {
        // Leaves a free place for a small level on top.
        levels.saturating_sub(MAX_LEVELS - 2).max(usize::from(is_small))
    } else if is_crowded {
        let is_joinable = |below: &LevelInfo| below.codes <= LARGE && below.from >= cut;
        if is_joinable(&newest_first[1]) { 2 } else { 1 }
    } else {
        usize::from(is_small && new > SMALL)
    };
    Ok(if joined == 0 { top.to } else { newest_first[joined - 1].from })
}

/// Pushes a new level, which replaces the levels within its range.
pub(super) fn push_level(newest_first: &[LevelInfo], new: LevelInfo) -> Vec<LevelInfo> {
    let kept = newest_first.iter().filter(|level| level.to <= new.from && new.from > 0);
    std::iter::once(new).chain(kept.copied()).collect()
}

/// Like [`push_level`]; `None` if the level below is gone.
pub(super) fn push_prebuilt(
    newest_first: &[LevelInfo],
    prebuilt: LevelInfo,
) -> Option<Vec<LevelInfo>> {
    let fits = prebuilt.from == 0 || newest_first.iter().any(|level| level.to == prebuilt.from);
    fits.then(|| push_level(newest_first, prebuilt))
}

/// The changes after `from`, up to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Sequence,
    pub(super) to: Sequence,
}

/// The range of the next due merge.
pub(super) fn due_merge(newest_first: &[LevelInfo]) -> Option<Range> {
    // The small level stays above the cut; so does the top level of a full stack.
    let is_above = |top: &LevelInfo| top.codes <= SMALL || newest_first.len() == MAX_LEVELS;
    let below_cut = match newest_first {
        [top, rest @ ..] if !rest.is_empty() && is_above(top) => rest,
        all => all,
    };
    let (newest, older) = below_cut.split_first()?;
    let mut merged = newest.codes;
    let mut from = None;
    let is_full = older.len() + 1 == MAX_LEVELS - 1 && newest.codes > LARGE;
    for (at, next) in older.iter().enumerate() {
        let is_pressing = at == 0 && is_full;
        if merged * RATIO < next.codes && !is_pressing {
            break;
        }
        merged += next.codes;
        from = Some(next.from);
    }
    from.map(|from| Range { from, to: newest.to })
}

/// Replaces the inputs by their merged level; `None` if an input is gone.
pub(super) fn replace_merged(
    newest_first: &[LevelInfo],
    merged: LevelInfo,
) -> Option<Vec<LevelInfo>> {
    let above = newest_first.iter().filter(|level| level.from >= merged.to);
    let below = newest_first.iter().filter(|level| level.to <= merged.from && merged.from > 0);
    let has_end = |sequence| newest_first.iter().any(|level| level.to == sequence);
    let fits = has_end(merged.to) && (merged.from == 0 || has_end(merged.from));
    fits.then(|| above.copied().chain([merged]).chain(below.copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn level(from: Sequence, to: Sequence, codes: u64) -> LevelInfo {
        LevelInfo { name: ObjectName([0; 32]), from, to, codes }
    }

    /// One row is changed by each sequence up to `now`.
    fn planned(stack: &[LevelInfo], cut: Sequence, now: Sequence) -> Sequence {
        let changed = |after: Sequence, limit| Ok::<_, Infallible>((now - after).min(limit));
        let Ok(from) = plan_level_start(stack, cut, changed);
        from
    }

    const BASE: LevelInfo =
        LevelInfo { name: ObjectName([0; 32]), from: 0, to: 100, codes: 10_000_000 };

    #[test]
    fn the_first_level_is_the_base() {
        assert_eq!(planned(&[], 0, 5), 0);
    }

    #[test]
    fn an_edit_rebuilds_only_the_small_level_on_top() {
        assert_eq!(planned(&[BASE], 0, 101), 100);
        assert_eq!(planned(&[level(100, 101, 1), BASE], 0, 102), 100);
        let import = level(100, 5_100, 5_000);
        assert_eq!(planned(&[import, BASE], 0, 5_101), 5_100);
        assert_eq!(planned(&[level(5_100, 5_101, 1), import, BASE], 0, 5_200), 5_100);
    }

    #[test]
    fn a_small_level_that_is_full_stays_under_a_new_one() {
        assert_eq!(planned(&[level(100, 1_100, 1_000), BASE], 0, 1_101), 1_100);
        let import = level(100, 30_100, 30_000);
        assert_eq!(planned(&[level(30_100, 31_100, 1_000), import, BASE], 0, 31_101), 31_100);
    }

    #[test]
    fn where_no_level_has_a_place_any_more_the_small_ones_are_joined() {
        let import = level(100, 30_100, 30_000);
        let full = [level(31_100, 32_100, 1_000), level(30_100, 31_100, 1_000), import, BASE];
        assert_eq!(planned(&full, 0, 32_101), 30_100);
        assert_eq!(planned(&full, 31_100, 32_101), 31_100, "not over the cut of a merge");
    }

    #[test]
    fn a_large_change_is_a_level_of_its_own_with_the_small_one_and_leaves_a_place() {
        assert_eq!(planned(&[BASE], 0, 1_000_000), 100);
        assert_eq!(planned(&[level(100, 200, 100), BASE], 0, 1_000_000), 100);
        let import = level(100, 30_100, 30_000);
        let small = level(30_100, 30_200, 100);
        assert_eq!(planned(&[small, import, BASE], 0, 1_000_000), 30_100);
        let middle = level(30_100, 33_100, 3_000);
        let full = [level(33_100, 33_200, 100), middle, import, BASE];
        assert_eq!(planned(&full, 0, 1_000_000), 30_100);
    }

    #[test]
    fn a_merge_is_due_when_levels_are_of_like_size() {
        let import = level(100, 1_000_100, 1_000_000);
        assert_eq!(due_merge(&[BASE]), None);
        assert_eq!(due_merge(&[import, BASE]), None, "an import is a level of its own");
        assert_eq!(due_merge(&[level(1_000_100, 1_000_200, 100), import, BASE]), None);
        let second = level(1_000_100, 2_000_100, 1_000_000);
        assert_eq!(due_merge(&[second, import, BASE]), Some(Range { from: 0, to: 2_000_100 }));
        let third = level(1_000_100, 1_200_100, 200_000);
        assert_eq!(due_merge(&[third, import, BASE]), Some(Range { from: 100, to: 1_200_100 }));
    }

    #[test]
    fn the_small_level_stays_above_the_cut() {
        let (older, newer) = (level(100, 2_100, 2_000), level(2_100, 3_200, 1_100));
        let small = level(3_200, 3_300, 100);
        assert_eq!(due_merge(&[small, newer, older, BASE]), Some(Range { from: 100, to: 3_200 }));
        let grown = LevelInfo { codes: 1_100, ..small };
        assert_eq!(due_merge(&[grown, newer, older, BASE]), Some(Range { from: 100, to: 3_200 }));
    }

    #[test]
    fn a_merged_level_takes_the_place_of_those_it_is_made_of() {
        let (older, newer) = (level(100, 2_100, 2_000), level(2_100, 3_200, 1_100));
        let small = level(3_200, 3_300, 100);
        let merged = level(100, 3_200, 3_000);
        assert_eq!(
            replace_merged(&[small, newer, older, BASE], merged),
            Some(vec![small, merged, BASE])
        );
        let base = level(0, 3_200, 10_000_000);
        assert_eq!(replace_merged(&[small, newer, older, BASE], base), Some(vec![small, base]));
        let crossing = level(2_100, 3_300, 1_200);
        assert_eq!(replace_merged(&[crossing, older, BASE], merged), None);
    }

    /// Events of a long history in which merges take a while.
    #[derive(Debug, Clone)]
    enum HistoryEvent {
        Change(u64),
        MergeEnds,
    }

    fn steps() -> impl Strategy<Value = Vec<HistoryEvent>> {
        let change = prop_oneof![
            6 => Just(1_u64), 3 => 1..2_000_u64, 1 => 1_000..20_000_u64, 1 => 20_000..1_500_000_u64
        ];
        let step = prop_oneof![3 => change.prop_map(HistoryEvent::Change), 1 => Just(HistoryEvent::MergeEnds)];
        proptest::collection::vec(step, 1..400)
    }

    proptest! {
        #[test]
        fn any_history_keeps_a_gapless_stack_that_an_edit_changes_cheaply(steps in steps()) {
            let mut stack = Vec::new();
            let mut now = 0;
            let mut merge: Option<Range> = None;
            for step in steps {
                match step {
                    HistoryEvent::Change(rows) => {
                        let rows_before = now;
                        now += rows;
                        let from = planned(&stack, merge.map_or(0, |merge| merge.to), now);
                        let is_edit = rows <= SMALL && !stack.is_empty();
                        // An edit rebuilds small levels only.
                        prop_assert!(!is_edit || rows_before - from.min(rows_before) <= 3 * LARGE
                            || stack.len() == MAX_LEVELS, "{stack:?} {from}");
                        stack = push_level(&stack, level(from, now, now - from));
                        merge = merge.filter(|merge| from >= merge.to);
                    }
                    HistoryEvent::MergeEnds => if let Some(Range { from, to }) = merge.take() {
                        let swapped = replace_merged(&stack, level(from, to, to - from));
                        prop_assert!(swapped.is_some(), "{stack:?} {from} {to}");
                        stack = swapped.unwrap();
                    }
                }
                merge = merge.or_else(|| due_merge(&stack));
                prop_assert!(stack.len() <= MAX_LEVELS);
                prop_assert_eq!(stack.last().map_or(0, |base| base.from), 0);
                prop_assert!(stack.windows(2).all(|pair| pair[0].from == pair[1].to), "{:?}", stack);
            }
            // Without changes, merges come to an end.
            for _ in 0..2 * MAX_LEVELS {
                if let Some(Range { from, to }) = due_merge(&stack) {
                    stack = replace_merged(&stack, level(from, to, to - from)).unwrap();
                }
            }
            prop_assert_eq!(due_merge(&stack), None);
        }
    }
}
