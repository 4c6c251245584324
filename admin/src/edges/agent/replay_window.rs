//! Notices a request that comes a second time: whoever reads the messages at NATS may repeat them.

use std::collections::{BTreeSet, VecDeque};

/// Numbers that are remembered. Requests overtake each other by far less.
const WINDOW: usize = 4_096;

/// The numbers of received requests. Numbers grow, with a few out of order.
#[derive(Debug, Default)]
pub(super) struct ReplayWindow {
    seen: BTreeSet<u64>,
    /// Everything up to here is refused.
    forgotten: u64,
}

impl ReplayWindow {
    /// Whether the number comes for the first time.
    pub(super) fn is_new(&mut self, number: u64) -> bool {
        if number <= self.forgotten || !self.seen.insert(number) {
            return false;
        }
        while self.seen.len() > WINDOW {
            self.forgotten = self.seen.pop_first().unwrap_or(self.forgotten);
        }
        true
    }
}

/// Runs of the control plane that are remembered after their end.
const MAX_ENDED_RUNS: usize = 64;

/// The run of the control plane that is followed, with its requests.
#[derive(Debug, Default)]
pub(super) struct FollowedRun {
    run: String,
    window: ReplayWindow,
    /// Runs before; a repeated request of one of them must not bring it back.
    ended: VecDeque<String>,
}

impl FollowedRun {
    /// Whether a request comes for the first time. A request of an unknown run ends the run before;
    /// the caller has checked that its epoch is not lower.
    pub(super) fn is_new(&mut self, run: &str, number: u64) -> bool {
        if self.ended.iter().any(|ended| ended == run) {
            return false;
        }
        if self.run != run {
            self.ended.push_back(std::mem::replace(&mut self.run, run.to_owned()));
            self.window = ReplayWindow::default();
            if self.ended.len() > MAX_ENDED_RUNS {
                self.ended.pop_front();
            }
        }
        self.window.is_new(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_once() {
        let mut window = ReplayWindow::default();
        let news = [3, 1, 2, 3, 1, 4].map(|number| window.is_new(number));
        assert_eq!(news, [true, true, true, false, false, true]);
        assert!((10..10 + 2 * WINDOW as u64).all(|number| window.is_new(number)));
        assert!(!window.is_new(5), "too old to be known as new");
        assert!(!window.is_new(20));
    }

    #[test]
    fn a_new_run_counts_anew_and_an_ended_one_never_comes_back() {
        let mut followed = FollowedRun::default();
        let news = [("a", 1), ("a", 1), ("b", 1), ("a", 2), ("b", 1), ("b", 2)];
        let news = news.map(|(run, number)| followed.is_new(run, number));
        assert_eq!(news, [true, false, true, false, false, true]);
    }
}
