//! Work in time that nobody else wants.
//!
//! A thread of the idle policy runs when its core has nothing else to do, and steps aside at once
//! when a serving thread wakes up; with a lower priority alone it would first use up its slice. A
//! thread cannot go back from that policy without a privilege, so such work has a thread of its
//! own. On a core that never rests it still gets a few thousandths of the time.
//!
//! The kernel does not step aside in the middle of a call, and a call that reads a large file into
//! fresh memory is a long one: so such a file is read in small pieces ([`LowPriorityReader`]).

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

/// The thread; it ends with this.
pub(super) struct BackgroundLoader {
    /// None where the system has no thread to give: work is then done by whoever wants it.
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
        let started = started.inspect_err(|error| tracing::warn!(%error, "no thread to load on"));
        BackgroundLoader { jobs: started.is_ok().then_some(jobs) }
    }

    /// Does the work there, and waits for it. Its panic becomes the caller's.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.begin(work).result()
    }

    /// Begins the work there, after what was begun before.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let (done, result) = channel();
        let job: Job = Box::new(move || {
            // Nobody may want the result any more.
            let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
        });
        match &self.jobs {
            // The thread ends only after its sender.
            Some(jobs) => drop(jobs.send(job)),
            None => job(),
        }
        Pending(result)
    }
}

/// Work that was begun.
pub(super) struct Pending<T>(Receiver<std::thread::Result<T>>);

impl<T> Pending<T> {
    /// Waits for what comes of it. Its panic becomes the caller's.
    pub(super) fn result(self) -> T {
        let result = self.0.recv().expect("work that was begun is done");
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Reads a little at a time, and rests in between for longer than that took.
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
    // Of this policy only the lowest priority is allowed.
    if let Err(error) =
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
    {
        tracing::debug!(?error, "a large index is loaded at the priority of everything else");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 41st field; the second is the name in brackets.
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
