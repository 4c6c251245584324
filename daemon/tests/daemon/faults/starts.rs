//! Kills the daemon at each system call with which a start changes files, one after another.

use std::process::{Child, Command, Stdio};

use super::Installation;
use super::strace::is_usable;
use super::takeover::{Expected, Takeover};
use super::visitors::Visitors;
use crate::published::sample;
use crate::running::{command, until};

#[test]
fn a_start_that_is_killed_at_any_system_call_leaves_no_click_without_its_run_id() {
    if !is_usable() {
        return;
    }
    let installation = Installation::new(&sample());
    let visitors = Visitors::start(2, installation.address, "/winter25");
    let mut kills = 0;
    for call in ["write", "fsync", "rename"] {
        let has_answered = |number| {
            let answered = visitors.answered();
            let mut coupond = start_killed_at(&installation, &format!("{call}:when={number}"));
            let outcome = until("an end or an answer", || {
                let has_ended = coupond.try_wait().unwrap().is_some();
                (has_ended || visitors.answered() > answered).then_some(!has_ended)
            });
            coupond.kill().unwrap();
            coupond.wait().unwrap();
            assert_runs_of_rings_are_noted(&installation);
            outcome
        };
        kills += (1..).take_while(|number| !has_answered(*number)).count();
    }
    assert!(kills >= 10, "{kills}");
    let coupond = installation.start();
    let (mut expected, in_flight) = (Expected::default(), visitors.count());
    let seen = visitors.stop();
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    expected.add(&seen, in_flight * (kills as u64 + 3));
    Takeover::default().assert_matches(&coupond, &expected);
}

/// Starts a daemon that strace kills at a call of any thread.
fn start_killed_at(installation: &Installation, call: &str) -> Child {
    let coupond = command(installation.folder.path());
    let (name, when) = call.split_once(':').unwrap();
    let mut strace = Command::new("strace");
    // The tracer is a grandchild, and the child becomes the daemon.
    strace.args(["-D", "-f", "-o", "/dev/null", "-e", &format!("trace={name}")]);
    strace.args(["-e", &format!("inject={name}:signal=SIGKILL:{when}")]);
    strace.arg(coupond.get_program()).stdin(Stdio::null()).stderr(Stdio::null());
    strace.envs(coupond.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.env("COUPOND_LISTEN", installation.address.to_string()).spawn().unwrap()
}

/// A ring may hold clicks.
fn assert_runs_of_rings_are_noted(installation: &Installation) {
    let path = |inside: &str| installation.folder.path().join(inside);
    let noted = std::fs::read_to_string(path("data/run-ids")).unwrap_or_default();
    let noted: Vec<&str> = noted.lines().filter_map(|line| Some(line.split_once(' ')?.0)).collect();
    for entry in std::fs::read_dir(path("run")).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let incarnation = name.strip_prefix("ring-").and_then(|rest| rest.split('-').next());
        assert!(incarnation.is_none_or(|run| noted.contains(&run)), "{name} of none of {noted:?}");
    }
}
