//! `saturate`: behaviour of the click log at full load.
//!
//! coupond runs on one core, click log included, with every connection busy: a slice of visits to
//! known codes, then a slice of visits to unknown codes, round after round. At the end coupond is
//! stopped and its click log is counted. Each answered redirect must be logged exactly once or be
//! counted as unlogged.
//!
//! Hits and misses are compared within a round, so noise of the machine has little effect.
//!
//! Deliberately absent: latencies, which are meaningless at saturation.

mod logged_clicks;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::cli::SaturateArguments;
use crate::codes::CodeList;
use crate::generator;
use crate::plan::{NO_REST, Plan};
use crate::progress;
use crate::report::{EXIT_WRONG_ANSWERS, align_figures, plain_table};
use crate::server::control_socket::ControlSocket;
use crate::server::coupond::Site;
use crate::server::process::{self, CpuTime};
use crate::server::{Server, published};
use crate::spread::Spread;
use logged_clicks::LoggedClicks;

/// The log is written after the answers, so this wait belongs to the slice.
const SETTLING: Duration = Duration::from_millis(400);
/// Longest time for the click store to catch up with the log.
const CATCHING_UP: Duration = Duration::from_secs(60);
/// Sequence of the visit that proves coupond is serving.
const FIRST_VISIT: u64 = 1;

/// Result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Saturation {
    codes: usize,
    connections: u32,
    rounds: u32,
    slice_s: f64,
    server_core: usize,
    generator_core: usize,
    hits: Mix,
    misses: Mix,
    /// Misses per second, divided by hits per second of the same round.
    misses_per_hit: Spread,
    /// CPU time of a hit, divided by the CPU time of a miss; all threads of coupond together.
    misses_per_hit_cpu: Spread,
    /// CPU time of the click log's threads, divided by the CPU time of the serving thread.
    log_per_serving: Spread,
    ledger: Ledger,
}

/// Figures of one kind of visits over all slices.
#[derive(Debug, Serialize)]
struct Mix {
    per_second: Spread,
    serving_us: Spread,
    click_log_us: Spread,
    click_store_us: Spread,
    /// Utilisation of the server's core, all threads.
    core_busy: Spread,
}

/// Balance of redirects and clicks.
#[derive(Debug, Default, Serialize)]
struct Ledger {
    /// Answered redirects, warm-up included.
    redirects: u64,
    /// Requests without an answer: each may have left a click.
    unanswered: u64,
    /// Answers with an unexpected status.
    unexpected: u64,
    /// Unlogged clicks according to coupond's metrics.
    unlogged: u64,
    kept: LoggedClicks,
}

/// Result of one slice of load.
struct Slice {
    answered: u64,
    took: Duration,
    cpu: CpuTime,
}

pub(crate) fn saturate(arguments: &SaturateArguments) -> anyhow::Result<Saturation> {
    let codes = CodeList::of_file(&arguments.test_bed.codes)?;
    process::pin_to(arguments.test_bed.generator_core).context("--generator-core")?;
    let site = Site::new(arguments.data.as_deref())?;
    published::publish(&codes, &site.folders.index()).context("the index")?;
    let server =
        site.start(&codes, arguments.test_bed.programs.as_deref(), arguments.test_bed.server_core)?;
    let mut ledger = Ledger::default();
    let rounds = rounds(arguments, &server, &codes, &mut ledger)?;
    let control = site.folders.control_socket();
    wait_for_store(&control)?;
    ledger.unlogged = control.metric("coupond_clicks_unlogged_total")?;
    server.family.stop().context("coupond")?;
    ledger.kept =
        LoggedClicks::count_in(&site.folders.data()).context("counting the kept clicks")?;
    Saturation::from_rounds(arguments, codes.len(), &rounds, ledger)
}

/// Alternating slices of hits and misses. Only the clicks of the first round count; its figures are
/// warm-up.
fn rounds(
    arguments: &SaturateArguments,
    server: &Server,
    codes: &Arc<CodeList>,
    ledger: &mut Ledger,
) -> anyhow::Result<Vec<(Slice, Slice)>> {
    let bar = progress::slices((arguments.rounds as usize + 1) * 2);
    let mut rounds = Vec::new();
    for number in 0..=arguments.rounds {
        let mut of = |miss_ratio: f64| {
            let plan = plan(arguments, server, codes, miss_ratio, number);
            let slice = slice(&plan, server, ledger);
            bar.inc(1);
            slice
        };
        let round = (of(0.0)?, of(1.0)?);
        if number > 0 {
            rounds.push(round);
        }
    }
    bar.finish_and_clear();
    Ok(rounds)
}

fn plan(
    arguments: &SaturateArguments,
    server: &Server,
    codes: &Arc<CodeList>,
    miss_ratio: f64,
    round: u32,
) -> Arc<Plan> {
    let status = if miss_ratio > 0.0 { "404" } else { "302" };
    Arc::new(Plan {
        draw: arguments.draw,
        miss_ratio,
        seed: arguments.test_bed.seed + u64::from(round),
        rate: NO_REST,
        queue: 0,
        duration: arguments.slice,
        connections: arguments.connections as usize,
        expect_status: status.parse().into_iter().collect(),
        ..Plan::plain(server.address, codes)
    })
}

fn slice(plan: &Arc<Plan>, server: &Server, ledger: &mut Ledger) -> anyhow::Result<Slice> {
    plan.check()?;
    let before = server.family.cpu_time()?;
    let outcome = generator::generate(plan, &ProgressBar::hidden())?;
    ensure!(!outcome.interrupted, "interrupted");
    std::thread::sleep(SETTLING);
    let cpu = server.family.cpu_time()?.since(&before);
    let tally = outcome.measured;
    let of_status = |wanted| tally.statuses.get(&wanted).copied().unwrap_or_default();
    let expected: u64 =
        tally.statuses.iter().filter(|(s, _)| plan.expects(**s)).map(|(_, n)| n).sum();
    ensure!(expected > 0, "nothing was answered as expected, but {:?}", tally.statuses);
    ledger.redirects += of_status(302);
    ledger.unanswered += tally.sent - tally.answered;
    ledger.unexpected += tally.answered - expected;
    Ok(Slice { answered: tally.answered, took: outcome.elapsed, cpu })
}

fn wait_for_store(control: &ControlSocket) -> anyhow::Result<()> {
    let deadline = Instant::now() + CATCHING_UP;
    while control.metric("coupond_click_store_lag_blocks")? > 0 {
        ensure!(
            Instant::now() < deadline,
            "the click store has not caught up with the click log in {CATCHING_UP:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

impl Slice {
    fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// Microseconds per answer of the threads whose names begin with `threads`.
    fn micros(&self, threads: &str) -> f64 {
        self.cpu.of_threads(threads).as_secs_f64() * 1e6 / self.answered as f64
    }

    fn log_micros(&self) -> f64 {
        self.micros("click-log") + self.micros("click-store")
    }
}

impl Mix {
    fn from_slices(slices: &[&Slice]) -> Option<Mix> {
        let spread = |figure: &dyn Fn(&Slice) -> f64| {
            Spread::from_figures(slices.iter().map(|slice| figure(slice)).collect())
        };
        Some(Mix {
            per_second: spread(&Slice::per_second)?,
            serving_us: spread(&|slice| slice.micros("serve-"))?,
            click_log_us: spread(&|slice| slice.micros("click-log"))?,
            click_store_us: spread(&|slice| slice.micros("click-store"))?,
            core_busy: spread(&|slice| slice.cpu.total().as_secs_f64() / slice.took.as_secs_f64())?,
        })
    }
}

impl Ledger {
    /// Whether every redirect is a click, and every click is logged or counted as unlogged.
    fn balances(&self) -> bool {
        let kept = self.kept.clicks + self.unlogged;
        let least = self.redirects + FIRST_VISIT;
        (least..=least + self.unanswered).contains(&kept)
            && self.kept.missing + self.kept.repeated == 0
    }
}

impl Saturation {
    fn from_rounds(
        arguments: &SaturateArguments,
        codes: usize,
        rounds: &[(Slice, Slice)],
        ledger: Ledger,
    ) -> anyhow::Result<Saturation> {
        let hits: Vec<&Slice> = rounds.iter().map(|(hits, _)| hits).collect();
        let misses: Vec<&Slice> = rounds.iter().map(|(_, misses)| misses).collect();
        let within = |ratio: &dyn Fn(&Slice, &Slice) -> f64| {
            Spread::from_figures(rounds.iter().map(|(hits, misses)| ratio(hits, misses)).collect())
        };
        let none = "no slice was measured";
        Ok(Saturation {
            codes,
            connections: arguments.connections,
            rounds: arguments.rounds,
            slice_s: arguments.slice.as_secs_f64(),
            server_core: arguments.test_bed.server_core,
            generator_core: arguments.test_bed.generator_core,
            hits: Mix::from_slices(&hits).context(none)?,
            misses: Mix::from_slices(&misses).context(none)?,
            misses_per_hit: within(&|hits, misses| misses.per_second() / hits.per_second())
                .context(none)?,
            misses_per_hit_cpu: within(&|hits, misses| hits.micros("") / misses.micros(""))
                .context(none)?,
            log_per_serving: within(&|hits, _| hits.log_micros() / hits.micros("serve-"))
                .context(none)?,
            ledger,
        })
    }

    /// Prints the tables, and writes `saturate.json` into `out`.
    pub(crate) fn publish(&self, out: Option<&Path>) -> anyhow::Result<()> {
        println!("{}", self.text());
        let Some(out) = out else { return Ok(()) };
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        std::fs::write(out.join("saturate.json"), serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.ledger.balances() && self.ledger.unexpected == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(EXIT_WRONG_ANSWERS)
        }
    }

    fn text(&self) -> String {
        let Saturation { codes, connections, rounds, slice_s, server_core, generator_core, .. } =
            self;
        let (ratio, cpu_ratio) =
            (self.misses_per_hit.display(2), self.misses_per_hit_cpu.display(2));
        let log = self.log_per_serving;
        let percent = |part: f64| part * 100.0;
        format!(
            "{codes} codes, {connections} connections kept busy, {rounds} rounds of {slice_s} s \
             slices;\nserver and its click log on core {server_core}, generator on core \
             {generator_core}; median (range)\n\n{}\n\n\
             misses a second for each hit a second, within the rounds: {ratio}\n\
             misses for the CPU time of a hit: {cpu_ratio}\n\
             CPU of the click log for that of serving: {:.1} % ({:.1}–{:.1})\n\n{}\n{}",
            self.mixes_table(),
            percent(log.median),
            percent(log.lowest),
            percent(log.highest),
            self.ledger.table(),
            self.ledger.verdict(),
        )
    }

    fn mixes_table(&self) -> comfy_table::Table {
        let mut table = plain_table([
            "",
            "per second",
            "CPU µs serving",
            "CPU µs click log",
            "CPU µs click store",
            "core busy",
        ]);
        for (name, mix) in [("hits", &self.hits), ("misses", &self.misses)] {
            table.add_row([
                name.to_owned(),
                mix.per_second.display(0),
                mix.serving_us.display(2),
                mix.click_log_us.display(2),
                mix.click_store_us.display(2),
                mix.core_busy.display(2),
            ]);
        }
        align_figures(&mut table);
        table
    }
}

impl Ledger {
    fn table(&self) -> comfy_table::Table {
        let Ledger { redirects, unanswered, unexpected, unlogged, kept } = self;
        let per_click = |bytes: u64| format!("{:.1}", bytes as f64 / kept.clicks.max(1) as f64);
        let mut table = plain_table(["clicks", ""]);
        for (name, figure) in [
            ("redirects answered, warm-up and first visit included", redirects + FIRST_VISIT),
            ("requests without an answer", *unanswered),
            ("answers with another status than expected", *unexpected),
            ("clicks in the click log", kept.clicks),
            ("clicks counted as unlogged", *unlogged),
            ("clicks missing in the log", kept.missing),
            ("clicks more than once in the log", kept.repeated),
        ] {
            table.add_row([name.to_owned(), figure.to_string()]);
        }
        table.add_row(["bytes a click in the log".to_owned(), per_click(kept.wal_bytes)]);
        table.add_row(["bytes a click in the store".to_owned(), per_click(kept.store_bytes)]);
        align_figures(&mut table);
        table
    }

    fn verdict(&self) -> &'static str {
        match (self.balances(), self.unlogged) {
            (true, 0) => "every redirect is in the click log, once",
            (true, _) => "every redirect is in the click log, once, or counted as unlogged",
            (false, _) => "WRONG: redirects and clicks do not agree",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_that_is_neither_kept_nor_counted_is_noticed() {
        let ledger = |clicks, unlogged, unanswered| Ledger {
            redirects: 99,
            unanswered,
            unlogged,
            kept: LoggedClicks { clicks, ..LoggedClicks::default() },
            ..Ledger::default()
        };
        assert!(ledger(100, 0, 0).balances() && ledger(90, 10, 0).balances());
        assert!(!ledger(99, 0, 0).balances() && !ledger(101, 0, 0).balances());
        assert!(ledger(101, 0, 1).balances(), "who got no answer may have left a click");
        let mut twice = ledger(100, 0, 0);
        twice.kept.repeated = 1;
        assert!(!twice.balances());
    }
}
