//! The ring's protocol under a model checker: the real ends over memory that detects wrong access,
//! in every order of two threads' loads and stores, with every value that the memory orderings
//! permit a load to see. A weaker ordering of the words makes these tests fail.

use std::path::PathBuf;

use coupon_shared::click::StreamId;

use super::mapping::Mapping;
use super::{FRAME_HEADER_BYTES, Recorded, RingReader, RingWriter, SLOT_BYTES, both_ends};

/// Room for one slot and the short end after it, so that records soon continue at the start.
const CAPACITY: usize = 8192;
const STREAM: StreamId = StreamId { node: 1, incarnation: 2, thread: 3 };

/// Checks every interleaving of two threads with at most this many preemptions.
fn check(interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut checker = loom::model::Builder::new();
    checker.preemption_bound = Some(interruptions);
    checker.check(model);
}

fn ring() -> (RingWriter, RingReader) {
    both_ends(Mapping::modelled(CAPACITY), STREAM, PathBuf::new())
}

/// Writes a record that fills a frame of `frame` bytes with its number.
fn write(writer: &mut RingWriter, number: u64, frame: usize) -> Recorded {
    writer.record(|slot| {
        slot[..frame - FRAME_HEADER_BYTES].fill(number as u8);
        frame - FRAME_HEADER_BYTES
    })
}

/// Reads and releases all records and asserts that their sequences follow each other.
fn read_and_release(reader: &mut RingReader, last: &mut u64) {
    while let Some(sequence) = reader.advance().unwrap() {
        *last += 1;
        assert_eq!(sequence, *last);
        assert!(reader.record().iter().all(|byte| *byte == sequence as u8), "not whole");
    }
    reader.release();
}

#[test]
fn each_record_is_read_once_whole_and_in_order_while_the_ring_begins_again() {
    check(2, || {
        let (mut writer, mut reader) = ring();
        let gauge = reader.gauge();
        let serving = loom::thread::spawn(move || {
            let (mut logged, mut unlogged) = (0, 0);
            // No slot fits behind the third: later records continue at the start.
            for frame in [1024, 2048, 2048, 1024, 2048] {
                match write(&mut writer, logged + 1, frame) {
                    Recorded::Logged => logged += 1,
                    Recorded::Unlogged => unlogged += 1,
                }
            }
            (logged, unlogged)
        });
        let mut last = 0;
        for _ in 0..2 {
            read_and_release(&mut reader, &mut last);
        }
        let (logged, unlogged) = serving.join().unwrap();
        read_and_release(&mut reader, &mut last);
        assert_eq!((last, gauge.durable()), (logged, logged));
        assert_eq!((gauge.logged(), gauge.unlogged(), logged + unlogged), (logged, unlogged, 5));
    });
}

#[test]
fn what_is_read_again_after_a_failed_commit_is_the_same() {
    check(3, || {
        let (mut writer, mut reader) = ring();
        let serving = loom::thread::spawn(move || {
            (1..=3).filter(|n| write(&mut writer, *n, 1024) == Recorded::Logged).count() as u64
        });
        let mut before = 0;
        while let Some(sequence) = reader.advance().unwrap() {
            before = sequence;
        }
        reader.rewind();
        let mut last = 0;
        read_and_release(&mut reader, &mut last);
        assert!(last >= before);
        let logged = serving.join().unwrap();
        read_and_release(&mut reader, &mut last);
        assert_eq!((last, logged), (3, 3));
    });
}

#[test]
fn an_answer_that_sees_its_click_durable_sees_it_read() {
    check(4, || {
        let (mut writer, mut reader) = ring();
        let gauge = reader.gauge();
        let serving = loom::thread::spawn(move || {
            assert_eq!(write(&mut writer, 1, 1024), Recorded::Logged);
            let durable = gauge.durable();
            // No thread sees a durable sequence beyond the logged ones.
            assert!(durable <= 1 && gauge.logged() == 1);
            writer
        });
        let mut last = 0;
        read_and_release(&mut reader, &mut last);
        let durable = reader.gauge().durable();
        assert_eq!(durable, last);
        drop(serving.join().unwrap());
    });
}

const _: () = assert!(SLOT_BYTES > CAPACITY / 2 && SLOT_BYTES <= CAPACITY);
