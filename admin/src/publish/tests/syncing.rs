//! Publication before durability, and failed syncs.

use std::fs::File;
use std::sync::mpsc;

use super::*;
use crate::index_folder::Unsynced;

/// Blocks syncs until the returned sender is dropped.
fn hold(network: &mut Network) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel();
    assert!(network.publisher.syncing.is_durable());
    network.publisher.syncing.running = Some(tokio::task::spawn_blocking(move || {
        let _ = held.recv();
        Ok(())
    }));
    release
}

/// Publishes a new code without waiting for its sync.
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

    let release = hold(&mut network);
    for code in ["ccc", "ddd", "eee"] {
        publish(&mut network, code).await;
        assert_eq!(generation_before(&network), first, "what was published since is not durable");
    }
    let newest = network.manifest().generation;
    drop(release);
    let folder = network.publisher.folder.clone().unwrap();
    network.publisher.syncing.wait_until_at_most(0, &folder).await.unwrap();
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
    network.publisher.syncing.wait_until_at_most(0, &folder).await.unwrap_err();
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
    let release = hold(&mut network);
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
    drop(release);
    network.publish().await;
    assert!(network.publisher.syncing.is_durable());
}

/// As after a crash between announcing `CURRENT` and noting its generation.
async fn restarted_unnoted(mut network: Network, noted: u64) -> Network {
    network.publisher.generations.wait_until_noted().await;
    network
        .edit(move |tx| {
            tx.raw_connection().execute("UPDATE meta SET generation = ?1", [noted])?;
            Ok(())
        })
        .await;
    let Network { dir, store, publisher } = network;
    drop((store, publisher));
    Network::open(dir)
}

#[tokio::test]
async fn an_unnoted_current_is_the_fallback_of_the_first_publication_after_a_restart() {
    let mut network = Network::new().await;
    let first = publish(&mut network, "aaa").await;
    network.code("bbb", Some(1)).await;
    let unnoted = network.publish().await;
    let mut network = restarted_unnoted(network, first).await;
    network.code("ccc", Some(1)).await;
    let level = network.publish().await.levels[0];
    assert_eq!(generation_before(&network), unnoted.generation);

    // The new files cannot be synced, as on a full disk: they are removed, and no older index
    // serves.
    let folder = network.publisher.folder.clone().unwrap();
    let mut unsynced = Unsynced::default();
    for name in [level.level_file(), CURRENT.to_owned()] {
        unsynced.push(network.index_dir().join(name), File::open("/dev/null").unwrap());
    }
    network.publisher.syncing.begin(&folder, unsynced);
    network.publisher.syncing.wait_until_at_most(0, &folder).await.unwrap_err();
    let serves = folder.index(folder.manifest(PREVIOUS).unwrap()).unwrap();
    assert_eq!(*serves.manifest(), unnoted);
}

#[tokio::test]
async fn a_damaged_unnoted_current_does_not_replace_the_manifest_before() {
    let mut network = Network::new().await;
    let first = publish(&mut network, "aaa").await;
    network.code("bbb", Some(1)).await;
    let unnoted = network.publish().await;
    let level = network.index_dir().join(unnoted.levels[0].level_file());
    std::fs::write(level, "torn").unwrap();
    let mut network = restarted_unnoted(network, first).await;
    assert!(network.publish().await.generation > unnoted.generation);
    assert_eq!(generation_before(&network), first);
}
