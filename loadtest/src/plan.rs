//! A complete run: arguments checked against each other, files read.
//!
//! Making a plan sends nothing, so a mistake in the arguments causes no load.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{HeaderSet, KeyDistribution, RunArguments, StatusPattern};
use crate::codes::CodeList;
use crate::generations::Generations;

/// A rate above the capacity of every contender, so that all connections stay busy.
pub(crate) const NO_REST: f64 = 400_000.0;

pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) host: String,
    pub(crate) header_set: HeaderSet,
    pub(crate) query: Option<String>,
    pub(crate) codes: Arc<CodeList>,
    pub(crate) draw: KeyDistribution,
    pub(crate) zipf_exponent: f64,
    pub(crate) mixed_case: bool,
    pub(crate) miss_ratio: f64,
    pub(crate) seed: u64,
    pub(crate) rate: f64,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    pub(crate) requests_per_connection: u64,
    pub(crate) timeout: Duration,
    pub(crate) drain: Duration,
    pub(crate) queue: usize,
    pub(crate) max_lag: Duration,
    pub(crate) expect_status: Vec<StatusPattern>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) answered_log: Option<PathBuf>,
    pub(crate) transaction_param: String,
    /// Bucket width of the [`crate::timeline::Timeline`], if requested.
    pub(crate) bucket: Option<Duration>,
    /// Generations that may answer, if checked.
    pub(crate) generations: Option<Arc<Generations>>,
}

/// Reasons why individually valid arguments are invalid together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PlanError {
    #[error(
        "{connections} connections cannot be shared by {threads} threads; \
         give at least one to each with --connections {threads}"
    )]
    ThreadWithoutConnection { connections: usize, threads: usize },
    #[error(
        "the codes reach {longest} characters, so no longer one can exist that would surely miss; \
         leave out --miss-ratio, or the longest codes"
    )]
    NoRoomForMisses { longest: usize },
    #[error(
        "{needed} descriptors are needed but only {allowed} are allowed; \
         lower --connections or raise the limit (ulimit -n {needed})"
    )]
    TooFewDescriptors { needed: u64, allowed: u64 },
}

impl Plan {
    pub(crate) fn from_arguments(arguments: &RunArguments) -> anyhow::Result<Self> {
        let plan = Self {
            target: arguments.target,
            host: arguments.host.clone().unwrap_or_else(|| arguments.target.to_string()),
            header_set: arguments.header_set,
            query: arguments.query.clone(),
            codes: CodeList::of_file(&arguments.codes)?,
            draw: arguments.draw,
            zipf_exponent: arguments.zipf_exponent,
            mixed_case: arguments.mixed_case,
            miss_ratio: arguments.miss_ratio,
            seed: arguments.seed,
            rate: arguments.rate,
            warmup: arguments.warmup,
            duration: arguments.duration,
            threads: usize::from(arguments.threads),
            connections: arguments.connections as usize,
            requests_per_connection: arguments.requests_per_connection.unwrap_or(u64::MAX),
            timeout: arguments.timeout,
            drain: arguments.drain.unwrap_or(arguments.timeout + Duration::from_secs(1)),
            queue: arguments.queue as usize,
            max_lag: arguments.max_lag,
            expect_status: arguments.expect_status.clone(),
            json: arguments.json.clone(),
            answered_log: arguments.answered_log.clone(),
            transaction_param: arguments.transaction_param.clone(),
            bucket: None,
            generations: None,
        };
        plan.check()?;
        Ok(plan)
    }

    /// Plan with browser headers over 64 lasting connections and without a warm-up: the base of
    /// commands that run many plans.
    pub(crate) fn plain(target: SocketAddr, codes: &Arc<CodeList>) -> Self {
        let timeout = Duration::from_secs(5);
        Self {
            target,
            host: target.to_string(),
            header_set: HeaderSet::Browser,
            query: None,
            codes: Arc::clone(codes),
            draw: KeyDistribution::Zipf,
            zipf_exponent: 1.0,
            mixed_case: true,
            miss_ratio: 0.0,
            seed: 1,
            rate: 1000.0,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(1),
            threads: 1,
            connections: 64,
            requests_per_connection: u64::MAX,
            timeout,
            drain: timeout + Duration::from_secs(1),
            queue: 100_000,
            max_lag: Duration::from_millis(2),
            expect_status: Vec::new(),
            json: None,
            answered_log: None,
            transaction_param: String::new(),
            bucket: None,
            generations: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), PlanError> {
        if self.connections < self.threads {
            let Self { connections, threads, .. } = *self;
            return Err(PlanError::ThreadWithoutConnection { connections, threads });
        }
        let longest = self.codes.longest();
        if self.miss_ratio > 0.0 && longest >= coupon_shared::code::MAX_LEN {
            return Err(PlanError::NoRoomForMisses { longest });
        }
        allow_descriptors(self.connections as u64 + 8 * self.threads as u64 + 32)
    }

    pub(crate) fn expects(&self, status: u16) -> bool {
        self.expect_status.is_empty() || self.expect_status.iter().any(|p| p.matches(status))
    }
}

/// Raises the soft limit of descriptors as needed; the hard limit is the administrator's.
fn allow_descriptors(needed: u64) -> Result<(), PlanError> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    if needed > allowed {
        return Err(PlanError::TooFewDescriptors { needed, allowed });
    }
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(needed);
        setrlimit(Resource::Nofile, limit)
            .map_err(|_| PlanError::TooFewDescriptors { needed, allowed })?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan with default values and these codes.
    pub(crate) fn plan_with(codes: &[impl AsRef<str>]) -> Plan {
        use clap::Parser as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes");
        let lines: Vec<&str> = codes.iter().map(AsRef::as_ref).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let typed = ["coupon-loadtest", "run", "--codes", path.to_str().unwrap()];
        let crate::cli::Command::Run(arguments) = crate::cli::Cli::parse_from(typed).command else {
            panic!("`run` is the run command");
        };
        Plan::from_arguments(&arguments).unwrap()
    }

    #[test]
    fn every_thread_needs_a_connection() {
        let mut plan = plan_with(&["ANNA1"]);
        (plan.threads, plan.connections) = (4, 3);
        let error = PlanError::ThreadWithoutConnection { connections: 3, threads: 4 };
        assert_eq!(plan.check(), Err(error));
    }

    #[test]
    fn misses_need_room_beyond_the_longest_code() {
        let mut plan = plan_with(&["A".repeat(64)]);
        assert_eq!(plan.check(), Ok(()));
        plan.miss_ratio = 0.1;
        assert_eq!(plan.check(), Err(PlanError::NoRoomForMisses { longest: 64 }));
    }

    #[test]
    fn more_descriptors_than_allowed_are_refused_before_the_run() {
        let too_many = rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .maximum
            .map_or(u64::MAX, |hard| hard.saturating_add(1));
        let refused = allow_descriptors(too_many);
        assert!(too_many == u64::MAX || refused.is_err());
    }
}
