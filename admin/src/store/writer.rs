//! The one writing connection, on its own thread, with group commits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::origin::{self, Origin};
use super::{StoreError, WriteTx};

/// Queued writes before callers wait for room in the queue.
const QUEUE: usize = 256;
/// Most writes per commit.
const GROUP: usize = 64;
/// Longest wait of a write behind a transaction of another connection. The caller then gets a busy
/// error with a retry time. The commit of a million new codes takes less, so it refuses no edit;
/// proxies commonly give up after 60 s.
const MAX_WAIT: Duration = Duration::from_secs(45);

pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Writer {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(connection, queue));
        // Without the thread the queue is closed, and every write returns an error.
        Writer { jobs: Some(jobs), thread: thread.ok() }
    }

    pub(super) async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&WriteTx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Pending {
            work: Some(work),
            origin: origin::current(),
            since: Instant::now(),
            result: None,
            reply,
        });
        let Some(jobs) = &self.jobs else { return Err(StoreError::Aborted.into()) };
        jobs.send(job).await.map_err(|_closed| StoreError::Aborted)?;
        answer.await.map_err(|_dropped| StoreError::Aborted)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already returned to the waiting callers.
            let _ = thread.join();
        }
    }
}

/// A queued write: executed in a savepoint, answered after the commit.
trait Job: Send {
    /// Origin of the write.
    fn origin(&self) -> Arc<Origin>;
    /// Remaining wait for its turn; zero after its turn.
    fn remaining_wait(&self) -> Duration;
    /// Executes the work; `true` to keep its changes.
    fn run(&mut self, tx: &WriteTx<'_>) -> bool;
    /// Returns the result to the caller after the commit.
    fn answer(self: Box<Self>, commit: Result<(), StoreError>);
}

struct Pending<T, E, F> {
    work: Option<F>,
    origin: Arc<Origin>,
    since: Instant,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Pending<T, E, F>
where
    F: FnOnce(&WriteTx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn origin(&self) -> Arc<Origin> {
        Arc::clone(&self.origin)
    }

    fn remaining_wait(&self) -> Duration {
        let is_done = self.work.is_none();
        if is_done { Duration::ZERO } else { MAX_WAIT.saturating_sub(self.since.elapsed()) }
    }

    fn run(&mut self, tx: &WriteTx<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        self.result = catch_unwind(AssertUnwindSafe(|| work(tx))).ok();
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        let result = match (self.result, commit) {
            (None, Ok(())) => Err(StoreError::Aborted.into()),
            (None | Some(Ok(_)), Err(error)) => Err(error.into()),
            (Some(result), _) => result,
        };
        // The caller may be gone; the commit stays.
        let _ = self.reply.send(result);
    }
}

fn run(mut connection: Connection, mut queue: mpsc::Receiver<Box<dyn Job>>) {
    let mut group = Vec::new();
    loop {
        if group.is_empty() {
            let Some(first) = queue.blocking_recv() else { return };
            group.push(first);
        }
        while group.len() < GROUP
            && let Ok(job) = queue.try_recv()
        {
            group.push(job);
        }
        let remaining_wait = group.iter().map(|job| job.remaining_wait()).min().unwrap_or_default();
        let outcome = match connection.busy_timeout(remaining_wait) {
            Ok(()) => commit(&mut connection, &mut group),
            Err(error) => Err(error.into()),
        };
        // Later writes have not waited long enough to be refused.
        let is_busy = matches!(outcome, Err(StoreError::Busy));
        let (waiting, done): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|job| is_busy && !job.remaining_wait().is_zero());
        for job in done {
            job.answer(outcome.clone());
        }
        group = waiting;
    }
}

fn commit(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let mut tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let now = jiff::Timestamp::now().as_second();
    for job in group {
        let savepoint = tx.savepoint()?;
        let keep = job.run(&WriteTx::within(&savepoint, now, job.origin()));
        // A full disk makes SQLite roll back the whole transaction; continuing would then commit
        // the rest of the group one by one, after reporting failure.
        if savepoint.is_autocommit() {
            return Err(StoreError::Aborted);
        }
        if keep {
            savepoint.commit()?;
        }
    }
    Ok(tx.commit()?)
}
