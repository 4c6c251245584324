//! The click store's folder is damaged in one way after another. `CLICK_STORE_DAMAGES` sets the
//! number of damages; see the parent for the command.

use std::fs;
use std::path::{Path, PathBuf};

use super::takeover::{Expected, Takeover};
use super::visitors::Visitors;
use super::{Installation, Random, size};
use crate::published::sample;
use crate::running::{Coupond, until};
use rustix::process::Signal;

#[test]
fn a_click_store_damaged_in_any_way_neither_stops_redirects_nor_costs_a_click() {
    let figures = damaged(6);
    assert!(figures.answered > 100, "{figures:?}");
}

#[test]
#[ignore = "takes many minutes; see the parent's header"]
fn hundreds_of_damages_to_the_click_store_cost_no_click() {
    println!("{:#?}", damaged(size("CLICK_STORE_DAMAGES", 200)));
}

/// The figures of a campaign.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
struct Figures {
    damages: u64,
    answered: u64,
    folders_set_aside: u64,
}

fn damaged(damages: u64) -> Figures {
    let installation = Installation::new(&sample()).with("COUPOND_CLICKS_COMMIT_INTERVAL_MS", 20);
    let (mut expected, mut takeover) = (Expected::default(), Takeover::default());
    let (mut random, mut folders_set_aside) = (Random(damages), 0);
    let mut coupond = installation.start();
    for _ in 0..damages {
        let visitors = Visitors::start(2, installation.address, "/winter25");
        until("clicks flow", || (visitors.answered() > 40).then_some(()));
        if random.below(2) == 0 {
            takeover.pull(&coupond.socket());
        }
        let seen = visitors.stop();
        assert!(seen.failed.is_empty() && seen.broken == 0, "{:?}", seen.failed);
        expected.add(&seen, 0);
        is_in_step(&coupond);
        folders_set_aside += coupond.metric("click_store_folders_set_aside");
        coupond.signal(if random.below(2) == 0 { Signal::KILL } else { Signal::TERM });
        coupond.wait();
        damage_store(&installation.folder.path().join("data/clicks"), &mut random);
        coupond = installation.start();
    }
    is_in_step(&coupond);
    folders_set_aside += coupond.metric("click_store_folders_set_aside");
    takeover.assert_matches(&coupond, &expected);
    // An admin restored from an empty backup gets the same clicks from log and store together.
    Takeover::default().assert_matches(&coupond, &expected);
    Figures { damages, answered: expected.answered(), folders_set_aside }
}

fn is_in_step(coupond: &Coupond) {
    until("the click store is in step", || {
        let lag = coupond.metric("click_store_lag_blocks");
        let is_durable = coupond.metric("clicks_durable") == coupond.metric("clicks_logged_total");
        (is_durable && lag == 0 && coupond.metric("click_store_open") == 1).then_some(())
    });
}

/// Damages one or two files of the store or one of its folders; chance picks the way.
fn damage_store(store: &Path, random: &mut Random) {
    let days = entries(store).into_iter().filter(|day| day.extension().is_none());
    let day = days.max().unwrap();
    if random.below(8) == 0 {
        return damage_folder(&day, random);
    }
    for _ in 0..=random.below(2) {
        let files: Vec<_> = entries(&day).into_iter().filter(|path| path.is_file()).collect();
        let Some(file) = files.get(random.below(files.len().max(1) as u64) as usize) else {
            return;
        };
        damage_file(file, random);
    }
}

fn damage_folder(day: &Path, random: &mut Random) {
    match random.below(3) {
        0 => fs::remove_dir_all(day).unwrap(),
        1 => {
            fs::remove_dir_all(day).unwrap();
            fs::write(day, "in the way").unwrap();
        }
        _ => fs::write(day.join("snap.00000000000FFFFF.generating"), "").unwrap(),
    }
}

fn damage_file(file: &Path, random: &mut Random) {
    let mut bytes = fs::read(file).unwrap();
    let at = random.below(bytes.len().max(1) as u64) as usize;
    let to = (at + 1 + random.below(4096) as usize).min(bytes.len());
    match random.below(7) {
        0 => return fs::remove_file(file).unwrap(),
        1 => bytes.truncate(at),
        2 => bytes.clear(),
        3 => bytes[at..to].fill(0),
        4 => bytes[at..to].iter_mut().for_each(|byte| *byte = random.below(256) as u8),
        5 => bytes.extend((0..5000).map(|_| random.below(256) as u8)),
        _ => {
            for _ in 0..=random.below(8) {
                let bit = random.below(8 * bytes.len().max(1) as u64) as usize;
                bytes.get_mut(bit / 8).into_iter().for_each(|byte| *byte ^= 1 << (bit % 8));
            }
        }
    }
    fs::write(file, bytes).unwrap();
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
