//! A complete run: arguments checked against each other, files read.
//!
//! Making a plan sends nothing, so a mistake in the arguments causes no load.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{
    HeaderSet, KeyDistribution, RunArguments, ServerArguments, StatusPattern, VisitorArguments,
};
use crate::codes::CodeList;
use crate::connect::ConnectMode;
use crate::generations::Generations;
use crate::source_addresses;
use crate::tls::trust::Trust;
use crate::tls::{TlsClient, TlsSettings};

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
    pub(crate) connect: ConnectMode,
    /// TLS of the connections, if the way of connecting uses TLS.
    pub(crate) tls: Option<Arc<TlsClient>>,
    pub(crate) requests_per_connection: u64,
    /// Whether the last request of a connection says `Connection: close`.
    pub(crate) announces_close: bool,
    /// Number of loopback addresses from which connections come; with 1 the system chooses.
    pub(crate) source_addresses: u16,
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
    #[error(
        "with --connect {0} each connection carries one request; leave out \
         --requests-per-connection"
    )]
    OneRequestPerConnection(ConnectMode),
    #[error(
        "--connect {0} needs the name of the server: give --server-name, such as go.example.com"
    )]
    NoServerName(ConnectMode),
    #[error(
        "{option} says something about TLS, but no way of connecting uses TLS; add --connect tls-new"
    )]
    TlsOptionWithoutTls { option: &'static str },
    #[error(
        "--source-addresses needs a target in 127.0.0.0/8, and {target} is none: other addresses \
         belong to other machines"
    )]
    ForeignSourceAddresses { target: SocketAddr },
}

impl Plan {
    pub(crate) fn from_arguments(arguments: &RunArguments) -> anyhow::Result<Self> {
        let RunArguments { target, connect, visitors, .. } = arguments;
        if !connect.keeps_connections() && arguments.requests_per_connection.is_some() {
            return Err(PlanError::OneRequestPerConnection(*connect).into());
        }
        let tls = server_tls(&arguments.server, visitors, &[*connect])?;
        let plan = Self {
            target: *target,
            host: arguments.server.host(*target),
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
            connect: *connect,
            tls: tls.map(|tls| TlsClient::new(&tls, *connect)).transpose()?.map(Arc::new),
            requests_per_connection: match arguments.requests_per_connection {
                Some(requests) => requests,
                None => connect.requests_per_connection(),
            },
            announces_close: connect.keeps_connections() || visitors.connection_close,
            source_addresses: visitors.source_addresses(*target, *connect),
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
            connect: ConnectMode::KeepAlive,
            tls: None,
            requests_per_connection: u64::MAX,
            announces_close: true,
            source_addresses: 1,
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
        if self.source_addresses > 1 && !source_addresses::reaches(self.target) {
            return Err(PlanError::ForeignSourceAddresses { target: self.target });
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

/// TLS towards a server of `run` and `sweep`, if a way of connecting uses TLS.
pub(crate) fn server_tls(
    server: &ServerArguments,
    visitors: &VisitorArguments,
    ways: &[ConnectMode],
) -> anyhow::Result<Option<TlsSettings>> {
    let Some(way) = ways.iter().find(|way| way.uses_tls()) else {
        return match server.tls_option() {
            Some(option) => Err(PlanError::TlsOptionWithoutTls { option }.into()),
            None => Ok(None),
        };
    };
    let name = server.server_name.as_ref().ok_or(PlanError::NoServerName(*way))?;
    let trust = Trust::from_option(server.tls_ca.as_deref())?;
    Ok(Some(visitors.tls_settings(name.clone(), trust)))
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
