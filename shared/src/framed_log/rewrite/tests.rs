//! What rewriting a closed segment does to the log, to those who read it, and when something fails.

use std::os::unix::fs::MetadataExt;

use super::super::tests::{SMALL, append, folder, open, read_all};
use super::super::{FrameReader, FramedLog, FramedLogError, format, segment, storage};

type Frames = Vec<(u64, Vec<u8>)>;

fn old_payload(n: u64) -> Vec<u8> {
    format!("old {n} {}", "x".repeat(n as usize % 11)).into_bytes()
}

/// A payload of another length, so that later frames move.
fn new_payload(n: u64) -> Vec<u8> {
    format!("new {n} {}", "y".repeat(n as usize % 17)).into_bytes()
}

fn filled(folder: &std::path::Path, frames: u64) -> FramedLog {
    let (mut log, _) = open(folder);
    for n in 1..=frames {
        append(&mut log, &[old_payload(n)]).unwrap();
    }
    log
}

fn all(log: &FramedLog) -> Frames {
    read_all(log.reader(log.first_sequence()).unwrap()).unwrap()
}

/// Frames 1 to `frames`; the sequences in `renewed` have new payloads.
fn expected(frames: u64, renewed: impl Fn(u64) -> bool) -> Frames {
    let payload = |n| if renewed(n) { new_payload(n) } else { old_payload(n) };
    (1..=frames).map(|n| (n, payload(n))).collect()
}

fn renew(
    wanted: impl Fn(u64) -> bool,
) -> impl Fn(u64, &[u8]) -> Result<Option<Vec<u8>>, FramedLogError> {
    move |sequence, payload| {
        let is_old = payload == old_payload(sequence);
        Ok((wanted(sequence) && is_old).then(|| new_payload(sequence)))
    }
}

#[test]
fn any_frames_of_a_closed_segment_are_replaced_and_the_others_stay() {
    let wanted: [fn(u64) -> bool; 4] = [|_| true, |n| n % 3 == 0, |n| n == 1, |n| n == 24];
    for wanted in wanted {
        let folder = folder();
        let mut log = filled(folder.path(), 30);
        let closed = log.closed_segments();
        assert!(closed.len() > 3 && closed[0].start == 1);
        let end = closed.last().unwrap().end;
        for segment in closed {
            let renewed = segment.clone().filter(|n| wanted(*n)).count() as u64;
            let changed = log.rewriter().rewrite(segment.start, renew(wanted)).unwrap();
            assert_eq!(changed, renewed);
        }
        assert_eq!(all(&log), expected(30, |n| n < end && wanted(n)));
        let on_disk: u64 = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert_eq!(log.bytes_on_disk(), on_disk);
        append(&mut log, &[old_payload(31)]).unwrap();
        drop(log);
        let (log, recovery) = open(folder.path());
        assert_eq!((recovery.torn_bytes_cut, recovery.next_sequence), (0, 32));
        assert_eq!(all(&log), expected(31, |n| n < end && wanted(n)));
    }
}

#[test]
fn a_segment_without_a_change_stays_the_same_file() {
    let folder = folder();
    let log = filled(folder.path(), 30);
    let inode = || std::fs::metadata(segment::path(folder.path(), 1)).unwrap().ino();
    let before = inode();
    assert_eq!(log.rewriter().rewrite(1, renew(|_| false)).unwrap(), 0);
    assert_eq!(inode(), before);
}

#[test]
fn the_segment_that_takes_appends_is_refused_until_it_is_closed() {
    let folder = folder();
    let mut log = filled(folder.path(), 2);
    let refused = log.rewriter().rewrite(1, renew(|_| true)).unwrap_err();
    assert!(matches!(refused, FramedLogError::NotClosed { first: 1, .. }));
    log.close_segment().unwrap();
    assert_eq!(log.rewriter().rewrite(1, renew(|_| true)).unwrap(), 2);
    let refused = log.rewriter().rewrite(2, renew(|_| true)).unwrap_err();
    assert!(matches!(refused, FramedLogError::NotClosed { first: 2, .. }));
    assert_eq!(all(&log), expected(2, |_| true));
}

#[test]
fn what_a_rolled_back_append_left_behind_a_closed_segment_is_not_carried_over() {
    let folder = folder();
    let mut log = filled(folder.path(), 2);
    log.close_segment().unwrap();
    let mut stale = Vec::new();
    format::push_frame(&mut stale, 3, b"was never answered");
    let path = segment::path(folder.path(), 1);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [bytes, stale].concat()).unwrap();
    log.rewriter().rewrite(1, renew(|n| n == 2)).unwrap();
    append(&mut log, &[old_payload(3)]).unwrap();
    assert_eq!(all(&log), expected(3, |n| n == 2));
    let rewritten = std::fs::read(&path).unwrap();
    assert!(!rewritten.windows(5).any(|window| window == b"never"));
}

#[test]
fn readers_go_on_in_the_file_they_have_and_find_the_new_one_when_sent_there_again() {
    for of_folder in [false, true] {
        let folder = folder();
        let mut log = filled(folder.path(), 3);
        let reader = |from| match of_folder {
            true => FrameReader::open(folder.path(), from).unwrap(),
            false => log.reader(from).unwrap(),
        };
        // One within the segment while it still took appends, and one that had read all of it.
        let (mut within, mut at_end) = (reader(1), reader(1));
        within.next_frame().unwrap();
        while at_end.next_frame().unwrap().is_some() {}
        append(&mut log, &[old_payload(4)]).unwrap();
        log.close_segment().unwrap();
        log.rewriter().rewrite(1, renew(|_| true)).unwrap();
        append(&mut log, &[old_payload(5)]).unwrap();

        let rest = read_all(within.clone()).unwrap();
        let sequences: Vec<u64> = rest.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, [2, 3, 4, 5]);
        for (sequence, payload) in rest {
            assert!([old_payload(sequence), new_payload(sequence)].contains(&payload));
        }
        let rest = read_all(at_end).unwrap();
        assert_eq!(rest, [(4, new_payload(4)), (5, old_payload(5))]);
        within.seek(1);
        assert_eq!(read_all(within).unwrap(), expected(5, |n| n <= 4));
    }
}

#[test]
fn rewriting_goes_on_beside_appends_removals_and_readers() {
    let folder = folder();
    let mut log = filled(folder.path(), 200);
    let rewriter = log.rewriter();
    let segments = log.closed_segments();
    let rewriting = std::thread::spawn(move || {
        for segment in segments {
            match rewriter.rewrite(segment.start, renew(|_| true)) {
                Ok(_) | Err(FramedLogError::NotClosed { .. }) => {}
                // Removed between being found and being opened.
                Err(FramedLogError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    for n in 201..=400 {
        append(&mut log, &[old_payload(n)]).unwrap();
        if n % 10 == 0 {
            log.remove_segments_before(n / 2).unwrap();
            for (sequence, payload) in all(&log) {
                assert!([old_payload(sequence), new_payload(sequence)].contains(&payload));
            }
        }
    }
    rewriting.join().unwrap();
    drop(log);
    let (log, _) = open(folder.path());
    assert_eq!(all(&log).last().unwrap().0, 400);
}

#[test]
fn a_damaged_segment_is_named_and_left_alone() {
    let folder = folder();
    let mut log = filled(folder.path(), 3);
    log.close_segment().unwrap();
    let path = segment::path(folder.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let refused = log.rewriter().rewrite(1, renew(|_| true)).unwrap_err();
    assert!(matches!(refused, FramedLogError::Damaged { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(!path.with_extension("log.new").exists());
}

#[test]
fn a_payload_longer_than_the_log_takes_changes_nothing() {
    let folder = folder();
    let mut log = filled(folder.path(), 3);
    log.close_segment().unwrap();
    let too_long = |_: u64, _: &[u8]| Ok::<_, FramedLogError>(Some(vec![0; 4097]));
    let refused = log.rewriter().rewrite(1, too_long).unwrap_err();
    assert!(matches!(refused, FramedLogError::FrameTooLarge { bytes: 4097, .. }));
    assert_eq!(all(&log), expected(3, |_| false));
}

/// Rewrites the first segment of three frames while `count` system calls fail, beginning with call
/// number `from`.
fn rewrite_under_faults(
    folder: &std::path::Path,
    from: u32,
    count: u32,
) -> (FramedLog, Result<u64, FramedLogError>, bool) {
    let mut log = filled(folder, 3);
    log.close_segment().unwrap();
    append(&mut log, &[old_payload(4)]).unwrap();
    storage::faults::fail(from, count);
    let done = log.rewriter().rewrite(1, renew(|n| n != 2));
    let reached = storage::faults::clear();
    (log, done, reached)
}

fn is_old_or_new(frames: &Frames) -> bool {
    *frames == expected(4, |_| false) || *frames == expected(4, |n| n != 2 && n != 4)
}

#[test]
fn any_failing_system_call_leaves_the_old_or_the_new_segment_and_may_be_tried_again() {
    let mut from = 0;
    loop {
        let folder = folder();
        let (mut log, done, reached) = rewrite_under_faults(folder.path(), from, 1);
        assert_eq!(done.is_err(), reached, "call {from}");
        assert!(is_old_or_new(&all(&log)), "call {from}");
        log.rewriter().rewrite(1, renew(|n| n != 2)).unwrap();
        assert_eq!(all(&log), expected(4, |n| n != 2 && n != 4), "call {from}");
        append(&mut log, &[old_payload(5)]).unwrap();
        drop(log);
        let (log, _) = open(folder.path());
        assert_eq!(all(&log), expected(5, |n| n != 2 && n < 4), "call {from}");
        if !reached {
            break;
        }
        from += 1;
    }
    assert!(from >= 5, "only {from} system calls were made to fail");
}

#[test]
fn dying_at_any_system_call_leaves_the_old_or_the_new_segment() {
    let mut seen = [0, 0];
    for from in 0..8 {
        let folder = folder();
        let (log, _, _) = rewrite_under_faults(folder.path(), from, 1000);
        drop(log);
        let (log, recovery) = open(folder.path());
        assert_eq!((recovery.torn_bytes_cut, recovery.next_sequence), (0, 5), "call {from}");
        let frames = all(&log);
        assert!(is_old_or_new(&frames), "call {from}");
        seen[usize::from(frames != expected(4, |_| false))] += 1;
        let names = std::fs::read_dir(folder.path()).unwrap();
        let unfinished = names
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "new"));
        assert_eq!(unfinished.count(), 0, "call {from}");
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
}

#[test]
fn a_half_written_new_segment_of_any_length_is_removed_when_the_log_is_opened() {
    let whole = {
        let folder = folder();
        let (_, done, _) = rewrite_under_faults(folder.path(), 1000, 0);
        done.unwrap();
        std::fs::read(segment::path(folder.path(), 1)).unwrap()
    };
    for length in 0..=whole.len() {
        let folder = folder();
        drop(filled(folder.path(), 3));
        let half = segment::path(folder.path(), 1).with_extension("log.new");
        std::fs::write(&half, &whole[..length]).unwrap();
        let (log, _) = FramedLog::open(folder.path(), SMALL).unwrap();
        assert_eq!(all(&log), expected(3, |_| false));
        assert!(!half.exists());
    }
}

#[test]
fn a_rename_that_was_not_synced_is_synced_by_the_next_call() {
    let folder = folder();
    // Create, both writes, sync and rename succeed, the sync of the folder does not.
    let (log, done, reached) = rewrite_under_faults(folder.path(), 5, 1);
    assert!(done.is_err() && reached);
    assert_eq!(all(&log), expected(4, |n| n != 2 && n != 4));
    storage::faults::fail(0, 1);
    let again = log.rewriter().rewrite(1, renew(|n| n != 2));
    assert!(storage::faults::clear(), "nothing was synced");
    assert!(again.is_err());
    assert_eq!(log.rewriter().rewrite(1, renew(|n| n != 2)).unwrap(), 0);
}
