//! The processes of a server: started on one core, observed, and ended with the measurement.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::interruption;

/// nginx needs minutes for a map of ten million codes.
const START_DEADLINE: Duration = Duration::from_secs(900);
pub(super) const END_DEADLINE: Duration = Duration::from_secs(20);

/// Pins this thread, and the threads it starts, to one core.
pub(crate) fn pin_to(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// A process and its children.
pub(crate) struct Family(Child);

/// CPU time by thread name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CpuTime(BTreeMap<String, Duration>);

impl CpuTime {
    /// CPU time of all threads.
    pub(crate) fn total(&self) -> Duration {
        self.0.values().sum()
    }

    /// CPU time of the threads whose names begin with `prefix`.
    pub(crate) fn of_threads(&self, prefix: &str) -> Duration {
        self.0.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, time)| *time).sum()
    }

    /// Adds the threads of another process.
    pub(crate) fn add(&mut self, other: CpuTime) {
        for (name, time) in other.0 {
            *self.0.entry(name).or_default() += time;
        }
    }

    #[cfg(test)]
    pub(crate) fn of_thread(name: &str, time: Duration) -> CpuTime {
        CpuTime(BTreeMap::from([(name.to_owned(), time)]))
    }

    pub(crate) fn since(&self, before: &CpuTime) -> CpuTime {
        let taken = |(name, time): (&String, &Duration)| {
            let until_then = before.0.get(name).copied().unwrap_or_default();
            (name.clone(), time.saturating_sub(until_then))
        };
        CpuTime(self.0.iter().map(taken).collect())
    }
}

impl Family {
    /// Starts a program on one core; its output goes to a file that errors quote.
    pub(crate) fn start(command: &[&str], core: usize, log: &Path) -> anyhow::Result<Family> {
        let said = std::fs::File::create(log)?;
        let mut program = Command::new("taskset");
        program
            .args(["-c", &core.to_string()])
            .args(command)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said);
        let child = interruption::start(&mut program);
        Ok(Family(child.context("cannot start `taskset` (Debian package util-linux)")?))
    }

    /// Waits until the server accepts connections.
    pub(crate) fn wait_for(&mut self, address: SocketAddr, log: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("it ended with {status}: {}", said.trim());
            }
            if Instant::now() > deadline {
                bail!("it does not listen on {address} after {START_DEADLINE:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// CPU time of the threads.
    pub(crate) fn cpu_time(&self) -> io::Result<CpuTime> {
        self.scheduled(0)
    }

    /// Time in which threads were runnable without a core.
    pub(crate) fn core_wait(&self) -> io::Result<CpuTime> {
        self.scheduled(1)
    }

    /// A column of `schedstat`: nanoseconds on a core, nanoseconds waiting for a core, time slices.
    fn scheduled(&self, figure: usize) -> io::Result<CpuTime> {
        let mut times = CpuTime::default();
        for process in self.processes() {
            for task in std::fs::read_dir(process.join("task"))? {
                let task = task?.path();
                let name = std::fs::read_to_string(task.join("comm"))?.trim_end().to_owned();
                let schedule = std::fs::read_to_string(task.join("schedstat"))?;
                let time = schedule.split(' ').nth(figure).and_then(|figure| figure.parse().ok());
                *times.0.entry(name).or_default() += Duration::from_nanos(time.unwrap_or(0));
            }
        }
        Ok(times)
    }

    pub(crate) fn resident_bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for process in self.processes() {
            // Pages shared between processes (a parent's map in its worker) count once.
            let rollup = std::fs::read_to_string(process.join("smaps_rollup"))?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
            bytes += kib.unwrap_or(0) * 1024;
        }
        Ok(bytes)
    }

    fn processes(&self) -> Vec<PathBuf> {
        let id = self.0.id();
        let own = PathBuf::from(format!("/proc/{id}"));
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().map(|id| PathBuf::from(format!("/proc/{id}")));
        std::iter::once(own).chain(children).collect()
    }

    /// Asks the server to end and waits; an exit in error is an error here.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        match self.end()? {
            Some(status) => ensure!(status.success(), "it ended with {status}"),
            None => bail!("it does not end within {END_DEADLINE:?}"),
        }
        Ok(())
    }

    /// Servers end their workers when asked to end.
    fn end(&mut self) -> io::Result<Option<ExitStatus>> {
        if let (None, Some(id)) = (self.0.try_wait()?, Pid::from_raw(self.0.id().cast_signed())) {
            rustix::process::kill_process(id, Signal::TERM)?;
        }
        let deadline = Instant::now() + END_DEADLINE;
        loop {
            match self.0.try_wait()? {
                None if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                ended => return Ok(ended),
            }
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = self.end();
        let _ = self.0.kill();
        let _ = self.0.wait();
        interruption::has_ended(self.0.id());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(of: &[(&str, u64)]) -> CpuTime {
        CpuTime(of.iter().map(|(n, ms)| ((*n).to_owned(), Duration::from_millis(*ms))).collect())
    }

    #[test]
    fn time_is_told_apart_by_thread_and_added_up() {
        let taken = times(&[("serve-0", 50), ("click-log", 7)]).since(&times(&[("serve-0", 20)]));
        assert_eq!(taken.total(), Duration::from_millis(37));
        assert_eq!(taken.of_threads("serve-"), Duration::from_millis(30));
    }

    #[test]
    fn a_busy_process_is_seen_to_take_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let family = Family::start(&["sh", "-c", "while :; do :; done"], 0, &log).unwrap();
        let before = family.cpu_time().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let taken = family.cpu_time().unwrap().since(&before).total();
        assert!(taken > Duration::from_millis(30), "{taken:?}");
        assert!(family.resident_bytes().unwrap() > 100_000);
    }

    #[test]
    fn a_server_that_ends_at_once_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut family = Family::start(&["sh", "-c", "echo no such map; exit 3"], 0, &log).unwrap();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let error = family.wait_for(nobody, &log).unwrap_err().to_string();
        assert!(error.contains("no such map"), "{error}");
    }
}
