//! `sweep`: latency against rate, up to the knee, for each way of connecting and share of misses.
//!
//! Each step is an open-loop run. A line of steps ends with the first step beyond the knee; that
//! step stays in the report and shows the position of the knee. A step in which the generator
//! lagged also ends its line, but says nothing about the server, and is marked. Before a step ends
//! a line it is repeated once, because another tenant of the machine may have caused the result.

mod chart;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use crate::cli::SweepArguments;
use crate::codes::CodeList;
use crate::connect::ConnectMode;
use crate::generator::{self, Outcome};
use crate::plan::{Plan, server_tls};
use crate::progress;
use crate::report::{Times, align_figures, lag_reasons, not_resumed, plain_table};
use crate::schedule::total_requests;
use crate::tally::Handshakes;
use crate::tls::TlsClient;

/// Least share of requests that must be answered for a rate to count as sustained.
const KEPT_UP: f64 = 0.98;

/// All lines of a sweep.
#[derive(Debug, Serialize)]
pub(crate) struct Sweep {
    codes: usize,
    connections: u32,
    duration_s: f64,
    lines: Vec<Line>,
}

/// The steps of one way of connecting and one share of misses.
#[derive(Debug, Serialize)]
struct Line {
    connect: ConnectMode,
    /// 0 for unlimited.
    requests_per_connection: u64,
    miss_ratio: f64,
    steps: Vec<SweepStep>,
    end: End,
}

#[derive(Debug, Serialize)]
struct SweepStep {
    rate: f64,
    answered: u64,
    scheduled: u64,
    latency_us: Times,
    generator_lag_us: Times,
    /// New connections, TLS handshake included.
    connecting_us: Times,
    handshakes: Handshakes,
    /// Answers by status: refusals are fast, too.
    status: BTreeMap<u16, u64>,
}

/// Reason for the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// The last step is beyond the knee.
    Knee,
    /// The generator could not go faster.
    GeneratorLagged,
    /// The highest rate was reached.
    LastRate,
}

/// A way of connecting with its limit of requests on a connection; 0 is unlimited.
#[derive(Debug, Clone, Copy)]
struct Way {
    connect: ConnectMode,
    requests_per_connection: u64,
}

pub(crate) fn sweep(arguments: &SweepArguments) -> anyhow::Result<Sweep> {
    let SweepArguments { connect, server, visitors, .. } = arguments;
    ensure!(
        connect.iter().all(|way| way.uses_tls() == connect[0].uses_tls()),
        "--connect names ways with and without TLS, but --target is one port; run `sweep` for each"
    );
    let codes = CodeList::of_file(&arguments.codes)?;
    let tls = server_tls(server, visitors, connect)?;
    let mut lines = Vec::new();
    for way in ways(arguments) {
        let client = match tls.as_ref().filter(|_| way.connect.uses_tls()) {
            Some(tls) => Some(Arc::new(TlsClient::new(tls, way.connect)?)),
            None => None,
        };
        for miss_ratio in &arguments.miss_ratio {
            lines.push(line(arguments, &codes, way, client.as_ref(), *miss_ratio)?);
        }
    }
    Ok(Sweep {
        codes: codes.len(),
        connections: arguments.connections,
        duration_s: arguments.duration.as_secs_f64(),
        lines,
    })
}

fn ways(arguments: &SweepArguments) -> Vec<Way> {
    let limits = |connect: ConnectMode| match connect.keeps_connections() {
        true => arguments.requests_per_connection.clone(),
        false => vec![1],
    };
    let ways = arguments.connect.iter().flat_map(|connect| {
        let limits = limits(*connect).into_iter();
        limits.map(|requests_per_connection| Way { connect: *connect, requests_per_connection })
    });
    ways.collect()
}

fn line(
    arguments: &SweepArguments,
    codes: &Arc<CodeList>,
    way: Way,
    tls: Option<&Arc<TlsClient>>,
    miss_ratio: f64,
) -> anyhow::Result<Line> {
    let Way { connect, requests_per_connection } = way;
    let (steps, end) = (Vec::new(), End::LastRate);
    let mut line = Line { connect, requests_per_connection, miss_ratio, steps, end };
    let mut rate = arguments.from;
    while rate <= arguments.to {
        let plan = Arc::new(plan(arguments, codes, &line, tls, rate));
        plan.check()?;
        let (mut done, mut end) = step(&plan, &line.name(), arguments.knee)?;
        if end.is_some() {
            (done, end) = step(&plan, &line.name(), arguments.knee)?;
        }
        line.steps.push(done);
        if let Some(end) = end {
            line.end = end;
            break;
        }
        rate *= arguments.factor;
    }
    Ok(line)
}

/// Runs one step; the second value is the reason to stop, if any.
fn step(plan: &Arc<Plan>, line: &str, knee: Duration) -> anyhow::Result<(SweepStep, Option<End>)> {
    let bar = progress::requests(total_requests(plan));
    bar.set_message(line.to_owned());
    let outcome = generator::generate(plan, &bar)?;
    ensure!(!outcome.interrupted, "interrupted");
    if let Some(reason) = not_resumed(plan, &outcome.measured) {
        bail!("{line}, {} requests/s: {reason}", plan.rate);
    }
    let step = SweepStep::from_outcome(plan.rate, &outcome);
    let end = end_of(plan, &outcome, &step, knee);
    Ok((step, end))
}

fn plan(
    arguments: &SweepArguments,
    codes: &Arc<CodeList>,
    line: &Line,
    tls: Option<&Arc<TlsClient>>,
    rate: f64,
) -> Plan {
    let SweepArguments { target, visitors, .. } = arguments;
    Plan {
        host: arguments.server.host(*target),
        connect: line.connect,
        tls: tls.cloned(),
        announces_close: line.connect.keeps_connections() || visitors.connection_close,
        source_addresses: visitors.source_addresses(*target, line.connect),
        rate,
        warmup: Duration::from_millis(500),
        duration: arguments.duration,
        connections: arguments.connections as usize,
        requests_per_connection: match line.requests_per_connection {
            0 => u64::MAX,
            requests => requests,
        },
        miss_ratio: line.miss_ratio,
        max_lag: arguments.max_lag,
        ..Plan::plain(*target, codes)
    }
}

/// The reason to try no higher rate, if any.
fn end_of(plan: &Plan, outcome: &Outcome, step: &SweepStep, knee: Duration) -> Option<End> {
    let kept_up = step.answered as f64 >= step.scheduled as f64 * KEPT_UP;
    if !kept_up || step.latency_us.p99 > knee.as_secs_f64() * 1e6 {
        let lagged = !lag_reasons(plan, &outcome.measured).is_empty();
        return Some(if lagged { End::GeneratorLagged } else { End::Knee });
    }
    (!lag_reasons(plan, &outcome.measured).is_empty()).then_some(End::GeneratorLagged)
}

impl SweepStep {
    fn from_outcome(rate: f64, outcome: &Outcome) -> SweepStep {
        let tally = &outcome.measured;
        SweepStep {
            rate,
            answered: tally.answered,
            scheduled: tally.scheduled,
            latency_us: Times::from_histogram(&tally.latency),
            generator_lag_us: Times::from_histogram(&tally.generator_lag),
            connecting_us: Times::from_histogram(&tally.connecting),
            handshakes: tally.handshakes,
            status: tally.statuses.clone(),
        }
    }

    fn statuses(&self) -> String {
        let shown = self.status.iter().map(|(status, count)| format!("{status}: {count}"));
        shown.collect::<Vec<_>>().join(", ")
    }
}

impl Line {
    fn name(&self) -> String {
        let way = match (self.connect, self.requests_per_connection) {
            (ConnectMode::KeepAlive, 1) => "1 request a connection".to_owned(),
            (ConnectMode::KeepAlive, 2..) => {
                format!("{} requests a connection", self.requests_per_connection)
            }
            (ConnectMode::TlsKeepAlive, 1) => "1 request a TLS connection".to_owned(),
            (ConnectMode::TlsKeepAlive, 2..) => {
                format!("{} requests a TLS connection", self.requests_per_connection)
            }
            (connect, _) => connect.to_string(),
        };
        format!("{way}, {:.0} % misses", self.miss_ratio * 100.0)
    }
}

impl Sweep {
    /// Prints the lines, and writes `sweep.json` and `sweep.svg` into `out`.
    pub(crate) fn publish(&self, out: Option<&Path>) -> anyhow::Result<()> {
        println!("{}", self.text());
        let Some(out) = out else { return Ok(()) };
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        std::fs::write(out.join("sweep.json"), serde_json::to_string_pretty(self)? + "\n")?;
        std::fs::write(out.join("sweep.svg"), chart::lines(&self.lines)?)?;
        Ok(())
    }

    fn text(&self) -> String {
        let Sweep { codes, connections, duration_s, .. } = self;
        let mut text =
            format!("{codes} codes, {connections} connections, {duration_s} s a step; µs\n");
        for line in &self.lines {
            let mut table = plain_table([
                "requests/s",
                "answered",
                "p50",
                "p90",
                "p99",
                "p99.9",
                "max",
                "connecting p50",
                "lag p99",
                "status",
            ]);
            for step in &line.steps {
                let Times { p50, p90, p99, p99_9, max, .. } = &step.latency_us;
                let answered = format!("{} of {}", step.answered, step.scheduled);
                let (connecting, lag) = (&step.connecting_us.p50, &step.generator_lag_us.p99);
                let times =
                    [p50, p90, p99, p99_9, max, connecting, lag].map(|time| format!("{time:.0}"));
                let begin = [format!("{:.0}", step.rate), answered];
                table.add_row(begin.into_iter().chain(times).chain([step.statuses()]));
            }
            align_figures(&mut table);
            text += &format!("\n{}: {}\n{table}\n", line.name(), line.end.label());
        }
        text
    }
}

impl End {
    fn label(self) -> &'static str {
        match self {
            End::Knee => "the last rate is beyond the knee",
            End::GeneratorLagged => "the generator could not go faster; this is not the knee",
            End::LastRate => "the last rate was kept up with",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan_with;
    use crate::tally::Tally;
    use hdrhistogram::Histogram;

    fn end(answered: u64, p99: Duration, lag: Duration) -> Option<End> {
        let mut latency = Histogram::<u64>::new(3).unwrap();
        latency.record(p99.as_nanos() as u64).unwrap();
        let mut measured = Tally::new();
        measured.generator_lag.record(lag.as_nanos() as u64).unwrap();
        let outcome = Outcome {
            measured,
            warmup: Tally::new(),
            timeline: None,
            elapsed: Duration::from_secs(1),
            connections_opened: 1,
            closed_while_idle: 0,
            interrupted: false,
        };
        let step = SweepStep {
            rate: 100.0,
            answered,
            scheduled: 100,
            latency_us: Times::from_histogram(&latency),
            generator_lag_us: Times::from_histogram(&outcome.measured.generator_lag),
            connecting_us: Times::from_histogram(&outcome.measured.connecting),
            handshakes: outcome.measured.handshakes,
            status: BTreeMap::new(),
        };
        end_of(&plan_with(&["ANNA1"]), &outcome, &step, Duration::from_millis(50))
    }

    #[test]
    fn a_line_ends_when_answers_come_late_or_not_at_all() {
        let ms = Duration::from_millis;
        assert_eq!(end(100, ms(49), ms(1)), None);
        assert_eq!(end(100, ms(60), ms(1)), Some(End::Knee));
        assert_eq!(end(90, ms(10), ms(1)), Some(End::Knee));
    }

    #[test]
    fn a_generator_that_lags_is_not_taken_for_the_servers_knee() {
        let ms = Duration::from_millis;
        assert_eq!(end(100, ms(60), ms(30)), Some(End::GeneratorLagged));
        assert_eq!(end(100, ms(10), ms(30)), Some(End::GeneratorLagged));
    }
}
