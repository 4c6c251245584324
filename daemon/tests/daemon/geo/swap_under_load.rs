//! A large database is swapped while visitors come.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::large_database::large_database;
use super::visitors::Visitors;
use super::{database_path, replace, serving_with};
use crate::running::{Coupond, until};

/// A database of 59 MB.
const LEVELS: u32 = 23;
/// Between two visits of a visitor, so that the machine is not busy all the time.
const INTERVAL: Duration = Duration::from_micros(500);

fn kind(coupond: &Coupond) -> String {
    coupond.health()["geo"][0]["type"].as_str().unwrap_or_default().to_owned()
}

/// Swaps until the time is over; returns how often.
fn swap_for(coupond: &Coupond, time: Duration) -> usize {
    let (begun, path, mut swaps) = (Instant::now(), database_path(coupond), 0);
    while begun.elapsed() < time {
        let new = format!("Large-{swaps}");
        let bytes = large_database(LEVELS, &new);
        replace(&path, &bytes);
        coupond.signal(Signal::HUP);
        until("the new database is in service", || (kind(coupond) == new).then_some(()));
        swaps += 1;
    }
    swaps
}

#[test]
fn a_database_is_swapped_while_visitors_come() {
    let coupond = serving_with(&large_database(10, "Small"));
    assert_eq!(kind(&coupond), "Small");
    let visitors = Visitors::start(coupond.address, 1, INTERVAL);
    replace(&database_path(&coupond), &large_database(12, "Larger"));
    coupond.signal(Signal::HUP);
    until("the new database is in service", || (kind(&coupond) == "Larger").then_some(()));
    assert!(!visitors.stop().is_empty());
}

#[test]
#[ignore = "takes a minute; see the parent's header"]
fn a_large_database_is_swapped_while_visitors_come() {
    let time = Duration::from_secs(25);
    let coupond = serving_with(&large_database(LEVELS, "Large"));
    let steady = Visitors::start(coupond.address, 2, INTERVAL);
    // The same work beside the daemon as with swaps: databases are made, and not replaced.
    let (begun, unused) = (Instant::now(), coupond.path("unused.mmdb"));
    while begun.elapsed() < time {
        replace(&unused, &large_database(LEVELS, "Unused"));
        coupond.health();
    }
    let steady = summary(steady.stop());
    let swapping = Visitors::start(coupond.address, 2, INTERVAL);
    let swaps = swap_for(&coupond, time);
    let swapping = summary(swapping.stop());
    println!("steady: {steady}\nwith {swaps} swaps: {swapping}");
    println!("memory: {} (peak {})", coupond.process("VmRSS"), coupond.process("VmHWM"));
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (visits, p50, p99, p999) = (times.len(), at(0.5), at(0.99), at(0.999));
    format!(
        "{visits} visits, all redirected; p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}, longest {:?}",
        at(1.0)
    )
}
