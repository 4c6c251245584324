//! Runs a plan with one worker per thread, all starting at the same instant, and adds up their
//! totals.
//!
//! A run has two steps. Preparing opens lasting connections and learns session tickets, so that
//! this work of the server is outside of the measurement.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use indicatif::ProgressBar;

use crate::answered_log::AnsweredLog;
use crate::plan::Plan;
use crate::progress::LiveCounts;
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::timeline::Timeline;
use crate::worker::{Totals, Worker};

pub(crate) struct Outcome {
    pub(crate) measured: Tally,
    pub(crate) warmup: Tally,
    /// Timeline of the measured part, if the plan asks for one.
    pub(crate) timeline: Option<Timeline>,
    /// Duration from the start of measuring to its end or to the last answer, whichever is later.
    pub(crate) elapsed: Duration,
    pub(crate) connections_opened: u64,
    pub(crate) closed_while_idle: u64,
    pub(crate) interrupted: bool,
}

/// State shared by the threads of a run.
struct Run {
    plan: Arc<Plan>,
    live: Arc<LiveCounts>,
    /// Waits until all threads have opened their connections.
    ready: Barrier,
    /// Waits for [`Prepared::run`], which sets the start.
    go: Barrier,
    start: OnceLock<Instant>,
    stop: AtomicBool,
}

type Sender = JoinHandle<std::io::Result<Totals>>;

/// Time for all threads to reach their schedules.
const HEAD_START: Duration = Duration::from_millis(5);

/// Executes the plan; `bar` shows the progress.
pub(crate) fn generate(plan: &Arc<Plan>, bar: &ProgressBar) -> anyhow::Result<Outcome> {
    Prepared::new(plan)?.run(bar)
}

/// A run whose threads have their connections and wait for the start.
pub(crate) struct Prepared {
    run: Arc<Run>,
    senders: Vec<Sender>,
}

impl Prepared {
    pub(crate) fn new(plan: &Arc<Plan>) -> anyhow::Result<Self> {
        TcpStream::connect_timeout(&plan.target, plan.timeout).with_context(|| {
            format!("cannot connect to {}; is the server running there (--target)?", plan.target)
        })?;
        if let Some(tls) = &plan.tls {
            tls.check(plan.target, plan.timeout)?;
            tls.learn_tickets(plan.target, plan.connections)?;
        }
        let run = Arc::new(Run {
            plan: Arc::clone(plan),
            live: Arc::default(),
            ready: Barrier::new(plan.threads + 1),
            go: Barrier::new(plan.threads + 1),
            start: OnceLock::new(),
            stop: AtomicBool::new(false),
        });
        // All workers are created before the first thread starts: a failure later would leave the
        // others waiting at the barrier.
        let worker = |thread| Ok(Worker::new(plan, &run.live, thread, open_log(plan)?)?);
        let workers = (0..plan.threads).map(worker).collect::<anyhow::Result<Vec<_>>>()?;
        let workers = workers.into_iter().enumerate();
        let senders: std::io::Result<Vec<_>> =
            workers.map(|(thread, worker)| spawn(Arc::clone(&run), thread, worker)).collect();
        let senders = senders.context("a sending thread could not be started")?;
        run.ready.wait();
        Ok(Self { run, senders })
    }

    pub(crate) fn run(self, bar: &ProgressBar) -> anyhow::Result<Outcome> {
        let Self { run, senders } = self;
        run.start.get_or_init(|| Instant::now() + HEAD_START);
        run.go.wait();
        watch(&run, &senders, bar)?;
        gather(&run, senders)
    }
}

fn open_log(plan: &Plan) -> anyhow::Result<Option<AnsweredLog>> {
    let Some(path) = &plan.answered_log else { return Ok(None) };
    let log = AnsweredLog::open(path, &plan.transaction_param);
    Ok(Some(log.with_context(|| format!("answered log {}", path.display()))?))
}

fn spawn(run: Arc<Run>, thread: usize, mut worker: Worker) -> std::io::Result<Sender> {
    std::thread::Builder::new().name(format!("send-{thread}")).spawn(move || {
        worker.open_connections();
        run.ready.wait();
        run.go.wait();
        let start = *run.start.get_or_init(Instant::now);
        worker.run(Schedule::new(&run.plan, thread, start), &run.stop)
    })
}

/// Shows progress until the threads are done. Ctrl-C ends the run early; its report is still made.
fn watch(run: &Run, senders: &[Sender], bar: &ProgressBar) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        while !senders.iter().all(JoinHandle::is_finished) {
            run.live.show(bar);
            tokio::select! {
                _ = tokio::signal::ctrl_c() => run.stop.store(true, Ordering::Relaxed),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    });
    bar.finish_and_clear();
    Ok(())
}

fn gather(run: &Run, senders: Vec<Sender>) -> anyhow::Result<Outcome> {
    let start = run.start.get().copied().unwrap_or_else(Instant::now) + run.plan.warmup;
    let interrupted = run.stop.load(Ordering::Relaxed);
    let mut outcome = Outcome {
        measured: Tally::new(),
        warmup: Tally::new(),
        timeline: None,
        elapsed: if interrupted { Duration::ZERO } else { run.plan.duration },
        connections_opened: 0,
        closed_while_idle: 0,
        interrupted,
    };
    for sender in senders {
        let totals = sender.join().map_err(|_| anyhow!("a sending thread panicked"))?;
        outcome.add(totals.context("a sending thread could not go on")?, start);
    }
    Ok(outcome)
}

impl Outcome {
    fn add(&mut self, totals: Totals, start: Instant) {
        // Pacing ends before the last interval; an interrupted run ends early.
        let end = totals.measured.last_answer.max(Some(totals.paced_until));
        let elapsed = end.map(|end| end.saturating_duration_since(start)).unwrap_or_default();
        self.elapsed = self.elapsed.max(elapsed);
        self.measured.add(&totals.measured);
        self.warmup.add(&totals.warmup);
        match (&mut self.timeline, totals.timeline) {
            (Some(sum), Some(timeline)) => sum.add(&timeline),
            (sum, timeline) => *sum = timeline,
        }
        self.connections_opened += totals.connections_opened;
        self.closed_while_idle += totals.closed_while_idle;
    }
}
