//! `compare`: CPU cost of a redirect on several servers, with the same codes and requests.
//!
//! Shared machines are noisy, and throughput depends on the neighbours as much as on the server. So
//! the servers are loaded in turn, one slice each, round after round. The figure of a slice is the
//! CPU time of the server's own threads, divided by the answered requests. Servers are compared by
//! the **ratio of slices of one round**; the report gives the median and the range of the ratios.
//!
//! Each contender runs at its best settings ([`start`]) on one core, the generator on another.
//! Either all connections are kept busy, or all servers are loaded at one rate. A slice in which a
//! server falls behind the rate, or answers with another status than expected, fails the
//! comparison.
//!
//! Deliberately absent: throughput, and latency (`run` measures latency).

mod chart;
mod constant;
mod haproxy;
mod nginx;
mod ratios;
mod start;
mod table;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;

use crate::cli::{CompareArguments, KeyDistribution, Mix};
use crate::codes::CodeList;
use crate::contender::Contender;
use crate::generator;
use crate::plan::{NO_REST, Plan};
use crate::progress;
use crate::server::process::{self, CpuTime};
use crate::server::{self, Scratch, Server, TestBed};
use ratios::Slice;
use start::Started;
pub(crate) use table::Comparison;

/// Wait after a slice, until deferred work of the server (log writes) is done.
const SETTLING: Duration = Duration::from_millis(400);
/// Least share of the intended requests that a server must answer.
const KEPT_UP: f64 = 0.98;
/// Latest arrival of the last answer, after the end of a slice.
const LATEST: Duration = Duration::from_millis(250);

pub(crate) fn compare(arguments: &CompareArguments) -> anyhow::Result<Comparison> {
    let codes = CodeList::of_file(&arguments.test_bed.codes)?;
    process::pin_to(arguments.test_bed.generator_core).context("--generator-core")?;
    // In memory: no contender has to wait for a disk.
    let folder = Scratch::in_memory()?;
    let test_bed = TestBed {
        codes: &codes,
        folder: folder.path(),
        programs: server::programs(arguments.test_bed.programs.as_deref())?,
        core: arguments.test_bed.server_core,
    };
    let mut comparison = Comparison::new(arguments, codes.len());
    let servers = start_all(arguments, &test_bed, &mut comparison)?;
    for mix in &arguments.mix {
        let rounds = rounds(arguments, &codes, &servers, *mix)?;
        comparison.measured(*mix, &rounds);
    }
    for (contender, server) in &servers {
        comparison.resident(*contender, server.family.resident_bytes()?);
    }
    Ok(comparison)
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

/// All rounds of one mix: one slice of each server, in turn.
fn rounds(
    arguments: &CompareArguments,
    codes: &Arc<CodeList>,
    servers: &[(Contender, Server)],
    mix: Mix,
) -> anyhow::Result<Vec<Vec<(Contender, Slice)>>> {
    let able = || servers.iter().filter(|(contender, _)| mix.hits() || contender.knows_misses());
    let bar = progress::slices((arguments.rounds as usize + 1) * able().count());
    let mut rounds = Vec::new();
    // The first round warms caches and connections up, and is discarded.
    for number in 0..=arguments.rounds {
        let mut round = Vec::new();
        for (contender, server) in able() {
            bar.set_message(format!("{mix}, {contender}"));
            let plan = slice_plan(arguments, codes, server, mix, number);
            let slice = slice(&plan, server).with_context(|| format!("{contender}"))?;
            round.push((*contender, slice));
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
    let before = server.family.cpu_time()?;
    let outcome = generator::generate(plan, &ProgressBar::hidden())?;
    std::thread::sleep(SETTLING);
    let cpu: CpuTime = server.family.cpu_time()?.since(&before);
    let tally = outcome.measured;
    if outcome.interrupted {
        bail!("interrupted");
    }
    let unexpected = tally.statuses.keys().find(|status| !plan.expects(**status));
    ensure!(unexpected.is_none(), "answered {unexpected:?} instead of {:?}", plan.expect_status);
    // With all connections busy, requests that find no free connection were never meant to be sent.
    let wanted = tally.scheduled - if plan.queue == 0 { tally.queue_full } else { 0 };
    ensure!(
        tally.answered as f64 >= wanted as f64 * KEPT_UP
            && outcome.elapsed <= plan.duration + LATEST,
        "answered {} of {wanted} requests within {:.2?}; lower --rate",
        tally.answered,
        outcome.elapsed
    );
    Ok(Slice { cpu, requests: tally.answered })
}

fn slice_plan(
    arguments: &CompareArguments,
    codes: &Arc<CodeList>,
    server: &Server,
    mix: Mix,
    round: u32,
) -> Arc<Plan> {
    let status = if mix.hits() { "302" } else { "404" };
    Arc::new(Plan {
        draw: if mix == Mix::Zipf { KeyDistribution::Zipf } else { KeyDistribution::Uniform },
        miss_ratio: if mix.hits() { 0.0 } else { 1.0 },
        // The same hot codes in all rounds, and the same requests for all servers of a round.
        seed: arguments.test_bed.seed + u64::from(round),
        rate: arguments.rate.unwrap_or(NO_REST),
        duration: arguments.slice,
        connections: arguments.test_bed.connections as usize,
        queue: arguments.rate.map_or(0, |_| 100_000),
        expect_status: status.parse().into_iter().collect(),
        ..Plan::plain(server.address, codes)
    })
}
