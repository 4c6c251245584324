use super::*;
use coupon_shared::postback::{Channel, PostbackId};
use tempfile::TempDir;

const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

fn open(folder: &TempDir) -> Spool {
    open_with(folder, 1 << 30)
}

fn open_with(folder: &TempDir, max_bytes: u64) -> Spool {
    Spool::open(folder.path(), KEEP, max_bytes, 0).unwrap().0
}

fn record(unix_ms: u64, body: &[u8]) -> Vec<u8> {
    let postback = Postback {
        id: PostbackId::new(unix_ms, [1; 10]),
        unix_ms,
        node: 0,
        channel: Channel::Server,
        is_post: true,
        address: [127, 0, 0, 1].into(),
        host: b"go.example.com",
        query: b"nid=1",
        body,
        content_type: b"",
        user_agent: b"",
        referer: b"",
        origin: b"",
    };
    postback.encode()
}

/// Appends a postback that came at this time.
fn append(spool: &mut Spool, unix_ms: u64) {
    spool.append(&[&record(unix_ms, b"")], 0, unix_ms).unwrap();
}

fn at_ms(unix_ms: u64) -> RemovalTime {
    let agreed_ms = coupon_shared::removal_clock::REQUIRED_AGREEMENT_MS;
    let kept =
        coupon_shared::removal_clock::ClockState { unix_ms, agreed_ms, parted_ms: 0, jump_ms: 0 };
    kept.removal_time().unwrap()
}

#[test]
fn acknowledged_postbacks_stay_as_long_as_they_are_to_and_then_go_by_days() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    for day in [0, 0, 1, 2] {
        append(&mut spool, NOON + day * DAY_MS);
    }
    let keep = KEEP.as_millis() as u64;
    let mut first_at = |acknowledged, at| {
        spool.remove_old(acknowledged, at_ms(at)).unwrap();
        spool.log.first_sequence()
    };
    assert_eq!(first_at(4, NOON + keep - 1), 1);
    assert_eq!(first_at(4, NOON + keep), 3);
    assert_eq!(first_at(4, NOON + keep + DAY_MS), 4);
    // The last segment is removed too, and sequences continue.
    assert_eq!(first_at(4, NOON + keep + 2 * DAY_MS), 5);
    assert_eq!(spool.append(&[&record(NOON, b"")], 4, NOON).unwrap(), 6);
}

#[test]
fn unacknowledged_postbacks_never_get_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    for day in 0..4 {
        append(&mut spool, NOON + day * DAY_MS);
    }
    spool.remove_old(2, at_ms(u64::MAX)).unwrap();
    assert_eq!(spool.log.first_sequence(), 3);
    spool.remove_old(0, at_ms(u64::MAX)).unwrap();
    assert_eq!(spool.log.first_sequence(), 3);
    spool.remove_old(4, at_ms(u64::MAX)).unwrap();
    assert_eq!(spool.log.first_sequence(), 5);
}

#[test]
fn an_acknowledgement_taken_back_holds_also_for_what_was_looked_at_already() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    for day in [0, 0, 0, 5] {
        append(&mut spool, NOON + day * DAY_MS);
    }
    spool.log.close_segment().unwrap();
    // The first three are found to be too old, but this check removes nothing.
    assert_eq!(spool.first_to_keep(4, NOON + KEEP.as_millis() as u64).unwrap(), 4);
    spool.remove_old(1, at_ms(NOON + KEEP.as_millis() as u64)).unwrap();
    assert_eq!(spool.log.first_sequence(), 1);
}

#[test]
fn each_run_and_each_day_begins_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    append(&mut spool, NOON);
    append(&mut spool, NOON + 1);
    append(&mut spool, NOON + DAY_MS);
    drop(spool);
    let mut spool = open(&folder);
    append(&mut spool, NOON + DAY_MS);
    append(&mut spool, NOON + DAY_MS);
    assert_eq!(spool.log.closed_segments(), [1..3, 3..4]);
}

#[test]
fn room_is_made_of_the_oldest_acknowledged_segments_and_no_more_than_needed() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open_with(&folder, 100_000);
    let large = record(NOON, &[b'x'; 10_000]);
    let kept = (0..).take_while(|_| spool.append(&[&large], 0, NOON).is_ok()).count() as u64;
    assert_eq!(kept, 9);
    let refused = spool.append(&[&large], 0, NOON).unwrap_err();
    assert!(matches!(refused, SpoolError::Full { max_bytes: 100_000 }), "{refused}");
    assert_eq!(spool.append(&[&large], 5, NOON).unwrap(), 11);
    assert_eq!(spool.log.first_sequence(), 2);
    // Once all postbacks are decided, a single segment is no reason to refuse.
    for number in 11..40 {
        assert_eq!(spool.append(&[&large], number - 1, NOON).unwrap(), number + 1);
        assert!(spool.log.bytes_on_disk() <= 100_000);
    }
}

#[test]
fn a_batch_that_could_never_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open_with(&folder, 50_000);
    let large = record(NOON, &[b'x'; 10_000]);
    let batch = [&large[..]; 6];
    spool.append(&batch, 0, NOON).unwrap_err();
    assert_eq!(spool.append(&batch[..2], 0, NOON).unwrap(), 3);
}
