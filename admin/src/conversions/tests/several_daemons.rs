//! Postbacks of two daemons.

use super::*;

/// The network's daemon with node 0, and a second one with node 1.
async fn pair() -> (Network, FakeDaemon) {
    let mut network = Network::new().await;
    network.running = None;
    while Archive::open(network.dir.path()).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = FakeDaemon::start();
    second.hands.lock().unwrap().spool = 2;
    let sockets = [("a", network.daemon.socket.as_path()), ("b", second.socket.as_path())];
    let nodes = NodeRegistry::new(network.store.clone(), sockets);
    network.daemon.state_at(0, 1, NOON_MS);
    second.state_at(1, 2, NOON_MS);
    network.start_with(nodes);
    (network, second)
}

fn give(daemon: &FakeDaemon, node: u16, id: u8, query: &str) {
    let mut message = postback(PostbackId::new(NOON_MS, [id; 10]), query, b"");
    message.node = node;
    daemon.hands.lock().unwrap().postbacks.push(message.encode());
}

fn verdicts(daemon: &FakeDaemon) -> Vec<Verdict> {
    daemon.hands.lock().unwrap().verdicts.clone()
}

#[tokio::test]
async fn a_sale_waits_for_the_click_of_another_daemon_and_is_answered_where_it_came() {
    let (network, second) = pair().await;
    let id = network.click(NOON_MS + 1_000);
    give(&second, 1, 7, &format!("nid=1&transaction_id={id}&coupon_code=winter25"));
    let passed = |network: &Network| {
        let passed = network.running.as_ref().unwrap().clicks.status().passed;
        [0, 1].map(|node| passed.for_node(node, u64::MAX))
    };
    let polls = |daemon: &FakeDaemon| daemon.hands.lock().unwrap().polls;
    network.until(|network| polls(&network.daemon) > 1 && polls(&second) > 1).await;
    // The clock of the click's daemon is far behind that of the other one.
    network.daemon.state_at(0, 1, NOON_MS + 2_500);
    second.state_at(1, 2, NOON_MS + 7_200_000);
    network.until(|network| passed(network) == [NOON_MS + 500, NOON_MS + 7_198_000]).await;
    network.until(|_| second.hands.lock().unwrap().acknowledged == 1).await;
    assert_eq!(network.waiting().await, 1);
    assert!(verdicts(&second).is_empty());
    network.arrive(STREAM, 1, &[Sample::at(NOON_MS + 1_000)]);
    network.until(|_| !verdicts(&second).is_empty()).await;
    let verdict = verdicts(&second).remove(0);
    assert_eq!(verdict.status, VerdictStatus::Approved, "{}", verdict.error);
    assert_eq!(verdict.transaction_id, id.to_string());
    assert!(verdicts(&network.daemon).is_empty());
}

#[tokio::test]
async fn a_postback_that_names_another_node_is_decided_and_counted() {
    let (network, second) = pair().await;
    give(&second, 0, 1, "nid=1&coupon_code=winter25&order_id=1");
    give(&second, 1, 2, "nid=1&coupon_code=winter25&order_id=2");
    network.until(|_| verdicts(&second).len() == 2).await;
    let mut verdicts = verdicts(&second);
    verdicts.sort_by_key(|verdict| verdict.postback);
    let statuses = [verdicts[0].status, verdicts[1].status];
    assert_eq!(statuses, [VerdictStatus::Approved; 2]);
    let orders: Vec<String> =
        network.all().await.into_iter().map(|conversion| conversion.order_id).collect();
    assert_eq!(orders, ["2", "1"], "the newest first");
    network.until(|_| second.hands.lock().unwrap().acknowledged == 2).await;
    assert_eq!(network.read(postbacks::missing).await, 0);
}

#[tokio::test]
async fn sales_of_a_daemon_that_joins_are_decided_and_wait_for_its_clicks_until_it_is_retired() {
    let mut network = Network::new().await;
    network.running = None;
    while Archive::open(network.dir.path()).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    network.daemon.state_at(0, 1, NOON_MS);
    let nodes = NodeRegistry::with_one(network.store.clone(), network.daemon.client.clone());
    network.start_with(nodes.clone());
    let second = FakeDaemon::start();
    second.hands.lock().unwrap().spool = 2;
    second.state_at(1, 2, NOON_MS);
    let joined = nodes.add("edge", second.client.clone(), Duration::ZERO);
    give(&second, 1, 1, "nid=1&coupon_code=winter25&order_id=1");
    network.until(|_| !verdicts(&second).is_empty()).await;
    assert_eq!(verdicts(&second)[0].status, VerdictStatus::Approved);

    // A click of the joined daemon that its daemon does not give.
    let mut ids = TransactionIdSource::new(1, 0, STREAM.incarnation);
    let id = ids.next(&network.key, NOON_MS + 1_000);
    give(&network.daemon, 0, 2, &format!("nid=1&transaction_id={id}&coupon_code=winter25"));
    network.daemon.state_at(0, 1, NOON_MS + 7_200_000);
    network.until(|network| network.daemon.hands.lock().unwrap().acknowledged == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(network.waiting().await, 1);
    nodes.retire(&joined);
    network.until(|network| !verdicts(&network.daemon).is_empty()).await;
    assert_eq!(network.waiting().await, 0);
    give(&second, 1, 3, "nid=1&coupon_code=winter25&order_id=3");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(verdicts(&second).len(), 1, "a retired daemon is not asked");
}

#[tokio::test]
async fn a_sale_does_not_wait_for_the_gathering_of_clicks() {
    let mut network = Network::new().await;
    network.running = None;
    while Archive::open(network.dir.path()).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    network.daemon.state_at(0, 1, NOON_MS);
    let nodes = NodeRegistry::with_one(network.store.clone(), network.daemon.client.clone());
    network.start_with(nodes.clone());
    let second = FakeDaemon::start();
    second.state_at(1, 2, NOON_MS);
    nodes.add("edge", second.client.clone(), Duration::from_secs(3600));
    let polls = || second.hands.lock().unwrap().polls;
    network.until(|_| polls() == 1).await;

    let mut ids = TransactionIdSource::new(1, 0, STREAM.incarnation);
    let id = ids.next(&network.key, NOON_MS + 1_000);
    give(&network.daemon, 0, 1, &format!("nid=1&transaction_id={id}&coupon_code=winter25"));
    // Empty answers do not bring the click: it is asked for until it comes.
    network
        .until(|_| {
            second.state_at(1, 2, NOON_MS + 2_000 + polls());
            polls() > 3
        })
        .await;
    assert_eq!(verdicts(&network.daemon), []);
    let stream = StreamId { node: 1, ..STREAM };
    second.put(block_by(&network.key, stream, 1, &[Sample::at(NOON_MS + 1_000)]));
    network
        .until(|_| {
            second.state_at(1, 2, NOON_MS + 2_000 + polls());
            !verdicts(&network.daemon).is_empty()
        })
        .await;
    let verdict = verdicts(&network.daemon).remove(0);
    let expected = (VerdictStatus::Approved, id.to_string());
    assert_eq!((verdict.status, verdict.transaction_id), expected, "{}", verdict.error);
}
