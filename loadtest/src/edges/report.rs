//! The figures of a fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use comfy_table::Table;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::click_maker::ClicksMade;
use super::editors::{Edit, EditsMade};
use super::light_daemon::Reload;
use super::usage::FleetUsage;
use crate::cli::EdgesArguments;
use crate::report::{EXIT_WRONG_ANSWERS, Times, align_figures, plain_table};

#[derive(Debug, Serialize)]
pub(crate) struct EdgesReport {
    pub(super) setup: Setup,
    pub(super) start: StartTimes,
    pub(super) edits: EditFigures,
    pub(super) clicks: ClickFigures,
    pub(super) usage: FleetUsage,
}

#[derive(Debug, Serialize)]
pub(super) struct Setup {
    nodes: u16,
    threads: u8,
    clicks_per_second: u32,
    edits_per_minute: u32,
    duration_s: f64,
    codes: u32,
}

impl Setup {
    pub(super) fn new(arguments: &EdgesArguments) -> Setup {
        Setup {
            nodes: arguments.nodes,
            threads: arguments.threads,
            clicks_per_second: arguments.clicks_per_second,
            edits_per_minute: arguments.edits_per_minute,
            duration_s: arguments.duration.as_secs_f64(),
            codes: arguments.codes,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct StartTimes {
    /// All runs of `edges add`.
    pub(super) registered_s: f64,
    /// From the start of the first agent until all edges serve the index.
    pub(super) all_live_s: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct EditFigures {
    /// From sending to the answer, without edges.
    alone_us: Times,
    /// The same with edges.
    with_edges_us: Times,
    p99_ratio: Option<f64>,
    late_max_ms: f64,
    refused: BTreeMap<String, u64>,
    /// From the answer to the reload with the edit, for each edit on each edge.
    live_us: Times,
    /// The same on the last edge, for each edit.
    live_everywhere_us: Times,
    /// Pairs of edit and edge without such a reload.
    never_live: u64,
    /// Different published indexes at the edges while edits were made.
    heads: usize,
    heads_per_second: f64,
}

impl EditFigures {
    /// `reloads` are those of each edge; `elapsed` is the time of the edits.
    pub(super) fn new(
        alone: &EditsMade,
        with_edges: &EditsMade,
        reloads: &[Vec<Reload>],
        (begun, elapsed): (Instant, Duration),
    ) -> anyhow::Result<EditFigures> {
        let live = LiveTimes::new(&with_edges.edits, reloads)?;
        let alone_us = latencies(&alone.edits)?;
        let with_edges_us = latencies(&with_edges.edits)?;
        let is_within = |reload: &&Reload| reload.at >= begun && reload.at < begun + elapsed;
        let heads = reloads.iter().flatten().filter(is_within).map(|reload| reload.generation);
        let heads = heads.collect::<BTreeSet<u64>>().len();
        let mut refused = alone.refused.clone();
        for (answer, count) in &with_edges.refused {
            *refused.entry(answer.clone()).or_default() += count;
        }
        Ok(EditFigures {
            p99_ratio: (alone_us.p99 > 0.0).then(|| with_edges_us.p99 / alone_us.p99),
            alone_us,
            with_edges_us,
            late_max_ms: alone.late.max(with_edges.late).as_secs_f64() * 1e3,
            refused,
            live_us: Times::from_histogram(&live.each),
            live_everywhere_us: Times::from_histogram(&live.last),
            never_live: live.never,
            heads,
            heads_per_second: heads as f64 / elapsed.as_secs_f64(),
        })
    }

    fn is_well(&self) -> bool {
        self.never_live == 0 && self.refused.is_empty()
    }
}

/// Delays until edits were live.
struct LiveTimes {
    each: Histogram<u64>,
    /// For edits that are live on all edges.
    last: Histogram<u64>,
    never: u64,
}

impl LiveTimes {
    fn new(edits: &[Edit], reloads: &[Vec<Reload>]) -> anyhow::Result<LiveTimes> {
        let (each, last) = (Histogram::new(3)?, Histogram::new(3)?);
        let mut times = LiveTimes { each, last, never: 0 };
        for edit in edits {
            let mut longest = Some(Duration::ZERO);
            for of_edge in reloads {
                let live = live_after(edit, of_edge);
                match live {
                    Some(after) => record(&mut times.each, after)?,
                    None => times.never += 1,
                }
                longest = longest.zip(live).map(|(longest, after)| longest.max(after));
            }
            if let Some(longest) = longest {
                record(&mut times.last, longest)?;
            }
        }
        Ok(times)
    }
}

/// From the answer to an edit until an edge served it; zero if the edge was faster than the answer.
fn live_after(edit: &Edit, reloads: &[Reload]) -> Option<Duration> {
    let first = reloads.partition_point(|reload| reload.sequence < edit.sequence);
    Some(reloads.get(first)?.at.saturating_duration_since(edit.answered))
}

fn latencies(edits: &[Edit]) -> anyhow::Result<Times> {
    let mut histogram = Histogram::<u64>::new(3)?;
    edits.iter().try_for_each(|edit| record(&mut histogram, edit.latency))?;
    Ok(Times::from_histogram(&histogram))
}

/// Adds a time, in nanoseconds.
fn record(histogram: &mut Histogram<u64>, time: Duration) -> anyhow::Result<()> {
    Ok(histogram.record(u64::try_from(time.as_nanos())?.max(1))?)
}

/// What coupon-admin says about clicks, and the bytes of its files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CountedClicks {
    /// By the report of all clicks.
    pub(super) counted: u64,
    pub(super) missing: u64,
    /// Blocks in the archive, each with a row in `click_block`.
    pub(super) rows: u64,
    pub(super) archive_bytes: u64,
    /// Growth of the database since before the clicks.
    pub(super) database_bytes: u64,
    pub(super) commits: u64,
    pub(super) archive_appends: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ClickFigures {
    made: u64,
    counted: u64,
    missing: u64,
    /// From the last click until all were counted and acknowledged.
    settled_s: f64,
    blocks_made: u64,
    block_bytes_made: u64,
    /// Rows of `click_block`, one for each block in the archive.
    rows: u64,
    archive_bytes: u64,
    archive_bytes_per_click: Option<f64>,
    database_bytes: u64,
    commits: u64,
    archive_appends: u64,
    /// Longest delay of a block after its time, for lack of a core.
    late_max_ms: u64,
}

impl ClickFigures {
    pub(super) fn new(made: &ClicksMade, counted: CountedClicks, settled: Duration) -> Self {
        let clicks = made.clicks.load(Ordering::Relaxed);
        let per_click = |bytes: u64| bytes as f64 / clicks as f64;
        ClickFigures {
            made: clicks,
            counted: counted.counted,
            missing: counted.missing,
            settled_s: settled.as_secs_f64(),
            blocks_made: made.blocks.load(Ordering::Relaxed),
            block_bytes_made: made.block_bytes.load(Ordering::Relaxed),
            rows: counted.rows,
            archive_bytes: counted.archive_bytes,
            archive_bytes_per_click: (clicks > 0).then(|| per_click(counted.archive_bytes)),
            database_bytes: counted.database_bytes,
            commits: counted.commits,
            archive_appends: counted.archive_appends,
            late_max_ms: made.late_ms.load(Ordering::Relaxed),
        }
    }

    fn is_exact(&self) -> bool {
        self.counted == self.made && self.missing == 0
    }
}

impl EdgesReport {
    pub(crate) fn publish(&self, json: Option<&PathBuf>) -> anyhow::Result<()> {
        match json.map(PathBuf::as_path) {
            Some(path) if path == Path::new("-") => {
                eprintln!("{}", self.text());
                println!("{}", serde_json::to_string_pretty(self)?);
            }
            Some(path) => {
                println!("{}", self.text());
                std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
                    .with_context(|| format!("report {}", path.display()))?;
            }
            None => println!("{}", self.text()),
        }
        Ok(())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.clicks.is_exact() && self.edits.is_well() {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(EXIT_WRONG_ANSWERS),
        }
    }

    fn text(&self) -> String {
        let StartTimes { registered_s, all_live_s } = self.start;
        let nodes = self.setup.nodes;
        let mut text = format!(
            "{nodes} edges registered in {registered_s:.1} s, all live {all_live_s:.1} s after the \
             start of the first agent\n"
        );
        if self.setup.edits_per_minute > 0 {
            text += &self.edits_text();
        }
        if self.setup.clicks_per_second > 0 {
            text += &self.clicks_text();
        }
        text + &self.usage_table().to_string()
    }

    fn edits_text(&self) -> String {
        let edits = &self.edits;
        let mut table = plain_table(["milliseconds", "count", "p50", "p90", "p99", "max"]);
        for (name, times) in [
            ("edit: sent → answer, without edges", &edits.alone_us),
            ("edit: sent → answer, with edges", &edits.with_edges_us),
            ("edit: answer → live on an edge", &edits.live_us),
            ("edit: answer → live on all edges", &edits.live_everywhere_us),
        ] {
            let Times { count, p50, p90, p99, max, .. } = times;
            let figures = [p50, p90, p99, max].map(|time| format!("{:.1}", time / 1e3));
            table.add_row([name.to_owned(), count.to_string()].into_iter().chain(figures));
        }
        align_figures(&mut table);
        let ratio = edits.p99_ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let mut text = format!(
            "{table}\np99 of edits with edges is {ratio} times that without. {:.2} heads a second \
             reached the edges. The latest edit began {:.0} ms after its time\n",
            edits.heads_per_second, edits.late_max_ms
        );
        if edits.never_live > 0 {
            text += &format!("{} times an edit was not live on an edge\n", edits.never_live);
        }
        for (answer, count) in &edits.refused {
            text += &format!("{count} edits refused: {answer}\n");
        }
        text
    }

    fn clicks_text(&self) -> String {
        let clicks = &self.clicks;
        let share = 100.0 * clicks.rows as f64 / clicks.blocks_made.max(1) as f64;
        let made = clicks.made.max(1) as f64;
        let exactness = match clicks.is_exact() {
            true => "each once",
            false => "NOT EXACT",
        };
        format!(
            "clicks       {} made, {} counted, {} missing: {exactness}; all {:.1} s after the last\n\
             blocks       {} made ({:.0} bytes a click), {} rows in click_block: {share:.2} %\n\
             bytes        {:.1} a click in the archive, {:.1} in the database\n\
             commits      {} transactions with {} syncs of the archive\n\
             latest block {} ms after its time\n",
            clicks.made,
            clicks.counted,
            clicks.missing,
            clicks.settled_s,
            clicks.blocks_made,
            clicks.block_bytes_made as f64 / made,
            clicks.rows,
            clicks.archive_bytes_per_click.unwrap_or(0.0),
            clicks.database_bytes as f64 / made,
            clicks.commits,
            clicks.archive_appends,
            clicks.late_max_ms,
        )
    }

    fn usage_table(&self) -> Table {
        let mut table = plain_table(["program", "CPU seconds", "% of a core", "own MB", "peak MB"]);
        for (name, usage) in self.usage.rows() {
            let share = 100.0 * usage.cpu_s / self.usage.elapsed_s;
            let memory = [usage.own_bytes, usage.peak_bytes];
            let [own, peak] = memory.map(|bytes| format!("{:.0}", bytes as f64 / 1e6));
            let figures = [format!("{:.1}", usage.cpu_s), format!("{share:.1}"), own, peak];
            table.add_row([name.to_owned()].into_iter().chain(figures));
        }
        align_figures(&mut table);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begun: Instant, ms: u64) -> Instant {
        begun + Duration::from_millis(ms)
    }

    fn reload(begun: Instant, (ms, generation, sequence): (u64, u64, u64)) -> Reload {
        Reload { at: at(begun, ms), generation, sequence }
    }

    #[test]
    fn an_edit_is_live_with_the_first_index_that_reached_its_sequence() {
        let begun = Instant::now();
        let edit = |ms, sequence| {
            let (answered, latency) = (at(begun, ms), Duration::from_millis(2));
            Edit { answered, latency, sequence }
        };
        let one = [(5, 1, 10), (100, 2, 11), (300, 3, 14)].map(|it| reload(begun, it)).to_vec();
        let other = [(5, 1, 10), (250, 3, 14)].map(|it| reload(begun, it)).to_vec();
        let made = |edits| EditsMade { edits, ..EditsMade::default() };
        let edits = made(vec![edit(90, 11), edit(320, 12), edit(330, 15)]);
        let reloads = [one, other];
        let elapsed = (begun, Duration::from_millis(200));
        let figures = EditFigures::new(&made(vec![]), &edits, &reloads, elapsed).unwrap();
        // 10 ms and 160 ms; at once on both; never on either.
        assert_eq!((figures.live_us.count, figures.never_live), (4, 2));
        let is_about = |us: f64, ms: f64| (us / 1e3 - ms).abs() < 1.0;
        assert!(is_about(figures.live_us.max, 160.0), "{figures:?}");
        assert_eq!(figures.live_everywhere_us.count, 2);
        assert!(is_about(figures.live_everywhere_us.max, 160.0), "{figures:?}");
        assert_eq!((figures.heads, figures.p99_ratio), (2, None));
        assert!(!figures.is_well());
    }

    #[test]
    fn a_click_too_many_or_too_few_is_not_exact() {
        let made = ClicksMade::default();
        made.clicks.store(5, Ordering::Relaxed);
        let figures = |counted, missing| {
            let counted = CountedClicks { counted, missing, ..CountedClicks::default() };
            ClickFigures::new(&made, counted, Duration::ZERO)
        };
        assert!(figures(5, 0).is_exact());
        assert!(!figures(4, 0).is_exact() && !figures(6, 0).is_exact());
        assert!(!figures(5, 1).is_exact());
    }
}
