//! Measurements by kind of edit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::editor::{EditOutcome, Seen};
use crate::cli::{EditKind, EditsArguments};
use crate::generator::Outcome;
use crate::report::{Times, align_figures, plain_table};

const EXIT_NOT_ALL_SEEN: u8 = 4;

#[derive(Debug, Serialize)]
pub(crate) struct EditsReport {
    rate: f64,
    editors: u16,
    elapsed_s: f64,
    kinds: BTreeMap<EditKind, KindReport>,
    /// Delays of edits after their due time, while all editors were busy.
    late_us: Times,
    #[serde(skip_serializing_if = "Option::is_none")]
    visitors: Option<Visitors>,
}

#[derive(Debug, Serialize)]
struct KindReport {
    live: u64,
    never_seen: u64,
    /// Number of times for each error answer.
    refused: BTreeMap<String, u64>,
    /// From sending to the answer.
    accepted_us: Times,
    /// From the answer to the first visit with the change.
    accepted_to_live_us: Times,
}

#[derive(Debug, Serialize)]
struct Visitors {
    answered: u64,
    scheduled: u64,
    latency_us: Times,
}

impl EditsReport {
    pub(super) fn from_edits(
        arguments: &EditsArguments,
        elapsed: Duration,
        seen: Vec<Seen>,
        visitors: Option<&Outcome>,
    ) -> anyhow::Result<EditsReport> {
        let late = histogram(seen.iter().map(|seen| seen.late))?;
        let kinds = arguments.mix.iter().filter(|share| share.parts > 0).map(|share| share.kind);
        let of_kind = |kind| {
            let of_kind: Vec<&Seen> = seen.iter().filter(|seen| seen.kind == kind).collect();
            Ok((kind, KindReport::from_edits(&of_kind)?))
        };
        Ok(EditsReport {
            rate: arguments.rate,
            editors: arguments.editors,
            elapsed_s: elapsed.as_secs_f64(),
            kinds: kinds.map(of_kind).collect::<anyhow::Result<_>>()?,
            late_us: Times::from_histogram(&late),
            visitors: visitors.map(|outcome| Visitors {
                answered: outcome.measured.answered,
                scheduled: outcome.measured.scheduled,
                latency_us: super::visitors_latency(outcome),
            }),
        })
    }

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
        let is_well = |kind: &KindReport| kind.never_seen == 0 && kind.refused.is_empty();
        match self.kinds.values().all(is_well) {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(EXIT_NOT_ALL_SEEN),
        }
    }

    fn text(&self) -> String {
        let mut table = plain_table(["milliseconds", "edits", "p50", "p90", "p99", "max"]);
        let mut row = |name: String, times: &Times| {
            let Times { count, p50, p90, p99, max, .. } = times;
            let figures = [p50, p90, p99, max].map(|time| format!("{:.2}", time / 1e3));
            table.add_row([name, count.to_string()].into_iter().chain(figures));
        };
        for (kind, of_kind) in &self.kinds {
            row(format!("{kind}: sent → accepted"), &of_kind.accepted_us);
            row(format!("{kind}: accepted → live"), &of_kind.accepted_to_live_us);
        }
        row("sent late by".into(), &self.late_us);
        if let Some(visitors) = &self.visitors {
            row("visitors' latency".into(), &visitors.latency_us);
        }
        align_figures(&mut table);
        let mut text = format!("{table}\n");
        for (kind, of_kind) in &self.kinds {
            if of_kind.never_seen > 0 {
                let count = of_kind.never_seen;
                text += &format!("{kind}: {count} accepted and never seen by a visitor\n");
            }
            for (answer, count) in &of_kind.refused {
                text += &format!("{kind}: {count} refused: {answer}\n");
            }
        }
        text.trim_end().to_owned()
    }
}

impl KindReport {
    fn from_edits(seen: &[&Seen]) -> anyhow::Result<KindReport> {
        let mut of_kind = KindReport {
            live: 0,
            never_seen: 0,
            refused: BTreeMap::new(),
            accepted_us: Times::from_histogram(&histogram([].into_iter())?),
            accepted_to_live_us: Times::from_histogram(&histogram([].into_iter())?),
        };
        let (mut accepted_times, mut live_times) = (Vec::new(), Vec::new());
        for seen in seen {
            match &seen.fate {
                EditOutcome::Live { accepted, live } => {
                    of_kind.live += 1;
                    accepted_times.push(*accepted);
                    live_times.push(*live);
                }
                EditOutcome::NeverSeen { accepted } => {
                    of_kind.never_seen += 1;
                    accepted_times.push(*accepted);
                }
                EditOutcome::Refused(answer) => {
                    *of_kind.refused.entry(answer.clone()).or_default() += 1;
                }
            }
        }
        of_kind.accepted_us = Times::from_histogram(&histogram(accepted_times.into_iter())?);
        of_kind.accepted_to_live_us = Times::from_histogram(&histogram(live_times.into_iter())?);
        Ok(of_kind)
    }
}

/// Histogram in nanoseconds.
fn histogram(times: impl Iterator<Item = Duration>) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    for time in times {
        histogram.record(u64::try_from(time.as_nanos())?.max(1))?;
    }
    Ok(histogram)
}
