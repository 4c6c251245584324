//! The journal: this daemon's own clicks that the admin's counts may not include yet.
//!
//! A line is a click against a cap. The admin's next state covers lines by stream and sequence, and
//! covered lines are removed. The journal is bounded: without an admin for long, the oldest lines are
//! folded into sums. A sum does not know its sequences, so the sum stays until a state covers all
//! folded clicks, or until the window ends.

use std::collections::{HashMap, VecDeque};

use coupon_shared::click::StreamId;
use coupon_shared::visit_state::{CapWindow, PublishedState, WindowBounds};

/// Most lines: 32 MB.
const MAX_LINES: usize = 1_000_000;
/// Stands for the sequence of a click without room in its ring. No state covers such clicks.
const UNLOGGED: u64 = u64::MAX;

/// A click that counts against a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JournalLine {
    pub(super) stream: StreamId,
    pub(super) sequence: u64,
    pub(super) unix_seconds: i64,
    pub(super) cap_id: u32,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    lines: VecDeque<JournalLine>,
    sums: HashMap<(u32, CapWindow), WindowSum>,
    /// For each stream the last sequence in a sum.
    folded_to: HashMap<StreamId, u64>,
    folded: u64,
}

/// Folded clicks in one window.
#[derive(Debug, Clone, Copy)]
struct WindowSum {
    bounds: WindowBounds,
    clicks: u64,
}

impl Journal {
    pub(super) fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Lines folded into sums since the start.
    pub(super) fn folded(&self) -> u64 {
        self.folded
    }

    /// Adds a line. In a full journal the oldest line is folded; `bounds` gives the current windows
    /// of a cap.
    pub(super) fn push(
        &mut self,
        line: JournalLine,
        bounds: impl FnOnce(u32) -> Vec<(CapWindow, WindowBounds)>,
    ) {
        self.push_within(MAX_LINES, line, bounds);
    }

    fn push_within(
        &mut self,
        max_lines: usize,
        line: JournalLine,
        bounds: impl FnOnce(u32) -> Vec<(CapWindow, WindowBounds)>,
    ) {
        if self.lines.len() >= max_lines
            && let Some(oldest) = self.lines.pop_front()
        {
            self.fold(&oldest, bounds(oldest.cap_id));
        }
        self.lines.push_back(line);
    }

    fn fold(&mut self, line: &JournalLine, windows: Vec<(CapWindow, WindowBounds)>) {
        self.folded += 1;
        if line.sequence != UNLOGGED {
            let last = self.folded_to.entry(line.stream).or_default();
            *last = line.sequence.max(*last);
        }
        for (window, bounds) in windows {
            if !bounds.contain(line.unix_seconds) {
                continue;
            }
            let empty = WindowSum { bounds, clicks: 0 };
            let sum = self.sums.entry((line.cap_id, window)).or_insert(empty);
            if sum.bounds != bounds {
                *sum = empty;
            }
            sum.clicks += 1;
        }
    }

    /// Marks the newest lines of a click as not in any log.
    pub(super) fn mark_unlogged(&mut self, stream: StreamId, sequence: u64) {
        let newest = self.lines.iter_mut().rev();
        // Other threads may have added lines since.
        newest
            .take(1000)
            .filter(|line| line.stream == stream && line.sequence == sequence)
            .for_each(|line| line.sequence = UNLOGGED);
    }

    /// Removes the clicks that a state includes.
    pub(super) fn remove_covered(&mut self, state: &PublishedState) {
        self.lines.retain(|line| line.sequence > state.last_counted(&line.stream));
        let mut folded = self.folded_to.iter();
        if folded.all(|(stream, last)| *last <= state.last_counted(stream)) {
            self.folded_to.clear();
            self.sums.clear();
        }
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &JournalLine> {
        self.lines.iter()
    }

    /// Folded clicks of a cap in one window.
    pub(super) fn folded_clicks(
        &self,
        cap_id: u32,
        window: CapWindow,
        bounds: WindowBounds,
    ) -> u64 {
        let sum = self.sums.get(&(cap_id, window));
        sum.filter(|sum| sum.bounds == bounds).map_or(0, |sum| sum.clicks)
    }
}

#[cfg(test)]
mod tests {
    use coupon_shared::snapshot::Lineage;

    use super::*;

    const STREAM: StreamId = StreamId { node: 0, incarnation: 7, thread: 1 };
    const DAY: WindowBounds = WindowBounds { starts: 0, ends: 86_400 };

    fn line(sequence: u64) -> JournalLine {
        JournalLine { stream: STREAM, sequence, unix_seconds: 100, cap_id: 3 }
    }

    fn state_to(sequence: u64) -> PublishedState {
        let mut state = PublishedState::empty(1, Lineage([9; 16]), 0);
        state.counted.insert(STREAM, sequence);
        state
    }

    fn windows(_: u32) -> Vec<(CapWindow, WindowBounds)> {
        vec![(CapWindow::Daily, DAY), (CapWindow::Global, WindowBounds::ALWAYS)]
    }

    #[test]
    fn a_state_removes_the_lines_it_covers() {
        let mut journal = Journal::default();
        (1..=5).for_each(|sequence| journal.push(line(sequence), windows));
        journal.push(JournalLine { stream: StreamId { thread: 0, ..STREAM }, ..line(1) }, windows);
        journal.remove_covered(&state_to(3));
        let left: Vec<_> =
            journal.lines().map(|line| (line.stream.thread, line.sequence)).collect();
        assert_eq!(left, [(1, 4), (1, 5), (0, 1)]);
    }

    #[test]
    fn a_full_journal_keeps_the_sums_of_its_oldest_lines_until_all_are_covered() {
        let mut journal = Journal::default();
        (1..=5).for_each(|sequence| journal.push_within(2, line(sequence), windows));
        let sums = |journal: &Journal| {
            [(CapWindow::Daily, DAY), (CapWindow::Global, WindowBounds::ALWAYS)]
                .map(|(window, bounds)| journal.folded_clicks(3, window, bounds))
        };
        assert_eq!((sums(&journal), journal.len(), journal.folded()), ([3, 3], 2, 3));
        let tomorrow = WindowBounds { starts: 86_400, ends: 172_800 };
        assert_eq!(journal.folded_clicks(3, CapWindow::Daily, tomorrow), 0);
        journal.remove_covered(&state_to(2));
        assert_eq!(sums(&journal), [3, 3], "it is not known which are covered");
        journal.remove_covered(&state_to(3));
        assert_eq!((sums(&journal), journal.len()), ([0, 0], 2));
    }

    #[test]
    fn no_state_covers_a_click_that_is_in_no_log() {
        let mut journal = Journal::default();
        journal.push(line(1), windows);
        journal.push(line(2), windows);
        journal.mark_unlogged(STREAM, 2);
        journal.remove_covered(&state_to(1_000));
        assert_eq!(journal.len(), 1);
    }
}
