//! `compare`: what a redirect costs each of several servers, with the same codes and requests.
//!
//! Shared machines are noisy, and throughput says as much about the neighbours as about a server.
//! So the servers are loaded in turn, a slice each, round after round; a slice's figure is the CPU
//! time that the server's own threads took, divided by the requests it answered; and servers are
//! compared by the **ratio of slices of one round**, of which the median and the range are told.
//!
//! Every contender runs at its best settings ([`contender`]) on one core, the generator on another.
//! All connections are kept busy, or all servers are loaded at one rate; a slice in which a server
//! did not keep up with that, or answered otherwise than it should, makes the comparison fail
//! rather than count.
//!
//! Deliberately absent: throughput, and latency (which `run` measures).

mod chart;
mod constant;
mod contender;
mod haproxy;
mod nginx;
mod ratios;
mod table;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;

use crate::cli::{CompareArguments, Draw, Mix};
use crate::codes::CodeList;
use crate::generator;
use crate::plan::{NO_REST, Plan};
use crate::progress;
use crate::server::process::{self, CpuTime};
use crate::server::{self, Ground, Scratch, Server};
pub(crate) use contender::Contender;
use contender::Started;
use ratios::Slice;
pub(crate) use table::Comparison;

/// After a slice, until what the server does later for its requests (writing logs) is done, too.
const SETTLING: Duration = Duration::from_millis(400);
/// The share of the intended requests that must have been answered.
const KEPT_UP: f64 = 0.98;
/// How long after the end of a slice its last answer may come.
const LATEST: Duration = Duration::from_millis(250);

pub(crate) fn compare(arguments: &CompareArguments) -> anyhow::Result<Comparison> {
    let codes = CodeList::of_file(&arguments.ground.codes)?;
    process::pin_to(arguments.ground.generator_core).context("--generator-core")?;
    // In memory: no contender shall wait for a disk.
    let folder = Scratch::in_memory()?;
    let ground = Ground {
        codes: &codes,
        folder: folder.path(),
        programs: server::programs(arguments.ground.programs.as_deref())?,
        core: arguments.ground.server_core,
    };
    let mut comparison = Comparison::new(arguments, codes.len());
    let servers = start_all(arguments, &ground, &mut comparison)?;
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
    ground: &Ground<'_>,
    comparison: &mut Comparison,
) -> anyhow::Result<Vec<(Contender, Server)>> {
    let mut servers = Vec::new();
    for contender in &arguments.contenders {
        match contender.start(ground).with_context(|| format!("{contender} does not start"))? {
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

/// Every round of a mix: a slice of each server that can answer it, in turn.
fn rounds(
    arguments: &CompareArguments,
    codes: &Arc<CodeList>,
    servers: &[(Contender, Server)],
    mix: Mix,
) -> anyhow::Result<Vec<Vec<(Contender, Slice)>>> {
    let able = || servers.iter().filter(|(contender, _)| mix.hits() || contender.knows_misses());
    let bar = progress::slices((arguments.rounds as usize + 1) * able().count());
    let mut rounds = Vec::new();
    // The first round warms caches and connections up and is not kept.
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
    // With all connections busy, what finds none free was never meant to be sent.
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
        draw: if mix == Mix::Zipf { Draw::Zipf } else { Draw::Uniform },
        miss_ratio: if mix.hits() { 0.0 } else { 1.0 },
        // The same hot codes all the time, and within a round the same requests for all.
        seed: arguments.ground.seed + u64::from(round),
        rate: arguments.rate.unwrap_or(NO_REST),
        duration: arguments.slice,
        connections: arguments.ground.connections as usize,
        queue: arguments.rate.map_or(0, |_| 100_000),
        expect_status: status.parse().into_iter().collect(),
        ..Plan::plain(server.address, codes)
    })
}
