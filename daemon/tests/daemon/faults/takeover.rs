//! Takes clicks from the feed as coupon-admin does, and compares them with the visits. Every run has
//! one run id, whatever ended it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use coupon_shared::click::StreamId;
use coupon_shared::feed::{
    Cursor, FeedQuestion, OLDEST_INCARNATION_HEADER, RUN_IDS_HEADER, RunIds, blocks, decode_run_ids,
};
use coupon_shared::node_identity::RunId;
use coupon_shared::transaction_id::TransactionId;

use super::visitors::Seen;
use crate::running::{Answer, Coupond, control_request};

const PATIENCE: Duration = Duration::from_secs(60);

/// The clicks taken so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Takeover {
    cursor: Cursor,
    runs: BTreeMap<StreamId, RunId>,
    oldest_incarnation: u32,
    taken: HashSet<TransactionId>,
    forgotten: u64,
    /// Records whose sequences were skipped.
    pub(super) missing: u64,
}

/// Clicks of visits that were answered, or possibly were.
#[derive(Debug, Default)]
pub(super) struct Expected {
    answered: HashSet<TransactionId>,
    /// Visits that were in flight at a fault: their clicks may or may not exist.
    in_flight: u64,
}

impl Expected {
    /// Adds the visits of a run that a fault ended with `in_flight` visits unanswered.
    pub(super) fn add(&mut self, seen: &Seen, in_flight: u64) {
        self.answered.extend(seen.visits.iter().map(|visit| visit.id));
        self.in_flight += in_flight;
    }

    pub(super) fn add_one(&mut self, id: TransactionId) {
        self.answered.insert(id);
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.len() as u64
    }
}

impl Takeover {
    /// Takes the clicks of one answer of the feed; `None` while the click log is not open or no
    /// daemon runs.
    pub(super) fn pull(&mut self, socket: &Path) -> Option<usize> {
        let mut asked = FeedQuestion::from(self.cursor.clone());
        asked.cursor.remove_incarnations_before(self.oldest_incarnation);
        asked.runs.clone_from(&self.runs);
        let answer =
            control_request(socket, "POST", "/clicks/feed?wait_ms=0", &asked.encode()).ok()?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            return None;
        }
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let head = Answer::parse(&answer[..end + 4]);
        let oldest = head.header(OLDEST_INCARNATION_HEADER).unwrap().parse().unwrap();
        self.oldest_incarnation = self.oldest_incarnation.max(oldest);
        let runs = decode_run_ids(head.header(RUN_IDS_HEADER).unwrap()).unwrap();
        Some(self.take(&answer[end + 4..], &runs))
    }

    fn take(&mut self, bytes: &[u8], runs: &RunIds) -> usize {
        let mut clicks = 0;
        for block in blocks(bytes).map(|block| block.unwrap()) {
            let (stream, run) = (block.stream(), runs[&block.stream().incarnation]);
            assert_eq!(*self.runs.entry(stream).or_insert(run), run, "another run of {stream:?}");
            let known = self.cursor.last(&stream);
            self.missing += block.first_sequence().saturating_sub(known + 1);
            let decoded = block.decode().unwrap();
            for (sequence, click) in (block.first_sequence()..).zip(decoded.clicks()) {
                let id = click.head.transaction_id;
                if sequence > known {
                    assert!(self.taken.insert(id), "click {id} came again");
                    clicks += 1;
                }
            }
            self.cursor.advance(stream, block.last_sequence());
        }
        clicks
    }

    pub(super) fn has(&self, id: &TransactionId) -> bool {
        self.taken.contains(id)
    }

    pub(super) fn taken(&self) -> u64 {
        self.forgotten + self.taken.len() as u64
    }

    /// Forgets the clicks taken so far, apart from their number: later clicks are compared with the
    /// visits from now on.
    pub(super) fn forget(&mut self) {
        self.forgotten += self.taken.len() as u64;
        self.taken.clear();
    }

    /// Takes all clicks and compares: each answered visit has exactly one click, and further clicks
    /// are at most as many as were in flight.
    pub(super) fn assert_matches(&mut self, coupond: &Coupond, expected: &Expected) {
        self.pull_all(coupond);
        let lost = expected.answered.difference(&self.taken).count();
        assert_eq!(lost, 0, "clicks lost of {} answered", expected.answered());
        let surplus = self.taken.len() as u64 - expected.answered();
        assert!(surplus <= expected.in_flight, "{surplus} clicks were never answered");
        assert_eq!(self.missing, 0, "clicks are missing from their streams");
    }

    /// Pulls until every ring of an earlier run is removed and no click is pending.
    pub(super) fn pull_all(&mut self, coupond: &Coupond) {
        let began = Instant::now();
        loop {
            // Checked before the pull: later clicks belong to the next round.
            let is_last = has_no_more(coupond);
            let taken = self.pull(&coupond.socket());
            if is_last && taken == Some(0) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the feed does not come to an end");
            if taken.is_none_or(|taken| taken == 0) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Whether all logged clicks of this run and of earlier runs are durable, and the click store has
/// caught up.
fn has_no_more(coupond: &Coupond) -> bool {
    let health = coupond.health();
    let incarnation = format!("ring-{}-", health["incarnation"]);
    let rings = std::fs::read_dir(coupond.path("run")).unwrap();
    let mut rings = rings.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_left = rings.any(|name| name.starts_with("ring-") && !name.starts_with(&incarnation));
    !is_left
        && coupond.metric("clicks_durable") == coupond.metric("clicks_logged_total")
        && coupond.metric("click_store_open") == 1
}
