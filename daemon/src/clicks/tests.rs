//! Clicks from ring to feed, with real files, threads and a real sled. Dropping a click log without
//! shutdown, or copying its files while it runs, stands for a killed process.

use std::collections::BTreeMap;
use std::fs;

use coupon_shared::click::block::{BLOCK_VERSION, Block};
use coupon_shared::click::{self, ClickHead, Tag, VisitKind};
use coupon_shared::decision::Reason;
use coupon_shared::feed::{Cursor, FeedQuestion, blocks};
use coupon_shared::framed_log::{FrameReader, FramedLog, FramedLogError, Options};
use coupon_shared::transaction_id::TransactionId;
use tempfile::TempDir;

use super::*;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The folders of one daemon.
pub(super) struct Machine {
    pub(super) data: TempDir,
    pub(super) runtime: TempDir,
    pub(super) config: Config,
}

impl Machine {
    pub(super) fn new() -> Machine {
        let (data, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        crate::removal_clock::trust(data.path());
        let mut config = Config {
            data_dir: data.path().into(),
            runtime_dir: runtime.path().into(),
            threads: 1,
            node_id: 5,
            ..Config::default()
        };
        config.clicks.ring_bytes = 256 << 10;
        config.clicks.commit_interval = Duration::from_millis(8);
        config.clicks.commit_bytes = 16 << 10;
        config.clicks.wal_segment_bytes = 16 << 10;
        config.clicks.wal_max_bytes = 64 << 20;
        // Small disks of tests have no reserve.
        config.clicks.disk_reserve_bytes = 0;
        Machine { data, runtime, config }
    }

    pub(super) fn start(&self) -> (ClickLog, RingWriter) {
        let (log, mut writers) = ClickLog::start(&self.config).unwrap();
        (log, writers.remove(0))
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.data.path().join("wal")
    }

    pub(super) fn rings(&self) -> Vec<PathBuf> {
        names(self.runtime.path(), "ring-")
    }

    /// Copies the files on disk and in memory, as another machine.
    fn copy(&self) -> Machine {
        let mut copy = Machine::new();
        // Rings first: clicks that leave them meanwhile are then in the copied WAL.
        copy_folder(self.runtime.path(), copy.runtime.path());
        copy_folder(self.data.path(), copy.data.path());
        copy.config.clicks = self.config.clicks.clone();
        copy
    }
}

pub(super) fn names(folder: &Path, beginning: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(beginning);
    let mut paths: Vec<_> = entries.filter(named).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), target) {
            // Segments and snapshots come and go during the copy.
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}

pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(3));
    }
}

pub(super) const NOW_MS: u64 = 1_795_000_000_000;

pub(super) fn click_at(writer: &mut RingWriter, number: u32, unix_ms: u64) -> Recorded {
    let head = ClickHead {
        transaction_id: TransactionId([number as u8; 16]),
        unix_ms,
        generation: 1,
        code_id: number,
        offer_id: 2,
        partner_id: 3,
        advertiser_id: 4,
        reason: Reason::Redirected,
        kind: VisitKind::Click,
        rule: 0,
    };
    let agent = format!("Mozilla/5.0 (number {number})");
    let tags: [(Tag, &[u8]); 2] =
        [(Tag::Address, &number.to_be_bytes()), (Tag::UserAgent, agent.as_bytes())];
    writer.record(|slot| click::encode_click(&head, b"WINTER25", &tags, slot))
}

/// Records clicks with the numbers of the range; returns how many were logged.
pub(super) fn clicks(writer: &mut RingWriter, numbers: std::ops::Range<u32>) -> u64 {
    let logged = numbers.filter(|n| click_at(writer, *n, NOW_MS) == Recorded::Logged);
    logged.count() as u64
}

/// Records all clicks of the range; waits for room where a serving thread would not.
pub(super) fn clicks_all(writer: &mut RingWriter, numbers: std::ops::Range<u32>) {
    for number in numbers {
        while click_at(writer, number, NOW_MS) == Recorded::Unlogged {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Pulls clicks as coupon-admin does; asserts that none comes twice.
#[derive(Debug, Default, Clone)]
pub(super) struct Admin {
    pub(super) cursor: Cursor,
    pub(super) numbers: BTreeMap<u32, u64>,
    pub(super) missing: u64,
    pub(super) oldest_incarnation: u32,
}

impl Admin {
    pub(super) fn pull(&mut self, log: &ClickLog) -> usize {
        let Ok(answer) = log.feed.collect(&self.cursor.clone().into(), 20_000) else { return 0 };
        self.oldest_incarnation = answer.oldest_incarnation;
        for block in blocks(&answer.blocks) {
            let block = block.unwrap();
            let known = self.cursor.last(&block.stream());
            assert!(block.last_sequence() > known, "a block came again");
            self.missing += block.first_sequence().saturating_sub(known + 1);
            let decoded = block.decode().unwrap();
            for (sequence, click) in (block.first_sequence()..).zip(decoded.clicks()) {
                if sequence > known {
                    *self.numbers.entry(click.head.code_id).or_default() += 1;
                }
            }
            self.cursor.advance(block.stream(), block.last_sequence());
        }
        answer.blocks.len()
    }

    pub(super) fn pull_until(&mut self, log: &ClickLog, clicks: usize) {
        eventually(&format!("{clicks} clicks at the admin"), || {
            self.pull(log);
            self.numbers.len() >= clicks
        });
    }

    pub(super) fn has_exactly(&self, numbers: std::ops::Range<u32>) -> bool {
        self.numbers.keys().copied().eq(numbers) && self.numbers.values().all(|times| *times == 1)
    }
}

#[test]
fn every_click_reaches_the_admin_exactly_once_and_in_order() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    let mut admin = Admin::default();
    for round in 0..20 {
        clicks_all(&mut writer, round * 100..round * 100 + 100);
        admin.pull(&log);
    }
    admin.pull_until(&log, 2000);
    assert!(admin.has_exactly(0..2000));
    assert_eq!(admin.pull(&log), 0);
    let status = log.status();
    assert_eq!((status.logged, status.durable, status.damaged), (2000, 2000, 0));
    eventually("the store has synced", || log.status().store_lag_blocks == 0);
    assert_eq!(log.problems(), [""; 0]);
    eventually("the store is known", || {
        admin.pull(&log);
        admin.oldest_incarnation == log.incarnation()
    });
}

#[test]
fn clicks_survive_a_killed_process_exactly_once() {
    let machine = Machine::new();
    let mut admin = Admin::default();
    let mut number = 0;
    for round in 0..12_u32 {
        let (log, mut writer) = machine.start();
        if round % 3 == 0 {
            thread::sleep(Duration::from_millis(u64::from(round)));
        }
        number += clicks(&mut writer, number..number + 150) as u32;
        thread::sleep(Duration::from_micros(u64::from(round) * 1700));
        if round % 2 == 0 {
            admin.pull(&log);
        }
    }
    let (log, _writer) = machine.start();
    admin.pull_until(&log, number as usize);
    assert!(admin.has_exactly(0..number));
    assert_eq!(admin.missing, 0);
    eventually("the old rings are gone", || machine.rings().len() == 1);
}

#[test]
fn a_copy_of_the_files_at_any_moment_has_what_was_logged_before_it() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    let mut number = 0;
    for round in 0..8_u64 {
        clicks_all(&mut writer, number..number + 40);
        number += 40;
        thread::sleep(Duration::from_millis(round));
        let copy = machine.copy();
        let (copied, _writer) = copy.start();
        let mut admin = Admin::default();
        admin.pull_until(&copied, number as usize);
        assert!(admin.has_exactly(0..number), "round {round}");
        assert_eq!(admin.missing, 0);
    }
    drop(log);
}

#[test]
fn records_that_were_logged_but_not_given_back_are_skipped() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 0..300);
    let ring = machine.rings().remove(0);
    eventually("all are durable", || log.status().durable == 300);
    let durable = fs::read(&ring).unwrap();
    clicks_all(&mut writer, 300..380);
    eventually("all are durable", || log.status().durable == 380);
    drop((log, writer));
    // As if the process had died between the sync and the release of the last batches.
    let mut left = fs::read(&ring).unwrap();
    left[256..272].copy_from_slice(&durable[256..272]);
    fs::write(&ring, left).unwrap();

    let (log, _writer) = machine.start();
    let mut admin = Admin::default();
    admin.pull_until(&log, 380);
    eventually("the old ring is gone", || machine.rings().len() == 1);
    admin.pull(&log);
    assert!(admin.has_exactly(0..380));
    let mut logged = 0;
    let mut wal = FrameReader::open(&machine.wal(), 1).unwrap();
    while let Some(frame) = wal.next_frame().unwrap() {
        logged += Block::parse(frame.payload).unwrap().count();
    }
    assert_eq!(logged, 380);
}

#[test]
fn while_the_log_cannot_be_opened_every_click_is_counted_and_it_recovers_by_itself() {
    let machine = Machine::new();
    fs::write(machine.wal(), "in the way").unwrap();
    let (log, mut writer) = machine.start();
    let taken = clicks(&mut writer, 0..4000) as u32;
    let status = log.status();
    assert_eq!((status.logged, status.unlogged), (u64::from(taken), u64::from(4000 - taken)));
    assert!(taken > 500 && taken < 4000);
    assert!(!status.wal_is_open);
    eventually("health says so", || log.problems().iter().any(|p| p.contains("wal")));
    assert!(matches!(
        log.feed.collect(&FeedQuestion::default(), 1000),
        Err(feed::FeedError::NotOpen)
    ));

    fs::remove_file(machine.wal()).unwrap();
    let mut admin = Admin::default();
    admin.pull_until(&log, taken as usize);
    assert!(admin.has_exactly(0..taken));
    eventually("health is good again", || log.problems().is_empty());
    assert_eq!(clicks(&mut writer, taken..taken + 10), 10);
    admin.pull_until(&log, taken as usize + 10);
    assert_eq!(log.status().unlogged, u64::from(4000 - taken));
}

#[test]
fn a_full_wal_keeps_the_old_clicks_counts_the_new_ones_and_goes_on_when_they_are_fetched() {
    let mut machine = Machine::new();
    machine.config.clicks.wal_max_bytes = 60 << 10;
    let (log, mut writer) = machine.start();
    let mut logged = 0;
    eventually("the WAL is full", || {
        for _ in 0..100 {
            logged += u32::from(click_at(&mut writer, logged, NOW_MS) == Recorded::Logged);
        }
        log.status().unlogged >= 5
    });
    assert!(log.status().wal_bytes <= 60 << 10);
    assert!(log.problems().iter().any(|problem| problem.contains("wal_max_bytes")));
    let status = log.status();
    assert_eq!(status.logged, u64::from(logged));

    let mut admin = Admin::default();
    admin.pull_until(&log, logged as usize);
    assert!(admin.has_exactly(0..logged));
    assert_eq!(admin.missing, 0);
    eventually("health is good again", || log.problems().is_empty());
    assert_eq!(clicks(&mut writer, logged..logged + 10), 10);
    admin.pull_until(&log, logged as usize + 10);
}

/// A small tmpfs, on machines where this user may mount.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, megabytes: u32) -> Option<SmallDisk> {
        let size = format!("size={megabytes}m");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder);
        let is_mounted = mount.stderr(std::process::Stdio::null()).status();
        is_mounted.is_ok_and(|status| status.success()).then(|| SmallDisk(folder.into()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmount = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmount.is_ok());
    }
}

#[test]
fn a_full_disk_loses_no_logged_click_and_is_recovered_from_without_a_restart() {
    let machine = Machine::new();
    let Some(_disk) = SmallDisk::mount(machine.data.path(), 16) else {
        eprintln!("not tested: mounting needs more rights than this user has");
        return;
    };
    let filler = machine.data.path().join("filler");
    fs::write(&filler, vec![1; 14 << 20]).unwrap();
    let (log, mut writer) = machine.start();
    let (mut asked, mut logged) = (0, 0);
    let mut click = |log: &ClickLog, number: &mut u32| {
        asked += 1;
        *number += u32::from(click_at(&mut writer, *number, NOW_MS) == Recorded::Logged);
        let status = log.status();
        assert_eq!(status.logged + status.unlogged, asked);
    };
    eventually("the disk is full and the ring too", || {
        (0..200).for_each(|_| click(&log, &mut logged));
        log.status().unlogged > 1000
    });
    // The ring may be full before the click-log thread has met the full disk.
    eventually("health names the full disk", || {
        log.problems().iter().any(|problem| problem.contains("o space left"))
    });

    fs::remove_file(filler).unwrap();
    let mut admin = Admin::default();
    admin.pull_until(&log, logged as usize);
    (0..100).for_each(|_| click(&log, &mut logged));
    admin.pull_until(&log, logged as usize);
    assert!(admin.has_exactly(0..logged));
    assert_eq!(admin.missing, 0);
    eventually("health is good again", || log.problems().is_empty());
    eventually("the store has caught up", || {
        let status = log.status();
        status.store_is_open && status.store_lag_blocks == 0
    });
    assert_eq!(log.status().store_folders_set_aside, 0);
}

#[test]
fn a_full_disk_does_not_keep_the_next_run_from_starting() {
    let machine = Machine::new();
    let Some(_disk) = SmallDisk::mount(machine.data.path(), 16) else {
        eprintln!("not tested: mounting needs more rights than this user has");
        return;
    };
    let (log, mut writer) = machine.start();
    assert_eq!(clicks(&mut writer, 0..50), 50);
    eventually("the clicks are durable", || log.status().durable == 50);
    let first = log.incarnation();
    drop((log, writer));
    fill(&machine.data.path().join("filler"));

    let (log, mut writer) = machine.start();
    assert!(log.incarnation() > first);
    assert_eq!(clicks(&mut writer, 50..60), 10);
    drop((log, writer));
    fs::remove_file(machine.data.path().join("filler")).unwrap();
    let (log, _writer) = machine.start();
    let mut admin = Admin::default();
    admin.pull_until(&log, 60);
    assert!(admin.has_exactly(0..60));
}

/// Fills the disk of the file.
fn fill(file: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(file).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
}

#[test]
fn a_runtime_folder_without_room_for_a_second_set_of_rings_does_not_keep_a_killed_daemon_down() {
    let mut machine = Machine::new();
    machine.config.threads = 2;
    machine.config.clicks.ring_bytes = 1 << 20;
    let Some(_disk) = SmallDisk::mount(machine.runtime.path(), 3) else {
        eprintln!("not tested: mounting needs more rights than this user has");
        return;
    };
    let (log, mut writer) = machine.start();
    assert_eq!(clicks(&mut writer, 0..50), 50);
    assert!(log.problems().is_empty());
    drop((log, writer));

    let (log, mut writer) = machine.start();
    assert_eq!(clicks(&mut writer, 50..60), 10);
    assert!(log.problems().iter().any(|problem| problem.contains("click rings have")));
    let mut admin = Admin::default();
    admin.pull_until(&log, 60);
    assert!(admin.has_exactly(0..60));
    drop(writer);
    log.shutdown(PATIENCE).unwrap();
    assert!(machine.rings().is_empty());
    drop(log);

    let (log, _writer) = machine.start();
    assert!(log.problems().is_empty());
}

#[test]
fn shutdown_makes_everything_durable_and_keeps_the_count_of_unlogged_clicks() {
    let machine = Machine::new();
    fs::write(machine.wal(), "in the way").unwrap();
    let (log, mut writer) = machine.start();
    let logged = clicks(&mut writer, 0..3000) as u32;
    fs::remove_file(machine.wal()).unwrap();
    eventually("the log is open", || log.status().wal_is_open);
    drop(writer);
    log.shutdown(PATIENCE).unwrap();
    assert_eq!(log.status().durable, u64::from(logged));
    assert!(machine.rings().is_empty());
    drop(log);

    let (log, _writer) = machine.start();
    assert_eq!(log.status().unlogged_before, u64::from(3000 - logged));
    let mut admin = Admin::default();
    admin.pull_until(&log, logged as usize);
    assert!(admin.has_exactly(0..logged));
}

#[test]
fn a_killed_process_keeps_the_count_of_unlogged_clicks() {
    let machine = Machine::new();
    fs::write(machine.wal(), "in the way").unwrap();
    let (log, mut writer) = machine.start();
    let logged = clicks(&mut writer, 0..3000);
    drop((log, writer));
    fs::remove_file(machine.wal()).unwrap();
    for _ in 0..2 {
        let (log, _writer) = machine.start();
        eventually("old rings are gone", || machine.rings().len() == 1);
        drop(log);
        let (log, _) = machine.start();
        assert_eq!(log.status().unlogged_before, 3000 - logged);
    }
}

#[test]
fn shutdown_that_cannot_finish_leaves_the_clicks_in_the_ring() {
    let machine = Machine::new();
    fs::write(machine.wal(), "in the way").unwrap();
    let (log, mut writer) = machine.start();
    assert_eq!(clicks(&mut writer, 0..50), 50);
    drop(writer);
    assert_eq!(log.shutdown(Duration::from_millis(50)), Err(NotDrained { waiting: 50 }));
    drop(log);
    fs::remove_file(machine.wal()).unwrap();
    let (log, _writer) = machine.start();
    let mut admin = Admin::default();
    admin.pull_until(&log, 50);
    assert!(admin.has_exactly(0..50));
}

#[test]
fn a_torn_wal_tail_is_cut_and_reported_and_the_ring_still_has_what_it_lost() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 0..200);
    eventually("all are durable", || log.status().durable == 200);
    drop((log, writer));
    let segment = names(&machine.wal(), "0").pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend([7; 100]);
    fs::write(&segment, bytes).unwrap();

    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 200..250);
    let mut admin = Admin::default();
    admin.pull_until(&log, 250);
    assert!(admin.has_exactly(0..250));
    assert_eq!(log.status().torn_bytes_cut, 100);
}

#[test]
fn a_wal_damaged_at_its_beginning_is_set_aside_and_clicks_go_on() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    for round in 0..20 {
        clicks_all(&mut writer, round * 100..round * 100 + 100);
        let so_far = u64::from(round + 1) * 100;
        eventually("they are durable", || log.status().durable == so_far);
    }
    drop((log, writer));
    let segments = names(&machine.wal(), "0");
    assert!(segments.len() > 2);
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes[3] ^= 1;
    fs::write(&segments[0], bytes).unwrap();

    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 2000..2010);
    let mut admin = Admin::default();
    // The store still has the older clicks, as far as they were synced.
    admin.pull_until(&log, 10);
    eventually("the new clicks come", || {
        admin.pull(&log);
        admin.numbers.contains_key(&2009)
    });
    assert!(admin.numbers.values().all(|times| *times == 1));
    assert!(machine.data.path().join("wal.damaged-1").is_dir());
    assert!(log.problems().iter().any(|problem| problem.contains("wal.damaged-1")));
}

#[test]
fn the_ring_of_another_data_folder_is_not_imported() {
    let [one, mut other] = [Machine::new(), Machine::new()];
    let (log, mut writer) = one.start();
    assert_eq!(clicks(&mut writer, 0..5), 5);
    drop((log, writer));
    let left = one.rings().remove(0);
    let moved = other.runtime.path().join(left.file_name().unwrap());
    fs::copy(&left, moved).unwrap();

    other.config.node_id = 6;
    let (log, mut writer) = other.start();
    clicks_all(&mut writer, 10..20);
    let mut admin = Admin::default();
    admin.pull_until(&log, 10);
    assert!(admin.has_exactly(10..20));
    assert!(log.problems().iter().any(|problem| problem.contains("another data folder")));
    assert_eq!(names(other.runtime.path(), "ring-").len(), 2);
}

#[test]
fn an_unreadable_record_costs_only_itself_and_shows_as_a_gap() {
    let machine = Machine::new();
    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 0..10);
    assert_eq!(writer.record(|_| 3), Recorded::Logged);
    clicks_all(&mut writer, 10..20);
    let mut admin = Admin::default();
    admin.pull_until(&log, 20);
    assert!(admin.has_exactly(0..20));
    assert_eq!((admin.missing, log.status().damaged), (1, 1));
}

#[test]
fn several_threads_have_streams_of_their_own() {
    let mut machine = Machine::new();
    machine.config.threads = 3;
    let (log, writers) = ClickLog::start(&machine.config).unwrap();
    let serving = (0_u32..).zip(writers).map(|(thread, mut writer)| {
        thread::spawn(move || clicks_all(&mut writer, thread * 1000..thread * 1000 + 700))
    });
    let serving: Vec<_> = serving.collect();
    let mut admin = Admin::default();
    admin.pull_until(&log, 2100);
    serving.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(admin.numbers.values().all(|times| *times == 1));
    assert_eq!((admin.missing, admin.cursor.iter().count()), (0, 3));
}

/// Gives the blocks of all frames before `end` this version, as a daemon of that version would.
fn set_block_version(machine: &Machine, end: u64, version: u8) {
    let options = Options { segment_bytes: 1 << 20, max_frame_bytes: 1 << 20 };
    let (mut wal, _) = FramedLog::open(&machine.wal(), options).unwrap();
    wal.close_segment().unwrap();
    for segment in wal.closed_segments() {
        let rewritten = wal.rewriter().rewrite(segment.start, |frame, payload| {
            let mut block = payload.to_vec();
            block[4] = version;
            Ok::<_, FramedLogError>((frame < end).then_some(block))
        });
        rewritten.unwrap();
    }
}

#[test]
fn clicks_of_a_newer_daemon_are_kept_by_an_older_one_until_the_newer_one_runs_again() {
    let machine = Machine::new();
    let mut admin = Admin::default();
    let (log, mut writer) = machine.start();
    clicks_all(&mut writer, 0..300);
    eventually("the store has them", || {
        let status = log.status();
        status.durable == 300 && status.store_is_open && status.store_lag_blocks == 0
    });
    log.shutdown(PATIENCE).unwrap();
    drop((log, writer));
    set_block_version(&machine, u64::MAX, BLOCK_VERSION + 1);
    // The store, too, would have these blocks from the newer daemon.
    fs::remove_dir_all(machine.data.path().join("clicks")).unwrap();

    let (log, mut writer) = machine.start();
    let own = log.incarnation();
    eventually("the log is open", || log.status().wal_is_open);
    let first_own_frame = log.state.committed();
    clicks_all(&mut writer, 300..2000);
    admin.pull_until(&log, 1700);
    assert!(admin.has_exactly(300..2000));
    eventually("the admin has acknowledged all", || {
        admin.pull(&log);
        let status = log.status();
        (status.feed_lag_blocks, status.store_lag_blocks) == (0, 0)
    });
    // An admin that forgot the older incarnation would count its clicks again.
    assert_eq!(admin.oldest_incarnation, 0);
    let problems = log.problems().join("\n");
    assert!(problems.contains("run the newer coupond"), "{problems}");
    log.shutdown(PATIENCE).unwrap();
    drop((log, writer));

    set_block_version(&machine, first_own_frame, BLOCK_VERSION);
    let (log, _writer) = machine.start();
    admin.pull_until(&log, 2000);
    assert!(admin.has_exactly(0..2000));
    assert_eq!(admin.missing, 0);
    assert_eq!(log.problems(), [""; 0]);
    eventually("the store is known", || {
        admin.pull(&log);
        (1..own).contains(&admin.oldest_incarnation)
    });
}
