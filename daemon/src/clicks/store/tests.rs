//! The click store against damage, with a real sled.

use std::fs;
use std::path::Path;

use coupon_shared::click::block::BLOCK_VERSION;

use super::*;
use crate::clicks::ClickLog;
use crate::clicks::ring::{Recorded, RingWriter};
use crate::clicks::tests::{Admin, Machine, NOW_MS, click_at, clicks_all, eventually, names};

const DAY_MS: u64 = 86_400_000;

fn days(machine: &Machine) -> Vec<std::path::PathBuf> {
    names(&machine.data.path().join("clicks"), "2")
}

/// Records clicks in batches, so that the WAL has several segments.
fn many_clicks(log: &ClickLog, writer: &mut RingWriter, numbers: std::ops::Range<u32>) {
    let before = log.status().durable;
    for (done, first) in (1..).zip(numbers.step_by(100)) {
        clicks_all(writer, first..first + 100);
        eventually("they are durable", || log.status().durable == before + done * 100);
    }
}

fn wait_until_synced(log: &ClickLog) {
    eventually("the store is in step", || {
        let status = log.status();
        status.store_is_open && status.store_lag_blocks == 0
    });
}

#[test]
fn what_the_admin_has_leaves_the_wal_and_stays_in_the_store() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    many_clicks(&log, &mut writer, 0..2000);
    let before = log.status().wal_bytes;
    let mut admin = Admin::default();
    admin.pull_until(&log, 2000);
    // The last pull acknowledges the last blocks.
    admin.pull(&log);
    eventually("old segments are gone", || log.status().wal_bytes < before / 2);
    assert!(!names(&machine.wal(), "0").iter().any(|segment| segment.ends_with("00001.log")));

    // An admin restored from an empty backup gets all clicks again, once.
    let mut restored = Admin::default();
    restored.pull_until(&log, 2000);
    assert!(restored.has_exactly(0..2000));
    assert_eq!(restored.missing, 0);
}

#[test]
fn nothing_leaves_the_wal_before_the_admin_has_it() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    many_clicks(&log, &mut writer, 0..1000);
    wait_until_synced(&log);
    let segments = names(&machine.wal(), "0");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(names(&machine.wal(), "0"), segments);
    let mut admin = Admin::default();
    admin.pull_until(&log, 1000);
    assert_eq!(admin.missing, 0);
}

#[test]
fn an_admin_restored_from_a_backup_gets_what_it_lost_after_restarts_too() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    let mut admin = Admin::default();
    many_clicks(&log, &mut writer, 0..600);
    admin.pull_until(&log, 600);
    let backup = admin.clone();
    many_clicks(&log, &mut writer, 600..1500);
    admin.pull_until(&log, 1500);
    admin.pull(&log);
    eventually("old segments are gone", || log.status().wal_bytes < 20_000);
    drop((log, writer));

    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 1500..1600);
    let mut restored = backup;
    restored.pull_until(&log, 1600);
    assert!(restored.has_exactly(0..1600));
    assert_eq!(restored.missing, 0);
}

/// Damages every file of the newest day's folder.
fn damage_day(machine: &Machine, damage: impl Fn(&Path)) {
    let day = days(machine).pop().unwrap();
    for entry in fs::read_dir(day).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            damage(&path);
        }
    }
}

fn after_damage_the_feed_is_complete(damage: impl Fn(&Machine), is_set_aside: bool) {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    many_clicks(&log, &mut writer, 0..1500);
    wait_until_synced(&log);
    drop((log, writer));
    damage(&machine);

    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 1500..1600);
    wait_until_synced(&log);
    let mut admin = Admin::default();
    admin.pull_until(&log, 1600);
    assert!(admin.has_exactly(0..1600));
    assert_eq!(admin.missing, 0);
    assert_eq!(log.status().store_folders_set_aside, u64::from(is_set_aside));
    assert_eq!(days(&machine).len(), 1 + usize::from(is_set_aside));
    eventually("health is good again", || log.problems().is_empty());

    // The rebuilt store has all clicks, also those that have left the WAL.
    admin.pull(&log);
    eventually("old segments are gone", || log.status().wal_bytes < 20_000);
    let mut restored = Admin::default();
    restored.pull_until(&log, 1600);
    assert!(restored.has_exactly(0..1600));
    assert_eq!(restored.missing, 0);
}

#[test]
fn a_folder_full_of_garbage_is_set_aside_and_filled_again() {
    let damage = |path: &Path| {
        let length = fs::metadata(path).unwrap().len() as usize;
        fs::write(path, vec![0xA5; length]).unwrap();
    };
    after_damage_the_feed_is_complete(|machine| damage_day(machine, damage), true);
}

#[test]
fn a_leftover_of_an_interrupted_start_is_removed_and_the_folder_opens() {
    let damage = |machine: &Machine| {
        let day = days(machine).pop().unwrap();
        for name in ["snap.00000000000FFFFF.generating", "snap.0000000000000001.generating"] {
            fs::write(day.join(name), "").unwrap();
        }
    };
    after_damage_the_feed_is_complete(damage, false);
}

#[test]
fn a_file_in_the_place_of_a_folder_is_set_aside_and_the_folder_filled_again() {
    let damage = |machine: &Machine| {
        let day = days(machine).pop().unwrap();
        fs::remove_dir_all(&day).unwrap();
        fs::write(day, "in the way").unwrap();
    };
    after_damage_the_feed_is_complete(damage, true);
}

#[test]
fn a_folder_that_is_gone_is_filled_again() {
    let damage = |machine: &Machine| fs::remove_dir_all(days(machine).pop().unwrap()).unwrap();
    after_damage_the_feed_is_complete(damage, false);
}

#[test]
fn every_kind_of_small_damage_leaves_a_store_that_serves_everything() {
    for place in 0..12 {
        let machine = Machine::new();
        let (log, mut writer) = machine.start();
        many_clicks(&log, &mut writer, 0..600);
        wait_until_synced(&log);
        drop((log, writer));
        damage_day(&machine, |path| {
            let mut bytes = fs::read(path).unwrap();
            let at = bytes.len() * place / 12;
            let end = (at + 700).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x5A);
            fs::write(path, bytes).unwrap();
        });
        let (log, _writer) = machine.start();
        wait_until_synced(&log);
        let mut admin = Admin::default();
        admin.pull_until(&log, 600);
        assert!(admin.has_exactly(0..600), "damage at {place}/12");
        admin.pull(&log);
        eventually("old segments are gone", || log.status().wal_bytes < 20_000);
        let mut restored = Admin::default();
        restored.pull_until(&log, 600);
        assert!(restored.has_exactly(0..600), "damage at {place}/12");
        assert_eq!(restored.missing, 0);
    }
}

#[test]
fn while_the_store_cannot_be_opened_the_feed_gives_what_the_wal_has() {
    let machine = Machine::new();
    fs::write(machine.data.path().join("clicks"), "in the way").unwrap();
    let (log, mut writer) = machine.start();
    many_clicks(&log, &mut writer, 0..1000);
    let mut admin = Admin::default();
    admin.pull_until(&log, 1000);
    admin.pull(&log);
    assert_eq!(log.status().feed_lag_blocks, 0);
    std::thread::sleep(Duration::from_millis(200));
    assert!(names(&machine.wal(), "0")[0].ends_with("00000000000000000001.log"));
    assert_eq!(admin.oldest_incarnation, 0, "what the store holds is not known");
    eventually("health says so", || log.problems().iter().any(|p| p.contains("click store")));
    fs::remove_file(machine.data.path().join("clicks")).unwrap();
    wait_until_synced(&log);
    eventually("health is good again", || log.problems().is_empty());
    admin.pull(&log);
    assert_eq!(admin.oldest_incarnation, log.incarnation());
}

#[test]
fn a_stream_whose_beginning_is_only_in_the_store_waits_until_that_is_open() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    many_clicks(&log, &mut writer, 0..1000);
    let mut admin = Admin::default();
    admin.pull_until(&log, 1000);
    admin.pull(&log);
    eventually("old segments are gone", || log.status().wal_bytes < 20_000);
    clicks_all(&mut writer, 1000..1100);
    eventually("they are durable", || log.status().durable == 1100);
    drop((log, writer));
    let clicks = machine.data.path().join("clicks");
    let elsewhere = machine.data.path().join("elsewhere");
    fs::rename(&clicks, &elsewhere).unwrap();
    fs::write(&clicks, "in the way").unwrap();

    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 1100..1110);
    let mut restored = Admin::default();
    restored.pull_until(&log, 10);
    eventually("the log drained the old ring", || machine.rings().len() == 1);
    restored.pull(&log);
    assert!(restored.has_exactly(1100..1110), "only the stream without a gap: {restored:?}");
    fs::remove_file(&clicks).unwrap();
    fs::rename(&elsewhere, &clicks).unwrap();
    restored.pull_until(&log, 1110);
    assert!(restored.has_exactly(0..1110));
    assert_eq!(restored.missing, 0);
}

#[test]
fn old_days_go_when_the_admin_has_them_and_not_before() {
    let mut machine = Machine::new();
    // 2000-01-01, 2000-01-02 and today, by a clock that jumps back and forth.
    let (log, mut writer) = machine.start();
    let today_ms = Timestamp::now().as_millisecond() as u64;
    let mut number = 0;
    for unix_ms in [946_684_800_000, 946_771_200_000, today_ms, 946_684_900_000] {
        for _ in 0..100 {
            assert_eq!(click_at(&mut writer, number, unix_ms), Recorded::Logged);
            number += 1;
        }
        eventually("they are durable", || log.status().durable == u64::from(number));
    }
    wait_until_synced(&log);
    assert_eq!(days(&machine).len(), 3);
    assert!(days(&machine)[0].ends_with("2000-01-01"));
    drop((log, writer));

    machine.config.clicks.retention_days = 1;
    // A WAL so small that acknowledged frames leave it at once.
    machine.config.clicks.wal_max_bytes = 20 << 10;
    let (log, mut writer) = machine.start();
    wait_until_synced(&log);
    assert_eq!(days(&machine).len(), 3);
    let mut admin = Admin::default();
    admin.pull_until(&log, 400);
    assert!(admin.has_exactly(0..400));
    eventually("the old days are gone", || {
        click_at(&mut writer, number, today_ms) == Recorded::Logged && {
            number += 1;
            admin.pull(&log);
            days(&machine).len() == 1
        }
    });
    assert_eq!((admin.missing, log.problems()), (0, Vec::new()));
    drop(log);
    assert_eq!(names(&machine.data.path().join("clicks"), "2").len(), 1);
}

#[test]
fn an_old_day_stays_while_its_clicks_are_in_the_wal_so_that_its_stream_stays_known() {
    let mut machine = Machine::new();
    machine.config.clicks.retention_days = 1;
    let (log, mut writer) = machine.start();
    assert_eq!(click_at(&mut writer, 0, 946_684_800_000), Recorded::Logged);
    let mut admin = Admin::default();
    admin.pull_until(&log, 1);
    admin.pull(&log);
    let first = log.incarnation();
    drop((log, writer));
    let (log, _writer) = machine.start();
    wait_until_synced(&log);
    admin.pull(&log);
    std::thread::sleep(Duration::from_millis(150));
    admin.pull(&log);
    assert_eq!((days(&machine).len(), admin.oldest_incarnation), (1, first));
}

#[test]
fn no_day_goes_for_its_age_by_a_clock_that_jumped() {
    let mut machine = Machine::new();
    machine.config.clicks.retention_days = 1;
    machine.config.clicks.wal_max_bytes = 20 << 10;
    // The previous run saw another year.
    let clock = machine.data.path().join("removal_clock");
    std::fs::write(clock, "930000000000 86400000 0 0\n").unwrap();
    let (log, mut writer) = machine.start();
    let today_ms = Timestamp::now().as_millisecond() as u64;
    let mut admin = Admin::default();
    for number in 0..200 {
        assert_eq!(click_at(&mut writer, number, 946_684_800_000), Recorded::Logged);
    }
    admin.pull_until(&log, 200);
    let behind = log.state.committed();
    let mut number = 200;
    eventually("the WAL has begun anew", || {
        assert_eq!(click_at(&mut writer, number, today_ms), Recorded::Logged);
        number += 1;
        admin.pull(&log);
        log.state.wal_reader().unwrap().first_sequence().unwrap() >= behind
    });
    // Clicks left in the ring would not fit into the WAL of the next run.
    admin.pull_until(&log, number as usize);
    wait_until_synced(&log);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(days(&machine).len(), 2);
    assert!(log.problems()[0].contains("the clock jumped by"), "{:?}", log.problems());
}

#[test]
fn old_days_that_left_the_wal_wait_for_an_admin_that_was_restored() {
    let mut machine = Machine::new();
    machine.config.clicks.retention_days = 36_500;
    machine.config.clicks.wal_max_bytes = 20 << 10;
    let (log, mut writer) = machine.start();
    let mut admin = Admin::default();
    for number in 0..200 {
        let unix_ms = 946_684_800_000 + u64::from(number) * DAY_MS / 100;
        assert_eq!(click_at(&mut writer, number, unix_ms), Recorded::Logged);
    }
    admin.pull_until(&log, 200);
    let mut number = 200;
    let behind = log.state.committed();
    eventually("the WAL has begun anew", || {
        clicks_all(&mut writer, number..number + 20);
        number += 20;
        admin.pull(&log);
        log.state.wal_reader().unwrap().first_sequence().unwrap() >= behind
    });
    // Clicks left in the ring would not fit into the WAL of the next run.
    admin.pull_until(&log, number as usize);
    wait_until_synced(&log);
    drop((log, writer));

    machine.config.clicks.retention_days = 1;
    let (log, _writer) = machine.start();
    wait_until_synced(&log);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(days(&machine).len(), 3);
    let mut restored = Admin::default();
    restored.pull_until(&log, number as usize);
    assert!(restored.has_exactly(0..number));
    eventually("the old days are gone", || {
        restored.pull(&log);
        days(&machine).len() == 1
    });
}

/// A store thread that the test drives step by step over a machine's WAL.
fn manual_store_thread(machine: &Machine) -> (coupon_shared::framed_log::FramedLog, StoreThread) {
    let options =
        coupon_shared::framed_log::Options { segment_bytes: 1 << 20, max_frame_bytes: 1 << 20 };
    let (wal, _) = coupon_shared::framed_log::FramedLog::open(&machine.wal(), options).unwrap();
    let state = Arc::new(LogState::default());
    state.orphaned_drained.store(true, Ordering::Release);
    let reader = wal.reader(wal.first_sequence()).unwrap();
    state.wal_is_open(reader.clone());
    let (_, questions) = std::sync::mpsc::channel();
    let folder = machine.data.path().join("clicks");
    let removal_clock = Arc::new(RemovalClock::open(machine.data.path()).unwrap());
    let setup = StoreSetup {
        folder,
        cache_bytes: 1 << 20,
        retention_days: 30,
        bounds: StoreBounds { max_bytes: 0, reserve_bytes: 0 },
        removal_clock,
        state,
        questions,
    };
    (wal, StoreThread::new(setup, reader))
}

fn follow_and_sync(store: &mut StoreThread) {
    while store.run_round().unwrap() {}
    store.sync().unwrap();
}

#[test]
fn a_folder_that_fails_twice_in_use_is_set_aside_and_the_wal_is_needed_until_it_is_filled_again() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    many_clicks(&log, &mut writer, 0..500);
    drop((log, writer));
    let (wal, mut store) = manual_store_thread(&machine);
    follow_and_sync(&mut store);
    assert_eq!(store_synced(&store.setup.state), wal.next_sequence());
    let day = *store.days.keys().next().unwrap();
    let failure = || {
        let what = "as if sled had said so".to_owned();
        StoreError::Day { day, source: DayError::Damaged { path: "day".into(), what } }
    };

    store.recover(failure());
    assert_eq!((store_synced(&store.setup.state), days(&machine).len()), (wal.next_sequence(), 1));
    store.recover(failure());
    assert_eq!((store_synced(&store.setup.state), days(&machine).len()), (0, 1));
    assert!(days(&machine)[0].to_string_lossy().ends_with(".damaged-1"));
    assert!(!store.setup.state.stored().is_known);
    follow_and_sync(&mut store);
    assert_eq!(store_synced(&store.setup.state), wal.next_sequence());
    assert!(store.setup.state.stored().is_known);
    assert_eq!(days(&machine).len(), 2);
    let streams = store.day(day).unwrap().streams().unwrap();
    assert_eq!(streams.values().sum::<u64>(), 500);
}

fn store_synced(state: &LogState) -> u64 {
    state.synced.load(Ordering::Acquire)
}

#[test]
fn history_comes_in_the_order_of_sequences_whatever_the_clock_did() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    let mut number = 0;
    for day in [5, 4, 5, 3, 4, 9, 3] {
        for _ in 0..300 {
            while click_at(&mut writer, number, NOW_MS + day * DAY_MS) == Recorded::Unlogged {}
            number += 1;
        }
        eventually("they are durable", || log.status().durable == u64::from(number));
    }
    let mut admin = Admin::default();
    admin.pull_until(&log, number as usize);
    admin.pull(&log);
    eventually("old segments are gone", || log.status().wal_bytes < 20_000);
    let mut restored = Admin::default();
    restored.pull_until(&log, number as usize);
    assert!(restored.has_exactly(0..number));
    assert_eq!(restored.missing, 0);
}

/// Gives all blocks of the store this version, as a daemon of that version would.
fn set_block_version(machine: &Machine, version: u8) {
    for day in days(machine) {
        let db = sled::Config::new().path(day).open().unwrap();
        for entry in db.iter() {
            let (key, value) = entry.unwrap();
            let mut block = value.to_vec();
            block[4] = version;
            db.insert(key, block).unwrap();
        }
        db.flush().unwrap();
    }
}

#[test]
fn a_store_of_a_newer_daemon_is_left_alone_and_clicks_stay_in_the_wal() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    many_clicks(&log, &mut writer, 0..500);
    wait_until_synced(&log);
    log.shutdown(Duration::from_secs(20)).unwrap();
    drop((log, writer));
    let before = days(&machine);
    set_block_version(&machine, BLOCK_VERSION + 1);

    let (log, mut writer) = machine.start();
    eventually("health names the newer daemon", || {
        log.problems().iter().any(|problem| problem.contains("of a newer coupond"))
    });
    many_clicks(&log, &mut writer, 500..1000);
    let mut admin = Admin::default();
    admin.pull_until(&log, 1000);
    assert!(admin.has_exactly(0..1000));
    let began = Instant::now();
    log.shutdown(Duration::from_secs(20)).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "the store thread waited in vain");
    drop((log, writer));
    assert_eq!(days(&machine), before);

    set_block_version(&machine, BLOCK_VERSION);
    let (log, _writer) = machine.start();
    wait_until_synced(&log);
    assert_eq!((log.problems(), days(&machine)), (Vec::new(), before));
    // An admin restored from a backup gets all from the store and the WAL.
    let mut restored = Admin::default();
    restored.pull_until(&log, 1000);
    assert!(restored.has_exactly(0..1000));
}

/// Clicks of the node on this day.
fn clicks_of_day(log: &ClickLog, writer: &mut RingWriter, numbers: std::ops::Range<u32>, day: u64) {
    let durable = log.status().durable + u64::from(numbers.end - numbers.start);
    for number in numbers {
        while click_at(writer, number, NOW_MS + day * DAY_MS) == Recorded::Unlogged {}
    }
    eventually("they are durable", || log.status().durable == durable);
}

#[test]
fn beyond_its_most_bytes_the_store_removes_the_days_that_came_first_and_only_those_the_admin_has() {
    // The clock jumps: the days come in another order than their dates.
    let six_days = |log: &ClickLog, writer: &mut RingWriter| {
        for (run, day) in (0..).zip([9, 3, 8, 2, 7, 1]) {
            clicks_of_day(log, writer, run * 300..(run + 1) * 300, day);
        }
    };
    let unbounded = Machine::new();
    let (log, mut writer) = unbounded.start();
    six_days(&log, &mut writer);
    wait_until_synced(&log);
    let bound = bounds::bytes_on_disk(&unbounded.data.path().join("clicks")).unwrap() / 2;
    drop((log, writer));

    let mut machine = Machine::new();
    machine.config.clicks.store_max_bytes = bound;
    let (log, mut writer) = machine.start();
    six_days(&log, &mut writer);
    eventually("the bound is reached", || log.status().store_is_paused);
    assert_eq!(log.status().store_days_removed, 0, "a day was removed that the admin lacks");
    let mut admin = Admin::default();
    admin.pull_until(&log, 1800);
    assert!(admin.has_exactly(0..1800));
    eventually("the store is within its bound", || {
        admin.pull(&log);
        let status = log.status();
        !status.store_is_paused && status.store_bytes <= bound
    });
    assert!(log.status().store_days_removed > 0);
    let first = format!("{}", date_of(NOW_MS + 9 * DAY_MS));
    assert!(!days(&machine).iter().any(|day| day.ends_with(&first)), "{:?}", days(&machine));
    eventually("health is good again", || log.problems().is_empty());
}

#[test]
fn below_the_reserve_the_store_does_not_grow_while_wal_and_feed_go_on() {
    let mut machine = Machine::new();
    machine.config.clicks.disk_reserve_bytes = 1 << 50;
    let (log, mut writer) = machine.start();
    many_clicks(&log, &mut writer, 0..1000);
    eventually("health names the reserve", || {
        log.problems().iter().any(|problem| problem.contains("clicks.disk_reserve_bytes"))
    });
    assert!(log.status().store_is_paused);
    // Unacknowledged clicks stay in the WAL although the store has passed them over.
    let mut admin = Admin::default();
    admin.pull_until(&log, 1000);
    assert!(admin.has_exactly(0..1000));
    assert_eq!(admin.missing, 0);
    admin.pull(&log);
    eventually("old segments are gone", || log.status().wal_bytes < 20_000);
    drop(writer);
    log.shutdown(Duration::from_secs(20)).unwrap();
    assert_eq!(log.status().store_lag_blocks, 0);
    drop(log);

    machine.config.clicks.disk_reserve_bytes = 0;
    let (log, mut writer) = machine.start();
    many_clicks(&log, &mut writer, 1000..1500);
    wait_until_synced(&log);
    assert_eq!(log.problems(), Vec::<String>::new());
    admin.pull_until(&log, 1500);
    assert!(admin.has_exactly(0..1500));
}
