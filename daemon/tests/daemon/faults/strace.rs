//! Makes system calls of one daemon thread fail or take long, or kills the daemon at a call.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::running::{Coupond, until};
use rustix::process::{Pid, Signal, kill_process};

/// Whether strace is installed and permitted. Where all programs are mandatory, as on a build
/// machine that installs them, a missing strace fails the test instead of skipping it.
pub(super) fn is_usable() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let is_usable = traced.is_ok_and(|output| output.status.success());
    if !is_usable {
        let must_be = std::env::var_os("COUPON_TESTS_REQUIRE_PROGRAMS").is_some();
        assert!(!must_be, "strace is not installed, or may not trace");
        eprintln!("skipped: strace is not installed, or may not trace");
    }
    is_usable
}

/// Tampers with a daemon until drop.
pub(super) struct Strace {
    child: Child,
    output: PathBuf,
}

impl Strace {
    /// Tampers with the calls of the click-log thread; `injects` are strace's expressions for calls
    /// and their faults.
    pub(super) fn on_click_log(coupond: &Coupond, injects: &[&str]) -> Strace {
        let thread = until("the click-log thread", || coupond.thread("click-log"));
        let calls: Vec<_> =
            injects.iter().map(|inject| inject.split(':').next().unwrap()).collect();
        let injects = injects.iter().flat_map(|inject| ["-e".into(), format!("inject={inject}")]);
        let output = coupond.path("strace");
        let mut child = Command::new("strace")
            .args(["-p", &thread.to_string(), "-o"])
            .arg(&output)
            .args(["-e", &format!("trace={}", calls.join(","))])
            .args(injects)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().next();
        let said = said.and_then(Result::ok).unwrap_or_default();
        assert!(said.contains("attached"), "strace: {said}");
        Strace { child, output }
    }

    /// Number of calls with this name that were made to fail so far.
    pub(super) fn errors(&self, name: &str) -> u64 {
        let calls = std::fs::read_to_string(&self.output).unwrap_or_default();
        let beginning = format!("{name}(");
        let has_failed = |call: &&str| {
            call.starts_with(&beginning) && call.contains(" = -1 E") && call.ends_with("(INJECTED)")
        };
        calls.lines().filter(has_failed).count() as u64
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // After this signal strace detaches from the thread.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}
