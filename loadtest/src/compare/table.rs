//! The comparison as a table, as JSON and as a chart.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::Table;
use serde::Serialize;

use super::chart;
use super::ratios::{Cost, Slice, costs};
use crate::cli::{CompareArguments, Mix};
use crate::contender::Contender;
use crate::report::{align_figures, plain_table};
use crate::spread::Spread;

/// All measurements.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    codes: usize,
    /// Requests per second; none if all connections were kept busy.
    rate: Option<f64>,
    connections: u32,
    rounds: u32,
    slice_s: f64,
    /// Contender with ratio 1.
    reference: Contender,
    servers: Vec<Footprint>,
    mixes: Vec<MixCosts>,
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
pub(super) struct MixCosts {
    pub(super) mix: Mix,
    pub(super) costs: Vec<Cost>,
}

impl Comparison {
    pub(super) fn new(arguments: &CompareArguments, codes: usize) -> Comparison {
        Comparison {
            codes,
            rate: arguments.rate,
            connections: arguments.test_bed.connections,
            rounds: arguments.rounds,
            slice_s: arguments.slice.as_secs_f64(),
            reference: Contender::Nginx,
            servers: Vec::new(),
            mixes: Vec::new(),
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

    pub(super) fn measured(&mut self, mix: Mix, rounds: &[Vec<(Contender, Slice)>]) {
        self.mixes.push(MixCosts { mix, costs: costs(rounds, self.reference) });
    }

    /// Prints the table, and writes `compare.json` and `compare.svg` into `out`.
    pub(crate) fn publish(&self, out: Option<&Path>) -> anyhow::Result<()> {
        println!("{}", self.text());
        let Some(out) = out else { return Ok(()) };
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(out.join("compare.json"), json)?;
        std::fs::write(out.join("compare.svg"), chart::bars(&self.mixes, self.reference)?)?;
        Ok(())
    }

    fn text(&self) -> String {
        let Comparison { codes, connections, rounds, slice_s, reference, .. } = self;
        let load = match self.rate {
            Some(rate) => format!("{rate} requests/s over {connections} connections"),
            None => format!("{connections} connections kept busy"),
        };
        let mut text = format!(
            "{codes} codes, {load}, {rounds} rounds of {slice_s} s slices in turn;\n\
             CPU microseconds a request, and their ratio to {reference} within the rounds: median \
             (range)\n"
        );
        for MixCosts { mix, costs } in &self.mixes {
            text += &format!("\n{mix}\n{}\n", costs_table(costs));
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
    let mut table = plain_table(["", "CPU µs", "of it serving", "ratio"]);
    for cost in costs {
        table.add_row([
            cost.contender.to_string(),
            shown(cost.micros),
            cost.serving_micros.map(shown).unwrap_or_default(),
            shown(cost.ratio),
        ]);
    }
    align_figures(&mut table);
    table
}
