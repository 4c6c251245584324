//! Kills the daemon or injects an error at each system call with which the click-log thread changes
//! files, one after another. `CLICK_SYSTEM_CALLS` sets the number of calls of each kind; see the
//! parent for the command.

use std::time::{Duration, Instant};

use super::strace::{Strace, is_usable};
use super::takeover::{Expected, Takeover};
use super::visitors::Visitors;
use super::{Installation, size};
use crate::published::sample;
use crate::running::{Coupond, until};
use rustix::process::Signal;

const CALLS: [&str; 7] =
    ["pwrite64", "fdatasync", "openat", "rename", "fsync", "ftruncate", "unlink"];
const FAULTS: [&str; 3] = ["signal=SIGKILL", "error=EIO", "error=ENOSPC"];
/// Every third sync fails: then the log begins a new segment and removes old ones, so rare calls
/// become frequent.
const ROLLS: &str = "fdatasync:error=EIO:when=2+3";
/// Longest wait for a call, which possibly never comes.
const LONGEST: Duration = Duration::from_secs(3);

#[test]
fn a_system_call_of_the_click_log_that_kills_or_fails_costs_no_click() {
    if is_usable() {
        let figures = faults_at(1..=1);
        assert_eq!((figures.kills, figures.errors), (7, 14), "{figures:?}");
    }
}

#[test]
#[ignore = "takes many minutes; see the parent's header"]
fn every_system_call_of_the_click_log_may_kill_or_fail() {
    if is_usable() {
        println!("{:#?}", faults_at(1..=size("CLICK_SYSTEM_CALLS", 50)));
    }
}

/// The figures of a campaign.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "printed")]
struct Figures {
    kills: u64,
    errors: u64,
    /// Faults whose call did not come in time.
    not_reached: u64,
    answered: u64,
    /// Clicks of visits that were in flight at a kill and got no answer.
    unanswered: u64,
}

fn faults_at(numbers: std::ops::RangeInclusive<u64>) -> Figures {
    let mut campaign = Campaign {
        installation: Installation::new(&sample()).with("COUPOND_CLICKS_COMMIT_INTERVAL_MS", 8),
        expected: Expected::default(),
        takeover: Takeover::default(),
        figures: Figures::default(),
    };
    for number in numbers {
        for call in CALLS {
            for fault in FAULTS {
                campaign.fault(call, &format!("{call}:{fault}:when={number}"));
            }
        }
    }
    campaign.finish()
}

struct Campaign {
    installation: Installation,
    expected: Expected,
    takeover: Takeover,
    figures: Figures,
}

impl Campaign {
    fn fault(&mut self, call: &str, inject: &str) {
        let mut coupond = self.installation.start();
        until("the log is open", || (coupond.metric("click_wal_open") == 1).then_some(()));
        let strace = Strace::on_click_log(&coupond, &[ROLLS, inject]);
        let visitors = Visitors::start(3, self.installation.address, "/winter25");
        let began = Instant::now();
        while began.elapsed() < LONGEST && !coupond.has_ended() && strace.errors(call) == 0 {
            std::thread::sleep(Duration::from_millis(5));
            self.takeover.pull(&coupond.socket());
        }
        let (was_killed, has_failed) = (coupond.has_ended(), strace.errors(call) > 0);
        self.figures.kills += u64::from(was_killed);
        self.figures.errors += u64::from(has_failed && !was_killed);
        self.figures.not_reached += u64::from(!has_failed && !was_killed);
        drop(strace);
        if !coupond.has_ended() {
            self.goes_on(&coupond, &visitors);
            coupond.signal(Signal::KILL);
            coupond.wait();
        }
        let in_flight = visitors.count();
        let seen = visitors.stop();
        assert!(seen.failed.is_empty(), "{inject}: {:?}", seen.failed);
        self.expected.add(&seen, in_flight);
    }

    /// After the errors the log works again without a restart.
    fn goes_on(&mut self, coupond: &Coupond, visitors: &Visitors) {
        let durable = coupond.metric("clicks_durable");
        let answered = visitors.answered();
        until("clicks are durable again", || {
            let works = coupond.metric("clicks_durable") > durable;
            (works && coupond.health()["status"] == "ok").then_some(())
        });
        until("visits go on", || (visitors.answered() > answered).then_some(()));
        self.takeover.pull(&coupond.socket());
    }

    fn finish(mut self) -> Figures {
        let coupond = self.installation.start();
        self.takeover.assert_matches(&coupond, &self.expected);
        self.figures.answered = self.expected.answered();
        self.figures.unanswered = self.takeover.taken() - self.expected.answered();
        self.figures
    }
}
