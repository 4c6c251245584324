//! Hours of visits, index replacements and an admin that takes clicks: memory and file descriptors
//! must not grow. `CLICK_SOAK_SECONDS` sets the duration; see the parent for the command.

use std::time::{Duration, Instant};

use super::takeover::Takeover;
use super::visitors::Visitors;
use super::{Installation, size};
use crate::published::sample;
use crate::running::Coupond;

/// Longest time until the next index and new connections.
const SLICE: Duration = Duration::from_secs(10);

#[test]
fn memory_and_descriptors_stay_flat_for_some_seconds() {
    let measured = soak(Duration::from_secs(4));
    let (early, late) = measured.split_at(measured.len() / 2);
    let (early, late) = (highest(early), highest(late));
    assert!(late.resident_kib <= early.resident_kib + (16 << 10), "{measured:?}");
    assert!(late.descriptors <= early.descriptors + 8, "{measured:?}");
}

#[test]
#[ignore = "takes hours; see the parent's header"]
fn memory_and_descriptors_stay_flat_for_hours() {
    let measured = soak(Duration::from_secs(size("CLICK_SOAK_SECONDS", 8 * 3600)));
    // Caches and thread buffers are full after the first quarter.
    let quarter = measured.len() / 4;
    let (early, late) =
        (highest(&measured[quarter..2 * quarter]), highest(&measured[3 * quarter..]));
    println!("highest in the second quarter: {early:?}, in the last: {late:?}");
    assert!(late.resident_kib <= early.resident_kib * 11 / 10, "memory grows");
    assert!(late.descriptors <= early.descriptors + 8, "descriptors are not closed");
}

#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "printed")]
struct Measured {
    after: Duration,
    resident_kib: u64,
    descriptors: usize,
    answered: usize,
}

fn highest(measured: &[Measured]) -> Measured {
    *measured.iter().max_by_key(|measured| measured.resident_kib).unwrap()
}

fn soak(length: Duration) -> Vec<Measured> {
    let installation = Installation::new(&sample().and_many_codes(2_000))
        .with("COUPOND_CLICKS_SLED_CACHE_BYTES", 1 << 20)
        .with("COUPOND_CLICKS_WAL_SEGMENT_BYTES", 1 << 20);
    let coupond = installation.start();
    let mut takeover = Takeover::default();
    let (began, mut measured, mut answered) = (Instant::now(), Vec::new(), 0);
    let mut generation = 1;
    while began.elapsed() < length {
        // New connections in each slice.
        let visitors = Visitors::start(4, installation.address, "/winter25");
        std::thread::sleep((length / 40).min(SLICE));
        generation += 1;
        let network = sample().and_many_codes(2_000).generation(generation);
        network.publish(&coupond.index_dir());
        assert_eq!(coupond.reload().status, 200);
        takeover.pull(&coupond.socket());
        takeover.forget();
        let seen = visitors.stop();
        assert!(seen.failed.is_empty() && seen.broken == 0, "{:?}", seen.failed);
        answered += seen.visits.len();
        measured.push(measure(&coupond, began.elapsed(), answered));
    }
    takeover.pull_all(&coupond);
    assert_eq!((takeover.taken(), takeover.missing), (answered as u64, 0));
    measured
}

fn measure(coupond: &Coupond, after: Duration, answered: usize) -> Measured {
    let resident = coupond.process("VmRSS");
    let resident_kib = resident.trim_end_matches(" kB").parse().unwrap();
    let measured = Measured { after, resident_kib, descriptors: coupond.descriptors(), answered };
    println!("{measured:?}");
    measured
}
