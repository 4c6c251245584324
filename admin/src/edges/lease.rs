//! Decides which agent of an edge is asked; pure code.

use std::time::{Duration, Instant};

use coupon_shared::node_identity::StoreId;

use super::hello::{DaemonState, Hello, LEASE_TIME};
use super::subjects::SessionId;

/// The agent that is asked.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) session: SessionId,
    pub(super) hello: Hello,
    pub(super) heard: Instant,
}

/// The agent that is asked, as it stands now.
pub(super) struct HeardAgent {
    pub(super) hello: Hello,
    /// Time since the last hello.
    pub(super) age: Duration,
    /// The machine's clock minus this one, about.
    pub(super) clock_offset_ms: i64,
}

/// Why an agent is not the one to be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LeaseRefusal {
    /// Received before: somebody repeats messages, so there is no answer.
    #[error("a repeated hello")]
    Repeated,
    #[error("the hello names no session")]
    Form,
    #[error(
        "this edge has followed run {got} of a control plane, and this one is run {own}. If its file \
         agent.epoch is damaged, stop the agent, remove the file from the index folder, and start it"
    )]
    LaterEpoch { got: u64, own: u64 },
    #[error(
        "another agent speaks for this edge: on {host}, since {since}. Stop one of both, and give \
         each machine a bundle of its own (`coupon-admin edges add NAME`); if that machine is gone, \
         wait 15 s"
    )]
    OtherAgent { host: String, since: String },
    #[error(
        "coupond of this edge has node_id {got}, and the bundle says {expected}: set node_id = \
         {expected} in its coupond.toml and restart coupond"
    )]
    OtherNode { got: u16, expected: u16 },
    #[error(
        "coupond of this edge has run with node_id {former} before, and its data folder may hold \
         clicks of that node: start it with a new data_dir"
    )]
    FormerNode { former: u16 },
    /// Sales wait for the clicks of the data folder before; another one does not have them.
    #[error(
        "coupond of this edge has another data folder than before, whose clicks and sales may not have \
         been fetched: bring that folder back, or give it up with `coupon-admin edges replace NAME` \
         and the new bundle"
    )]
    OtherFolder,
}

/// The daemon that an edge counts for.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpectedDaemon {
    pub(super) node: u16,
    /// The data folder; `None` before the first lease.
    pub(super) store: Option<StoreId>,
}

impl Lease {
    fn is_alive(&self, now: Instant) -> bool {
        now.duration_since(self.heard) < LEASE_TIME
    }
}

/// Returns the lease of the agent that says hello.
pub(super) fn judge(
    current: Option<&Lease>,
    hello: &Hello,
    expected: ExpectedDaemon,
    now: Instant,
) -> Result<Lease, LeaseRefusal> {
    let session = hello.session_id().ok_or(LeaseRefusal::Form)?;
    if let Some(current) = current {
        let is_same = current.session == session;
        if is_same && hello.number <= current.hello.number {
            return Err(LeaseRefusal::Repeated);
        }
        // A run before this one in the same place has ended: they exclude each other there.
        let is_successor =
            current.hello.place == hello.place && current.hello.started <= hello.started;
        if !is_same && !is_successor && current.is_alive(now) {
            return Err(other_agent(&current.hello));
        }
    }
    check_daemon(hello.daemon.as_ref(), expected)?;
    Ok(Lease { session, hello: hello.clone(), heard: now })
}

fn other_agent(other: &Hello) -> LeaseRefusal {
    let since = jiff::Timestamp::from_second(other.started);
    let since = since.map_or_else(|_| other.started.to_string(), |since| since.to_string());
    LeaseRefusal::OtherAgent { host: other.host.clone(), since }
}

/// An edge counts for its node alone: else a stolen bundle could give clicks for every node.
fn check_daemon(
    daemon: Option<&DaemonState>,
    ExpectedDaemon { node, store }: ExpectedDaemon,
) -> Result<(), LeaseRefusal> {
    let Some(daemon) = daemon else { return Ok(()) };
    if daemon.node != node {
        return Err(LeaseRefusal::OtherNode { got: daemon.node, expected: node });
    }
    if let Some(former) = daemon.former_nodes.first() {
        return Err(LeaseRefusal::FormerNode { former: *former });
    }
    match (store, daemon.store_id()) {
        (Some(expected), Some(got)) if expected != got => Err(LeaseRefusal::OtherFolder),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGE: ExpectedDaemon = ExpectedDaemon { node: 7, store: None };

    fn hello(session: u8, number: u64, place: &str) -> Hello {
        Hello {
            session: SessionId([session; 16]).to_string(),
            number,
            host: format!("host-{place}"),
            place: place.into(),
            started: 1_780_000_000 + i64::from(session),
            daemon: Some(DaemonState { node: 7, ..DaemonState::default() }),
            ..Hello::default()
        }
    }

    #[test]
    fn the_first_agent_stays_until_it_is_silent() {
        let now = Instant::now();
        let first = judge(None, &hello(1, 1, "a"), EDGE, now).unwrap();
        let judge =
            |hello: Hello, at| judge(Some(&first), &hello, EDGE, at).map(|lease| lease.session);
        assert_eq!(judge(hello(1, 2, "a"), now), Ok(first.session), "the same one");
        assert_eq!(judge(hello(1, 1, "a"), now), Err(LeaseRefusal::Repeated));
        let refused = judge(hello(2, 1, "b"), now).unwrap_err();
        assert!(refused.to_string().contains("on host-a, since 2026-"), "{refused}");
        assert_eq!(judge(hello(2, 1, "b"), now + LEASE_TIME), Ok(SessionId([2; 16])));
        assert_eq!(judge(hello(2, 1, "a"), now), Ok(SessionId([2; 16])), "started again there");
        let earlier = Hello { started: 1, ..hello(3, 9, "a") };
        assert!(judge(earlier, now).is_err(), "a repeated hello of a run before");
    }

    #[test]
    fn an_edge_counts_for_its_own_node_alone() {
        let daemon = |node, former_nodes| Hello {
            daemon: Some(DaemonState { node, former_nodes, ..DaemonState::default() }),
            ..hello(1, 1, "a")
        };
        let judge_for = |edge, hello: &Hello| judge(None, hello, edge, Instant::now()).map(|_| ());
        let judge = |hello: &Hello| judge_for(EDGE, hello);
        assert_eq!(judge(&daemon(7, vec![])), Ok(()));
        assert_eq!(judge(&Hello { daemon: None, ..hello(1, 1, "a") }), Ok(()), "coupond is down");
        let other = LeaseRefusal::OtherNode { got: 8, expected: 7 };
        assert_eq!(judge(&daemon(8, vec![])), Err(other));
        assert_eq!(judge(&daemon(7, vec![0])), Err(LeaseRefusal::FormerNode { former: 0 }));
        let (known, other) = (StoreId([1; 16]), StoreId([2; 16]));
        let in_folder = |store: StoreId| Hello {
            daemon: Some(DaemonState {
                node: 7,
                store: store.to_string(),
                ..DaemonState::default()
            }),
            ..hello(1, 1, "a")
        };
        let edge = ExpectedDaemon { store: Some(known), ..EDGE };
        assert_eq!(judge_for(edge, &in_folder(known)), Ok(()));
        assert_eq!(judge_for(edge, &in_folder(other)), Err(LeaseRefusal::OtherFolder));
        assert_eq!(judge(&in_folder(other)), Ok(()), "the first folder of an edge");
        let nameless = Hello { session: "x".into(), ..hello(1, 1, "a") };
        assert_eq!(judge(&nameless), Err(LeaseRefusal::Form));
    }
}
