//! The comparison as a table, as JSON and as a chart.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::Table;
use serde::Serialize;

use super::ratios::{Cost, Slice, costs};
use super::{Load, chart};
use crate::cli::CompareArguments;
use crate::contender::Contender;
use crate::report::{Times, align_figures, plain_table};
use crate::spread::Spread;

/// All measurements.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    codes: usize,
    /// Requests per second; none if all connections were kept busy.
    rate: Option<f64>,
    rounds: u32,
    slice_s: f64,
    /// Contender with ratio 1.
    reference: Contender,
    servers: Vec<Footprint>,
    loads: Vec<LoadCosts>,
}

/// Costs of a server before and beside the requests.
#[derive(Debug, Serialize)]
struct Footprint {
    contender: Contender,
    /// Seconds from a start to the first redirect: of the first start, and of all starts.
    first_start_s: f64,
    start_s: Option<Spread>,
    /// Resident memory with all codes, after the load.
    resident_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct LoadCosts {
    #[serde(flatten)]
    pub(super) load: Load,
    pub(super) costs: Vec<Cost>,
}

impl Comparison {
    pub(super) fn new(arguments: &CompareArguments, codes: usize) -> Comparison {
        Comparison {
            codes,
            rate: arguments.rate,
            rounds: arguments.rounds,
            slice_s: arguments.slice.as_secs_f64(),
            reference: Contender::Nginx,
            servers: Vec::new(),
            loads: Vec::new(),
        }
    }

    /// Records the starts of a server. The reference is nginx, otherwise the first contender.
    pub(super) fn started(&mut self, contender: Contender, starts: &[Duration]) {
        if self.servers.is_empty() || contender == Contender::Nginx {
            self.reference = contender;
        }
        let starts: Vec<f64> = starts.iter().map(Duration::as_secs_f64).collect();
        let first_start_s = starts.first().copied().unwrap_or_default();
        let start_s = Spread::from_figures(starts);
        self.servers.push(Footprint { contender, first_start_s, start_s, resident_bytes: 0 });
    }

    pub(super) fn resident(&mut self, contender: Contender, bytes: u64) {
        let of = |server: &&mut Footprint| server.contender == contender;
        if let Some(server) = self.servers.iter_mut().find(of) {
            server.resident_bytes = bytes;
        }
    }

    pub(super) fn measured(&mut self, load: Load, rounds: &[Vec<(Contender, Slice)>]) {
        self.loads.push(LoadCosts { load, costs: costs(rounds, self.reference) });
    }

    /// Prints the table, and writes `compare.json` and `compare.svg` into `out`.
    pub(crate) fn publish(&self, out: Option<&Path>) -> anyhow::Result<()> {
        println!("{}", self.text());
        let Some(out) = out else { return Ok(()) };
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(out.join("compare.json"), json)?;
        std::fs::write(out.join("compare.svg"), chart::bars(&self.loads, self.reference)?)?;
        Ok(())
    }

    fn text(&self) -> String {
        let Comparison { codes, rounds, slice_s, reference, .. } = self;
        let load = match self.rate {
            Some(rate) => format!("{rate} requests/s"),
            None => "all connections kept busy".to_owned(),
        };
        let mut text = format!(
            "{codes} codes, {load}, {rounds} rounds of {slice_s} s slices in turn;\n\
             CPU microseconds a request, and their ratio to {reference} within the rounds: median \
             (range)\n"
        );
        for LoadCosts { load, costs } in &self.loads {
            text += &format!("\n{load}\n{}\n", costs_table(costs));
            if self.rate.is_some() {
                text += &format!("{}\n{}", latencies_table(costs), lag_lines(costs));
            }
        }
        text + &format!("\nmemory and start\n{}", self.footprints())
    }

    fn footprints(&self) -> Table {
        let head = ["", "resident MB", "bytes a code", "first start, s", "all starts, s"];
        let mut table = plain_table(head);
        for server in &self.servers {
            table.add_row([
                server.contender.to_string(),
                format!("{:.1}", server.resident_bytes as f64 / 1e6),
                format!("{:.1}", server.resident_bytes as f64 / self.codes as f64),
                format!("{:.2}", server.first_start_s),
                server.start_s.map_or_else(String::new, |starts| starts.display(2)),
            ]);
        }
        align_figures(&mut table);
        table
    }
}

fn costs_table(costs: &[Cost]) -> Table {
    let shown = |spread: Spread| spread.display(2);
    let mut table = plain_table(["", "CPU µs", "of it serving", "ratio", "core busy"]);
    for cost in costs {
        table.add_row([
            cost.contender.to_string(),
            shown(cost.micros),
            cost.serving_micros.map(shown).unwrap_or_default(),
            shown(cost.ratio),
            shown(cost.core_busy),
        ]);
    }
    align_figures(&mut table);
    table
}

/// Latencies at a rate, over all rounds.
fn latencies_table(costs: &[Cost]) -> Table {
    let mut table =
        plain_table(["latency µs", "p50", "p90", "p99", "p99.9", "max", "connecting p50"]);
    for cost in costs {
        let Times { p50, p90, p99, p99_9, max, .. } = cost.latency_us;
        let times = [p50, p90, p99, p99_9, max, cost.connecting_us.p50];
        let name = std::iter::once(cost.contender.to_string());
        table.add_row(name.chain(times.map(|time| format!("{time:.0}"))));
    }
    align_figures(&mut table);
    table
}

fn lag_lines(costs: &[Cost]) -> String {
    let lagging = costs.iter().filter_map(|cost| Some((cost, cost.lagged.first()?)));
    let line = |(cost, first): (&Cost, &String)| {
        format!("VOID latencies of {}, in {} slices: {first}\n", cost.contender, cost.lagged.len())
    };
    lagging.map(line).collect()
}
