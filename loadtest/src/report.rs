//! The report of a run: its figures, and whether they are usable.
//!
//! A run whose generator lagged is void: its latencies include the generator's delays. Other facts
//! that matter for quoting a figure are warnings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::{Counter, Histogram};
use serde::Serialize;

use crate::cli::{HeaderSet, KeyDistribution};
use crate::connect::ConnectMode;
use crate::generator::Outcome;
use crate::plan::Plan;
use crate::tally::{FailureKind, Handshakes, Tally};

pub(crate) const EXIT_VOID: u8 = 3;
pub(crate) const EXIT_WRONG_ANSWERS: u8 = 4;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    void: bool,
    void_reasons: Vec<String>,
    warnings: Vec<String>,
    setup: Setup,
    elapsed_s: f64,
    achieved_rate: f64,
    #[serde(flatten)]
    measured: Counts,
    warmup: Counts,
    latency_us: Times,
    generator_lag_us: Times,
    connection_wait_us: Times,
    read_lag_us: Times,
    /// New connections of the measured part, TLS handshake included.
    connecting_us: Times,
    handshakes: Handshakes,
    connections_opened: u64,
    connections_closed_while_idle: u64,
    interrupted: bool,
}

#[derive(Debug, Serialize)]
struct Setup {
    target: String,
    host: String,
    rate: f64,
    duration_s: f64,
    warmup_s: f64,
    connections: usize,
    connect: ConnectMode,
    source_addresses: u16,
    requests_per_connection: Option<u64>,
    threads: usize,
    codes: usize,
    draw: KeyDistribution,
    zipf_exponent: Option<f64>,
    mixed_case: bool,
    miss_ratio: f64,
    header_set: HeaderSet,
    query: Option<String>,
    seed: u64,
    timeout_s: f64,
    queue: usize,
    max_lag_us: f64,
}

/// `scheduled` = `never_sent` (both) + `errors.connect` + `errors.handshake` + `sent`;
/// `sent` = `answered` + the other `errors` + `abandoned`.
#[derive(Debug, Serialize)]
struct Counts {
    scheduled: u64,
    sent: u64,
    answered: u64,
    abandoned: u64,
    never_sent: NeverSent,
    errors: Errors,
    status: BTreeMap<u16, u64>,
    status_class: BTreeMap<String, u64>,
    unexpected_status: u64,
    first_errors: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct NeverSent {
    queue_full: u64,
    end_of_run: u64,
}

#[derive(Debug, Serialize)]
struct Errors {
    connect: u64,
    handshake: u64,
    reset: u64,
    timeout: u64,
    parse: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Times {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

impl Report {
    pub(crate) fn judge(plan: &Plan, outcome: &Outcome) -> Self {
        let measured = Counts::from_tally(&outcome.measured, plan);
        let void_reasons = void_reasons(plan, &outcome.measured);
        let seconds = outcome.elapsed.as_secs_f64();
        Self {
            void: !void_reasons.is_empty(),
            void_reasons,
            warnings: warnings(plan, outcome, &measured),
            setup: Setup::from_plan(plan),
            elapsed_s: seconds,
            achieved_rate: if seconds > 0.0 { measured.answered as f64 / seconds } else { 0.0 },
            measured,
            warmup: Counts::from_tally(&outcome.warmup, plan),
            latency_us: Times::from_histogram(&outcome.measured.latency),
            generator_lag_us: Times::from_histogram(&outcome.measured.generator_lag),
            connection_wait_us: Times::from_histogram(&outcome.measured.connection_wait),
            read_lag_us: Times::from_histogram(&outcome.measured.read_lag),
            connecting_us: Times::from_histogram(&outcome.measured.connecting),
            handshakes: outcome.measured.handshakes,
            connections_opened: outcome.connections_opened,
            connections_closed_while_idle: outcome.closed_while_idle,
            interrupted: outcome.interrupted,
        }
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
        if self.void {
            ExitCode::from(EXIT_VOID)
        } else if self.measured.unexpected_status + self.warmup.unexpected_status > 0 {
            ExitCode::from(EXIT_WRONG_ANSWERS)
        } else {
            ExitCode::SUCCESS
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.times_table(), self.counts_table());
        for (kind, words) in &self.measured.first_errors {
            text.push_str(&format!("first {kind} error: {words}\n"));
        }
        for warning in &self.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        for reason in &self.void_reasons {
            text.push_str(&format!("VOID: {reason}\n"));
        }
        text.trim_end().to_owned()
    }

    fn times_table(&self) -> Table {
        let mut table = plain_table(["microseconds", "p50", "p90", "p99", "p99.9", "max", "mean"]);
        for (name, times) in [
            ("latency from intended time", &self.latency_us),
            ("connection wait", &self.connection_wait_us),
            ("connecting", &self.connecting_us),
            ("generator lag: sent late by", &self.generator_lag_us),
            ("generator lag: read late by at most", &self.read_lag_us),
        ] {
            if times.count == 0 {
                continue;
            }
            let Times { p50, p90, p99, p99_9, max, mean, .. } = times;
            let figures = [p50, p90, p99, p99_9, max, mean].map(|time| format!("{time:.1}"));
            table.add_row(std::iter::once(name.to_owned()).chain(figures));
        }
        align_figures(&mut table);
        table
    }

    fn counts_table(&self) -> Table {
        let Counts { scheduled, sent, answered, abandoned, never_sent, errors, .. } =
            &self.measured;
        let mut table = plain_table(["requests", "count"]);
        let mut row = |name: &str, count: String| {
            table.add_row([name.to_owned(), count]);
        };
        row("requested rate /s", format!("{:.1}", self.setup.rate));
        row("achieved rate /s", format!("{:.1}", self.achieved_rate));
        row("scheduled", scheduled.to_string());
        row("sent", sent.to_string());
        row("answered", answered.to_string());
        for (status, count) in &self.measured.status {
            row(&format!("  status {status}"), count.to_string());
        }
        let Handshakes { full, retried, resumed } = self.handshakes;
        for (name, count) in [
            ("TLS handshakes: full", full),
            ("TLS handshakes: full, with another round trip", retried),
            ("TLS handshakes: resumed", resumed),
            ("unexpected status", self.measured.unexpected_status),
            ("error: connect", errors.connect),
            ("error: handshake", errors.handshake),
            ("error: reset", errors.reset),
            ("error: timeout", errors.timeout),
            ("error: parse", errors.parse),
            ("abandoned at the end", *abandoned),
            ("never sent: queue full", never_sent.queue_full),
            ("never sent: end of run", never_sent.end_of_run),
        ] {
            if count > 0 {
                row(name, count.to_string());
            }
        }
        align_figures(&mut table);
        table
    }
}

pub(crate) fn plain_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header);
    table
}

pub(crate) fn align_figures(table: &mut Table) {
    table.column_iter_mut().skip(1).for_each(|column| {
        column.set_cell_alignment(CellAlignment::Right);
    });
}

/// Reasons why the figures of a run are not usable.
fn void_reasons(plan: &Plan, measured: &Tally) -> Vec<String> {
    let mut reasons = lag_reasons(plan, measured);
    reasons.extend(not_resumed(plan, measured));
    reasons
}

/// Says how the generator lagged, if it lagged.
pub(crate) fn lag_reasons(plan: &Plan, measured: &Tally) -> Vec<String> {
    let mut reasons = Vec::new();
    for (what, histogram) in
        [("sent requests", &measured.generator_lag), ("read answers", &measured.read_lag)]
    {
        let lag = Duration::from_nanos(histogram.value_at_quantile(0.99));
        if lag > plan.max_lag {
            reasons.push(format!(
                "the generator lagged: it {what} {lag:?} late (p99), more than the {:?} of \
                 --max-lag, so the latencies are partly its own; give it a core of its own, more \
                 --threads, or a lower --rate",
                plan.max_lag
            ));
        }
    }
    reasons
}

/// Says that connections were not resumed although the plan wants so.
pub(crate) fn not_resumed(plan: &Plan, measured: &Tally) -> Option<String> {
    let full = measured.handshakes.not_resumed();
    (plan.connect == ConnectMode::TlsResumed && full > 0).then(|| {
        format!(
            "{full} of {} handshakes were full although each should be resumed: the server refused \
             session tickets, or gave fewer than it took",
            measured.handshakes.total()
        )
    })
}

fn warnings(plan: &Plan, outcome: &Outcome, measured: &Counts) -> Vec<String> {
    let mut warnings = Vec::new();
    if outcome.interrupted {
        warnings.push("interrupted before the end; the figures are of the part before".to_owned());
    }
    let unanswered = measured.scheduled - measured.answered;
    if unanswered > 0 {
        warnings.push(format!(
            "{unanswered} of {} requests were not answered and have no latency: the percentiles \
             flatter the server",
            measured.scheduled
        ));
    }
    if measured.unexpected_status > 0 {
        warnings.push(format!("{} answers have an unexpected status", measured.unexpected_status));
    }
    if measured.answered == 0 && measured.scheduled > 0 {
        warnings.push(format!("nothing was answered by {}", plan.target));
    }
    warnings
}

impl Setup {
    fn from_plan(plan: &Plan) -> Self {
        let limited = plan.requests_per_connection != u64::MAX;
        Self {
            target: plan.target.to_string(),
            host: plan.host.clone(),
            rate: plan.rate,
            duration_s: plan.duration.as_secs_f64(),
            warmup_s: plan.warmup.as_secs_f64(),
            connections: plan.connections,
            connect: plan.connect,
            source_addresses: plan.source_addresses,
            requests_per_connection: limited.then_some(plan.requests_per_connection),
            threads: plan.threads,
            codes: plan.codes.len(),
            draw: plan.draw,
            zipf_exponent: (plan.draw == KeyDistribution::Zipf).then_some(plan.zipf_exponent),
            mixed_case: plan.mixed_case,
            miss_ratio: plan.miss_ratio,
            header_set: plan.header_set,
            query: plan.query.clone(),
            seed: plan.seed,
            timeout_s: plan.timeout.as_secs_f64(),
            queue: plan.queue,
            max_lag_us: plan.max_lag.as_secs_f64() * 1e6,
        }
    }
}

impl Counts {
    fn from_tally(tally: &Tally, plan: &Plan) -> Self {
        let mut status_class = BTreeMap::new();
        for (status, count) in &tally.statuses {
            *status_class.entry(format!("{}xx", status / 100)).or_default() += count;
        }
        let unexpected = tally.statuses.iter().filter(|(status, _)| !plan.expects(**status));
        let words = |(kind, words): (&FailureKind, &String)| (name_of(*kind), words.clone());
        Self {
            scheduled: tally.scheduled,
            sent: tally.sent,
            answered: tally.answered,
            abandoned: tally.abandoned(),
            never_sent: NeverSent { queue_full: tally.queue_full, end_of_run: tally.never_sent() },
            errors: Errors {
                connect: tally.failures_of(FailureKind::Connect),
                handshake: tally.failures_of(FailureKind::Handshake),
                reset: tally.failures_of(FailureKind::Reset),
                timeout: tally.failures_of(FailureKind::Timeout),
                parse: tally.failures_of(FailureKind::Parse),
            },
            status: tally.statuses.clone(),
            status_class,
            unexpected_status: unexpected.map(|(_, count)| count).sum(),
            first_errors: tally.first_failures.iter().map(words).collect(),
        }
    }
}

fn name_of(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Connect => "connect",
        FailureKind::Handshake => "handshake",
        FailureKind::Reset => "reset",
        FailureKind::Timeout => "timeout",
        FailureKind::Parse => "parse",
    }
}

impl Times {
    pub(crate) fn from_histogram(histogram: &Histogram<impl Counter>) -> Self {
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let at = |quantile| microseconds(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: microseconds(histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan_with;
    use crate::schedule::{Dispatched, Due};
    use rustls::HandshakeKind;
    use std::time::Instant;

    fn outcome(lag: Duration, status: u16) -> Outcome {
        let intended = Instant::now();
        let request = Dispatched { due: Due { number: 0, intended, measured: true }, at: intended };
        let mut measured = Tally::new();
        (measured.scheduled, measured.sent) = (1, 1);
        measured.begun(request, intended, intended + lag);
        measured.answered(request, status, intended + lag, Duration::ZERO);
        Outcome {
            measured,
            warmup: Tally::new(),
            timeline: None,
            elapsed: Duration::from_secs(1),
            connections_opened: 1,
            closed_while_idle: 0,
            interrupted: false,
        }
    }

    #[test]
    fn a_generator_that_lags_makes_the_run_void_and_says_why() {
        let mut plan = plan_with(&["ANNA1"]);
        plan.max_lag = Duration::from_millis(2);
        let lagged = Report::judge(&plan, &outcome(Duration::from_millis(3), 302));
        assert!(
            lagged.void && lagged.text().contains("VOID: the generator lagged: it sent requests 3")
        );
        assert_eq!(lagged.exit_code(), ExitCode::from(3));
        let timely = Report::judge(&plan, &outcome(Duration::from_millis(1), 302));
        assert!(!timely.void && !timely.text().contains("VOID"));
        assert_eq!(timely.exit_code(), ExitCode::SUCCESS);
    }

    #[test]
    fn a_full_handshake_among_resumed_ones_makes_the_run_void() {
        let mut plan = plan_with(&["ANNA1"]);
        plan.connect = ConnectMode::TlsResumed;
        let mut outcome = outcome(Duration::ZERO, 302);
        outcome.measured.connected(Duration::ZERO, Some(HandshakeKind::Resumed));
        assert_eq!(Report::judge(&plan, &outcome).exit_code(), ExitCode::SUCCESS);
        outcome.measured.connected(Duration::ZERO, Some(HandshakeKind::Full));
        let report = Report::judge(&plan, &outcome);
        assert_eq!(report.exit_code(), ExitCode::from(3));
        assert!(report.text().contains("VOID: 1 of 2 handshakes were full"), "{}", report.text());
        plan.connect = ConnectMode::TlsNew;
        assert_eq!(Report::judge(&plan, &outcome).exit_code(), ExitCode::SUCCESS);
    }

    #[test]
    fn a_status_that_was_not_expected_is_counted_and_has_its_exit_code() {
        let mut plan = plan_with(&["ANNA1"]);
        plan.expect_status = vec!["302".parse().unwrap(), "404".parse().unwrap()];
        let report = Report::judge(&plan, &outcome(Duration::ZERO, 404));
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        let report = Report::judge(&plan, &outcome(Duration::ZERO, 500));
        assert_eq!(report.measured.unexpected_status, 1);
        assert_eq!(report.exit_code(), ExitCode::from(4));
    }

    #[test]
    fn requests_without_an_answer_are_warned_about() {
        let plan = plan_with(&["ANNA1"]);
        let mut outcome = outcome(Duration::ZERO, 302);
        outcome.measured.scheduled += 2;
        outcome.measured.queue_full += 2;
        let report = Report::judge(&plan, &outcome);
        assert!(report.text().contains("2 of 3 requests were not answered"));
        assert!(report.text().contains("never sent: queue full"));
    }
}
