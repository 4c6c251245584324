//! What a healthy log does, and that its bytes are those of the specification.

use proptest::prelude::*;

use super::*;

pub(super) const SMALL: Options = Options { segment_bytes: 200, max_frame_bytes: 4096 };
const ONE_SEGMENT: Options = Options { segment_bytes: 1 << 20, max_frame_bytes: 4096 };

/// A folder in memory where the machine has one, because these tests sync thousands of logs.
pub(super) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(super) fn open(folder: &Path) -> (FramedLog, Recovery) {
    FramedLog::open(folder, SMALL).unwrap()
}

pub(super) fn append(
    log: &mut FramedLog,
    payloads: &[Vec<u8>],
) -> Result<Range<u64>, FramedLogError> {
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    log.append_synced(&payloads)
}

pub(super) fn read_all(mut reader: FrameReader) -> Result<Vec<(u64, Vec<u8>)>, FramedLogError> {
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push((frame.sequence, frame.payload.to_vec()));
    }
    Ok(frames)
}

fn payload(n: u64) -> Vec<u8> {
    format!("payload {n} {}", "x".repeat(n as usize % 50)).into_bytes()
}

fn filled(folder: &Path, frames: u64) -> FramedLog {
    let (mut log, _) = open(folder);
    for n in 1..=frames {
        assert_eq!(append(&mut log, &[payload(n)]).unwrap(), n..n + 1);
    }
    log
}

#[test]
fn frames_come_back_in_order_across_segments() {
    let folder = folder();
    let log = filled(folder.path(), 40);
    assert!(segment::list(folder.path()).unwrap().len() > 5);
    for from in 1..=41 {
        let frames = read_all(log.reader(from).unwrap()).unwrap();
        let expected: Vec<_> = (from..=40).map(|n| (n, payload(n))).collect();
        assert_eq!(frames, expected);
    }
}

#[test]
fn a_reopened_log_goes_on_where_it_ended() {
    let folder = folder();
    drop(filled(folder.path(), 10));
    let (mut log, recovery) = open(folder.path());
    assert_eq!(
        recovery,
        Recovery {
            torn_bytes_cut: 0,
            torn_segment_removed: false,
            first_sequence: 1,
            next_sequence: 11,
        }
    );
    assert_eq!(append(&mut log, &[payload(11), payload(12)]).unwrap(), 11..13);
    assert_eq!(read_all(log.reader(1).unwrap()).unwrap().len(), 12);
}

#[test]
fn the_golden_file_of_version_1_is_read_and_written_to_the_byte() {
    let golden = include_bytes!("../../tests/golden/framed_log_v1.log");
    let payloads: [&[u8]; 4] = [
        b"first",
        b"",
        &std::array::from_fn::<u8, 256, _>(|i| i as u8),
        b"WINTER25WINTER25WINTER25",
    ];
    let read = folder();
    std::fs::write(segment::path(read.path(), 1), golden).unwrap();
    let (log, _) = open(read.path());
    let frames = read_all(log.reader(1).unwrap()).unwrap();
    assert!(frames.iter().map(|(_, payload)| payload.as_slice()).eq(payloads));

    let written = folder();
    let (mut log, _) = FramedLog::open(written.path(), ONE_SEGMENT).unwrap();
    log.append_synced(&payloads).unwrap();
    assert_eq!(std::fs::read(segment::path(written.path(), 1)).unwrap(), golden);
}

#[test]
fn a_newer_format_version_is_refused_by_its_number() {
    let folder = folder();
    let mut header = format::encode_header(1);
    header[8] = 2;
    let checksum = crc32c::crc32c(&header[..20]);
    header[20..].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(segment::path(folder.path(), 1), header).unwrap();
    let refused = FramedLog::open(folder.path(), SMALL).unwrap_err();
    assert!(matches!(refused, FramedLogError::UnsupportedVersion { version: 2, .. }));
}

#[test]
fn a_second_appender_is_refused_until_the_first_is_gone() {
    let folder = folder();
    let log = filled(folder.path(), 1);
    let refused = FramedLog::open(folder.path(), SMALL).unwrap_err();
    assert!(matches!(refused, FramedLogError::Locked { .. }));
    drop(log);
    open(folder.path());
}

#[test]
fn a_frame_longer_than_allowed_is_refused_and_nothing_of_its_batch_stays() {
    let folder = folder();
    let mut log = filled(folder.path(), 1);
    let refused = append(&mut log, &[payload(2), vec![0; 4097]]).unwrap_err();
    assert!(matches!(refused, FramedLogError::FrameTooLarge { bytes: 4097, max: 4096 }));
    assert_eq!(append(&mut log, &[payload(2)]).unwrap(), 2..3);
    assert_eq!(read_all(log.reader(1).unwrap()).unwrap().len(), 2);
}

#[test]
fn removing_keeps_the_wanted_frames_and_the_last_segment() {
    let folder = folder();
    let mut log = filled(folder.path(), 40);
    let before = log.bytes_on_disk();
    let freed = log.remove_segments_before(20).unwrap();
    assert!(freed > 0);
    assert_eq!(log.bytes_on_disk(), before - freed);
    assert!(log.first_sequence() <= 20 && log.first_sequence() > 15);
    assert_eq!(read_all(log.reader(20).unwrap()).unwrap().len(), 21);
    let refused = log.reader(1).unwrap_err();
    assert!(matches!(refused, FramedLogError::Removed { wanted: 1, .. }));

    log.remove_segments_before(u64::MAX).unwrap();
    drop(log);
    let (mut log, recovery) = open(folder.path());
    assert_eq!(recovery.next_sequence, 41);
    assert_eq!(append(&mut log, &[payload(41)]).unwrap(), 41..42);
    let on_disk: u64 = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(log.bytes_on_disk(), on_disk);
}

#[test]
fn after_closing_the_segment_every_frame_can_be_removed() {
    let folder = folder();
    let mut log = filled(folder.path(), 3);
    log.close_segment().unwrap();
    log.close_segment().unwrap();
    log.remove_segments_before(4).unwrap();
    assert_eq!((log.first_sequence(), log.next_sequence()), (4, 4));
    assert_eq!(log.bytes_on_disk(), format::HEADER_BYTES as u64);
    drop(log);
    let (mut log, recovery) = open(folder.path());
    assert_eq!((recovery.first_sequence, recovery.next_sequence), (4, 4));
    assert_eq!(append(&mut log, &[payload(4)]).unwrap(), 4..5);
}

#[test]
fn a_reader_goes_on_wherever_it_is_sent() {
    let folder = folder();
    let log = filled(folder.path(), 30);
    let mut reader = log.reader(1).unwrap();
    for to in [30, 2, 17, 1] {
        reader.seek(to);
        assert_eq!(reader.next_frame().unwrap().unwrap().payload, payload(to));
    }
    assert_eq!(reader.first_sequence().unwrap(), 1);
}

#[test]
fn a_reader_whose_segment_was_removed_says_where_the_log_begins() {
    let folder = folder();
    let mut log = filled(folder.path(), 40);
    let mut waiting = log.reader(1).unwrap();
    let mut within = log.reader(1).unwrap();
    within.next_frame().unwrap();
    log.remove_segments_before(30).unwrap();
    let first = log.first_sequence();
    for reader in [&mut waiting, &mut within] {
        let refused = loop {
            match reader.next_frame() {
                Ok(frame) => assert!(frame.unwrap().sequence < first),
                Err(refused) => break refused,
            }
        };
        let FramedLogError::Removed { first: begins, .. } = refused else { panic!("{refused}") };
        assert_eq!(begins, first);
    }
}

#[test]
fn a_reader_at_the_end_sees_the_next_frame_only_when_it_is_committed() {
    let folder = folder();
    let (mut log, _) = open(folder.path());
    let mut reader = log.reader(1).unwrap();
    for n in 1..=30 {
        assert!(reader.next_frame().unwrap().is_none());
        storage::faults::fail(1, 1);
        append(&mut log, &[payload(n)]).unwrap_err();
        assert!(storage::faults::clear());
        assert!(reader.next_frame().unwrap().is_none());
        append(&mut log, &[payload(n)]).unwrap();
        let frame = reader.next_frame().unwrap().unwrap();
        assert_eq!((frame.sequence, frame.payload), (n, payload(n).as_slice()));
    }
}

#[test]
fn a_reader_in_another_thread_follows_the_log() {
    let folder = folder();
    let (mut log, _) = open(folder.path());
    let mut reader = log.reader(1).unwrap();
    let follower = std::thread::spawn(move || {
        let mut expected = 1;
        while expected <= 300 {
            let Some(frame) = reader.next_frame().unwrap() else {
                std::thread::yield_now();
                continue;
            };
            assert_eq!((frame.sequence, frame.payload), (expected, payload(expected).as_slice()));
            expected += 1;
        }
    });
    for n in 1..=300 {
        append(&mut log, &[payload(n)]).unwrap();
    }
    follower.join().unwrap();
}

#[test]
fn another_process_reads_along_and_waits_at_a_half_written_frame() {
    let folder = folder();
    let mut log = filled(folder.path(), 12);
    let mut reader = FrameReader::open(folder.path(), 3).unwrap();
    for n in 3..=12 {
        assert_eq!(reader.next_frame().unwrap().unwrap().sequence, n);
    }
    assert!(reader.next_frame().unwrap().is_none());
    storage::faults::fail(0, 2);
    append(&mut log, &[payload(13)]).unwrap_err();
    assert!(storage::faults::clear());
    assert!(reader.next_frame().unwrap().is_none());
    for n in 13..=20 {
        append(&mut log, &[payload(n)]).unwrap();
        assert_eq!(reader.next_frame().unwrap().unwrap().payload, payload(n));
    }
    let mut ahead = FrameReader::open(folder.path(), 30).unwrap();
    assert!(ahead.next_frame().unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_batches_come_back_whole_after_any_number_of_reopenings(
        batches in prop::collection::vec(
            (prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..5), any::<bool>()),
            1..20,
        ),
        segment_bytes in 24_u64..2000,
    ) {
        let folder = folder();
        let options = Options { segment_bytes, max_frame_bytes: 4096 };
        let (mut log, _) = FramedLog::open(folder.path(), options).unwrap();
        let mut expected = Vec::new();
        for (batch, reopen) in &batches {
            append(&mut log, batch).unwrap();
            expected.extend(batch.iter().cloned());
            if *reopen {
                drop(log);
                log = FramedLog::open(folder.path(), options).unwrap().0;
            }
        }
        let frames = read_all(log.reader(1).unwrap()).unwrap();
        prop_assert!(frames.iter().map(|(sequence, _)| *sequence).eq(1..=expected.len() as u64));
        prop_assert!(frames.iter().map(|(_, payload)| payload).eq(&expected));
    }
}
