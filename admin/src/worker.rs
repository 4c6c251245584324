//! Background workers: each one repeats a step until the program stops.
//!
//! One harness runs all of them, so failures look the same everywhere:
//! - A failure is logged when it begins and when its text changes, not at every attempt. The
//!   recovery is logged as well.
//! - A failed step is retried; the delay doubles between the bounds of [`RetryDelays`].
//! - The worker learns of every failure and of the recovery, and shows both in its status.
//! - Stopping drops the step in progress at its next await, so a step must be safe to drop there.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Level;

/// A background task that repeats a step.
pub(crate) trait Worker: Send + 'static {
    /// Names the work in the log, such as `click ingest`.
    const NAME: &'static str;
    /// Level of the log line about a failure: `WARN`, or `ERROR` where an operator must act.
    const FAILURE_LEVEL: Level = Level::WARN;
    const RETRY_DELAYS: RetryDelays;
    type Error: Display + Send;

    /// Names the work in the log where several workers do the same for different daemons.
    fn label(&self) -> Cow<'static, str> {
        Self::NAME.into()
    }

    fn step(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waits after a successful step until the next one is worthwhile. Returns at once by default,
    /// for steps that wait for their own input.
    fn wait_for_work(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Waits for `delay` before a failed step is retried; may return earlier.
    fn wait_for_retry(&mut self, delay: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(delay)
    }

    /// Discards state that cannot be trusted after `error`.
    fn reset_after(&mut self, _error: &Self::Error) {}

    /// Shows the present failure in the worker's status; `None` after the recovery.
    fn show_failure(&mut self, _failure: Option<&str>) {}
}

/// Delays between the attempts at a failing step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryDelays {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

impl RetryDelays {
    /// The same delay before every attempt.
    pub(crate) const fn constant(delay: Duration) -> RetryDelays {
        RetryDelays { shortest: delay, longest: delay }
    }

    /// `attempt` counts the failures in a row, from 1.
    fn after(self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.shortest.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// Runs a worker in a task of its own until `stop`.
pub(crate) fn spawn<W: Worker>(mut worker: W, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move { run(&mut worker, &stop).await })
}

/// Runs a worker until `stop`. The worker remains usable, for example to finish what is in flight.
pub(crate) async fn run<W: Worker>(worker: &mut W, stop: &CancellationToken) {
    stop.run_until_cancelled(repeat(worker)).await;
}

async fn repeat<W: Worker>(worker: &mut W) {
    let mut failures = Failures::default();
    loop {
        match worker.step().await {
            Ok(()) => {
                if failures.end(&worker.label()) {
                    worker.show_failure(None);
                }
                worker.wait_for_work().await;
            }
            Err(error) => {
                let text = error.to_string();
                worker.reset_after(&error);
                worker.show_failure(Some(&text));
                let delay = failures.count::<W>(&worker.label(), text);
                worker.wait_for_retry(delay).await;
            }
        }
    }
}

/// Failures since the last successful step.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    last: String,
}

impl Failures {
    /// Counts a failure and returns the delay before the next attempt.
    fn count<W: Worker>(&mut self, work: &str, error: String) -> Duration {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let delay = W::RETRY_DELAYS.after(self.in_a_row);
        if self.last != error {
            let retry_ms = delay.as_millis();
            // A log macro takes its level only as a constant.
            if W::FAILURE_LEVEL == Level::ERROR {
                tracing::error!(work, %error, retry_ms, "background work failed");
            } else {
                tracing::warn!(work, %error, retry_ms, "background work failed");
            }
        }
        self.last = error;
        delay
    }

    /// Returns whether there was a failure.
    fn end(&mut self, work: &str) -> bool {
        let Failures { in_a_row, .. } = std::mem::take(self);
        if in_a_row > 0 {
            tracing::info!(work, attempts = in_a_row, "background work recovered");
        }
        in_a_row > 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Plays back results, then waits; records what the harness does.
    #[derive(Clone, Default)]
    struct Recorder {
        results: Arc<Mutex<VecDeque<Result<(), &'static str>>>>,
        events: Arc<Mutex<Vec<String>>>,
    }

    impl Recorder {
        fn record(&self, event: impl Into<String>) {
            self.events.lock().unwrap().push(event.into());
        }
    }

    impl Worker for Recorder {
        const NAME: &'static str = "recorder";
        const RETRY_DELAYS: RetryDelays =
            RetryDelays { shortest: Duration::from_millis(10), longest: Duration::from_millis(30) };
        type Error = &'static str;

        async fn step(&mut self) -> Result<(), &'static str> {
            let next = self.results.lock().unwrap().pop_front();
            match next {
                Some(result) => result,
                None => std::future::pending().await,
            }
        }

        async fn wait_for_work(&mut self) {
            self.record("wait");
        }

        async fn wait_for_retry(&mut self, delay: Duration) {
            self.record(format!("retry in {} ms", delay.as_millis()));
        }

        fn reset_after(&mut self, error: &&'static str) {
            self.record(format!("reset after {error}"));
        }

        fn show_failure(&mut self, failure: Option<&str>) {
            self.record(format!("status {failure:?}"));
        }
    }

    async fn events(results: &[Result<(), &'static str>]) -> Vec<String> {
        let recorder = Recorder::default();
        recorder.results.lock().unwrap().extend(results);
        let stop = CancellationToken::new();
        let running = spawn(recorder.clone(), stop.clone());
        while !recorder.results.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.unwrap();
        let events = recorder.events.lock().unwrap();
        events.clone()
    }

    #[tokio::test]
    async fn delays_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let failing = [Err("a"), Err("a"), Err("a"), Err("a"), Ok(()), Err("a"), Ok(()), Ok(())];
        let delays: Vec<_> =
            events(&failing).await.into_iter().filter(|event| event.contains("ms")).collect();
        let expected = [10, 20, 30, 30, 10].map(|ms| format!("retry in {ms} ms"));
        assert_eq!(delays, expected);
    }

    #[tokio::test]
    async fn the_status_changes_with_each_failure_and_once_with_the_recovery() {
        let events = events(&[Ok(()), Err("disk full"), Ok(()), Ok(()), Ok(())]).await;
        let expected = [
            "wait",
            "reset after disk full",
            "status Some(\"disk full\")",
            "retry in 10 ms",
            "status None",
            "wait",
            "wait",
        ];
        assert_eq!(events[..expected.len()], expected);
    }

    #[test]
    fn a_failure_is_counted_until_it_ends() {
        let mut failures = Failures::default();
        assert!(!failures.end("work"));
        assert_eq!(failures.count::<Recorder>("work", "a".into()), Duration::from_millis(10));
        assert_eq!(failures.count::<Recorder>("work", "b".into()), Duration::from_millis(20));
        assert!(failures.end("work"));
        assert!(!failures.end("work"));
    }

    #[test]
    fn delays_stay_within_their_bounds_for_any_number_of_attempts() {
        let second = Duration::from_secs(1);
        assert_eq!(RetryDelays::constant(second).after(u32::MAX), second);
        let delays = RetryDelays { shortest: Duration::from_millis(50), longest: 5 * second };
        assert_eq!(delays.after(1), Duration::from_millis(50));
        assert_eq!(delays.after(7), Duration::from_millis(3200));
        assert_eq!(delays.after(u32::MAX), 5 * second);
    }

    #[tokio::test]
    async fn stopping_ends_a_step_that_waits() {
        let stop = CancellationToken::new();
        let running = spawn(Recorder::default(), stop.clone());
        tokio::task::yield_now().await;
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
    }
}
