//! Restarts with other settings, and with backups on either side.

use std::path::Path;
use std::process::Command;

use super::takeover::{Expected, Takeover};
use super::visitors::{Seen, Visitors};
use super::{Place, Random};
use crate::published::sample;
use crate::running::{Coupond, until};
use rustix::process::Signal;

/// So many visits and a few more.
fn visits(place: &Place, count: usize) -> Seen {
    let visitors = Visitors::start(4, place.address, "/winter25");
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
    let place = Place::of(&sample());
    let (mut expected, mut takeover) = (Expected::default(), Takeover::default());
    let mut random = Random(3);
    for threads in [1, 4, 2, 6, 1, 3] {
        let coupond = place.start_with(&[("COUPOND_THREADS", threads.to_string())]);
        expected.add(&visits(&place, 60), 0);
        if random.below(2) == 0 {
            takeover.pull(&coupond.socket());
        }
        end(coupond, if random.below(4) == 0 { Signal::TERM } else { Signal::KILL });
    }
    takeover.settle(&place.start(), &expected);
}

#[test]
fn an_admin_that_was_set_back_again_and_again_gets_each_click_once() {
    let place = Place::of(&sample());
    let (mut expected, mut takeover) = (Expected::default(), Takeover::default());
    let mut backup = takeover.clone();
    for round in 0..6 {
        let coupond = place.start();
        expected.add(&visits(&place, 50), 0);
        takeover.pull(&coupond.socket());
        match round % 3 {
            0 => backup = takeover.clone(),
            1 => takeover = backup.clone(),
            _ => {}
        }
        end(coupond, Signal::KILL);
    }
    takeover.settle(&place.start(), &expected);
    Takeover::default().settle(&place.start(), &expected);
}

/// What only the lost folder had is missing, and the gap tells how much; the rest counts once.
#[test]
fn a_daemon_whose_data_folder_was_set_back_repeats_no_click_and_shows_what_is_missing() {
    // One thread, so that the visits follow each other in one stream.
    let place = Place::of(&sample()).with("COUPOND_THREADS", 1);
    let (data, backup) = (place.folder.path().join("data"), place.folder.path().join("backup"));
    let (mut expected, mut takeover) = (Expected::default(), Takeover::default());
    let coupond = place.start();
    expected.add(&visits(&place, 100), 0);
    takeover.pull_all(&coupond);
    end(coupond, Signal::TERM);
    copy(&data, &backup);

    let coupond = place.start();
    expected.add(&visits(&place, 100), 0);
    takeover.pull_all(&coupond);
    expected.add(&visits(&place, 100), 0);
    until("all are durable", || {
        let durable = coupond.metric("clicks_durable");
        (durable == coupond.metric("clicks_logged_total")).then_some(())
    });
    end(coupond, Signal::KILL);
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);

    let coupond = place.start_with(&[("COUPOND_CLICKS_COMMIT_INTERVAL_MS", "20".into())]);
    expected.add(&visits(&place, 100), 0);
    takeover.pull_all(&coupond);
    assert_eq!(coupond.health()["problems"], serde_json::json!([]));
    let lost = expected.answered() - takeover.taken();
    assert!(lost >= 100, "{lost} clicks were only in the folder that was lost");
    assert_eq!(takeover.missing, 0, "no click of the stream came after them");
}

/// With the ring of the killed run still there, its newest clicks come, and show the gap before.
#[test]
fn clicks_in_the_ring_of_a_daemon_that_was_set_back_come_after_a_gap_that_is_counted() {
    let place = Place::of(&sample()).with("COUPOND_THREADS", 1);
    let (data, backup) = (place.folder.path().join("data"), place.folder.path().join("backup"));
    end(place.start(), Signal::TERM);
    copy(&data, &backup);

    let (mut expected, mut takeover) = (Expected::default(), Takeover::default());
    let coupond = place.start_with(&[("COUPOND_CLICKS_COMMIT_INTERVAL_MS", "1500".into())]);
    expected.add(&visits(&place, 100), 0);
    takeover.pull_all(&coupond);
    expected.add(&visits(&place, 50), 0);
    let logged = coupond.metric("clicks_logged_total");
    until("these are durable", || (coupond.metric("clicks_durable") == logged).then_some(()));
    let in_ring = visits(&place, 20);
    expected.add(&in_ring, 0);
    end(coupond, Signal::KILL);
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);

    let coupond = place.start();
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
