//! What is published before it is durable, and what becomes of it.

use std::fs::File;
use std::sync::mpsc;

use super::super::folder::Unsynced;
use super::*;

/// Keeps what is published from being synced until it is told, or dropped.
fn hold(network: &mut Network) -> mpsc::Sender<()> {
    let (let_go, held) = mpsc::channel();
    assert!(network.publisher.syncing.is_durable());
    network.publisher.syncing.under_way = Some(tokio::task::spawn_blocking(move || {
        let _ = held.recv();
        Ok(())
    }));
    let_go
}

/// Publishes a new code, and waits for nothing to be durable.
async fn publish(network: &mut Network, code: &'static str) -> u64 {
    network.code(code, Some(1)).await;
    network.publisher.round().await.unwrap();
    assert_eq!(network.visit(code), Some(Reason::Redirected));
    network.manifest().generation
}

fn generation_before(network: &Network) -> u64 {
    IndexFolder::at(network.index_dir()).manifest(PREVIOUS).unwrap().generation
}

#[tokio::test]
async fn an_edit_is_published_before_it_is_durable_and_the_manifest_before_is_durable() {
    let mut network = Network::new().await;
    let first = publish(&mut network, "aaa").await;
    assert!(network.publisher.syncing.is_durable(), "nothing else could serve");
    network.code("bbb", Some(1)).await;
    network.publish().await;

    let let_go = hold(&mut network);
    for code in ["ccc", "ddd", "eee"] {
        publish(&mut network, code).await;
        assert_eq!(generation_before(&network), first, "what was published since is not durable");
    }
    let newest = network.manifest().generation;
    drop(let_go);
    let folder = network.publisher.folder.clone().unwrap();
    network.publisher.syncing.settle(&folder, 0).await.unwrap();
    publish(&mut network, "fff").await;
    assert_eq!(generation_before(&network), newest);
}

#[tokio::test]
async fn what_cannot_be_made_durable_is_removed_and_published_anew() {
    let mut network = Network::new().await;
    publish(&mut network, "aaa").await;
    network.code("bbb", Some(1)).await;
    let before = network.publish().await;
    let level = network.index_dir().join(before.levels[0].level_file());

    let folder = network.publisher.folder.clone().unwrap();
    let mut unsynced = Unsynced::default();
    // The system refuses to sync it.
    unsynced.push(level.clone(), File::open("/dev/null").unwrap());
    network.publisher.syncing.begin(&folder, unsynced);
    network.publisher.syncing.settle(&folder, 0).await.unwrap_err();
    assert!(!level.exists());

    // As after every failure of the folder.
    network.publisher.folder = None;
    let after = network.publish().await;
    assert!(after.generation > before.generation);
    for code in ["aaa", "bbb"] {
        assert_eq!(network.visit(code), Some(Reason::Redirected));
    }
}

#[tokio::test]
async fn a_disk_that_is_slow_makes_publication_wait_before_too_many_files_do() {
    const CODES: u32 = MAX_UNSYNCED as u32 + 10;
    let mut network = Network::new().await;
    publish(&mut network, "aaa").await;
    let let_go = hold(&mut network);
    for _ in 0..CODES {
        network.change("aaa", "affiliate_id = 3 - affiliate_id").await;
        let round = network.publisher.round();
        match tokio::time::timeout(Duration::from_secs(1), round).await {
            Ok(published) => published.unwrap(),
            Err(_waits) => break,
        }
    }
    let waiting = network.publisher.syncing.waiting.len();
    assert!((MAX_UNSYNCED..MAX_UNSYNCED + 4).contains(&waiting), "{waiting}");
    drop(let_go);
    network.publish().await;
    assert!(network.publisher.syncing.is_durable());
}
