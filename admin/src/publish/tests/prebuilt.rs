//! Bulk changes during edits: prebuilt levels, and a store locked for writing.

use super::super::level_policy::LARGE;
use super::*;
use crate::catalog::BulkMode;
use crate::config::Config;
use crate::disk::Disk;
use crate::import::Layout;
use crate::store::staging::Intent;
use crate::store::{DedicatedConnection, OpenTransaction};
use crate::uploads::{Piece, Uploads, pieces};

/// A network with a running publisher.
struct Running {
    network: Network,
    daemon: FakeDaemon,
    publisher: PublisherHandle,
    _stop: tokio_util::sync::DropGuard,
}

impl Running {
    async fn start() -> Running {
        let network = Network::new().await;
        network.code("winter25", Some(1)).await;
        let running = Running::with_network(network).await;
        running.publisher.wait_live(2).await.unwrap();
        running
    }

    async fn restarted(self) -> Running {
        let Running { network, _stop: stop, .. } = self;
        drop(stop);
        let Network { dir, store, publisher } = network;
        drop((store, publisher));
        Running::with_network(Network::open(dir)).await
    }

    /// Waits until the publisher has more generations in hand.
    async fn wait_until_reserved_more_than(&self, reserved: u64) {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if self.network.meta().await.1 > reserved {
                return;
            }
        }
    }

    /// Waits until the last publication is noted in the store; returns the last reserved
    /// generation.
    async fn reserved_when_noted(&self) -> u64 {
        loop {
            let (noted, reserved) = self.network.meta().await;
            if noted == self.network.manifest().generation {
                return reserved;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn with_network(network: Network) -> Running {
        let daemon = FakeDaemon::start();
        daemon.hands.lock().unwrap().index_dir = network.index_dir();
        let stop = CancellationToken::new();
        let publisher =
            start(network.store.clone(), 1, network.nodes(&daemon.client), stop.clone());
        Running { network, daemon, publisher, _stop: stop.drop_guard() }
    }

    /// Runs `work` on a blocking thread with its own connection.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut DedicatedConnection, PublisherHandle) -> T + Send + 'static,
    ) -> T {
        let (dir, publisher) = (self.network.dir.path().to_owned(), self.publisher.clone());
        let run = move || work(&mut crate::store::connect_writer(&dir).unwrap(), publisher);
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    fn assert_led(&self, codes: &[(String, bool)]) {
        for (code, is_known) in codes {
            let reason = is_known.then_some(Reason::Redirected);
            assert_eq!(self.network.visit(code), reason, "{code}");
        }
    }
}

pub(super) fn immediate(connection: &mut DedicatedConnection) -> OpenTransaction<'_, WriteTx<'_>> {
    connection.begin_write().unwrap()
}

/// Inserts more codes in one change than an edit merges.
fn insert_many(tx: &WriteTx<'_>, prefix: &str) -> u64 {
    let sequence = tx.next_code_sequence().unwrap();
    (0..=LARGE).for_each(|n| insert(tx, &format!("{prefix}{n:04}"), Some(1), sequence).unwrap());
    LARGE + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_change_is_published_with_the_level_that_was_built_before_its_commit() {
    let running = Running::start().await;
    let built = running.beside(|connection, publisher| {
        let tx = immediate(connection);
        let rows = insert_many(&tx, "many");
        let prebuilt = publisher.prebuild_level(&tx, rows).unwrap();
        let built = prebuilt.level;
        tx.commit().unwrap();
        prebuilt.publish_committed();
        built
    });
    let built = built.await;
    running.publisher.wait_live(3).await.unwrap();
    let manifest = running.network.manifest();
    assert_eq!((manifest.sequence, manifest.levels[0]), (3, built.name));
    let preloaded = running.daemon.hands.lock().unwrap().preloaded.clone();
    assert_eq!(preloaded.first(), Some(&built.name.to_string()));
    running.network.code("after", Some(1)).await;
    running.publisher.wait_live(4).await.unwrap();
    let codes = ["many0000", "many8000", "winter25", "after"].map(|code| (code.to_owned(), true));
    running.assert_led(&codes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_whose_change_is_not_committed_is_never_published() {
    let running = Running::start().await;
    let given_up = running.beside(|connection, publisher| {
        let tx = immediate(connection);
        let rows = insert_many(&tx, "lost");
        publisher.prebuild_level(&tx, rows).unwrap().level
    });
    let given_up = given_up.await;
    // The same place in the sequence is taken by another change.
    let another = running.beside(|connection, _| {
        let tx = immediate(connection);
        insert_many(&tx, "kept");
        tx.commit().unwrap();
    });
    another.await;
    running.publisher.wait_live(3).await.unwrap();
    assert!(!running.network.manifest().levels.contains(&given_up.name));
    running.assert_led(&[("lost0000".into(), false), ("kept0000".into(), true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_published_while_the_store_cannot_be_written() {
    let mut running = Running::start().await;
    // So many are reserved for the first publication, and more once it is noted.
    let mut reserved = 16;
    // Also by a publisher that has published nothing yet.
    for sequence in 3..5 {
        running.wait_until_reserved_more_than(reserved).await;
        running
            .beside(move |connection, publisher| {
                let tx = immediate(connection);
                insert(&tx, &format!("code{sequence}"), Some(1), sequence).unwrap();
                tx.raw_connection().execute("UPDATE meta SET change_seq = ?1", [sequence]).unwrap();
                tx.commit().unwrap();
                let tx = immediate(connection);
                let live = publisher.wait_live(sequence);
                tokio::runtime::Handle::current().block_on(live).unwrap();
                drop(tx);
            })
            .await;
        // A late note of this publisher must not pass for a reservation by the next one.
        reserved = running.reserved_when_noted().await;
        running = running.restarted().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_publisher_a_large_change_is_committed_all_the_same() {
    let running = Running::start().await;
    let Running { network, publisher, _stop: stop, .. } = running;
    drop(stop);
    let dir = network.dir.path().to_owned();
    let run = move || {
        let mut connection = crate::store::connect_writer(&dir).unwrap();
        let tx = immediate(&mut connection);
        let rows = insert_many(&tx, "many");
        assert!(publisher.prebuild_level(&tx, rows).is_none());
        tx.commit().unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
    let mut network = network.restarted().await;
    network.publish().await;
    assert_eq!(network.visit("many0000"), Some(Reason::Redirected));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_brings_its_level_along() {
    let running = Running::start().await;
    let store = running.network.store.clone();
    let disk = Disk::new(store.dir(), 0);
    let bounds = Config::default().uploads;
    let uploads = Uploads::open(store.clone(), running.publisher.clone(), disk, bounds);
    let uploads = uploads.await.unwrap();
    let rows: String = (0..=LARGE).map(|n| format!("many{n:04},1,1,active\n")).collect();
    let file = format!("coupon_code,offer_id,affiliate_id,status\n{rows}");
    let (to, from) = pieces();
    to.send(Piece::Bytes(file.into())).await.unwrap();
    to.send(Piece::End).await.unwrap();
    let intent = Intent { mode: BulkMode::Add, allow_reissue: false };
    let staged = uploads.stage(intent, Layout::default(), false, from).await.unwrap();
    let (upload, _) = store.write(|tx| staged.register(tx)).await.unwrap();
    let (upload, _) = uploads.commit(upload.id, false).await.unwrap();
    let outcome = upload.outcome.unwrap();
    assert_eq!((outcome.created, outcome.sequence), (LARGE + 1, Some(3)));
    running.publisher.wait_live(3).await.unwrap();
    let preloaded = running.daemon.hands.lock().unwrap().preloaded.clone();
    assert_eq!(preloaded.first(), Some(&running.network.manifest().levels[0].to_string()));
}
