use coupon_shared::node_identity::StoreId;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::NodeConflict::{SameFolder, SameNode, TooOld, Unsettled};
use super::passed_times::PASSED_FOR_EVER;
use super::*;
use crate::daemon_client::DaemonClient;
use crate::worker::{RetryDelays, Worker};

const NOW_MS: u64 = 1_780_000_000_000;
const WEEK_MS: u64 = 604_800_000;

struct Network {
    dir: tempfile::TempDir,
    registry: NodeRegistry,
}

impl Network {
    fn new(names: &[&str]) -> Network {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(&dir, names);
        Network { dir, registry }
    }

    /// As after a restart with another configuration.
    fn restarted(self, names: &[&str]) -> Network {
        let registry = registry(&self.dir, names);
        Network { registry, ..self }
    }

    async fn answer(&self, name: &str, node: u16, store: u8) -> Result<(), NodeConflict> {
        let identity = identity(node, store);
        self.answer_with(name, Some(&NodeStamp { identity, now_ms: 5 })).await
    }

    async fn answer_with(&self, name: &str, stamp: Option<&NodeStamp>) -> Result<(), NodeConflict> {
        match self.registry.admit(&self.daemon(name), stamp).await {
            Ok(_) => Ok(()),
            Err(AdmissionError::Conflict(conflict)) => Err(conflict),
            Err(error) => panic!("{error}"),
        }
    }

    fn daemon(&self, name: &str) -> Daemon {
        let daemons = self.registry.daemons();
        daemons.iter().find(|daemon| *daemon.name == *name).unwrap().clone()
    }

    fn join(&self, name: &str) -> Daemon {
        let client = DaemonClient::new(&self.dir.path().join("nobody.sock"));
        self.registry.add(name, client, Duration::ZERO)
    }

    fn pass(&self, name: &str, at_ms: u64) {
        self.registry.set_passed(&self.daemon(name), at_ms);
    }

    /// Up to which time the clicks of a node have arrived, as of `NOW_MS`.
    fn passed(&self, node: u16) -> u64 {
        self.registry.passed_times().for_node(node, NOW_MS)
    }

    /// Node, name and data folder of each row.
    async fn rows(&self) -> Vec<(u16, String, u8)> {
        let rows = self.registry.store.read(nodes::all).await.unwrap();
        rows.into_iter().map(|row| (row.id, row.name, row.store.0[0])).collect()
    }
}

fn registry(dir: &tempfile::TempDir, names: &[&str]) -> NodeRegistry {
    let store = Store::open(dir.path()).unwrap();
    let socket = dir.path().join("nobody.sock");
    NodeRegistry::new(store, names.iter().map(|name| (*name, socket.as_path())))
}

fn identity(node: u16, store: u8) -> NodeIdentity {
    NodeIdentity {
        node,
        incarnation: 1_780_000_000,
        run: None,
        store: StoreId([store; 16]),
        former_nodes: vec![],
    }
}

fn row(node: u16, name: &str, store: u8) -> (u16, String, u8) {
    (node, name.to_owned(), store)
}

#[tokio::test]
async fn the_only_daemon_may_have_a_new_data_folder_or_be_too_old_to_state_one() {
    let network = Network::new(&[""]);
    network.answer_with("", None).await.unwrap();
    assert_eq!(network.rows().await, []);
    network.answer("", 7, 1).await.unwrap();
    network.answer("", 7, 2).await.unwrap();
    assert_eq!(network.rows().await, [row(7, "", 2)]);
    let network = network.restarted(&[""]);
    network.answer("", 7, 3).await.unwrap();
    assert_eq!(network.rows().await, [row(7, "", 3)]);
    let status = network.registry.statuses().remove(0);
    assert_eq!((status.node_id, status.conflict), (Some(7), None));
}

#[tokio::test]
async fn of_two_daemons_with_one_node_id_the_second_is_refused_until_it_has_another() {
    let network = Network::new(&["a", "b"]);
    network.answer("a", 0, 1).await.unwrap();
    let refused = network.answer("b", 0, 2).await.unwrap_err();
    let SameNode { daemon, other, node } = &refused else { panic!("{refused}") };
    assert_eq!((&**daemon, &**other, *node), ("b", "a", 0));
    assert!(refused.to_string().contains("node_id in the coupond.toml of `b`"), "{refused}");
    network.answer("a", 0, 1).await.unwrap();
    let conflicts: Vec<_> =
        network.registry.statuses().into_iter().map(|status| status.conflict.is_some()).collect();
    assert_eq!(conflicts, [false, true]);
    // After a restart of the admin the order stays, whoever answers first.
    let network = network.restarted(&["a", "b"]);
    network.answer("b", 0, 2).await.unwrap_err();
    network.answer("b", 1, 2).await.unwrap();
    network.answer("a", 0, 1).await.unwrap();
    assert_eq!(network.rows().await, [row(0, "a", 1), row(1, "b", 2)]);
    assert!(network.registry.statuses().iter().all(|status| status.conflict.is_none()));
}

#[tokio::test]
async fn a_daemon_that_takes_another_node_id_leaves_its_former_one_free() {
    let network = Network::new(&["a", "b"]);
    network.answer("a", 0, 1).await.unwrap();
    network.answer("b", 0, 2).await.unwrap_err();
    network.answer("a", 5, 1).await.unwrap();
    network.answer("b", 0, 2).await.unwrap();
    assert_eq!(network.rows().await, [row(0, "b", 2), row(5, "a", 1)]);
}

#[tokio::test]
async fn a_reinstalled_daemon_of_several_keeps_its_node() {
    let network = Network::new(&["a", "b"]);
    network.answer("a", 0, 1).await.unwrap();
    network.answer("b", 1, 2).await.unwrap();
    network.answer("b", 1, 3).await.unwrap();
    assert_eq!(network.rows().await, [row(0, "a", 1), row(1, "b", 3)]);
    let refused = network.answer("b", 1, 1).await.unwrap_err();
    assert!(matches!(refused, SameFolder { .. }), "{refused}");
}

#[tokio::test]
async fn the_daemon_of_the_former_configuration_keeps_its_node_beside_a_new_one() {
    let network = Network::new(&[""]);
    network.answer("", 0, 1).await.unwrap();
    let network = network.restarted(&["new", "old"]);
    let refused = network.answer("new", 0, 2).await.unwrap_err();
    assert!(matches!(refused, Unsettled { .. }), "{refused}");
    network.answer("old", 0, 1).await.unwrap();
    let refused = network.answer("new", 0, 2).await.unwrap_err();
    assert!(matches!(refused, SameNode { .. }), "{refused}");
    assert_eq!(network.rows().await, [row(0, "old", 1)]);
    let refused = network.answer_with("new", None).await.unwrap_err();
    assert!(matches!(refused, TooOld { .. }), "{refused}");
    assert!(refused.to_string().contains("update coupond"), "{refused}");
}

#[tokio::test]
async fn a_known_node_is_awaited_until_its_daemon_has_passed_the_time() {
    let network = Network::new(&["a", "b"]);
    network.answer("a", 0, 1).await.unwrap();
    network.answer("b", 1, 2).await.unwrap();
    let network = network.restarted(&["a", "b"]);
    network.answer("b", 1, 2).await.unwrap();
    let daemons = network.registry.daemons();
    network.registry.set_passed(&daemons[1], 900);
    let passed = network.registry.passed_times();
    assert_eq!([0, 1].map(|node| passed.for_node(node, 1_000)), [0, 900]);
    assert_eq!(network.registry.all_passed_ms(), 0);
    assert_eq!(network.registry.daemon_of(1).map(|daemon| daemon.index), Some(1));
    assert!(network.registry.daemon_of(0).is_none(), "not heard since the start");
}

#[tokio::test]
async fn a_copy_of_a_data_folder_is_refused_also_while_the_original_is_down() {
    let network = Network::new(&["a", "b"]);
    network.answer("a", 0, 1).await.unwrap();
    network.answer("b", 1, 1).await.unwrap_err();
    std::thread::sleep(SILENT_AFTER);
    let refused = network.answer("b", 1, 1).await.unwrap_err();
    assert!(matches!(refused, SameFolder { .. }), "{refused}");
    let network = network.restarted(&["a", "b"]);
    let refused = network.answer("b", 1, 1).await.unwrap_err();
    assert!(refused.to_string().contains("a copy of it"), "{refused}");
    assert_eq!(network.rows().await, [row(0, "a", 1)]);
    // The folder is taken once it moved, or its first daemon is gone.
    let network = network.restarted(&["b", "c"]);
    network.answer("b", 0, 1).await.unwrap();
    assert_eq!(network.rows().await, [row(0, "b", 1)]);
}

#[tokio::test]
async fn swapped_sockets_are_taken_once_both_daemons_have_answered() {
    let network = Network::new(&["a", "b"]);
    network.answer("a", 0, 1).await.unwrap();
    network.answer("b", 1, 2).await.unwrap();
    let network = network.restarted(&["a", "b"]);
    network.answer("a", 1, 2).await.unwrap_err();
    network.answer("b", 0, 1).await.unwrap();
    network.answer("a", 1, 2).await.unwrap();
    assert_eq!(network.rows().await, [row(0, "b", 1), row(1, "a", 2)]);
}

#[tokio::test]
async fn a_node_passes_a_time_once_every_daemon_that_ever_stated_it_has() {
    let network = Network::new(&["a", "b"]);
    network.answer("a", 0, 1).await.unwrap();
    let passed = |network: &Network| network.registry.passed_times().for_node(0, 5_000);
    let pass = |network: &Network, index: usize, at_ms: u64| {
        network.registry.set_passed(&network.registry.daemons()[index], at_ms);
    };
    pass(&network, 0, 800);
    assert_eq!(passed(&network), 0, "the other may have clicks of the node");
    // A refused daemon holds clicks of the node, and its sales come to both.
    network.answer("b", 0, 2).await.unwrap_err();
    pass(&network, 0, 900);
    assert_eq!(passed(&network), 0);
    // Also while it is down and the admin is restarted.
    let network = network.restarted(&["a", "b"]);
    network.answer("a", 0, 1).await.unwrap();
    pass(&network, 0, 1_000);
    assert_eq!(passed(&network), 0);
    // With another node id it gives the clicks that waited first.
    network.answer("b", 1, 2).await.unwrap();
    pass(&network, 0, 1_100);
    assert_eq!(passed(&network), 0);
    pass(&network, 1, 1_050);
    assert_eq!(passed(&network), 1_050);
    pass(&network, 1, 1_200);
    assert_eq!(passed(&network), 1_100);
}

/// Sends the daemon's name at its start, and again with an exclamation mark at its end.
struct Reporter(Daemon, mpsc::UnboundedSender<String>);

impl Worker for Reporter {
    const NAME: &'static str = "reporter";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(Duration::from_secs(1));
    type Error = &'static str;

    async fn step(&mut self) -> Result<(), &'static str> {
        self.1.send(format!("{}{}", self.0.index, self.0.name)).unwrap();
        std::future::pending().await
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let _ = self.1.send(format!("{}{}!", self.0.index, self.0.name));
    }
}

#[tokio::test]
async fn workers_of_a_daemon_run_from_when_it_joins_until_it_leaves() {
    let network = Network::new(&["a"]);
    let (sender, mut events) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let report = move |daemon: &Daemon| Reporter(daemon.clone(), sender.clone());
    network.registry.spawn_for_each(stop.clone(), report);
    assert_eq!(events.recv().await.unwrap(), "0a");
    let b = network.join("b");
    assert_eq!(events.recv().await.unwrap(), "1b");
    network.registry.retire(&b);
    assert_eq!(events.recv().await.unwrap(), "1b!");
    network.registry.retire(&b);
    // The name comes again, and a present daemon of the name leaves.
    network.join("b");
    assert_eq!(events.recv().await.unwrap(), "2b");
    network.join("b");
    let mut next = [events.recv().await.unwrap(), events.recv().await.unwrap()];
    next.sort();
    assert_eq!(next, ["2b!", "3b"]);
    stop.cancel();
    let mut next = [events.recv().await.unwrap(), events.recv().await.unwrap()];
    next.sort();
    assert_eq!(next, ["0a!", "3b!"]);
}

#[tokio::test]
async fn a_retired_daemon_is_in_no_list_and_is_not_admitted() {
    let network = Network::new(&[""]);
    network.answer("", 0, 1).await.unwrap();
    let edge = network.join("edge");
    network.answer("edge", 1, 2).await.unwrap();
    let names = || {
        let statuses = network.registry.statuses().into_iter();
        statuses.map(|status| status.name).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["coupond", "edge"], "the stored name of the first one is empty");
    assert_eq!(network.rows().await, [row(0, "", 1), row(1, "edge", 2)]);
    let refused = network.answer("edge", 0, 3).await.unwrap_err().to_string();
    assert!(refused.contains("as coupond `coupond` has"), "{refused}");
    network.registry.retire(&edge);
    assert_eq!(names(), [""]);
    assert!(!network.registry.has_several());
    let stamp = NodeStamp { identity: identity(1, 2), now_ms: 5 };
    let admission = network.registry.admit(&edge, Some(&stamp)).await;
    assert!(matches!(admission, Err(AdmissionError::Retired)), "{admission:?}");
    network.registry.update(&edge, |status| status.click_error = Some("late".into()));
    assert_eq!(network.registry.join_failures(|status| status.click_error.as_ref()), None);
}

#[tokio::test]
async fn clicks_of_a_node_that_only_retired_daemons_had_are_not_awaited() {
    let network = Network::new(&["a"]);
    network.answer("a", 0, 1).await.unwrap();
    network.pass("a", 900);
    let b = network.join("b");
    assert_eq!([0, 1].map(|node| network.passed(node)), [900, NOW_MS - WEEK_MS], "never heard");
    assert_eq!(network.registry.all_passed_ms(), 900);
    network.answer("b", 1, 2).await.unwrap();
    assert_eq!([0, 1].map(|node| network.passed(node)), [900, 0]);
    assert_eq!(network.registry.all_passed_ms(), 0);
    network.registry.retire(&b);
    assert_eq!([0, 1].map(|node| network.passed(node)), [900, PASSED_FOR_EVER]);
    assert_eq!(network.registry.all_passed_ms(), 900);
    // The same after a restart.
    let network = network.restarted(&["a"]);
    network.registry.note_retired(["b".to_owned()]);
    network.registry.load().await.unwrap();
    assert_eq!([0, 1].map(|node| network.passed(node)), [0, PASSED_FOR_EVER]);
    // Another daemon that stated the node may still hold clicks of it, and so may the same one when
    // it joins again.
    network.answer("a", 1, 1).await.unwrap();
    network.pass("a", 950);
    assert_eq!(network.passed(1), 950);
    network.join("b");
    assert_eq!(network.passed(1), 0);
}

#[tokio::test]
async fn without_a_daemon_clicks_are_awaited_for_seven_days() {
    let network = Network::new(&["a"]);
    network.answer("a", 3, 1).await.unwrap();
    let network = network.restarted(&[]);
    network.registry.load().await.unwrap();
    assert_eq!(network.passed(3), NOW_MS - WEEK_MS);
    assert!(network.registry.daemon_of(3).is_none());
    assert_eq!(network.registry.earliest(|status| status.last_answer), None);
}

#[tokio::test]
async fn a_daemon_that_joins_leaves_the_streams_of_before_to_the_configured_one() {
    let network = Network::new(&[""]);
    let stream = "INSERT INTO click_stream (node, incarnation, thread, last_sequence, missing)
                  VALUES (7, 1, 0, 5, 0)";
    let write =
        move |tx: &WriteTx<'_>| Ok::<_, StoreError>(tx.raw_connection().execute_batch(stream)?);
    network.registry.store.write(write).await.unwrap();
    network.join("edge");
    let mut former = identity(0, 1);
    former.former_nodes = vec![7];
    let stamp = NodeStamp { identity: former, now_ms: 5 };
    network.answer_with("", Some(&stamp)).await.unwrap();
    let owners = network.registry.store.read(blocks::owners).await.unwrap();
    let folders: Vec<StoreId> = owners.into_values().map(|owner| owner.store).collect();
    assert_eq!(folders, [StoreId([1; 16])]);
}

#[tokio::test]
async fn a_daemon_too_old_to_state_its_node_works_beside_one_that_was_never_heard() {
    let network = Network::new(&[""]);
    network.join("edge");
    network.answer_with("", None).await.unwrap();
    assert_eq!(network.registry.daemon_of(3).map(|daemon| daemon.index), Some(0));
    network.answer("edge", 1, 2).await.unwrap();
    let refused = network.answer_with("", None).await.unwrap_err();
    assert!(matches!(refused, TooOld { .. }), "{refused}");
}

#[tokio::test]
async fn an_edge_silent_for_long_holds_sales_back_but_no_evaluation() {
    let network = Network::new(&["a"]);
    let b = network.join("b");
    network.answer("b", 1, 2).await.unwrap();
    network.pass("b", 500);
    let moment = |network: &Network| network.registry.earliest(|status| status.last_answer);
    assert_eq!(network.registry.all_passed_ms(), 0, "the configured one was not heard");
    network.answer("a", 0, 1).await.unwrap();
    network.pass("a", 900);
    assert_eq!(network.registry.all_passed_ms(), 500);
    network.registry.update(&b, |status| status.last_answer = Some(1));
    assert_eq!(moment(&network), Some(1));
    let long_ago = Instant::now().checked_sub(LEFT_OUT_AFTER).unwrap();
    for daemon in network.registry.seen().daemons.values_mut() {
        daemon.answered = Some(long_ago);
    }
    assert_eq!(
        network.registry.all_passed_ms(),
        900,
        "a silent daemon of the configuration counts"
    );
    assert_ne!(moment(&network), Some(1));
    assert_eq!(network.passed(1), 500, "a sale that names its click waits");
    // From its return the edge counts again.
    network.answer("b", 1, 2).await.unwrap();
    assert_eq!(network.registry.all_passed_ms(), 500);
    // Without any other daemon nothing is known.
    let network = network.restarted(&[]);
    network.join("b");
    network.registry.load().await.unwrap();
    for daemon in network.registry.seen().daemons.values_mut() {
        daemon.joined = long_ago;
    }
    assert_eq!(network.registry.all_passed_ms(), 0);
    assert_eq!(moment(&network), None);
}
