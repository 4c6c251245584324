//! Power cuts: the data folder stands on an ext4 of its own, whose image is copied while the daemon
//! is held in the middle of its work. The copy is what a disk has when the power goes: no more than
//! what was synced is surely there, and nothing of the memory (the rings) is.
//!
//! `CLICK_POWER_CUTS` says how many copies; see the parent for the command.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::disks::{Disk, make_image};
use super::takeover::{Expected, Takeover};
use super::visitors::{Visit, Visitors};
use super::{Place, Random, size};
use crate::published::sample;
use crate::running::{Coupond, until};
use rustix::process::Signal;

const INTERVAL: Duration = Duration::from_millis(100);
/// What a commit may take beyond its interval on a machine that does much else.
const COMMIT: Duration = Duration::from_millis(900);
/// After so many cuts visitors and accounts begin anew.
const CUTS_PER_ROUND: u64 = 10;

#[test]
fn a_few_power_cuts_lose_at_most_the_last_group_commit_and_nothing_in_durable_mode() {
    for is_durable in [false, true] {
        let Some(figures) = power_cuts(3, is_durable) else { return };
        assert!(figures.answered_before_cuts > 100, "{figures:?}");
    }
}

#[test]
#[ignore = "takes many minutes; see the parent's header"]
fn hundreds_of_power_cuts_lose_at_most_the_last_group_commit_and_nothing_in_durable_mode() {
    let cuts = size("CLICK_POWER_CUTS", 500);
    println!("{:#?}", [false, true].map(|is_durable| power_cuts(cuts, is_durable)));
}

/// What a campaign did.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "printed")]
struct Figures {
    is_durable: bool,
    cuts: u64,
    /// Visits answered before the cuts, summed over all copies.
    answered_before_cuts: u64,
    lost: u64,
    /// The longest that a lost click had been answered before its cut.
    oldest_lost: Duration,
}

fn power_cuts(cuts: u64, is_durable: bool) -> Option<Figures> {
    let place = Place::of(&sample())
        .with("COUPOND_CLICKS_DURABLE", is_durable)
        .with("COUPOND_CLICKS_COMMIT_INTERVAL_MS", INTERVAL.as_millis())
        .with("COUPOND_CLICKS_WAL_SEGMENT_BYTES", 1 << 20)
        .with("COUPOND_CLICKS_SLED_CACHE_BYTES", 1 << 20);
    let images = tempfile::tempdir().unwrap();
    let (image, copy) = (images.path().join("disk"), images.path().join("copy"));
    make_image(&image, 64)?;
    let _disk = Disk::of_image(&image, &place.folder.path().join("data"))?;
    let coupond = place.start();
    until("it is ready", || (coupond.metric("click_wal_open") == 1).then_some(()));
    let mut campaign = Campaign {
        place: &place,
        images: (image, copy),
        coupond,
        takeover: Takeover::default(),
        random: Random(7),
        figures: Figures { is_durable, ..Figures::default() },
    };
    while campaign.figures.cuts < cuts {
        campaign.round(CUTS_PER_ROUND.min(cuts - campaign.figures.cuts));
    }
    Some(campaign.figures)
}

struct Campaign<'a> {
    place: &'a Place,
    images: (PathBuf, PathBuf),
    coupond: Coupond,
    takeover: Takeover,
    random: Random,
    figures: Figures,
}

impl Campaign<'_> {
    fn round(&mut self, cuts: u64) {
        self.takeover.forget();
        let visitors = Visitors::start(4, self.place.address, "/winter25");
        for _ in 0..cuts {
            std::thread::sleep(Duration::from_millis(50 + self.random.below(300)));
            if self.random.below(2) == 0 {
                self.takeover.pull(&self.coupond.socket());
            }
            let (before, cut) = (visitors.seen().visits, Instant::now());
            held(&self.coupond, || std::fs::copy(&self.images.0, &self.images.1).unwrap());
            self.compare(&before, cut);
        }
        // The daemon whose disk was copied has lost nothing.
        let seen = visitors.stop();
        assert!(seen.failed.is_empty() && seen.broken == 0, "{:?}", seen.failed);
        let mut expected = Expected::default();
        expected.add(&seen, 0);
        self.takeover.settle(&self.coupond, &expected);
    }

    fn compare(&mut self, before: &[Visit], cut: Instant) {
        let recovered = recovered(self.place, &self.images.1, self.takeover.clone());
        let lost = before.iter().filter(|visit| !recovered.has(&visit.id));
        let ages: Vec<_> = lost.map(|visit| cut - visit.answered).collect();
        let figures = &mut self.figures;
        figures.cuts += 1;
        figures.answered_before_cuts += before.len() as u64;
        figures.lost += ages.len() as u64;
        figures.oldest_lost = ages.into_iter().fold(figures.oldest_lost, Duration::max);
        let allowed = if figures.is_durable { Duration::ZERO } else { INTERVAL + COMMIT };
        assert!(figures.oldest_lost <= allowed, "{figures:?}");
        assert!(!figures.is_durable || figures.lost == 0, "{figures:?}");
        assert_eq!(recovered.missing, 0);
    }
}

/// Holds a daemon at whatever it is doing.
fn held<T>(coupond: &Coupond, then: impl FnOnce() -> T) -> T {
    coupond.signal(Signal::STOP);
    until("it is held", || coupond.process("State").starts_with('T').then_some(()));
    let done = then();
    coupond.signal(Signal::CONT);
    done
}

/// What the admin has after a daemon was started on the copy, with a memory that is empty.
fn recovered(place: &Place, copy: &Path, mut takeover: Takeover) -> Takeover {
    let other = Place::of(&sample());
    let _disk = Disk::of_image(copy, &other.folder.path().join("data")).unwrap();
    let coupond = other.start_with(&place.variables);
    assert_eq!(coupond.get("/winter25").status, 302);
    takeover.pull_all(&coupond);
    takeover
}
