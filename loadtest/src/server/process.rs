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

/// CPU time and memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Includes ended threads.
    pub(crate) cpu: Duration,
    /// Most resident memory so far, pages of the program's file included, which processes share.
    pub(crate) peak_bytes: u64,
    /// Resident memory of its own, without pages of files.
    pub(crate) own_bytes: u64,
}

/// Unit of the times in `/proc/PID/stat`, the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

impl Usage {
    pub(crate) fn of_process(id: u32) -> io::Result<Usage> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let unreadable = || io::Error::from(io::ErrorKind::InvalidData);
        Usage::parse(&stat, &status).ok_or_else(unreadable)
    }

    fn parse(stat: &str, status: &str) -> Option<Usage> {
        // The name before the parenthesis may contain spaces. User and system time are the fields
        // 14 and 15, counted from 1; the first one behind the name is field 3.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut times = fields.split_whitespace().skip(11).map(str::parse::<u32>);
        let ticks = times.next()?.ok()?.saturating_add(times.next()?.ok()?);
        let bytes = |name: &str| {
            let size = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = size.trim().trim_end_matches(" kB").parse().ok()?;
            Some(kib * 1024)
        };
        let (peak_bytes, own_bytes) = (bytes("VmHWM:")?, bytes("RssAnon:")?);
        Some(Usage { cpu: TICK * ticks, peak_bytes, own_bytes })
    }
}

impl Family {
    /// Starts a program on one core; its output goes to a file that errors quote.
    pub(crate) fn start(command: &[&str], core: usize, log: &Path) -> anyhow::Result<Family> {
        let mut program = Command::new("taskset");
        program.args(["-c", &core.to_string()]).args(command);
        Family::start_unpinned(&mut program, log)
            .context("cannot start `taskset` (Debian package util-linux)")
    }

    /// Starts a program on all cores; its output goes to a file that errors quote.
    pub(crate) fn start_unpinned(program: &mut Command, log: &Path) -> anyhow::Result<Family> {
        let said = std::fs::File::create(log)?;
        program.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let name = program.get_program().display().to_string();
        let child = interruption::start(program);
        Ok(Family(child.with_context(|| format!("cannot start {name}"))?))
    }

    /// Waits until the server accepts connections.
    pub(crate) fn wait_for(&mut self, address: SocketAddr, log: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(address).is_err() {
            self.check_runs(log)?;
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

    /// CPU time and peak memory of the process without its children.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        Usage::of_process(self.0.id())
    }

    /// Asks the server to end, and does not wait. With many servers this is faster than one
    /// [`Family::stop`] after the other.
    pub(crate) fn request_end(&self) {
        if let Some(id) = Pid::from_raw(self.0.id().cast_signed()) {
            // A server that has already ended needs no signal.
            let _ = rustix::process::kill_process(id, Signal::TERM);
        }
    }

    /// Fails with the output of a server that has ended.
    pub(crate) fn check_runs(&mut self, log: &Path) -> anyhow::Result<()> {
        if let Some(status) = self.0.try_wait()? {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("it ended with {status}: {}", said.trim());
        }
        Ok(())
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
    fn the_usage_of_a_process_with_spaces_in_its_name_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 25 3 4 20 0 9 0 1 2 3";
        let status = "Name:\ta b\nVmPeak:\t  900 kB\nVmHWM:\t  512 kB\nRssAnon:\t 300 kB\n";
        let usage = Usage::parse(stat, status).unwrap();
        assert_eq!(usage.cpu, Duration::from_millis(1_750));
        assert_eq!((usage.peak_bytes, usage.own_bytes), (512 * 1024, 300 * 1024));
        assert!(Usage::of_process(std::process::id()).unwrap().peak_bytes > 100_000);
        assert_eq!(Usage::parse("7 (a", status), None);
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
