use coupon_shared::node_identity::StoreId;

use super::NodeConflict::{SameFolder, SameNode, TooOld, Unsettled};
use super::*;

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
        let identity = NodeIdentity {
            node,
            incarnation: 1_780_000_000,
            store: StoreId([store; 16]),
            former_nodes: vec![],
        };
        self.answer_with(name, Some(&NodeStamp { identity, now_ms: 5 })).await
    }

    async fn answer_with(&self, name: &str, stamp: Option<&NodeStamp>) -> Result<(), NodeConflict> {
        let mut daemons = self.registry.daemons().iter();
        let daemon = daemons.find(|daemon| *daemon.name == *name).unwrap();
        match self.registry.admit(daemon, stamp).await {
            Ok(_) => Ok(()),
            Err(AdmissionError::Conflict(conflict)) => Err(conflict),
            Err(AdmissionError::Store(error)) => panic!("{error}"),
        }
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
