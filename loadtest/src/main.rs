//! `coupon-loadtest`: open-loop load against a running redirect server, and generated codes,
//! networks and click archives.
//!
//! The modules follow a request: [`codes`] holds the codes, [`code_sampler`] chooses one,
//! [`request`] renders it, [`schedule`] says when it is due, [`worker`] hands it to a
//! [`connection`] ([`mod@connect`] names the ways, [`mod@tls`] encrypts), [`answer`] reads the
//! answer, [`answered_log`] and [`tally`] record it, and [`report`] evaluates the run.
//! [`generator`] runs the threads. [`mod@compare`] loads several
//! servers in turn, [`mod@sweep`] one server at rising rates, [`mod@swaps`] one during the
//! replacement of its index, [`mod@saturate`] one at full load. [`mod@fill`] makes a network, and
//! [`mod@edits`] changes it and measures when visitors see the change; both use a [`client`] of the
//! admin API. [`mod@edges`] runs a control plane with many edges and measures it.
//!
//! Deliberately absent: closed-loop load (a stalled server would slow the generator down and hide
//! its stall), pipelining, HTTP/2, and a verdict about the figures.

mod answer;
mod answered_log;
mod cli;
mod clicks;
mod client;
mod code_sampler;
mod codes;
mod compare;
mod connect;
mod connection;
mod contender;
mod edges;
mod edits;
mod fill;
mod generations;
mod generator;
mod plan;
mod progress;
mod report;
mod request;
mod saturate;
mod schedule;
mod server;
mod socket;
mod source_addresses;
mod spread;
mod swaps;
mod sweep;
mod tally;
mod timeline;
mod tls;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

fn main() -> ExitCode {
    let done = match cli::Cli::parse().command {
        cli::Command::Run(arguments) => run(&arguments),
        cli::Command::Codes(arguments) => make_codes(&arguments),
        cli::Command::Clicks(arguments) => make_clicks(&arguments),
        cli::Command::Compare(arguments) => compare(&arguments),
        cli::Command::Sweep(arguments) => sweep(&arguments),
        cli::Command::Swaps(arguments) => swaps(&arguments),
        cli::Command::Saturate(arguments) => saturate(&arguments),
        cli::Command::Edits(arguments) => edits(&arguments),
        cli::Command::Edges(arguments) => edges(&arguments),
        cli::Command::Fill(arguments) => fill(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("coupon-loadtest: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &cli::RunArguments) -> anyhow::Result<ExitCode> {
    let plan = Arc::new(plan::Plan::from_arguments(arguments)?);
    let bar = progress::requests(schedule::total_requests(&plan));
    let outcome = generator::generate(&plan, &bar)?;
    let report = report::Report::judge(&plan, &outcome);
    report.publish(plan.json.as_ref())?;
    Ok(report.exit_code())
}

fn compare(arguments: &cli::CompareArguments) -> anyhow::Result<ExitCode> {
    server::interruption::prepare()?;
    compare::compare(arguments)?.publish(arguments.test_bed.out.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

fn sweep(arguments: &cli::SweepArguments) -> anyhow::Result<ExitCode> {
    sweep::sweep(arguments)?.publish(arguments.out.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

fn swaps(arguments: &cli::SwapsArguments) -> anyhow::Result<ExitCode> {
    server::interruption::prepare()?;
    let swaps = swaps::swaps(arguments)?;
    swaps.publish(arguments.test_bed.out.as_deref())?;
    Ok(swaps.exit_code())
}

fn saturate(arguments: &cli::SaturateArguments) -> anyhow::Result<ExitCode> {
    server::interruption::prepare()?;
    let saturation = saturate::saturate(arguments)?;
    saturation.publish(arguments.test_bed.out.as_deref())?;
    Ok(saturation.exit_code())
}

fn edits(arguments: &cli::EditsArguments) -> anyhow::Result<ExitCode> {
    let report = edits::edits(arguments)?;
    report.publish(arguments.json.as_ref())?;
    Ok(report.exit_code())
}

fn edges(arguments: &cli::EdgesArguments) -> anyhow::Result<ExitCode> {
    server::interruption::prepare()?;
    let report = edges::edges(arguments)?;
    report.publish(arguments.json.as_ref())?;
    Ok(report.exit_code())
}

fn fill(arguments: &cli::FillArguments) -> anyhow::Result<ExitCode> {
    fill::fill(arguments)?;
    Ok(ExitCode::SUCCESS)
}

fn make_codes(arguments: &cli::CodesArguments) -> anyhow::Result<ExitCode> {
    let progress = progress::rows(arguments.count);
    let written = codes::bulk::write_file(arguments, &progress)?;
    progress.finish_and_clear();
    eprintln!("{written} codes written to {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}

fn make_clicks(arguments: &cli::ClicksArguments) -> anyhow::Result<ExitCode> {
    let progress = progress::clicks(arguments.count);
    let clicks::Written { clicks, bytes } = clicks::write(arguments, &progress)?;
    progress.finish_and_clear();
    eprintln!("{clicks} clicks in {bytes} bytes written to {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}
