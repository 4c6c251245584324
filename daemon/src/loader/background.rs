//! Work in otherwise idle processor time.
//!
//! A thread with the idle scheduling policy runs when its core is idle and yields at once when a
//! serving thread wakes up; a thread that only has a lower priority would first use up its time
//! slice. A thread cannot leave that policy without a privilege, so background work has its own
//! thread. On a core that is never idle, the thread still gets a few thousandths of the time.
//!
//! The kernel does not preempt in the middle of a system call, and reading a large file into fresh
//! memory in one call takes long. So large files are read in small pieces ([`LowPriorityReader`]).

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

type Job = Box<dyn FnOnce() + Send>;

/// The background thread; ends when this is dropped.
pub(super) struct BackgroundLoader {
    /// `None` if the system refused a thread: then the caller does the work.
    jobs: Option<Sender<Job>>,
}

impl BackgroundLoader {
    pub(super) fn start() -> BackgroundLoader {
        let (jobs, received) = channel::<Job>();
        let run = move || {
            yield_cpu();
            received.iter().for_each(|job| job());
        };
        let started = Builder::new().name("loader-idle".into()).spawn(run);
        let started = started.inspect_err(|error| tracing::warn!(%error, "background thread not started; large indexes load at normal priority"));
        BackgroundLoader { jobs: started.is_ok().then_some(jobs) }
    }

    /// Runs the work in the background and waits for it. A panic continues in the caller.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.begin(work).result()
    }

    /// Queues the work behind earlier work.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let (done, result) = channel();
        let job: Job = Box::new(move || {
            // The caller may have dropped the result.
            let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
        });
        match &self.jobs {
            // The thread ends only after its sender is dropped, so sending succeeds.
            Some(jobs) => drop(jobs.send(job)),
            None => job(),
        }
        Pending(result)
    }
}

/// The result of queued work.
pub(super) struct Pending<T>(Receiver<std::thread::Result<T>>);

impl<T> Pending<T> {
    /// Waits for the result. A panic of the work continues here.
    pub(super) fn result(self) -> T {
        let result = self.0.recv().expect("work that was begun is done");
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Reads small pieces and sleeps after each for longer than the piece took.
pub(super) struct LowPriorityReader<R> {
    from: R,
    rest: Duration,
}

impl<R> LowPriorityReader<R> {
    const PIECE: usize = 256 << 10;
    const REST_FOR_WORK: u32 = 2;

    pub(super) fn new(from: R) -> LowPriorityReader<R> {
        LowPriorityReader { from, rest: Duration::ZERO }
    }
}

impl<R: Read> Read for LowPriorityReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        sleep(self.rest);
        let begun = Instant::now();
        let piece = into.len().min(Self::PIECE);
        let read = self.from.read(&mut into[..piece]);
        self.rest = begun.elapsed() * Self::REST_FOR_WORK;
        read
    }
}

fn yield_cpu() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // The idle policy permits only the lowest priority.
    if let Err(error) =
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
    {
        tracing::debug!(?error, "idle policy refused; large indexes load at normal priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 41 of the line; the name in brackets is the second.
    fn policy() -> Option<String> {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(')').unwrap().1.split(' ').nth(39).map(str::to_owned)
    }

    #[test]
    fn what_is_read_without_hurry_is_all_there() {
        let bytes: Vec<u8> = (0..700_001_u32).map(|at| (at % 251) as u8).collect();
        let mut read = Vec::new();
        LowPriorityReader::new(&bytes[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
        let mut large = vec![0; bytes.len()];
        let piece = LowPriorityReader::new(&bytes[..]).read(&mut large).unwrap();
        assert_eq!(piece, LowPriorityReader::<&[u8]>::PIECE);
    }

    #[test]
    fn work_is_done_under_the_idle_policy_and_its_panic_is_the_callers() {
        let background = BackgroundLoader::start();
        assert_eq!(background.run(policy).as_deref(), Some("5"));
        assert_eq!(policy().as_deref(), Some("0"), "the caller goes on as before");
        let damaged =
            || catch_unwind(AssertUnwindSafe(|| background.run(|| panic!("damaged")))).is_err();
        assert!(damaged());
        assert_eq!(background.run(|| 7), 7, "the thread goes on");
        assert_eq!(BackgroundLoader { jobs: None }.run(|| 8), 8);
    }
}
