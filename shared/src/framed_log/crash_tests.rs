//! Every place a crash, a failing system call or a damaged bit can hit a small log.

use proptest::prelude::*;

use super::tests::{SMALL, append, folder, open, read_all};
use super::*;

type Frames = Vec<(u64, Vec<u8>)>;

fn payload(n: u64) -> Vec<u8> {
    vec![b'a' + n as u8; 3 + n as usize % 7]
}

/// The bytes of a segment with frames 1 to `frames`, the position of each frame, and the end of the
/// last.
fn one_segment(frames: u64) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = format::encode_header(1).to_vec();
    let mut borders = vec![bytes.len()];
    for n in 1..=frames {
        format::push_frame(&mut bytes, n, &payload(n));
        borders.push(bytes.len());
    }
    (bytes, borders)
}

fn expected(frames: u64) -> Frames {
    (1..=frames).map(|n| (n, payload(n))).collect()
}

/// Opens the log twice: the second opening must have nothing left to repair.
fn recover_twice(folder: &Path) -> Result<(Frames, Recovery), FramedLogError> {
    let (log, recovery) = FramedLog::open(folder, SMALL)?;
    let frames = read_all(log.reader(log.first_sequence())?)?;
    drop(log);
    let (mut log, again) = open(folder);
    assert_eq!((again.torn_bytes_cut, again.torn_segment_removed), (0, false));
    assert_eq!(again.next_sequence, recovery.next_sequence);
    assert_eq!(read_all(log.reader(log.first_sequence())?)?, frames);
    assert_eq!(append(&mut log, &[b"goes on".to_vec()])?.start, recovery.next_sequence);
    Ok((frames, recovery))
}

#[test]
fn every_truncation_keeps_exactly_the_whole_frames_and_counts_the_rest() {
    let (bytes, borders) = one_segment(6);
    for length in 0..=bytes.len() {
        let folder = folder();
        std::fs::write(segment::path(folder.path(), 1), &bytes[..length]).unwrap();
        let (frames, recovery) = recover_twice(folder.path()).unwrap();
        let whole = borders.iter().filter(|border| **border <= length).count();
        assert_eq!(frames, expected(whole.saturating_sub(1) as u64), "cut at {length}");
        let kept = if whole == 0 { 0 } else { borders[whole - 1] };
        assert_eq!(recovery.torn_bytes_cut, (length - kept) as u64, "cut at {length}");
        assert_eq!(recovery.torn_segment_removed, whole == 0);
    }
}

#[test]
fn every_flipped_bit_ends_the_last_segment_there_or_refuses_its_header() {
    let (bytes, borders) = one_segment(5);
    for bit in 0..bytes.len() * 8 {
        let folder = folder();
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(segment::path(folder.path(), 1), &flipped).unwrap();
        let recovered = recover_twice(folder.path());
        if bit / 8 < format::HEADER_BYTES {
            assert!(matches!(recovered, Err(FramedLogError::Damaged { offset: 0, .. })));
            assert_eq!(std::fs::read(segment::path(folder.path(), 1)).unwrap(), flipped);
            continue;
        }
        let (frames, recovery) = recovered.unwrap();
        let intact = borders.iter().filter(|border| **border <= bit / 8).count() - 1;
        assert_eq!(frames, expected(intact as u64), "bit {bit}");
        assert_eq!(recovery.torn_bytes_cut, (bytes.len() - borders[intact]) as u64);
    }
}

#[test]
fn every_flipped_bit_of_an_earlier_segment_is_named_and_never_skipped() {
    for earlier_by in [1, 2] {
        let (bytes, borders) = one_segment(4);
        for bit in 0..bytes.len() * 8 {
            let folder = folder();
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(segment::path(folder.path(), 1), &flipped).unwrap();
            for first in 5..5 + earlier_by {
                let mut following = format::encode_header(first).to_vec();
                format::push_frame(&mut following, first, &payload(first));
                std::fs::write(segment::path(folder.path(), first), following).unwrap();
            }
            let error = FramedLog::open(folder.path(), SMALL)
                .and_then(|(log, _)| read_all(log.reader(1)?))
                .unwrap_err();
            let FramedLogError::Damaged { path, offset, resume_at, .. } = error else {
                panic!("bit {bit}: {error}")
            };
            let damaged = borders.iter().rfind(|border| **border <= bit / 8).unwrap_or(&0);
            assert_eq!((path, offset), (segment::path(folder.path(), 1), *damaged as u64));
            assert_eq!(resume_at, Some(5));
        }
    }
}

#[test]
fn a_reader_may_go_on_after_a_damaged_segment_when_it_decides_to() {
    let folder = folder();
    let (mut log, _) = open(folder.path());
    for n in 1..=30 {
        append(&mut log, &[payload(n)]).unwrap();
    }
    let path = segment::path(folder.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut reader = log.reader(1).unwrap();
    for _ in 0..2 {
        let Err(FramedLogError::Damaged { resume_at: Some(next), .. }) = reader.next_frame() else {
            panic!("damage was not reported")
        };
        let rest = read_all(log.reader(next).unwrap()).unwrap();
        assert_eq!(rest, expected(30).split_off(next as usize - 1));
    }
}

#[test]
fn an_earlier_segment_that_ends_early_is_damage_at_its_end() {
    let (bytes, borders) = one_segment(4);
    for length in format::HEADER_BYTES..bytes.len() {
        let folder = folder();
        std::fs::write(segment::path(folder.path(), 1), &bytes[..length]).unwrap();
        std::fs::write(segment::path(folder.path(), 5), format::encode_header(5)).unwrap();
        let Err(FramedLogError::Damaged { offset, .. }) = FramedLog::open(folder.path(), SMALL)
        else {
            panic!("{length} bytes were accepted")
        };
        let end = borders.iter().rfind(|border| **border <= length).unwrap();
        assert_eq!(offset, *end as u64);
    }
}

#[test]
fn frames_missing_before_a_torn_last_segment_are_damage() {
    let (bytes, borders) = one_segment(4);
    let folder = folder();
    std::fs::write(segment::path(folder.path(), 1), &bytes[..borders[3]]).unwrap();
    std::fs::write(segment::path(folder.path(), 5), [0; 10]).unwrap();
    let refused = FramedLog::open(folder.path(), SMALL);
    assert!(matches!(refused, Err(FramedLogError::Damaged { .. })));
}

#[test]
fn a_tail_of_zeros_or_of_an_older_write_is_cut() {
    let (bytes, _) = one_segment(4);
    let mut stale = Vec::new();
    format::push_frame(&mut stale, 4, b"an older frame");
    for tail in [vec![0; 1], vec![0; 16], vec![0; 5000], vec![255; 400], stale] {
        let folder = folder();
        let torn = [bytes.clone(), tail.clone()].concat();
        std::fs::write(segment::path(folder.path(), 1), torn).unwrap();
        let (frames, recovery) = recover_twice(folder.path()).unwrap();
        assert_eq!(frames, expected(4));
        assert_eq!(recovery.torn_bytes_cut, tail.len() as u64);
    }
}

#[test]
fn a_torn_last_segment_is_removed_and_its_sequence_kept() {
    for torn in [vec![], format::encode_header(5)[..23].to_vec(), vec![0; 24], vec![0; 4096]] {
        for with_earlier in [false, true] {
            let folder = folder();
            if with_earlier {
                std::fs::write(segment::path(folder.path(), 1), one_segment(4).0).unwrap();
            }
            std::fs::write(segment::path(folder.path(), 5), &torn).unwrap();
            let (frames, recovery) = recover_twice(folder.path()).unwrap();
            assert_eq!(frames, expected(if with_earlier { 4 } else { 0 }));
            assert!(recovery.torn_segment_removed);
            assert_eq!(recovery.next_sequence, 5);
        }
    }
}

#[test]
fn what_a_rolled_back_append_left_behind_never_comes_back() {
    let (mut bytes, _) = one_segment(4);
    format::push_frame(&mut bytes, 5, b"was never answered");
    let folder = folder();
    std::fs::write(segment::path(folder.path(), 1), bytes).unwrap();
    let mut next = format::encode_header(5).to_vec();
    format::push_frame(&mut next, 5, &payload(5));
    std::fs::write(segment::path(folder.path(), 5), next).unwrap();
    let (frames, _) = recover_twice(folder.path()).unwrap();
    assert_eq!(frames, expected(5));
}

/// Appends twenty batches while `count` system calls fail, beginning with call number `from`. Each
/// batch is retried with a frame less until it is accepted, so that a whole frame left behind by an
/// attempt would show. Returns the accepted frames, and whether the failures were reached.
fn append_under_faults(folder: &Path, from: u32, count: u32) -> (Frames, bool) {
    let (mut log, _) = open(folder);
    let mut reader = log.reader(1).unwrap();
    let mut taken = Frames::new();
    storage::faults::fail(from, count);
    for n in 0..20 {
        let mut batch = vec![vec![b'a' + n; 10]; count as usize + 1];
        while append(&mut log, &batch).is_err() {
            batch.pop().unwrap();
            assert!(reader.next_frame().unwrap().is_none(), "a failed append was visible");
        }
        for payload in batch {
            let frame = reader.next_frame().unwrap().unwrap();
            assert_eq!(frame.payload, payload);
            taken.push((frame.sequence, payload));
        }
    }
    (taken, storage::faults::clear())
}

#[test]
fn any_failing_system_calls_of_appending_leave_each_batch_exactly_once() {
    for count in [1, 2, 3, 7] {
        let mut from = 0;
        loop {
            let folder = folder();
            let (taken, reached) = append_under_faults(folder.path(), from, count);
            let (frames, recovery) = recover_twice(folder.path()).unwrap();
            assert_eq!(frames, taken, "{count} failures from call {from}");
            assert_eq!(recovery.next_sequence, taken.len() as u64 + 1);
            if !reached {
                break;
            }
            from += 1;
        }
        assert!(from > 40, "only {from} system calls were made to fail");
    }
}

#[test]
fn after_a_failed_sync_the_file_is_never_written_again() {
    use std::os::unix::fs::MetadataExt;
    for frames_before in [0, 3] {
        let folder = folder();
        let (mut log, _) = open(folder.path());
        for n in 1..=frames_before {
            append(&mut log, &[payload(n)]).unwrap();
        }
        let inode = |first| std::fs::metadata(segment::path(folder.path(), first)).unwrap().ino();
        let before = inode(1);
        let length = log.bytes_on_disk();
        storage::faults::fail(1, 1);
        append(&mut log, &[payload(frames_before + 1)]).unwrap_err();
        assert!(storage::faults::clear());
        append(&mut log, &[payload(frames_before + 1)]).unwrap();
        assert_ne!(inode(frames_before + 1), before);
        if frames_before > 0 {
            assert_eq!(std::fs::metadata(segment::path(folder.path(), 1)).unwrap().len(), length);
        }
        drop(log);
        assert_eq!(recover_twice(folder.path()).unwrap().0, expected(frames_before + 1));
    }
}

#[test]
fn a_segment_begun_but_not_confirmed_still_bounds_the_one_before() {
    let folder = folder();
    let (mut log, _) = open(folder.path());
    append(&mut log, &[payload(1)]).unwrap();
    // Create, write, sync and rename succeed, the sync of the folder does not.
    storage::faults::fail(4, 1);
    append(&mut log, &[vec![0; 300]]).unwrap_err();
    assert!(storage::faults::clear());
    append(&mut log, &[payload(2)]).unwrap();
    drop(log);
    assert_eq!(recover_twice(folder.path()).unwrap().0, expected(2));
}

#[test]
fn dying_after_any_failing_system_call_keeps_what_was_answered() {
    for from in 0..120 {
        let folder = folder();
        let (mut log, _) = open(folder.path());
        storage::faults::fail(from, 1000);
        let mut answered = 0;
        while answered < 20 && append(&mut log, &[payload(answered + 1)]).is_ok() {
            answered += 1;
        }
        storage::faults::clear();
        drop(log);
        let (frames, _) = recover_twice(folder.path()).unwrap();
        // The batch in flight may be there, whole; nothing else may.
        assert!(frames == expected(answered) || frames == expected(answered + 1), "call {from}");
    }
}

#[test]
fn failing_system_calls_of_opening_leave_a_log_that_opens() {
    let (mut bytes, borders) = one_segment(4);
    bytes.truncate(borders[3] + 5);
    for from in 0..20 {
        let folder = folder();
        std::fs::write(segment::path(folder.path(), 1), &bytes).unwrap();
        std::fs::write(segment::path(folder.path(), 4), [1; 3]).unwrap();
        std::fs::write(folder.path().join("00000000000000000004.log.new"), [1; 3]).unwrap();
        storage::faults::fail(from, 1);
        let opened = FramedLog::open(folder.path(), SMALL).map(drop);
        let reached = storage::faults::clear();
        assert_eq!(opened.is_err(), reached, "call {from}");
        assert_eq!(recover_twice(folder.path()).unwrap().0, expected(3));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_garbage_tail_is_cut_and_never_read(tail in prop::collection::vec(any::<u8>(), 1..200)) {
        let (bytes, _) = one_segment(3);
        let folder = folder();
        std::fs::write(segment::path(folder.path(), 1), [bytes, tail.clone()].concat()).unwrap();
        let (frames, recovery) = recover_twice(folder.path()).unwrap();
        prop_assert_eq!(frames, expected(3));
        prop_assert_eq!(recovery.torn_bytes_cut, tail.len() as u64);
    }

    #[test]
    fn no_segment_of_any_bytes_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let folder = folder();
        let file = [&format::encode_header(1)[..], &bytes].concat();
        std::fs::write(segment::path(folder.path(), 1), &bytes).unwrap();
        let _ = FramedLog::open(folder.path(), SMALL);
        std::fs::write(segment::path(folder.path(), 1), file).unwrap();
        prop_assert!(recover_twice(folder.path()).is_ok());
    }
}
