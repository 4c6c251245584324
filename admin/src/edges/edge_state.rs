//! Decides the state of an edge, and says in words what is wrong and how to mend it; pure code.
//!
//! API, command line, console, health and metrics all show this state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use coupon_serve::tls::Validity;

use super::certificate_watch;
use super::hello::{DaemonHealth, LEASE_TIME};
use super::lease::HeardAgent;
use crate::nodes::{DaemonStatus, LEFT_OUT_AFTER};
use crate::store::edges::EdgeRow;

/// An edge that is behind the published generation for this long is lagging.
const LAGGING_AFTER: Duration = Duration::from_secs(10);
/// Clicks that are not taken in for this long are a problem.
const LONGEST_BACKLOG_S: u64 = 5 * 60;
/// A clock so little off is right: the hello takes time as well.
const LONGEST_SKEW_MS: u64 = 2_000;

/// Whether an edge does its work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EdgeState {
    /// Registered, and not serving yet.
    #[default]
    Joining,
    /// Serves the published generation, or did so within the last ten seconds.
    Live,
    /// Has not served the published generation for ten seconds.
    Lagging,
    /// The agent has sent no hello for 15 seconds, or its coupond does not answer.
    Silent,
    /// Works; another agent that speaks for the edge is refused.
    Conflict,
    /// Agent or coupond are refused: nothing is taken in.
    Refused,
    /// Given up by an operator.
    Revoked,
}

impl EdgeState {
    /// The word in the API and in lists.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EdgeState::Joining => "joining",
            EdgeState::Live => "live",
            EdgeState::Lagging => "lagging",
            EdgeState::Silent => "silent",
            EdgeState::Conflict => "conflict",
            EdgeState::Refused => "refused",
            EdgeState::Revoked => "revoked",
        }
    }

    /// Whether edge and control plane speak; `None` before the edge has joined and after its end.
    pub(crate) fn is_up(self) -> Option<bool> {
        match self {
            EdgeState::Joining | EdgeState::Revoked => None,
            EdgeState::Live | EdgeState::Lagging | EdgeState::Conflict => Some(true),
            EdgeState::Silent | EdgeState::Refused => Some(false),
        }
    }
}

/// State of one edge. Figures are those of the last hello, and `null` where an agent or coupond is
/// too old to state them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EdgeStatus {
    pub name: String,
    pub node_id: u16,
    pub state: EdgeState,
    /// Registration, in Unix seconds.
    pub time_registered: i64,
    /// Revocation, in Unix seconds; 0 for an edge in service.
    pub time_revoked: i64,
    /// Time of the last hello, in Unix seconds.
    pub last_heard: Option<i64>,
    /// Machine of the agent.
    pub host: Option<String>,
    /// Version of the agent.
    pub version: Option<String>,
    pub coupond_version: Option<String>,
    /// The generation that its coupond serves.
    pub served_generation: Option<u64>,
    /// Published generations that its coupond does not serve yet.
    pub generations_behind: Option<u64>,
    /// For how long its coupond has not served the published generation.
    pub generation_lag_ms: Option<u64>,
    /// Time of the last click taken in since the start of coupon-admin, in Unix milliseconds by the
    /// edge's clock.
    pub last_click_unix_ms: Option<u64>,
    /// Delay from this click to its count.
    pub click_lag_ms: Option<u64>,
    /// Blocks of clicks at the edge that are not taken in.
    pub blocks_waiting: Option<u64>,
    /// All clicks that are older than this are taken in.
    pub backlog_age_ms: Option<u64>,
    /// Bytes of its coupond's click log, with blocks that are taken in.
    pub wal_bytes: Option<u64>,
    /// Most bytes of this log.
    pub wal_max_bytes: Option<u64>,
    /// Clicks that its coupond could not keep since its start.
    pub clicks_unlogged: Option<u64>,
    /// Postbacks at the edge without a verdict.
    pub postbacks_waiting: Option<u64>,
    pub disk_free_bytes: Option<u64>,
    /// The machine's clock minus the clock of coupon-admin, about.
    pub clock_offset_ms: Option<i64>,
    /// End of the certificate of the NATS server that it reaches, in Unix seconds.
    pub server_certificate_end: Option<i64>,
    /// What is wrong, each a sentence that says how to mend it.
    pub problems: Vec<String>,
}

impl EdgeStatus {
    /// A registered edge of which nothing else is known.
    fn registered(row: &EdgeRow) -> EdgeStatus {
        EdgeStatus {
            name: row.name.clone(),
            node_id: row.node,
            state: if row.is_in_service() { EdgeState::Joining } else { EdgeState::Revoked },
            time_registered: row.created,
            time_revoked: row.revoked,
            ..EdgeStatus::default()
        }
    }
}

/// The registered edges with the state of each: that of the running control plane, where there is one.
/// `last_seen` holds the stored time of each node's last answer.
pub(crate) fn registered_edges(
    rows: &[EdgeRow],
    running: Vec<EdgeStatus>,
    last_seen: &BTreeMap<u16, i64>,
) -> Vec<EdgeStatus> {
    let mut running: BTreeMap<u16, EdgeStatus> =
        running.into_iter().map(|edge| (edge.node_id, edge)).collect();
    let status = |row: &EdgeRow| {
        let known = running.remove(&row.node).filter(|_| row.is_in_service());
        let mut edge = known.unwrap_or_else(|| EdgeStatus::registered(row));
        edge.last_heard = edge.last_heard.or_else(|| last_seen.get(&row.node).copied());
        edge
    };
    rows.iter().map(status).collect()
}

/// Everything that decides the state of an edge.
pub(super) struct EdgeObservation {
    pub(super) name: String,
    pub(super) node: u16,
    /// Registration, in Unix seconds.
    pub(super) created: i64,
    /// Whether an agent with a coupond ever spoke for the edge.
    pub(super) was_heard: bool,
    /// Time since the start of the control plane, for an edge that was heard before that.
    pub(super) awaited_for: Option<Duration>,
    pub(super) agent: Option<HeardAgent>,
    /// Why an agent was refused a moment ago.
    pub(super) refusal: Option<String>,
    pub(super) daemon: DaemonStatus,
    pub(super) published_generation: u64,
    pub(super) generation_lag: Duration,
    /// The certificate of the server that the control plane reaches.
    pub(super) own_certificate: Option<Validity>,
    /// The control plane's clock, in Unix milliseconds.
    pub(super) now_ms: i64,
}

impl EdgeObservation {
    pub(super) fn into_status(self) -> EdgeStatus {
        let served = self.served_generation();
        let health = self.health();
        let state = self.state();
        let agent = self.agent.as_ref();
        let is_joined = state.is_up().is_some();
        EdgeStatus {
            name: self.name.clone(),
            node_id: self.node,
            state,
            time_registered: self.created,
            time_revoked: 0,
            last_heard: agent.map(|agent| (self.now_ms - millis(agent.age)) / 1_000),
            host: agent.map(|agent| agent.hello.host.clone()),
            version: agent.map(|agent| agent.hello.version.clone()),
            coupond_version: health.version,
            served_generation: served,
            generations_behind: served.map(|s| self.published_generation.saturating_sub(s)),
            generation_lag_ms: is_joined.then(|| millis(self.generation_lag).unsigned_abs()),
            last_click_unix_ms: self.daemon.last_click_unix_ms,
            click_lag_ms: self.daemon.click_lag_ms,
            blocks_waiting: health.blocks_waiting,
            backlog_age_ms: self.backlog_age_ms(),
            wal_bytes: health.wal_bytes,
            wal_max_bytes: health.wal_max_bytes,
            clicks_unlogged: health.clicks_unlogged,
            postbacks_waiting: health.postbacks_waiting,
            disk_free_bytes: health.disk_free_bytes,
            clock_offset_ms: agent.map(|agent| agent.clock_offset_ms),
            server_certificate_end: self.server_certificate().map(|dates| dates.not_after),
            problems: self.problems(state),
        }
    }

    /// The agent, if it is not silent.
    fn alive(&self) -> Option<&HeardAgent> {
        self.agent.as_ref().filter(|agent| agent.age < LEASE_TIME)
    }

    fn state(&self) -> EdgeState {
        let alive = self.alive();
        let is_silent = alive.is_none_or(|agent| agent.hello.daemon.is_none());
        match (alive, &self.refusal) {
            _ if self.daemon.conflict.is_some() => EdgeState::Refused,
            (None, Some(_)) => EdgeState::Refused,
            (Some(_), Some(_)) => EdgeState::Conflict,
            _ if is_silent && self.was_heard => EdgeState::Silent,
            _ if is_silent || self.served_generation().is_none() => EdgeState::Joining,
            _ if self.generation_lag >= LAGGING_AFTER => EdgeState::Lagging,
            _ => EdgeState::Live,
        }
    }

    /// As of the last answer to the publisher, else of the last hello.
    fn served_generation(&self) -> Option<u64> {
        let hello = self.agent.as_ref().and_then(|agent| agent.hello.daemon.as_ref());
        self.daemon.served_generation.or_else(|| hello.and_then(|daemon| daemon.generation))
    }

    fn health(&self) -> DaemonHealth {
        let daemon = self.agent.as_ref().and_then(|agent| agent.hello.daemon.as_ref());
        daemon.and_then(|daemon| daemon.health.clone()).unwrap_or_default()
    }

    /// Clicks carry the time of the edge, so the age is by its clock.
    fn backlog_age_ms(&self) -> Option<u64> {
        let passed = i64::try_from(self.daemon.passed_unix_ms).ok().filter(|passed| *passed > 0);
        let Some(passed) = passed else {
            return self.awaited_for.map(|time| millis(time).unsigned_abs());
        };
        let offset = self.agent.as_ref().map_or(0, |agent| agent.clock_offset_ms);
        u64::try_from(self.now_ms.saturating_add(offset) - passed).ok().or(Some(0))
    }

    fn problems(&self, state: EdgeState) -> Vec<String> {
        let mut problems: Vec<String> = Vec::new();
        problems.extend(self.refusal.clone());
        problems.extend(self.daemon.conflict.clone());
        problems.extend((state == EdgeState::Silent).then(|| self.silence()));
        problems.extend((state == EdgeState::Lagging).then(|| self.lag()));
        let told = self.alive().into_iter().flat_map(|agent| agent.hello.problems.iter());
        problems.extend(told.cloned());
        // The silence is the reason, and says so.
        if state.is_up() == Some(true) {
            problems.extend(self.backlog());
            problems.extend(self.skew());
            problems.extend(self.certificate());
        }
        problems
    }

    fn silence(&self) -> String {
        if self.alive().is_some() {
            return "its coupond does not answer, so its visitors are not served: there, \
                    `systemctl status coupond`"
                .to_owned();
        }
        let silence = self.agent.as_ref().map(|agent| agent.age).or(self.awaited_for);
        let silence = silence.unwrap_or_default();
        let name = &self.name;
        let smart_switch = match silence < LEFT_OUT_AFTER {
            true => {
                format!("wait for them, SmartSwitch rules for {} at most", duration(LEFT_OUT_AFTER))
            }
            false => "wait for them; SmartSwitch rules go on without them".to_owned(),
        };
        format!(
            "no hello for {}: check its machine and network, and there `systemctl status coupon-edge`. \
             Its clicks and sales stay there, and sales that name its clicks {smart_switch}. If it is \
             gone for good, give it up with `coupon-admin edges revoke {name}`",
            duration(silence)
        )
    }

    fn lag(&self) -> String {
        let served = self.served_generation().unwrap_or(0);
        let (published, time) = (self.published_generation, duration(self.generation_lag));
        let reason = self.daemon.publication_error.as_deref();
        let reason = reason.unwrap_or("there, look into `journalctl -u coupon-edge`");
        format!("serves generation {served} for {time} although {published} is published: {reason}")
    }

    fn backlog(&self) -> Option<String> {
        let age_s = self.backlog_age_ms()? / 1_000;
        let time = duration(Duration::from_secs(age_s));
        let reason = self.daemon.click_error.as_deref();
        let reason = reason.unwrap_or("they are fetched as fast as its network allows");
        (age_s > LONGEST_BACKLOG_S)
            .then(|| format!("its clicks of the last {time} are not all taken in: {reason}"))
    }

    fn skew(&self) -> Option<String> {
        let offset = self.agent.as_ref()?.clock_offset_ms;
        let seconds = offset.unsigned_abs().div_ceil(1_000);
        let word = if offset < 0 { "slow" } else { "fast" };
        (offset.unsigned_abs() > LONGEST_SKEW_MS).then(|| {
            format!(
                "its clock is {seconds} s {word}: have it set over the network there \
                 (`timedatectl set-ntp true`)"
            )
        })
    }

    fn server_certificate(&self) -> Option<Validity> {
        let (not_before, not_after) = self.agent.as_ref()?.hello.server_certificate?;
        Some(Validity { not_before, not_after })
    }

    /// The certificate of the control plane's own server is told once, not for each edge.
    fn certificate(&self) -> Option<String> {
        let dates = self.server_certificate().filter(|dates| Some(*dates) != self.own_certificate);
        certificate_watch::problem(dates?, self.now_ms / 1_000)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A time in words, such as `75 s`, `12 min` or `3 h`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// For how long an edge has been behind. A later publication does not begin the time anew: until the
/// edge serves the generation of the first look, the time grows.
#[derive(Debug, Clone, Copy)]
pub(super) struct GenerationLag {
    /// The generation published at `since`.
    target: u64,
    since: Instant,
}

impl GenerationLag {
    pub(super) fn new(now: Instant) -> GenerationLag {
        GenerationLag { target: 0, since: now }
    }

    /// Looks at the edge; called every second.
    pub(super) fn observe(&mut self, served: Option<u64>, published: u64, now: Instant) {
        let is_there = served.is_some_and(|served| served >= self.target);
        // A replaced store begins again at a lower generation.
        if is_there || published < self.target {
            *self = GenerationLag { target: published, since: now };
        }
    }

    /// Zero for an edge that served the published generation at the last look, or later.
    pub(super) fn duration(&self, served: Option<u64>, now: Instant) -> Duration {
        match served {
            Some(served) if served >= self.target => Duration::ZERO,
            _ => now.duration_since(self.since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hello::{DaemonState, Hello};
    use super::*;

    const NOW_MS: i64 = 1_780_000_000_000;

    fn observation() -> EdgeObservation {
        let daemon = DaemonState { generation: Some(7), ..DaemonState::default() };
        let hello = Hello { host: "fra".into(), daemon: Some(daemon), ..Hello::default() };
        EdgeObservation {
            name: "fra1".into(),
            node: 3,
            created: 5,
            was_heard: true,
            awaited_for: None,
            agent: Some(HeardAgent { hello, age: Duration::from_secs(3), clock_offset_ms: 100 }),
            refusal: None,
            daemon: DaemonStatus {
                served_generation: Some(7),
                passed_unix_ms: NOW_MS as u64 - 3_000,
                ..DaemonStatus::default()
            },
            published_generation: 7,
            generation_lag: Duration::ZERO,
            own_certificate: None,
            now_ms: NOW_MS,
        }
    }

    fn after(change: impl FnOnce(&mut EdgeObservation)) -> (EdgeState, String) {
        let mut observation = observation();
        change(&mut observation);
        let status = observation.into_status();
        (status.state, status.problems.join("\n"))
    }

    fn age(observation: &mut EdgeObservation, seconds: u64) {
        observation.agent.as_mut().unwrap().age = Duration::from_secs(seconds);
    }

    #[test]
    fn a_live_edge_has_its_figures_and_no_problem() {
        let status = observation().into_status();
        assert_eq!((status.state, status.problems), (EdgeState::Live, vec![]));
        assert_eq!(status.last_heard, Some(NOW_MS / 1_000 - 3));
        assert_eq!((status.generations_behind, status.generation_lag_ms), (Some(0), Some(0)));
        assert_eq!(status.backlog_age_ms, Some(3_100), "by the edge's clock");
        assert_eq!(status.host.as_deref(), Some("fra"));
    }

    #[test]
    fn each_state_has_its_reason_and_mend() {
        let (state, problem) = after(|edge| age(edge, 15));
        assert_eq!(state, EdgeState::Silent);
        assert!(problem.starts_with("no hello for 15 s"), "{problem}");
        assert!(problem.contains("edges revoke fra1") && problem.contains("for 60 s at most"));
        let (_, problem) = after(|edge| age(edge, 60));
        assert!(problem.contains("rules go on without"), "{problem}");

        let coupond_is_down = |edge: &mut EdgeObservation| {
            edge.agent.as_mut().unwrap().hello.daemon = None;
        };
        let (state, problem) = after(coupond_is_down);
        assert_eq!(state, EdgeState::Silent);
        assert!(problem.contains("systemctl status coupond"), "{problem}");

        let lag = |seconds| {
            move |edge: &mut EdgeObservation| {
                edge.published_generation = 9;
                edge.generation_lag = Duration::from_secs(seconds);
            }
        };
        assert_eq!(after(lag(9)), (EdgeState::Live, String::new()), "each edit takes its time");
        let (state, problem) = after(lag(10));
        assert_eq!(state, EdgeState::Lagging);
        assert!(problem.starts_with("serves generation 7 for 10 s although 9"), "{problem}");

        let refused = |edge: &mut EdgeObservation| edge.refusal = Some("another agent".into());
        assert_eq!(after(refused), (EdgeState::Conflict, "another agent".into()));
        let (state, _) = after(|edge| {
            refused(edge);
            age(edge, 20);
        });
        assert_eq!(state, EdgeState::Refused);
        let (state, problem) = after(|edge| edge.daemon.conflict = Some("one node_id".into()));
        assert_eq!((state, &*problem), (EdgeState::Refused, "one node_id"));
    }

    #[test]
    fn an_edge_before_its_installation_is_joining_and_no_problem() {
        let new = |edge: &mut EdgeObservation| {
            (edge.agent, edge.was_heard) = (None, false);
            edge.daemon = DaemonStatus::default();
        };
        assert_eq!(after(new), (EdgeState::Joining, String::new()));
        let (state, problem) = after(|edge| {
            new(edge);
            edge.was_heard = true;
            edge.awaited_for = Some(Duration::from_secs(400));
        });
        assert_eq!(state, EdgeState::Silent, "heard before the control plane started");
        assert!(problem.starts_with("no hello for 6 min"), "{problem}");
        let fetching = |edge: &mut EdgeObservation| {
            edge.daemon.served_generation = None;
            edge.agent.as_mut().unwrap().hello.daemon = Some(DaemonState::default());
        };
        assert_eq!(after(fetching).0, EdgeState::Joining);
    }

    #[test]
    fn a_wrong_clock_and_a_backlog_are_problems_of_an_edge_that_works() {
        let clock = |offset| after(|edge| edge.agent.as_mut().unwrap().clock_offset_ms = offset).1;
        assert_eq!(clock(-2_000), "");
        assert!(clock(-2_001).starts_with("its clock is 3 s slow"));
        let backlog = |age_ms: u64| {
            after(|edge| {
                edge.daemon.passed_unix_ms = NOW_MS as u64 - age_ms;
                edge.daemon.click_error = Some("a block was refused".into());
            })
        };
        assert_eq!(backlog(300_000).1, "");
        let (state, problem) = backlog(301_000);
        assert_eq!(state, EdgeState::Live);
        assert_eq!(
            problem,
            "its clicks of the last 5 min are not all taken in: a block was refused"
        );
    }

    #[test]
    fn a_certificate_that_ends_is_told_once() {
        let day = 86_400;
        let now = NOW_MS / 1_000;
        let ending = (now - 80 * day, now + 9 * day);
        let with = |own_certificate| {
            after(|edge| {
                edge.agent.as_mut().unwrap().hello.server_certificate = Some(ending);
                edge.own_certificate = own_certificate;
            })
        };
        let (state, problem) = with(None);
        assert_eq!(state, EdgeState::Live);
        assert!(problem.contains("ends in 9 day(s)"), "{problem}");
        let (not_before, not_after) = ending;
        assert_eq!(with(Some(Validity { not_before, not_after })).1, "");
        let other = Validity { not_before, not_after: now + 80 * day };
        assert_eq!(with(Some(other)).1, problem);
    }

    #[test]
    fn the_lag_grows_until_the_edge_serves_what_was_published_first() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut lag = GenerationLag::new(begin);
        lag.observe(Some(5), 5, at(1));
        assert_eq!(lag.duration(Some(5), at(9)), Duration::ZERO);
        lag.observe(Some(5), 6, at(10));
        // Each second another generation.
        lag.observe(Some(5), 7, at(11));
        assert_eq!(lag.duration(Some(5), at(14)), Duration::from_secs(4));
        lag.observe(Some(6), 8, at(15));
        assert_eq!(lag.duration(Some(6), at(16)), Duration::from_secs(1));
        lag.observe(Some(8), 8, at(17));
        assert_eq!(lag.duration(Some(8), at(20)), Duration::ZERO);
        lag.observe(Some(2), 2, at(21));
        assert_eq!(lag.duration(Some(2), at(22)), Duration::ZERO, "a replaced store");
    }

    #[test]
    fn registered_edges_have_the_running_state_or_that_of_the_store() {
        let row = |node, revoked| EdgeRow {
            node,
            name: format!("e{node}"),
            secret: crate::edges::sealing::Secret::from_bytes([1; 32]),
            store: None,
            created: 5,
            revoked,
        };
        let live = EdgeStatus { node_id: 1, state: EdgeState::Live, ..EdgeStatus::default() };
        let seen = BTreeMap::from([(2, 8)]);
        let edges = registered_edges(&[row(1, 0), row(2, 9), row(3, 0)], vec![live], &seen);
        let found = edges.iter().map(|edge| (edge.node_id, edge.state, edge.last_heard));
        let expected = [
            (1, EdgeState::Live, None),
            (2, EdgeState::Revoked, Some(8)),
            (3, EdgeState::Joining, None),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
