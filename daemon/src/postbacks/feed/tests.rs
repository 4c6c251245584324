use super::*;
use coupon_shared::framed_log::{FramedLog, Options};

/// A feed over an open log.
fn feed(folder: &std::path::Path) -> (Feed, FramedLog) {
    let options = Options { segment_bytes: 1 << 20, max_frame_bytes: 1 << 10 };
    let (log, _) = FramedLog::open(folder, options).unwrap();
    let state = Arc::new(PostbackState::new(1, 1 << 20));
    let id = spool_id::read_or_create(folder).unwrap();
    let reader = log.reader(log.first_sequence()).unwrap();
    state.spool.set(OpenSpool { id: id.into(), reader }).unwrap();
    (Feed::new(state, folder.to_owned()), log)
}

/// The spool's name after a poll with this cursor.
fn spool_after(feed: &Feed, cursor: (SpoolId, u64)) -> SpoolId {
    feed.acknowledge(feed.shared.spool.get().unwrap(), &[cursor]).unwrap().0
}

#[test]
fn the_end_of_the_spool_is_the_end_of_its_log_also_before_any_poll_was_woken() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, mut log) = feed(folder.path());
    let id = *feed.shared.spool.get().unwrap().id.lock().unwrap();
    log.append_synced(&[b"one", b"two"]).unwrap();
    assert_eq!(spool_after(&feed, (id, 2)), id);
    assert_eq!(feed.shared.acknowledged(), 2);
    assert_ne!(spool_after(&feed, (id, 3)), id);
}
