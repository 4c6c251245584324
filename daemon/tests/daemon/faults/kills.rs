//! kill -9 at random moments, under load and during start. `CLICK_KILLS` sets the number of kills
//! and `CLICK_KILLS_CODES` the number of codes in the index; see the parent for the command.

use std::time::{Duration, Instant};

use super::takeover::{Expected, Takeover};
use super::visitors::{Visitors, first_redirect};
use super::{Installation, Random, size};
use crate::published::sample;
use crate::running::command;
use rustix::process::Signal;

const VISITORS: usize = 4;

#[test]
fn a_few_kills_at_random_lose_no_answered_click() {
    let figures = killed(5, 1_000);
    assert!(figures.answered > 50, "{figures:?}");
}

#[test]
#[ignore = "takes many minutes; see the parent's header"]
fn a_thousand_kills_at_random_lose_no_answered_click() {
    let figures = killed(size("CLICK_KILLS", 1000), size("CLICK_KILLS_CODES", 1_000_000));
    println!("{figures:#?}");
}

/// The figures of a campaign.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
struct Figures {
    kills: u64,
    of_these_while_starting: u64,
    codes: u64,
    answered: u64,
    /// Clicks of visits that were in flight at a kill and got no answer.
    unanswered: u64,
    /// Time from the start of the program to the first redirect.
    median_recovery: Duration,
    p99_recovery: Duration,
    longest_recovery: Duration,
}

fn killed(kills: u64, codes: u64) -> Figures {
    let installation = Installation::new(&sample().and_many_codes(codes));
    let (mut random, mut expected, mut takeover) =
        (Random(kills), Expected::default(), Takeover::default());
    let (mut recoveries, mut while_starting) = (Vec::new(), 0);
    for number in 0..kills {
        if number % 4 == 3 {
            kill_while_starting(&installation, Duration::from_micros(random.below(60_000)));
            while_starting += 1;
            continue;
        }
        let first = first_redirect(installation.address);
        let began = Instant::now();
        let mut coupond = installation.start();
        let first = first.join().unwrap();
        recoveries.push(first.answered - began);
        println!("kill {number}: the first redirect came after {:?}", first.answered - began);
        expected.add_one(first.id);
        let visitors = Visitors::start(VISITORS, installation.address, "/winter25");
        let until = Instant::now() + Duration::from_millis(20 + random.below(300));
        while Instant::now() < until {
            takeover.pull(&coupond.socket());
            std::thread::sleep(Duration::from_millis(1 + random.below(50)));
        }
        coupond.signal(Signal::KILL);
        coupond.wait();
        let in_flight = visitors.count();
        let seen = visitors.stop();
        assert!(seen.failed.is_empty(), "{:?}", seen.failed);
        expected.add(&seen, in_flight);
    }
    let coupond = installation.start();
    takeover.assert_matches(&coupond, &expected);
    recoveries.sort();
    let share = |percent: usize| recoveries[(recoveries.len() - 1) * percent / 100];
    Figures {
        kills,
        of_these_while_starting: while_starting,
        codes,
        answered: expected.answered(),
        unanswered: takeover.taken() - expected.answered(),
        median_recovery: share(50),
        p99_recovery: share(99),
        longest_recovery: share(100),
    }
}

fn kill_while_starting(installation: &Installation, after: Duration) {
    let mut command = command(installation.folder.path());
    command.env("COUPOND_LISTEN", installation.address.to_string());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}
