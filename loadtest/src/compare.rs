//! `compare`: CPU cost of a redirect on several servers, with the same codes and requests.
//!
//! Shared machines are noisy, and throughput depends on the neighbours as much as on the server. So
//! the servers are loaded in turn, one slice each, round after round. The figure of a slice is the
//! CPU time of the server's own threads, divided by the answered requests. Servers are compared by
//! the **ratio of slices of one round**; the report gives the median and the range of the ratios.
//!
//! Each contender runs at its best settings ([`start`]) on one core, the generator on another.
//! Either all connections are kept busy, or all servers are loaded at one rate and latencies are
//! compared, too. A slice in which a server falls behind the rate, answers with another status than
//! expected, or does not resume a session that it should, fails the comparison.
//!
//! Deliberately absent: throughput.

mod chart;
mod constant;
mod haproxy;
mod nginx;
mod ratios;
mod start;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::cli::{CompareArguments, KeyDistribution, Mix};
use crate::codes::CodeList;
use crate::connect::ConnectMode;
use crate::contender::Contender;
use crate::generator::Prepared;
use crate::plan::{NO_REST, Plan};
use crate::progress;
use crate::report::{lag_reasons, not_resumed};
use crate::server::certificate::{self, ServerCertificate};
use crate::server::process::{self, CpuTime};
use crate::server::{self, Scratch, Server, TestBed};
use crate::tls::TlsClient;
use ratios::Slice;
use start::Started;
pub(crate) use table::Comparison;

/// Wait after a slice, until deferred work of the server (log writes) is done.
const SETTLING: Duration = Duration::from_millis(400);
/// Least share of the intended requests that a server must answer.
const KEPT_UP: f64 = 0.98;
/// Latest arrival of the last answer at a rate, after the end of a slice.
const LATEST: Duration = Duration::from_millis(250);

pub(crate) fn compare(arguments: &CompareArguments) -> anyhow::Result<Comparison> {
    let codes = CodeList::of_file(&arguments.test_bed.codes)?;
    process::pin_to(arguments.test_bed.generator_core).context("--generator-core")?;
    // In memory: no contender has to wait for a disk.
    let folder = Scratch::in_memory()?;
    let certificate = match arguments.connect.iter().any(|way| way.uses_tls()) {
        true => Some(ServerCertificate::create(folder.path().join("certificates"))?),
        false => None,
    };
    let test_bed = TestBed {
        codes: &codes,
        folder: folder.path(),
        programs: server::programs(arguments.test_bed.programs.as_deref())?,
        core: arguments.test_bed.server_core,
        certificate: certificate.as_ref(),
    };
    let mut comparison = Comparison::new(arguments, codes.len());
    let servers = start_all(arguments, &test_bed, &mut comparison)?;
    for load in Load::all(arguments) {
        let targets = targets(arguments, &test_bed, &servers, load)?;
        comparison.measured(load, &rounds(arguments, &codes, &targets, load)?);
    }
    for (contender, server) in &servers {
        comparison.resident(*contender, server.resident_bytes()?);
    }
    Ok(comparison)
}

/// A kind of load, measured on all servers that can take it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Load {
    connect: ConnectMode,
    /// At a time.
    connections: u32,
    mix: Mix,
}

impl Load {
    fn all(arguments: &CompareArguments) -> Vec<Load> {
        let mut loads = Vec::new();
        for connect in &arguments.connect {
            for connections in &arguments.connections {
                for mix in &arguments.mix {
                    let (connect, connections, mix) = (*connect, *connections, *mix);
                    loads.push(Load { connect, connections, mix });
                }
            }
        }
        loads
    }

    fn suits(self, contender: Contender) -> bool {
        (self.mix.hits() || contender.knows_misses())
            && (!self.connect.uses_tls() || contender.knows_tls())
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { connect, connections, mix } = self;
        write!(f, "{connect}, {connections} at a time, {mix}")
    }
}

/// A server with what connections to it need.
struct Target<'a> {
    contender: Contender,
    server: &'a Server,
    address: SocketAddr,
    tls: Option<Arc<TlsClient>>,
}

/// The servers that can take this load. Each has session tickets of its own.
fn targets<'a>(
    arguments: &CompareArguments,
    test_bed: &TestBed<'_>,
    servers: &'a [(Contender, Server)],
    load: Load,
) -> anyhow::Result<Vec<Target<'a>>> {
    let mut targets = Vec::new();
    for (contender, server) in servers.iter().filter(|(contender, _)| load.suits(*contender)) {
        let contender = *contender;
        let mut target = Target { contender, server, address: server.address, tls: None };
        if let (true, Some(certificate)) = (load.connect.uses_tls(), test_bed.certificate) {
            let name = ServerCertificate::server_name()?;
            let settings = arguments.visitors.tls_settings(name, certificate.trust());
            target.tls = Some(Arc::new(TlsClient::new(&settings, load.connect)?));
            target.address =
                server.tls_address.with_context(|| format!("{contender} listens without TLS"))?;
        }
        targets.push(target);
    }
    Ok(targets)
}

fn start_all(
    arguments: &CompareArguments,
    test_bed: &TestBed<'_>,
    comparison: &mut Comparison,
) -> anyhow::Result<Vec<(Contender, Server)>> {
    let mut servers = Vec::new();
    for contender in &arguments.contenders {
        match contender.start(test_bed).with_context(|| format!("{contender} does not start"))? {
            Some(Started { server, starts }) => {
                eprintln!("{contender}: first redirect after {:.2?}", starts[0]);
                comparison.started(*contender, &starts);
                servers.push((*contender, server));
            }
            None => eprintln!("{contender}: left out, because it is not installed"),
        }
    }
    ensure!(servers.len() > 1, "there is nothing to compare: only {} server(s)", servers.len());
    Ok(servers)
}

/// All rounds of one load: one slice of each server, in turn.
fn rounds(
    arguments: &CompareArguments,
    codes: &Arc<CodeList>,
    targets: &[Target<'_>],
    load: Load,
) -> anyhow::Result<Vec<Vec<(Contender, Slice)>>> {
    let bar = progress::slices((arguments.rounds as usize + 1) * targets.len());
    let mut rounds = Vec::new();
    // The first round warms caches and connections up, and is discarded.
    for number in 0..=arguments.rounds {
        let mut round = Vec::new();
        for target in targets {
            let contender = target.contender;
            bar.set_message(format!("{load}, {contender}"));
            let plan = slice_plan(arguments, codes, target, load, number);
            let slice = slice(&plan, target.server).with_context(|| format!("{contender}, {load}"));
            round.push((contender, slice?));
            bar.inc(1);
        }
        if number > 0 {
            rounds.push(round);
        }
    }
    bar.finish_and_clear();
    Ok(rounds)
}

/// Loads one server for one slice.
fn slice(plan: &Arc<Plan>, server: &Server) -> anyhow::Result<Slice> {
    plan.check()?;
    let prepared = Prepared::new(plan)?;
    let before = server.cpu_time()?;
    let outcome = prepared.run(&ProgressBar::hidden())?;
    std::thread::sleep(SETTLING);
    let cpu: CpuTime = server.cpu_time()?.since(&before);
    let tally = outcome.measured;
    if outcome.interrupted {
        bail!("interrupted");
    }
    let unexpected = tally.statuses.keys().find(|status| !plan.expects(**status));
    ensure!(unexpected.is_none(), "answered {unexpected:?} instead of {:?}", plan.expect_status);
    // With all connections busy, requests that find no free connection were never meant to be sent,
    // and the last answers may come as late as all connections together take.
    let at_a_rate = plan.queue > 0;
    let wanted = tally.scheduled - if at_a_rate { 0 } else { tally.queue_full };
    let in_time = !at_a_rate || outcome.elapsed <= plan.duration + LATEST;
    ensure!(
        tally.answered as f64 >= wanted as f64 * KEPT_UP && in_time,
        "answered {} of {wanted} requests within {:.2?}{}; lower {}",
        tally.answered,
        outcome.elapsed,
        tally.first_failures.values().map(|words| format!(" ({words})")).collect::<String>(),
        if at_a_rate { "--rate" } else { "--connections" }
    );
    if let Some(reason) = not_resumed(plan, &tally) {
        bail!(reason);
    }
    let lag = lag_reasons(plan, &tally);
    let (requests, took) = (tally.answered, outcome.elapsed);
    let (latency, connecting) = (tally.latency, tally.connecting);
    Ok(Slice { cpu, requests, took, latency, connecting, lag })
}

fn slice_plan(
    arguments: &CompareArguments,
    codes: &Arc<CodeList>,
    target: &Target<'_>,
    load: Load,
    round: u32,
) -> Arc<Plan> {
    let Load { connect, connections, mix } = load;
    let status = if mix.hits() { "302" } else { "404" };
    let plain = Plan::plain(target.address, codes);
    Arc::new(Plan {
        host: if connect.uses_tls() { certificate::HOST.to_owned() } else { plain.host.clone() },
        draw: if mix == Mix::Zipf { KeyDistribution::Zipf } else { KeyDistribution::Uniform },
        miss_ratio: if mix.hits() { 0.0 } else { 1.0 },
        // The same hot codes in all rounds, and the same requests for all servers of a round.
        seed: arguments.test_bed.seed + u64::from(round),
        rate: arguments.rate.unwrap_or(NO_REST),
        duration: arguments.slice,
        connections: connections as usize,
        connect,
        tls: target.tls.clone(),
        requests_per_connection: connect.requests_per_connection(),
        announces_close: connect.keeps_connections() || arguments.visitors.connection_close,
        source_addresses: arguments.visitors.source_addresses(target.address, connect),
        queue: arguments.rate.map_or(0, |_| 100_000),
        expect_status: status.parse().into_iter().collect(),
        ..plain
    })
}
