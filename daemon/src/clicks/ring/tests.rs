use std::collections::VecDeque;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::mapping::HEADER_BYTES;
use super::*;

const STORE: StoreId = [7; 16];
const RUN: RunId = RunId([9; 16]);
const STREAM: StreamId = StreamId { node: 3, incarnation: 1_763_000_000, thread: 5 };

fn ring(folder: &Path) -> (RingWriter, RingReader) {
    create(folder, STORE, STREAM, Some(RUN), MIN_CAPACITY).unwrap()
}

/// Bytes that differ between sequences; the ring does not interpret records.
fn record(sequence: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| (sequence as usize * 31 + at) as u8).collect()
}

fn write(writer: &mut RingWriter, bytes: &[u8]) -> Recorded {
    writer.record(|slot| {
        slot[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    })
}

/// The next record without its filling.
fn next_record(reader: &mut RingReader) -> Result<Option<(u64, Vec<u8>)>, RingDamage> {
    let sequence = reader.advance()?;
    let record = reader.record();
    let length = reader.consumer.peek()?.first_chunk().map_or(0, |h| parse_frame_header(h).0);
    Ok(sequence.map(|sequence| (sequence, record[..length].to_vec())))
}

fn read_all(reader: &mut RingReader) -> Vec<(u64, Vec<u8>)> {
    std::iter::from_fn(|| next_record(reader).unwrap()).collect()
}

fn own_ring(found: Vec<OrphanedRing>) -> RingReader {
    let [OrphanedRing::Ours(ring)] = <[OrphanedRing; 1]>::try_from(found).unwrap() else {
        panic!("the ring was not taken for ours")
    };
    *ring
}

#[test]
fn a_full_ring_counts_exactly_and_takes_clicks_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = ring(folder.path());
    let gauge = reader.gauge();
    let (mut logged, mut unlogged) = (0, 0);
    for _ in 0..3 {
        for _ in 0..500 {
            match write(&mut writer, &record(logged + 1, 300)) {
                Recorded::Logged => logged += 1,
                Recorded::Unlogged => unlogged += 1,
            }
        }
        assert_eq!((gauge.logged(), gauge.unlogged()), (logged, unlogged));
        let before = gauge.durable();
        let records = read_all(&mut reader);
        assert!(records.iter().map(|(sequence, _)| *sequence).eq(before + 1..=logged));
        reader.release();
        assert_eq!(gauge.durable(), logged);
    }
    assert!(logged > 500 && unlogged > 500);
}

#[test]
fn what_was_not_released_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = ring(folder.path());
    for sequence in 1..=10 {
        assert_eq!(write(&mut writer, &record(sequence, 80)), Recorded::Logged);
    }
    let first = read_all(&mut reader);
    reader.rewind();
    assert_eq!(read_all(&mut reader), first);
    reader.release();
    assert_eq!(write(&mut writer, &record(11, 80)), Recorded::Logged);
    reader.rewind();
    assert_eq!(read_all(&mut reader), [(11, record(11, 80))]);
}

#[test]
fn a_record_is_there_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = ring(folder.path());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        writer.record(|slot| {
            slot.fill(9);
            panic!("while encoding")
        })
    }));
    assert!(panicked.is_err());
    assert!(reader.advance().unwrap().is_none());
    assert_eq!(write(&mut writer, b"whole"), Recorded::Logged);
    assert_eq!(read_all(&mut reader), [(1, b"whole".to_vec())]);
}

#[test]
fn a_ring_left_behind_gives_what_was_not_released_and_its_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = ring(folder.path());
    for sequence in 1..=20 {
        assert_eq!(write(&mut writer, &record(sequence, 100)), Recorded::Logged);
        if sequence == 8 {
            read_all(&mut reader);
            reader.release();
        }
    }
    while write(&mut writer, &record(21, 4000)) == Recorded::Logged {}
    let logged = reader.gauge().logged();
    drop((writer, reader));

    let mut left = own_ring(find_orphaned_rings(folder.path(), STORE).unwrap());
    assert_eq!(left.stream(), STREAM);
    assert_eq!((left.gauge().logged(), left.gauge().unlogged()), (logged, 1));
    let records = read_all(&mut left);
    assert!(records.iter().map(|(sequence, _)| *sequence).eq(9..=logged));
    assert_eq!(records[0].1, record(9, 100));
}

#[test]
fn the_run_of_a_ring_is_known_to_its_store() {
    let folder = tempfile::tempdir().unwrap();
    let runs = |store| read_run_ids(folder.path(), store).unwrap();
    let _ring = ring(folder.path());
    let before_run_ids = StreamId { incarnation: 5, ..STREAM };
    let _before = create(folder.path(), STORE, before_run_ids, None, MIN_CAPACITY).unwrap();
    std::fs::write(folder.path().join("ring-6-0"), [1; 300]).unwrap();
    assert_eq!(runs(STORE).into_iter().collect::<Vec<_>>(), [(STREAM.incarnation, RUN)]);
    assert!(runs([8; 16]).is_empty());
}

#[test]
fn a_ring_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_writer, reader) = ring(folder.path());
    for store in [STORE, [8; 16]] {
        let found = find_orphaned_rings(folder.path(), store).unwrap();
        assert!(matches!(&found[..], [OrphanedRing::InUse { path }] if path == reader.path()));
    }
}

#[test]
fn a_ring_of_another_store_is_set_aside_and_its_owner_finds_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = ring(folder.path());
    assert_eq!(write(&mut writer, b"not theirs"), Recorded::Logged);
    drop((writer, reader));

    let found = find_orphaned_rings(folder.path(), [8; 16]).unwrap();
    assert!(matches!(&found[..], [OrphanedRing::SetAside { path, .. }] if path.is_file()));
    assert!(find_orphaned_rings(folder.path(), [8; 16]).unwrap().is_empty());
    let mut left = own_ring(find_orphaned_rings(folder.path(), STORE).unwrap());
    assert_eq!(read_all(&mut left), [(1, b"not theirs".to_vec())]);
}

#[test]
fn a_folder_or_a_pipe_under_the_name_of_a_ring_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("ring-7-0")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let pipe = folder.path().join("ring-7-1");
    rustix::fs::mknodat(CWD, pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(find_orphaned_rings(folder.path(), STORE).unwrap().is_empty());
}

#[test]
fn files_that_are_no_rings_are_set_aside_or_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("coupond.sock"), "").unwrap();
    std::fs::write(path("ring-1-2.new"), "never finished").unwrap();
    std::fs::write(path("ring-1-3"), "short").unwrap();
    std::fs::write(path("ring-1-4"), [0; 10_000]).unwrap();
    let (_, reader) = ring(folder.path());
    let bytes = std::fs::read(reader.path()).unwrap();
    std::fs::write(path("ring-1-5"), &bytes[..HEADER_BYTES]).unwrap();
    std::fs::write(path("ring-1-6"), &bytes[..bytes.len() - 4096]).unwrap();
    std::fs::remove_file(reader.path()).unwrap();

    let found = find_orphaned_rings(folder.path(), STORE).unwrap();
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|found| matches!(found, OrphanedRing::SetAside { .. })));
    assert!(!path("ring-1-2.new").exists());
    assert!(path("coupond.sock").exists());
    assert!(find_orphaned_rings(folder.path(), STORE).unwrap().is_empty());
}

#[test]
fn a_ring_whose_contents_were_scribbled_on_goes_on_after_giving_them_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = ring(folder.path());
    for sequence in 1..=5 {
        assert_eq!(write(&mut writer, &record(sequence, 100)), Recorded::Logged);
    }
    let file = std::fs::File::options().write(true).open(reader.path()).unwrap();
    let second_frame = HEADER_BYTES + frame_bytes(100);
    file.write_all_at(&[0xff; 8], second_frame as u64).unwrap();
    assert!(reader.advance().unwrap().is_some());
    assert_eq!(reader.advance().unwrap_err(), RingDamage::Frame { sequence: 2 });
    assert_eq!(reader.give_up_unread(), 4);
    assert_eq!(write(&mut writer, b"goes on"), Recorded::Logged);
    assert_eq!(read_all(&mut reader), [(6, b"goes on".to_vec())]);
}

#[test]
fn writer_and_reader_in_two_threads_lose_and_invent_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = ring(folder.path());
    let gauge = reader.gauge();
    let serving = std::thread::spawn(move || {
        let mut unlogged = 0;
        for n in 0..200_000_u64 {
            let bytes = n.to_le_bytes().repeat(1 + (n % 40) as usize);
            unlogged += u64::from(write(&mut writer, &bytes) == Recorded::Unlogged);
        }
        unlogged
    });
    let (mut sequence_read, mut last_n) = (0, None);
    while !serving.is_finished() || reader.unread_bytes() > 0 {
        while let Some((sequence, bytes)) = next_record(&mut reader).unwrap() {
            assert_eq!(sequence, sequence_read + 1);
            sequence_read = sequence;
            let n = u64_at(&bytes, 0);
            assert!(last_n < Some(n));
            assert_eq!(bytes, n.to_le_bytes().repeat(1 + (n % 40) as usize));
            last_n = Some(n);
        }
        reader.release();
    }
    let unlogged = serving.join().unwrap();
    assert_eq!(gauge.unlogged(), unlogged);
    assert_eq!(sequence_read + unlogged, 200_000);
    assert_eq!(gauge.durable(), sequence_read);
}

#[derive(Debug, Clone)]
enum Action {
    Write(usize),
    Read(usize),
    Release,
    Rewind,
    KillAndReopen,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (1..MAX_RECORD_LEN + 1).prop_map(Action::Write),
        20 => (60..400_usize).prop_map(Action::Write),
        12 => (1..40_usize).prop_map(Action::Read),
        6 => Just(Action::Release),
        2 => Just(Action::Rewind),
        1 => Just(Action::KillAndReopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The ring against a queue as model: each record written is read once, whole and in order,
    /// whatever the order of actions; and the file that a killed process leaves has the same
    /// records.
    #[test]
    fn a_ring_behaves_like_a_queue(actions in prop::collection::vec(action(), 1..400)) {
        let folder = tempfile::tempdir().unwrap();
        let copy = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = ring(folder.path());
        let mut queue = VecDeque::new();
        let (mut logged, mut unlogged, mut read) = (0, 0, 0);
        for action in actions {
            match action {
                Action::Write(length) => match write(&mut writer, &record(logged + 1, length)) {
                    Recorded::Logged => {
                        logged += 1;
                        queue.push_back((logged, record(logged, length)));
                    }
                    Recorded::Unlogged => {
                        unlogged += 1;
                        // The ring never reports full while most of its room is free.
                        let used: usize = queue.iter().map(|(_, r)| frame_bytes(r.len())).sum();
                        prop_assert!(used + 3 * SLOT_BYTES > MIN_CAPACITY);
                    }
                },
                Action::Read(count) => for _ in 0..count {
                    let record = next_record(&mut reader).unwrap();
                    prop_assert_eq!(record.as_ref(), queue.get(read));
                    read += usize::from(record.is_some());
                },
                Action::Release => {
                    reader.release();
                    queue.drain(..read);
                    read = 0;
                }
                Action::Rewind => {
                    reader.rewind();
                    read = 0;
                }
                Action::KillAndReopen => {
                    let left = copy.path().join("ring-1-1");
                    std::fs::copy(reader.path(), &left).unwrap();
                    let mut left = own_ring(find_orphaned_rings(copy.path(), STORE).unwrap());
                    prop_assert!(read_all(&mut left).iter().eq(&queue));
                    prop_assert_eq!(left.gauge().unlogged(), unlogged);
                }
            }
        }
        prop_assert_eq!(reader.gauge().logged(), logged);
    }

    #[test]
    fn no_damage_to_a_ring_panics_or_yields_more_than_it_held(
        damage in prop::collection::vec((0..3000_usize, any::<u8>()), 1..20),
        in_words in prop::collection::vec((0..24_usize, any::<u8>()), 0..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = ring(folder.path());
        for sequence in 1..=200 {
            let _ = write(&mut writer, &record(sequence, 400));
            if sequence % 50 == 0 {
                read_all(&mut reader);
                reader.release();
            }
        }
        let file = std::fs::File::options().write(true).open(reader.path()).unwrap();
        drop((writer, reader));
        for (at, byte) in damage {
            file.write_all_at(&[byte], (HEADER_BYTES + at * 20) as u64).unwrap();
        }
        for (at, byte) in in_words {
            let word = [Word::Head, Word::Tail, Word::DurableSequence][at / 8] as u64;
            file.write_all_at(&[byte], word + at as u64 % 8).unwrap();
        }
        let mut left = own_ring(find_orphaned_rings(folder.path(), STORE).unwrap());
        let mut records = 0;
        while let Ok(Some(_)) = next_record(&mut left) {
            records += 1;
            prop_assert!(records <= MIN_CAPACITY / FRAME_HEADER_BYTES);
        }
    }
}
