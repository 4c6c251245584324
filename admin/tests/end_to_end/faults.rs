//! Faults in system calls on chosen files, injected by `strace`: the call fails, or the program
//! dies.
//!
//! strace counts calls per thread and kind. A fault therefore targets the nth call of one kind on
//! one file: these calls come from one thread, independent of other threads.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{admin_program, wait_for};

/// All kinds of file calls; unknown kinds of this machine are skipped.
const KINDS: &str = "?open,?openat,?read,?pread64,?write,?pwrite64,?writev,?pwritev,\
    ?copy_file_range,?fsync,?fdatasync,?sync_file_range,?rename,?renameat,?renameat2,?link,?linkat,\
    ?unlink,?unlinkat,?mkdir,?mkdirat,?ftruncate,?fallocate,?getdents64,?statx";

/// Effect at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The program dies before the call completes.
    Kill,
    /// The call fails with this error.
    Error(&'static str),
}

impl Fault {
    pub(crate) const ALL: [Fault; 3] = [Fault::Kill, Fault::Error("EIO"), Fault::Error("ENOSPC")];
}

/// A system call of a program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) kind: String,
    pub(crate) path: PathBuf,
    /// Number among calls of its kind on this file, from 1.
    pub(crate) nth: usize,
}

impl Call {
    /// Kind and file.
    pub(crate) fn whatever_its_number(&self) -> (&str, &Path) {
        (&self.kind, &self.path)
    }
}

/// coupon-admin, with its calls recorded in `log`.
pub(crate) fn noted(log: &Path) -> Command {
    strace(log, &[format!("trace={KINDS}")])
}

/// coupon-admin, with a fault at a call; `log` records the result.
pub(crate) fn faulty(log: &Path, call: &Call, fault: Fault) -> Command {
    let Call { kind, path, nth } = call;
    let what = match fault {
        Fault::Kill => "signal=SIGKILL".to_owned(),
        Fault::Error(reason) => format!("error={reason}"),
    };
    let only = [format!("trace={kind}"), format!("inject={kind}:{what}:when={nth}")];
    let mut command = Command::new("strace");
    command.arg("-P").arg(path);
    traced(command, log, &only)
}

fn strace(log: &Path, expressions: &[String]) -> Command {
    traced(Command::new("strace"), log, expressions)
}

/// The tracer is a grandchild, so tests can kill and wait for the program.
fn traced(mut strace: Command, log: &Path, expressions: &[String]) -> Command {
    // Removes the log of an earlier run.
    let _ = std::fs::remove_file(log);
    strace.args(["-D", "-f", "-qq", "-y", "-o"]).arg(log);
    for expression in expressions {
        strace.args(["-e", expression]);
    }
    strace.arg(admin_program());
    strace
}

/// Every call on a file in this folder or below, in the order in which they were begun.
pub(crate) fn calls(log: &Path, folder: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(log).unwrap();
    let folder = folder.to_str().unwrap();
    let mut counts = HashMap::<(String, PathBuf), usize>::new();
    let begun = text.lines().filter_map(|line| call_on(line, folder));
    begun
        .map(|(kind, path)| {
            let count = counts.entry((kind.clone(), path.clone())).or_default();
            *count += 1;
            Call { kind, path, nth: *count }
        })
        .collect()
}

/// Parses a line such as `71 write(5</data/index/CURRENT.new>, "coup"..., 312) = 312`.
fn call_on(line: &str, folder: &str) -> Option<(String, PathBuf)> {
    let (kind, arguments) = line.split_once(' ')?.1.trim_start().split_once('(')?;
    let is_name = kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // Written content may contain the folder's name, too.
    let at = match kind.contains("write") {
        true => arguments.find(&format!("<{folder}"))? + 1,
        false => arguments.find(folder)?,
    };
    let path = arguments[at..].split(['"', '>']).next()?;
    is_name.then(|| (kind.to_owned(), PathBuf::from(path)))
}

/// Whether the fault occurred.
pub(crate) fn has_struck(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains("(INJECTED)"))
}

/// Lets the program continue without faults: otherwise a fault would occur in each of its threads.
pub(crate) fn end(program: u32) {
    let tracer = || {
        let status = std::fs::read_to_string(format!("/proc/{program}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
        line.trim().parse().ok().filter(|tracer: &u32| *tracer != 0)
    };
    if let Some(tracer) = tracer() {
        // The system detaches the programs of a killed tracer. The tracer may have ended already.
        let _ = Command::new("kill").args(["-KILL", &tracer.to_string()]).status();
    }
    wait_for("the program to run by itself", || tracer().is_none().then_some(()));
}

/// Figures of a campaign.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "printed")]
pub(crate) struct Figures {
    pub(crate) calls: usize,
    pub(crate) runs: usize,
    /// Runs in which the fault occurred: threads count calls of one kind on one file separately,
    /// and the calling thread varies.
    pub(crate) struck: usize,
}

/// All calls with all faults, or `runs` of the combinations, spread evenly.
pub(crate) fn each(
    calls: &[Call],
    sample: Option<usize>,
    mut run: impl FnMut(&Call, Fault) -> bool,
) -> Figures {
    let mut figures = Figures { calls: calls.len(), ..Figures::default() };
    let mut never: HashSet<_> = calls.iter().map(Call::whatever_its_number).collect();
    let all = calls.iter().flat_map(|call| Fault::ALL.map(|fault| (call, fault)));
    let step = match sample {
        // No multiple of three, so each fault occurs.
        Some(runs) => (calls.len() * Fault::ALL.len() / runs).next_multiple_of(3) + 1,
        None => 1,
    };
    for (call, fault) in all.step_by(step) {
        figures.runs += 1;
        if run(call, fault) {
            figures.struck += 1;
            never.remove(&call.whatever_its_number());
        }
    }
    assert!(figures.struck > 0, "{figures:?}");
    assert!(sample.is_some() || never.is_empty(), "no fault at {never:?}");
    figures
}
