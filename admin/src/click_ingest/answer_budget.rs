//! Bounds the memory of answers that are asked for and not archived yet.
//!
//! Each daemon has a share of one half of the budget, so no daemon waits for another one. A daemon
//! with a backlog gets more from the other half while there is some left.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::MAX_BYTES;

/// Bytes that all daemons may answer by their shares: 24 KiB each for 1,024 daemons.
const SHARED_BYTES: usize = 24 << 20;
/// Bytes beyond the shares.
const SPARE_BYTES: usize = 24 << 20;
/// Bytes of a question to a daemon with a backlog, where its share is less.
const BACKLOG_BYTES: usize = 1 << 20;

#[derive(Clone)]
pub(super) struct AnswerBudget {
    spare: Arc<Semaphore>,
}

/// The right to ask for one answer; dropped when the answer is archived.
pub(super) struct Allowance {
    pub(super) max_bytes: usize,
    _spare: Option<OwnedSemaphorePermit>,
}

impl AnswerBudget {
    pub(super) fn new() -> AnswerBudget {
        AnswerBudget { spare: Arc::new(Semaphore::new(SPARE_BYTES)) }
    }

    /// The allowance of one of so many daemons.
    pub(super) fn allow(&self, daemons: usize, has_backlog: bool) -> Allowance {
        let share = (SHARED_BYTES / daemons.max(1)).min(MAX_BYTES);
        let lacking = BACKLOG_BYTES.saturating_sub(share);
        let wanted = u32::try_from(lacking).ok().filter(|lacking| has_backlog && *lacking > 0);
        let spare =
            wanted.and_then(|bytes| Arc::clone(&self.spare).try_acquire_many_owned(bytes).ok());
        let max_bytes = if spare.is_some() { BACKLOG_BYTES } else { share };
        Allowance { max_bytes, _spare: spare }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_any_number_of_daemons_stay_within_the_budget() {
        for daemons in [1, 2, 6, 7, 64, 1_024] {
            let budget = AnswerBudget::new();
            let allowances: Vec<_> = (0..daemons).map(|_| budget.allow(daemons, true)).collect();
            let bytes: usize = allowances.iter().map(|allowance| allowance.max_bytes).sum();
            assert!(bytes <= SHARED_BYTES + SPARE_BYTES, "{daemons}: {bytes}");
            assert!(allowances.iter().all(|it| it.max_bytes >= SHARED_BYTES / 1_024), "{daemons}");
        }
    }

    #[test]
    fn an_only_daemon_answers_4_mib_and_one_of_many_more_than_its_share_in_a_backlog() {
        let budget = AnswerBudget::new();
        assert_eq!(budget.allow(1, false).max_bytes, 4 << 20);
        assert_eq!(budget.allow(1_024, false).max_bytes, 24 << 10);
        let backlogs: Vec<_> = (0..25).map(|_| budget.allow(1_024, true)).collect();
        assert_eq!(backlogs[0].max_bytes, 1 << 20);
        assert_eq!(backlogs[24].max_bytes, 24 << 10, "the others have the rest");
        drop(backlogs);
        assert_eq!(budget.allow(1_024, true).max_bytes, 1 << 20);
    }
}
