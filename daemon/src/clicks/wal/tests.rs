//! How records become blocks in the WAL.

use coupon_shared::feed::FeedQuestion;

use super::*;
use crate::clicks::tests::{Admin, Machine, clicks_all, eventually};

fn wal_blocks(machine: &Machine) -> Vec<(usize, u32)> {
    let mut reader = coupon_shared::framed_log::FrameReader::open(&machine.wal(), 1).unwrap();
    let mut blocks = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        let block = Block::parse(frame.payload).unwrap();
        blocks.push((frame.payload.len(), block.count()));
    }
    blocks
}

#[test]
fn under_load_blocks_are_full_and_fit_the_store() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 0..30_000);
    eventually("all are durable", || log.status().durable == 30_000);
    let blocks = wal_blocks(&machine);
    let full = blocks.iter().filter(|(bytes, _)| (2800..=4096).contains(bytes)).count();
    assert!(full * 3 > blocks.len() * 2, "{full} of {} blocks are well filled", blocks.len());
    let longest = blocks.iter().map(|(bytes, _)| *bytes).max().unwrap();
    assert!(longest <= 4096, "a block of {longest} bytes");
    assert_eq!(blocks.iter().map(|(_, count)| u64::from(*count)).sum::<u64>(), 30_000);
}

#[test]
fn a_lonely_click_is_durable_within_the_interval() {
    let mut machine = Machine::new();
    machine.config.clicks.commit_interval = Duration::from_millis(100);
    let (log, mut writer) = machine.start();
    eventually("the log is open", || log.status().wal_is_open);
    for number in 0..5 {
        let began = Instant::now();
        clicks_all(&mut writer, number..number + 1);
        eventually("it is durable", || log.status().durable == u64::from(number) + 1);
        // The commit itself may take long on a busy machine.
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
        thread::sleep(Duration::from_millis(u64::from(number) * 23));
    }
}

#[test]
fn rings_of_several_earlier_runs_are_drained_before_this_one() {
    let machine = Machine::new();
    std::fs::write(machine.wal(), "in the way").unwrap();
    for run in 0..4 {
        let (log, mut writer) = machine.start();
        clicks_all(&mut writer, run * 200..run * 200 + 200);
        drop(log);
    }
    std::fs::remove_file(machine.wal()).unwrap();
    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 800..1000);
    eventually("old rings are gone", || machine.rings().len() == 1);
    eventually("all are durable", || log.status().durable == 200);
    let answer = log.feed.collect(&FeedQuestion::default(), 1 << 20).unwrap();
    let streams = coupon_shared::feed::blocks(&answer.blocks).map(|block| block.unwrap().stream());
    let incarnations: Vec<u32> = streams.map(|stream| stream.incarnation).collect();
    assert!(incarnations.is_sorted());
    let mut admin = Admin::default();
    admin.pull_until(&log, 1000);
    assert!(admin.has_exactly(0..1000));
}

#[test]
fn a_leftover_ring_with_damage_gives_what_is_before_it_and_is_set_aside() {
    let machine = Machine::new();
    std::fs::write(machine.wal(), "in the way").unwrap();
    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 0..100);
    drop((log, writer));
    let ring = machine.rings().remove(0);
    let mut bytes = std::fs::read(&ring).unwrap();
    let fiftieth = bytes.windows(8).position(|window| window == 50_u64.to_le_bytes()).unwrap();
    bytes[fiftieth] ^= 0xff;
    std::fs::write(&ring, bytes).unwrap();
    std::fs::remove_file(machine.wal()).unwrap();

    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 100..110);
    let mut admin = Admin::default();
    admin.pull_until(&log, 59);
    assert!(admin.numbers.keys().copied().eq((0..49).chain(100..110)));
    assert!(log.problems().iter().any(|problem| problem.contains("set aside")));
    assert!(ring.with_extension("damaged").exists());
}
