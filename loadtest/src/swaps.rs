//! `swaps`: whether visitors notice the replacement of indexes.
//!
//! coupond runs on one core under open-loop load at a share of its capacity. Meanwhile small levels
//! and new bases, all written beforehand, are published at even intervals. Latencies are collected
//! in buckets of 100 ms by the due time of the requests. A bucket is *during* a swap from the
//! publication until the index is live and, with a new base, while the old base is freed; *steady*
//! are the buckets before the first swap and after the last.
//!
//! Every answer must be a redirect from a current index ([`crate::generations`]).
//!
//! Deliberately absent: coupon-admin; its cost of a publication is a measurement of its own.

mod chart;
mod phases;
mod publications;
mod swapper;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use serde::Serialize;

use crate::cli::SwapsArguments;
use crate::codes::CodeList;
use crate::generations::Generations;
use crate::generator::{self, Outcome};
use crate::plan::{NO_REST, Plan};
use crate::progress;
use crate::report::{EXIT_VOID, EXIT_WRONG_ANSWERS, Times, align_figures, plain_table};
use crate::schedule::total_requests;
use crate::server::coupond::Site;
use crate::server::{Server, process};
use crate::timeline::Timeline;
use phases::{Bucket, Phase, PhaseFigures, Window};
use publications::{Counts, FIRST_GENERATION, Kind, Publication};
use swapper::{Swap, Swapper};

const BUCKET: Duration = Duration::from_millis(100);
/// Longest run: more buckets would take too much memory.
const LONGEST: Duration = Duration::from_secs(300);
/// Duration of the capacity measurement.
const CARRYING: Duration = Duration::from_secs(3);
const WARMUP: Duration = Duration::from_secs(1);

/// Result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Swaps {
    codes: usize,
    level_codes: usize,
    rate: f64,
    /// Requests per second with all connections busy, if measured.
    carried: Option<f64>,
    connections: u32,
    server_core: usize,
    generator_core: usize,
    void_reasons: Vec<String>,
    /// p99.9 during the swaps, divided by the steady p99.9.
    ratio: f64,
    /// p99.9 during the swaps, divided by the p99.9 between the swaps.
    ratio_to_between: f64,
    phases: Vec<PhaseFigures>,
    swaps: Vec<SwapFigures>,
    buckets: Vec<Bucket>,
}

/// A swap, in times from the start of the measured part.
#[derive(Debug, Serialize)]
struct SwapFigures {
    kind: Kind,
    published_s: f64,
    live_after_ms: f64,
    freed_after_ms: f64,
    loader_cpu_ms: f64,
    serving_waited_ms: f64,
}

pub(crate) fn swaps(arguments: &SwapsArguments) -> anyhow::Result<Swaps> {
    let duration = duration(arguments);
    ensure!(
        duration <= LONGEST,
        "this would take {duration:?}, more than {LONGEST:?}; lower --every, --steady, \
         --level-swaps or --base-swaps"
    );
    let codes = CodeList::of_file(&arguments.test_bed.codes)?;
    process::pin_to(arguments.test_bed.generator_core).context("--generator-core")?;
    let site = Site::new(arguments.data.as_deref())?;
    let bar = progress::files(arguments.level_swaps + arguments.base_swaps);
    let counts = Counts { level_swaps: arguments.level_swaps, base_swaps: arguments.base_swaps };
    let level_codes = arguments.level_codes as usize;
    let folder = site.folders.index();
    let (index, publications) =
        publications::prepare(&codes, arguments.test_bed.seed, level_codes, counts, &folder, &bar)
            .context("writing the indexes")?;
    let server =
        site.start(&codes, arguments.test_bed.programs.as_deref(), arguments.test_bed.server_core)?;
    let (rate, carried) = match arguments.rate {
        Some(rate) => (rate, None),
        None => {
            let carried = carried(arguments, &server, &codes)?;
            (carried * arguments.load, Some(carried))
        }
    };
    let generations = Arc::new(Generations::beginning_with(FIRST_GENERATION));
    let plan = Arc::new(Plan {
        rate,
        warmup: WARMUP,
        duration,
        bucket: Some(BUCKET),
        expect_status: "302".parse().into_iter().collect(),
        generations: Some(Arc::clone(&generations)),
        ..base_plan(arguments, &server, &codes)
    });
    plan.check()?;
    let swapper = Swapper {
        index: &index,
        control: site.folders.control_socket(),
        server: &server,
        generations: &generations,
        over: AtomicBool::new(false),
    };
    let (outcome, swaps) = run(&plan, &swapper, arguments, &publications)?;
    Swaps::judge(arguments, &plan, carried, &outcome, &swaps)
}

/// Publishes indexes while the load runs.
fn run(
    plan: &Arc<Plan>,
    swapper: &Swapper<'_>,
    arguments: &SwapsArguments,
    publications: &[Publication],
) -> anyhow::Result<(Outcome, Vec<Swap>)> {
    let (outcome, swaps) = std::thread::scope(|scope| {
        let first_in = WARMUP + arguments.steady;
        let swaps = scope.spawn(move || swapper.run(publications, first_in, arguments.every));
        let outcome = generator::generate(plan, &progress::requests(total_requests(plan)));
        swapper.over.store(true, Ordering::Relaxed);
        (outcome, swaps.join())
    });
    let swaps = swaps.map_err(|_| anyhow!("the publishing thread panicked"))??;
    Ok((outcome?, swaps))
}

fn duration(arguments: &SwapsArguments) -> Duration {
    let swaps = arguments.level_swaps + arguments.base_swaps;
    arguments.every.saturating_mul(swaps).saturating_add(arguments.steady.saturating_mul(2))
}

fn base_plan(arguments: &SwapsArguments, server: &Server, codes: &Arc<CodeList>) -> Plan {
    Plan {
        draw: arguments.draw,
        seed: arguments.test_bed.seed,
        connections: arguments.connections as usize,
        ..Plan::plain(server.address, codes)
    }
}

/// Requests per second with all connections busy.
fn carried(
    arguments: &SwapsArguments,
    server: &Server,
    codes: &Arc<CodeList>,
) -> anyhow::Result<f64> {
    let plan = Arc::new(Plan {
        rate: NO_REST,
        queue: 0,
        warmup: WARMUP,
        duration: CARRYING,
        ..base_plan(arguments, server, codes)
    });
    plan.check()?;
    let bar = progress::requests(total_requests(&plan));
    bar.set_message("measuring what coupond carries");
    let outcome = generator::generate(&plan, &bar)?;
    ensure!(!outcome.interrupted, "interrupted");
    ensure!(outcome.measured.answered > 0, "nothing was answered by {}", server.address);
    Ok(outcome.measured.answered as f64 / outcome.elapsed.as_secs_f64())
}

impl Swaps {
    fn judge(
        arguments: &SwapsArguments,
        plan: &Plan,
        carried: Option<f64>,
        outcome: &Outcome,
        swaps: &[Swap],
    ) -> anyhow::Result<Swaps> {
        ensure!(!outcome.interrupted, "interrupted");
        let timeline = outcome.timeline.as_ref().context("no time was measured")?;
        let windows: Vec<_> =
            swaps.iter().flat_map(|swap| Window::around_swap(swap, timeline.start())).collect();
        let buckets = phases::buckets(timeline, &windows);
        let phases = phases::figures(timeline, &windows);
        let p99_9 = |phase: Phase| {
            let found = phases.iter().find(|figures| figures.phase == phase);
            found.filter(|figures| figures.latency_us.count > 0).map(|found| found.latency_us.p99_9)
        };
        let (Some(during), Some(steady)) = (p99_9(Phase::During), p99_9(Phase::Steady)) else {
            anyhow::bail!(
                "no request was answered in a steady time or during a swap; raise --rate, --steady or --every"
            );
        };
        ensure!(
            swaps.len() == (arguments.level_swaps + arguments.base_swaps) as usize,
            "only {} swaps came about in time; raise --every",
            swaps.len()
        );
        Ok(Swaps {
            codes: plan.codes.len(),
            level_codes: (arguments.level_codes as usize).min(plan.codes.len()),
            rate: plan.rate,
            carried,
            connections: arguments.connections,
            server_core: arguments.test_bed.server_core,
            generator_core: arguments.test_bed.generator_core,
            void_reasons: void_reasons(arguments.max_lag, &phases),
            ratio: during / steady,
            ratio_to_between: p99_9(Phase::Between).map_or(f64::NAN, |between| during / between),
            phases,
            swaps: swaps.iter().map(|swap| SwapFigures::of_swap(swap, timeline)).collect(),
            buckets,
        })
    }
}

/// A lag of the generator would look like latency of the server.
fn void_reasons(max_lag: Duration, phases: &[PhaseFigures]) -> Vec<String> {
    let judged = |figures: &&PhaseFigures| matches!(figures.phase, Phase::Steady | Phase::During);
    let lagged = |figures: &PhaseFigures| {
        let lag = Duration::from_secs_f64(figures.generator_lag_us.p99_9 / 1e6);
        (lag > max_lag).then(|| {
            format!(
                "the generator itself lagged by {lag:.0?} (p99.9, {}), more than the {max_lag:?} \
                 of --max-lag; give it a core of its own, or lower --rate or --load",
                figures.phase.label()
            )
        })
    };
    phases.iter().filter(judged).filter_map(lagged).collect()
}

impl SwapFigures {
    fn of_swap(swap: &Swap, timeline: &Timeline) -> SwapFigures {
        let since = |when: std::time::Instant| when.saturating_duration_since(swap.published);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        SwapFigures {
            kind: swap.kind,
            published_s: swap.published.saturating_duration_since(timeline.start()).as_secs_f64(),
            live_after_ms: ms(since(swap.live)),
            freed_after_ms: ms(since(swap.freed)),
            loader_cpu_ms: ms(swap.loader),
            serving_waited_ms: ms(swap.waited),
        }
    }
}

impl Swaps {
    /// Prints the tables, and writes `swaps.json` and `swaps.svg` into `out`.
    pub(crate) fn publish(&self, out: Option<&Path>) -> anyhow::Result<()> {
        println!("{}", self.text());
        let Some(out) = out else { return Ok(()) };
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        std::fs::write(out.join("swaps.json"), serde_json::to_string_pretty(self)? + "\n")?;
        std::fs::write(out.join("swaps.svg"), chart::timeline(self)?)?;
        Ok(())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.failures() > 0 {
            ExitCode::from(EXIT_WRONG_ANSWERS)
        } else if self.void_reasons.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(EXIT_VOID)
        }
    }

    fn failures(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.failures.total()).sum()
    }

    fn swaps_of(&self, kind: Kind) -> impl Iterator<Item = &SwapFigures> {
        self.swaps.iter().filter(move |swap| swap.kind == kind)
    }

    fn text(&self) -> String {
        let Swaps { codes, level_codes, rate, connections, server_core, generator_core, .. } = self;
        let (levels, bases) =
            (self.swaps_of(Kind::Level).count(), self.swaps_of(Kind::Base).count());
        let share = self.carried.map(|carried| {
            format!(" ({:.0} % of the {carried:.0} it carries)", rate / carried * 100.0)
        });
        let mut text = format!(
            "{codes} codes, {levels} level swaps of {level_codes} codes and {bases} base swaps;\n\
             {rate:.0} requests/s{} over {connections} connections;\n\
             server on core {server_core}, generator on core {generator_core}; microseconds from \
             the intended time\n\n{}\n\n{}\n\n",
            share.unwrap_or_default(),
            self.phases_table(),
            self.swaps_table()
        );
        text += &format!(
            "p99.9 during swaps is {:.2} times the steady one ({:.2} times the one between swaps)\n",
            self.ratio, self.ratio_to_between
        );
        text += &match self.failures() {
            0 => "every request was redirected, from an index that was current\n".to_owned(),
            failures => format!("WRONG: {failures} requests, see above\n"),
        };
        for reason in &self.void_reasons {
            text += &format!("VOID: {reason}\n");
        }
        text.trim_end().to_owned()
    }

    fn phases_table(&self) -> comfy_table::Table {
        let mut table = plain_table([
            "",
            "seconds",
            "requests",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "lag p99.9",
            "lost",
            "not 302",
            "stale",
        ]);
        for PhaseFigures { phase, buckets, latency_us, generator_lag_us, failures } in &self.phases
        {
            let Times { count, p50, p90, p99, p99_9, max, .. } = latency_us;
            let times = [p50, p90, p99, p99_9, max, &generator_lag_us.p99_9];
            let counts = [failures.unanswered, failures.unexpected, failures.stale];
            let seconds = BUCKET.as_secs_f64() * *buckets as f64;
            let begin = [phase.label().to_owned(), format!("{seconds:.1}"), count.to_string()];
            let times = times.map(|time| format!("{time:.0}"));
            table.add_row(begin.into_iter().chain(times).chain(counts.map(|n| n.to_string())));
        }
        align_figures(&mut table);
        table
    }

    fn swaps_table(&self) -> comfy_table::Table {
        let mut table = plain_table([
            "milliseconds, median (most)",
            "published to live",
            "to freed",
            "CPU of the loader",
            "serving thread waited for the core",
        ]);
        for (name, kind) in [("level swaps", Kind::Level), ("base swaps", Kind::Base)] {
            let figure = |of: fn(&SwapFigures) -> f64| {
                let mut figures: Vec<f64> = self.swaps_of(kind).map(of).collect();
                figures.sort_by(f64::total_cmp);
                let most = figures.last().copied();
                most.map_or_else(String::new, |most| {
                    format!("{:.1} ({most:.1})", figures[figures.len() / 2])
                })
            };
            table.add_row([
                name.to_owned(),
                figure(|swap| swap.live_after_ms),
                figure(|swap| swap.freed_after_ms),
                figure(|swap| swap.loader_cpu_ms),
                figure(|swap| swap.serving_waited_ms),
            ]);
        }
        align_figures(&mut table);
        table
    }
}
