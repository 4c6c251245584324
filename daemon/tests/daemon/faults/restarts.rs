//! Restarts with other settings, and with backups restored on either side.

use std::path::Path;
use std::process::Command;

use super::takeover::{Expected, Takeover};
use super::visitors::{Seen, Visitors};
use super::{Installation, Random};
use crate::published::sample;
use crate::running::{Coupond, until};
use rustix::process::Signal;

/// At least `count` visits.
fn visits(installation: &Installation, count: usize) -> Seen {
    let visitors = Visitors::start(4, installation.address, "/winter25");
    until("clicks flow", || (visitors.answered() >= count).then_some(()));
    let seen = visitors.stop();
    assert!(seen.failed.is_empty() && seen.broken == 0, "{:?}", seen.failed);
    seen
}

fn end(mut coupond: Coupond, signal: Signal) {
    coupond.signal(signal);
    coupond.wait();
}

#[test]
fn whatever_the_number_of_threads_was_before_each_click_counts_once() {
    let installation = Installation::new(&sample());
    let (mut expected, mut takeover) = (Expected::default(), Takeover::default());
    let mut random = Random(3);
    for threads in [1, 4, 2, 6, 1, 3] {
        let coupond = installation.start_with(&[("COUPOND_THREADS", threads.to_string())]);
        expected.add(&visits(&installation, 60), 0);
        if random.below(2) == 0 {
            takeover.pull(&coupond.socket());
        }
        end(coupond, if random.below(4) == 0 { Signal::TERM } else { Signal::KILL });
    }
    takeover.assert_matches(&installation.start(), &expected);
}

#[test]
fn an_admin_that_was_set_back_again_and_again_gets_each_click_once() {
    let installation = Installation::new(&sample());
    let (mut expected, mut takeover) = (Expected::default(), Takeover::default());
    let mut backup = takeover.clone();
    for round in 0..6 {
        let coupond = installation.start();
        expected.add(&visits(&installation, 50), 0);
        takeover.pull(&coupond.socket());
        match round % 3 {
            0 => backup = takeover.clone(),
            1 => takeover = backup.clone(),
            _ => {}
        }
        end(coupond, Signal::KILL);
    }
    takeover.assert_matches(&installation.start(), &expected);
    Takeover::default().assert_matches(&installation.start(), &expected);
}

/// Clicks that only the lost folder had are missing, the gap shows their number, and every other
/// click counts once.
#[test]
fn a_daemon_whose_data_folder_was_set_back_repeats_no_click_and_shows_what_is_missing() {
    // One thread, so that the visits form one stream.
    let installation = Installation::new(&sample()).with("COUPOND_THREADS", 1);
    let (data, backup) =
        (installation.folder.path().join("data"), installation.folder.path().join("backup"));
    let (mut expected, mut takeover) = (Expected::default(), Takeover::default());
    let coupond = installation.start();
    expected.add(&visits(&installation, 100), 0);
    takeover.pull_all(&coupond);
    end(coupond, Signal::TERM);
    copy(&data, &backup);

    let coupond = installation.start();
    expected.add(&visits(&installation, 100), 0);
    takeover.pull_all(&coupond);
    expected.add(&visits(&installation, 100), 0);
    until("all are durable", || {
        let durable = coupond.metric("clicks_durable");
        (durable == coupond.metric("clicks_logged_total")).then_some(())
    });
    end(coupond, Signal::KILL);
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);

    let coupond = installation.start_with(&[("COUPOND_CLICKS_COMMIT_INTERVAL_MS", "20".into())]);
    expected.add(&visits(&installation, 100), 0);
    takeover.pull_all(&coupond);
    assert_eq!(coupond.health()["problems"], serde_json::json!([]));
    let lost = expected.answered() - takeover.taken();
    assert!(lost >= 100, "{lost} clicks were only in the folder that was lost");
    assert_eq!(takeover.missing, 0, "no click of the stream came after them");
}

/// While the ring of the killed run still exists, its newest clicks arrive and show the gap before
/// them.
#[test]
fn clicks_in_the_ring_of_a_daemon_that_was_set_back_come_after_a_gap_that_is_counted() {
    let installation = Installation::new(&sample()).with("COUPOND_THREADS", 1);
    let (data, backup) =
        (installation.folder.path().join("data"), installation.folder.path().join("backup"));
    end(installation.start(), Signal::TERM);
    copy(&data, &backup);

    let (mut expected, mut takeover) = (Expected::default(), Takeover::default());
    let coupond = installation.start_with(&[("COUPOND_CLICKS_COMMIT_INTERVAL_MS", "1500".into())]);
    expected.add(&visits(&installation, 100), 0);
    takeover.pull_all(&coupond);
    expected.add(&visits(&installation, 50), 0);
    let logged = coupond.metric("clicks_logged_total");
    until("these are durable", || (coupond.metric("clicks_durable") == logged).then_some(()));
    let in_ring = visits(&installation, 20);
    expected.add(&in_ring, 0);
    end(coupond, Signal::KILL);
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);

    let coupond = installation.start();
    takeover.pull_all(&coupond);
    let lost = expected.answered() - takeover.taken();
    assert!(lost >= 50, "{lost}");
    assert_eq!(takeover.missing, lost, "the gap is as long as what was lost");
    assert!(takeover.has(&in_ring.visits.last().unwrap().id));
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}
