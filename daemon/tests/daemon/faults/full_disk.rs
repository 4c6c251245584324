//! A full disk: redirects continue, clicks without room are counted, and the daemon recovers by
//! itself once there is room again. `CLICK_FULL_DISK_SECONDS` sets how long the disk stays full;
//! see the parent for the command.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::disks::Disk;
use super::takeover::Takeover;
use super::visitors::Visitors;
use super::{Installation, size};
use crate::published::sample;
use crate::running::{Coupond, until};

#[test]
fn on_a_full_disk_redirects_go_on_and_every_click_is_logged_or_counted() {
    let Some(figures) = full_disk(Duration::from_secs(1)) else { return };
    assert!(figures.recovery <= Duration::from_secs(5), "{figures:?}");
}

#[test]
#[ignore = "takes many minutes; see the parent's header"]
fn minutes_of_a_full_disk_fail_no_redirect() {
    let seconds = size("CLICK_FULL_DISK_SECONDS", 600);
    let figures = full_disk(Duration::from_secs(seconds));
    println!("{figures:#?}");
    assert!(figures.is_some_and(|figures| figures.recovery <= Duration::from_secs(5)));
}

/// The figures of a campaign.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
struct Figures {
    was_full: Duration,
    answered: u64,
    logged: u64,
    unlogged: u64,
    slowest_answer: Duration,
    /// Time from the moment there was room again until health was good and all clicks were written.
    recovery: Duration,
}

fn full_disk(hold: Duration) -> Option<Figures> {
    // The disk is smaller than the reserves.
    let installation = Installation::new(&sample())
        .with("COUPOND_CLICKS_RING_BYTES", 64 << 10)
        .with("COUPOND_CLICKS_DISK_RESERVE_BYTES", 0)
        .with("COUPOND_POSTBACKS_DISK_RESERVE_BYTES", 0);
    let data = installation.folder.path().join("data");
    let _disk = Disk::in_memory(&data, 16)?;
    let coupond = installation.start();
    let visitors = Visitors::start(4, installation.address, "/winter25");
    let mut takeover = Takeover::default();
    until("clicks flow", || (visitors.answered() > 200).then_some(()));
    takeover.pull(&coupond.socket());

    let (mut filler, began) = (Filler::new(&data), Instant::now());
    let unlogged = || coupond.metric("clicks_unlogged_total");
    until("clicks find no room", || {
        filler.fill();
        (unlogged() > 0).then_some(())
    });
    while began.elapsed() < hold {
        filler.fill();
        takeover.pull(&coupond.socket());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_ne!(coupond.health()["status"], "ok");
    let was_full = began.elapsed();
    drop(filler);
    let freed = Instant::now();
    until("it has recovered", || has_recovered(&coupond).then_some(()));
    let recovery = freed.elapsed();

    std::thread::sleep(Duration::from_millis(100));
    let seen = visitors.stop();
    assert!(seen.failed.is_empty() && seen.broken == 0, "{:?}, {}", seen.failed, seen.broken);
    let (answered, logged) = (seen.visits.len() as u64, coupond.metric("clicks_logged_total"));
    assert_eq!(answered, logged + unlogged());
    takeover.pull_all(&coupond);
    assert_eq!((takeover.taken(), takeover.missing), (logged, 0));
    let counted = seen.visits.iter().filter(|visit| takeover.has(&visit.id)).count() as u64;
    assert_eq!(counted, logged, "clicks came that nobody was answered");
    let slowest_answer = seen.slowest();
    Some(Figures { was_full, answered, logged, unlogged: unlogged(), slowest_answer, recovery })
}

fn has_recovered(coupond: &Coupond) -> bool {
    coupond.health()["status"] == "ok"
        && coupond.metric("click_store_open") == 1
        && coupond.metric("clicks_durable") + 1000 > coupond.metric("clicks_logged_total")
}

/// Fills the disk; frees the room on drop.
struct Filler {
    file: File,
    path: std::path::PathBuf,
}

impl Filler {
    fn new(folder: &Path) -> Filler {
        let path = folder.join("filler");
        Filler { file: File::create(&path).unwrap(), path }
    }

    fn fill(&mut self) {
        while self.file.write_all(&[1; 4096]).is_ok() {}
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}
