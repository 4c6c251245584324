//! The shared index in memory.

use std::sync::Arc;

use super::*;

#[tokio::test]
async fn the_open_index_is_shared_and_follows_each_publication() {
    let mut network = Network::new().await;
    network.code("winter25", Some(1)).await;
    network.publish().await;
    let handle = network.publisher.handle.clone();
    let first = handle.open_index().unwrap();
    assert!(Arc::ptr_eq(&first, &handle.open_index().unwrap()), "it was read twice");

    network.code("more", Some(1)).await;
    network.publish().await;
    let second = handle.open_index().unwrap();
    assert_eq!(*second.manifest(), network.manifest());
    let more = FoldedCode::fold(b"more").unwrap();
    assert!(second.lookup(&more).is_some() && first.lookup(&more).is_none());
    assert!(Arc::ptr_eq(first.shared_catalog(), second.shared_catalog()), "it was read again");
}

#[tokio::test]
async fn an_unused_index_leaves_the_memory_and_is_opened_again() {
    let mut network = Network::new().await;
    network.publish().await;
    let cache = IndexCache::new(IndexFolder::at(network.index_dir()));
    let opened = Arc::downgrade(&cache.open().unwrap());
    assert!(opened.upgrade().is_some());
    cache.drop_unused_since(Duration::ZERO);
    assert!(opened.upgrade().is_none());
    cache.open().unwrap();
}

#[tokio::test]
async fn a_folder_without_an_index_is_reported_as_missing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = IndexCache::new(IndexFolder::at(dir.path().join(FOLDER_NAME)));
    assert!(cache.open().err().unwrap().is_missing());
}
