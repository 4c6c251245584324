//! Asks one daemon for its clicks.
//!
//! A question carries the cursor of the daemon's own streams alone, cut by the oldest incarnation
//! that the daemon still holds: a cursor of all streams would grow without bound, and acknowledge
//! clicks to a daemon that happens to number its own alike. So the daemon is identified first, and
//! the question names the data folder that may answer, and the run of each stream.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use coupon_shared::click::StreamId;
use coupon_shared::feed::{Cursor, FeedQuestion, MAX_CURSOR_ENTRIES, MAX_RUNS_PER_ANSWER};
use coupon_shared::node_identity::NodeIdentity;
use tokio::sync::{mpsc, oneshot, watch};

use super::answer_budget::{Allowance, AnswerBudget};
use super::batch::{AnswerOrigin, BlockRefusal};
use super::committer::{Acknowledged, ArchivedStreams, ArrivedBlocks, CommittedAnswer};
use super::{ClickIngestError, ClickIngestStatus, LONGEST_BACK_OFF, SHORTEST_BACK_OFF, now_ms};
use crate::daemon_client::{DaemonError, FeedAnswer, Identified};
use crate::nodes::{Daemon, NodeRegistry};
use crate::worker::{RetryDelays, Worker};

/// Longest time that the daemon waits for a click before an empty answer.
const WAIT: Duration = Duration::from_secs(1);
/// After a longer wait the daemon's process may have stood still, with earlier clicks in memory.
const LONGEST_PROMPT_ANSWER: Duration = Duration::from_secs(2);
/// Longest time from a click to its presence in the daemon's feed.
const SETTLED_AFTER_MS: u64 = 2_000;
/// Pause after a refused block, whose daemon goes on with the other streams.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(500);
/// Streams whose refused blocks are told apart; more of them count as one.
const MAX_REFUSED_STREAMS: usize = 1_024;

pub(super) struct ClickPoller {
    daemon: Daemon,
    nodes: NodeRegistry,
    acknowledged: Acknowledged,
    status: watch::Sender<ClickIngestStatus>,
    budget: AnswerBudget,
    /// Whether the daemon had more than the last answer.
    has_backlog: bool,
    /// As of the last answer; `None` until the daemon is identified.
    identified: Option<IdentifiedDaemon>,
    /// When the daemon was asked for the last time.
    asked: Option<Instant>,
    /// Since when the daemon has answered every question in time, by its clock.
    steady_since_ms: Option<u64>,
    /// Last refused sequence of each stream.
    refused: BTreeMap<StreamId, u64>,
    /// Streams of refused blocks in the last answer.
    refused_now: BTreeSet<StreamId>,
    has_refused: bool,
}

#[derive(Clone)]
struct IdentifiedDaemon {
    /// `None` for a daemon too old to state its identity.
    identity: Option<NodeIdentity>,
    oldest_incarnation: u32,
}

/// An answer on its way to the archive.
pub(super) struct PolledAnswer {
    pub(super) arrived: ArrivedBlocks,
    pub(super) committed: oneshot::Receiver<CommittedAnswer>,
    /// When the daemon had given all clicks of earlier times, by its clock.
    pub(super) complete_at_ms: Option<u64>,
    /// Held until the answer is archived.
    pub(super) allowance: Allowance,
}

impl ClickPoller {
    pub(super) fn new(
        daemon: Daemon,
        nodes: NodeRegistry,
        acknowledged: Acknowledged,
        status: watch::Sender<ClickIngestStatus>,
        budget: AnswerBudget,
    ) -> ClickPoller {
        ClickPoller {
            daemon,
            nodes,
            acknowledged,
            status,
            budget,
            has_backlog: false,
            identified: None,
            asked: None,
            steady_since_ms: None,
            refused: BTreeMap::new(),
            refused_now: BTreeSet::new(),
            has_refused: false,
        }
    }

    pub(super) fn sending_to(self, answers: mpsc::Sender<ArrivedBlocks>) -> PollerWorker {
        PollerWorker { poller: self, answers }
    }

    /// Asks once for clicks behind the acknowledged ones.
    pub(super) async fn poll_daemon(&mut self) -> Result<PolledAnswer, ClickIngestError> {
        if !self.has_backlog {
            self.daemon.click_pace.wait_until_due(self.asked).await;
        }
        let archived = self.acknowledged.wait_for(Option::is_some).await;
        let archived = archived.ok().and_then(|archived| archived.clone()).unwrap_or_default();
        let known = self.identify().await?;
        let asked = known.question(&archived, &self.refused_now, self.daemon.inherits_streams);
        let expected = known.identity.as_ref();
        let allowance = self.budget.allow(self.nodes.daemons().len(), self.has_backlog);
        let max_bytes = allowance.max_bytes;
        let (began, began_ms) = (Instant::now(), now_ms());
        self.asked = Some(began);
        let answer = self.daemon.client.feed(&asked, expected, WAIT, max_bytes).await?;
        if began.elapsed() > LONGEST_PROMPT_ANSWER {
            self.steady_since_ms = None;
        }
        let FeedAnswer { blocks, runs, given_bytes, daemon } = answer;
        let stamp = daemon.stamp.as_ref();
        let now_ms = stamp.map_or(began_ms, |stamp| stamp.now_ms);
        let identity = self.admit(&daemon).await?;
        self.has_backlog = given_bytes >= max_bytes / 2 || runs.len() >= MAX_RUNS_PER_ANSWER;
        let was_all = known.oldest_incarnation > 0 && !self.has_backlog;
        let origin = identity.map(|identity| AnswerOrigin { identity, runs });
        let (committed, is_committed) = oneshot::channel();
        Ok(PolledAnswer {
            arrived: ArrivedBlocks {
                blocks,
                origin,
                inherits_streams: self.daemon.inherits_streams,
                committed,
            },
            committed: is_committed,
            complete_at_ms: was_all.then_some(now_ms),
            allowance,
        })
    }

    async fn identify(&mut self) -> Result<IdentifiedDaemon, ClickIngestError> {
        if self.identified.is_none() {
            let daemon = self.daemon.client.identify().await?;
            self.admit(&daemon).await?;
        }
        let unknown = IdentifiedDaemon { identity: None, oldest_incarnation: 0 };
        Ok(self.identified.clone().unwrap_or(unknown))
    }

    async fn admit(
        &mut self,
        answer: &Identified,
    ) -> Result<Option<NodeIdentity>, ClickIngestError> {
        // Also after a refusal the next question must not acknowledge by this identity.
        self.identified = None;
        let identity = self.nodes.admit(&self.daemon, answer.stamp.as_ref()).await?;
        let oldest_incarnation = answer.oldest_incarnation;
        self.identified = Some(IdentifiedDaemon { identity: identity.clone(), oldest_incarnation });
        Ok(identity)
    }

    /// Takes the result of an answer that was handed to the committer.
    pub(super) async fn finish(
        &mut self,
        committed: oneshot::Receiver<CommittedAnswer>,
        is_empty: bool,
        complete_at_ms: Option<u64>,
    ) -> Result<(), ClickIngestError> {
        let result = match is_empty {
            true => CommittedAnswer { has_new: true, ..CommittedAnswer::default() },
            // The committer failed, shows why, and asks for the blocks again.
            false => match committed.await {
                Ok(result) => result,
                Err(_closed) => return Ok(()),
            },
        };
        self.count_refused(&result.refusals);
        let foreign = result.refusals.iter().filter_map(BlockRefusal::foreign_node);
        self.nodes.note_held(&self.daemon, foreign).await?;
        // A refused block holds clicks of earlier times, whoever made them.
        if let Some(now_ms) = complete_at_ms.filter(|_| result.refusals.is_empty()) {
            self.advance_passed_time(now_ms);
        }
        self.show(|status| {
            status.last_click_pull = Some((now_ms() / 1000) as i64);
            if let Some(last_ms) = result.last_click_ms {
                status.last_click_unix_ms = Some(last_ms);
                status.click_lag_ms = Some(now_ms().saturating_sub(last_ms));
            }
        });
        if let Some(refusal) = result.refusals.into_iter().next() {
            return Err(refusal.into());
        }
        if !result.has_new {
            // A daemon that repeats itself must not be polled in a tight loop.
            tokio::time::sleep(SHORTEST_BACK_OFF).await;
        }
        Ok(())
    }

    /// The daemon gave all it had: clicks made long enough before have arrived. A daemon that has
    /// just started may still process the rings of an earlier run.
    fn advance_passed_time(&mut self, now_ms: u64) {
        let steady_since_ms = *self.steady_since_ms.get_or_insert(now_ms);
        let passed = now_ms.saturating_sub(SETTLED_AFTER_MS);
        if passed >= steady_since_ms {
            self.nodes.set_passed(&self.daemon, passed);
        }
    }

    /// Counts each refused block of another daemon once, although the daemon gives it again.
    fn count_refused(&mut self, refusals: &[BlockRefusal]) {
        self.has_refused = !refusals.is_empty();
        let foreign = refusals.iter().filter_map(BlockRefusal::foreign_block);
        let streams = foreign.map(|(stream, _)| stream).take(MAX_REFUSED_STREAMS);
        self.refused_now = streams.collect();
        let mut count = 0;
        for (stream, last) in refusals.iter().filter_map(BlockRefusal::foreign_block) {
            let is_known = self.refused.contains_key(&stream);
            if is_known || self.refused.len() < MAX_REFUSED_STREAMS {
                let refused = self.refused.entry(stream).or_default();
                count += u64::from(last > *refused);
                *refused = last.max(*refused);
            }
        }
        if count > 0 {
            self.nodes.update(&self.daemon, |status| status.refused_blocks += count);
        }
    }

    fn show(&self, change: impl FnOnce(&mut crate::nodes::DaemonStatus)) {
        self.nodes.update(&self.daemon, change);
        self.status.send_modify(|status| status.show_daemons(&self.nodes));
    }
}

impl IdentifiedDaemon {
    /// The question for clicks behind the archived ones.
    fn question(
        &self,
        archived: &ArchivedStreams,
        refused: &BTreeSet<StreamId>,
        inherits_streams: bool,
    ) -> FeedQuestion {
        let mut cursor = self.cut(archived, inherits_streams);
        cursor.keep_newest(MAX_CURSOR_ENTRIES - refused.len());
        let run_of = |stream| archived.owners.get(&stream).and_then(|owner| owner.run);
        let runs = cursor.iter().filter_map(|(stream, _)| Some((stream, run_of(stream)?)));
        FeedQuestion { runs: runs.collect(), refused: refused.clone(), cursor }
    }

    /// The part of the cursor that concerns the daemon: the streams of its data folder, from the
    /// oldest incarnation that it still holds. Blocks of a left out stream come again. A stream of
    /// another folder would acknowledge clicks to this daemon that it numbers alike and that nobody
    /// has archived.
    fn cut(&self, archived: &ArchivedStreams, inherits_streams: bool) -> Cursor {
        match &self.identity {
            Some(identity) => {
                let mut own = archived.cursor.of_nodes(identity.nodes(), self.oldest_incarnation);
                own.retain(|stream| match archived.owners.get(stream) {
                    Some(owner) => {
                        let is_present = stream.incarnation == identity.incarnation;
                        let is_other =
                            is_present && owner.run.is_some_and(|run| identity.run != Some(run));
                        owner.store == identity.store && !is_other
                    }
                    // Archived before folders were told apart. Of several daemons it is that of the
                    // one which gives the archived clicks again.
                    None => inherits_streams,
                });
                own
            }
            None => {
                let mut all = archived.cursor.clone();
                all.remove_incarnations_before(self.oldest_incarnation);
                // Nobody knows whether the daemon has the folder of these.
                all.retain(|stream| !archived.owners.contains_key(stream));
                all
            }
        }
    }
}

/// A poller that hands its answers to the committer.
pub(super) struct PollerWorker {
    poller: ClickPoller,
    answers: mpsc::Sender<ArrivedBlocks>,
}

impl Worker for PollerWorker {
    const NAME: &'static str = "fetching of clicks";
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: SHORTEST_BACK_OFF, longest: LONGEST_BACK_OFF };
    type Error = ClickIngestError;

    fn label(&self) -> Cow<'static, str> {
        self.poller.daemon.work_label(Self::NAME)
    }

    async fn step(&mut self) -> Result<(), ClickIngestError> {
        self.poller.has_refused = false;
        let PolledAnswer { arrived, committed, complete_at_ms, allowance: _allowance } =
            self.poller.poll_daemon().await?;
        let is_empty = arrived.blocks.is_empty();
        if !is_empty && self.answers.send(arrived).await.is_err() {
            // At the end of the program.
            return std::future::pending().await;
        }
        self.poller.finish(committed, is_empty, complete_at_ms).await
    }

    async fn wait_for_retry(&mut self, delay: Duration) {
        let is_refusal = self.poller.has_refused;
        let delay = if is_refusal { delay.min(PAUSE_AFTER_REFUSAL) } else { delay };
        tokio::time::sleep(delay).await;
    }

    fn reset_after(&mut self, error: &ClickIngestError) {
        self.poller.reset_after(error);
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        self.poller.show(|status| status.click_error = failure.map(str::to_owned));
    }
}

impl ClickPoller {
    fn reset_after(&mut self, error: &ClickIngestError) {
        self.steady_since_ms = None;
        if matches!(error, ClickIngestError::Daemon(DaemonError::Refused { .. })) {
            // Another data folder may answer now.
            self.identified = None;
        }
    }
}
