//! Power cuts: the data folder lies on an ext4 of its own, and the image is copied while the daemon
//! is stopped in the middle of its work. The copy is the disk after a power cut: synced data is
//! there for certain, unsynced data possibly, and memory (the rings) not at all.
//!
//! `CLICK_POWER_CUTS` sets the number of copies; see the parent for the command.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::disks::{Disk, make_image};
use super::takeover::{Expected, Takeover};
use super::visitors::{Visit, Visitors};
use super::{Installation, Random, size};
use crate::published::sample;
use crate::running::{Coupond, until};
use rustix::process::Signal;

const INTERVAL: Duration = Duration::from_millis(100);
/// Longest duration of a commit beyond its interval on a busy machine.
const COMMIT: Duration = Duration::from_millis(900);
/// Number of cuts after which visitors and expectations start afresh.
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

/// The figures of a campaign.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "printed")]
struct Figures {
    is_durable: bool,
    cuts: u64,
    /// Visits answered before the cuts, summed over all copies.
    answered_before_cuts: u64,
    lost: u64,
    /// The longest time between the answer to a lost click and the cut.
    oldest_lost: Duration,
}

fn power_cuts(cuts: u64, is_durable: bool) -> Option<Figures> {
    let installation = Installation::new(&sample())
        .with("COUPOND_CLICKS_DURABLE", is_durable)
        .with("COUPOND_CLICKS_COMMIT_INTERVAL_MS", INTERVAL.as_millis())
        .with("COUPOND_CLICKS_WAL_SEGMENT_BYTES", 1 << 20)
        .with("COUPOND_CLICKS_SLED_CACHE_BYTES", 1 << 20);
    let images = tempfile::tempdir().unwrap();
    let (image, copy) = (images.path().join("disk"), images.path().join("copy"));
    make_image(&image, 64)?;
    let _disk = Disk::of_image(&image, &installation.folder.path().join("data"))?;
    let coupond = installation.start();
    until("it is ready", || (coupond.metric("click_wal_open") == 1).then_some(()));
    let mut campaign = Campaign {
        installation: &installation,
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
    installation: &'a Installation,
    images: (PathBuf, PathBuf),
    coupond: Coupond,
    takeover: Takeover,
    random: Random,
    figures: Figures,
}

impl Campaign<'_> {
    fn round(&mut self, cuts: u64) {
        self.takeover.forget();
        let visitors = Visitors::start(4, self.installation.address, "/winter25");
        for _ in 0..cuts {
            std::thread::sleep(Duration::from_millis(50 + self.random.below(300)));
            if self.random.below(2) == 0 {
                self.takeover.pull(&self.coupond.socket());
            }
            let (before, cut) = (visitors.seen().visits, Instant::now());
            held(&self.coupond, || std::fs::copy(&self.images.0, &self.images.1).unwrap());
            self.compare(&before, cut);
        }
        // The daemon from whose disk the copies were made has lost nothing.
        let seen = visitors.stop();
        assert!(seen.failed.is_empty() && seen.broken == 0, "{:?}", seen.failed);
        let mut expected = Expected::default();
        expected.add(&seen, 0);
        self.takeover.assert_matches(&self.coupond, &expected);
    }

    fn compare(&mut self, before: &[Visit], cut: Instant) {
        let recovered = recovered(self.installation, &self.images.1, self.takeover.clone());
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

/// Stops the daemon's process while `then` runs.
fn held<T>(coupond: &Coupond, then: impl FnOnce() -> T) -> T {
    coupond.signal(Signal::STOP);
    until("it is held", || coupond.process("State").starts_with('T').then_some(()));
    let done = then();
    coupond.signal(Signal::CONT);
    done
}

/// Starts a daemon on the copy, with an empty runtime folder, and returns the clicks that the admin
/// then has.
fn recovered(installation: &Installation, copy: &Path, mut takeover: Takeover) -> Takeover {
    let other = Installation::new(&sample());
    let _disk = Disk::of_image(copy, &other.folder.path().join("data")).unwrap();
    let coupond = other.start_with(&installation.variables);
    assert_eq!(coupond.get("/winter25").status, 302);
    takeover.pull_all(&coupond);
    takeover
}
