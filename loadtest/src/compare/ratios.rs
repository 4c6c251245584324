//! Figures from slices: medians, and medians of the ratios within a round.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::contender::Contender;
use crate::report::Times;
use crate::server::process::CpuTime;
use crate::spread::Spread;

/// Cost of one slice of load.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    pub(super) cpu: CpuTime,
    pub(super) requests: u64,
    pub(super) took: Duration,
    pub(super) latency: Histogram<u64>,
    /// Time of connecting, TLS handshake included.
    pub(super) connecting: Histogram<u64>,
    /// Reasons why the latencies are not usable.
    pub(super) lag: Vec<String>,
}

impl Slice {
    fn micros(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// Figures of a server under one load.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Cost {
    pub(super) contender: Contender,
    /// CPU microseconds per request.
    pub(super) micros: Spread,
    /// CPU microseconds per request of the serving threads, if the server has other threads.
    pub(super) serving_micros: Option<Spread>,
    /// Ratio to the reference contender, within the rounds.
    pub(super) ratio: Spread,
    /// Utilisation of the server's core.
    pub(super) core_busy: Spread,
    /// Over all rounds; without meaning if all connections were kept busy.
    pub(super) latency_us: Times,
    pub(super) connecting_us: Times,
    /// Slices in which the generator lagged, so that the latencies are partly its own.
    pub(super) lagged: Vec<String>,
}

/// Figures of all contenders over the rounds, relative to `reference`.
pub(super) fn costs(rounds: &[Vec<(Contender, Slice)>], reference: Contender) -> Vec<Cost> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let contenders = first.iter().map(|(contender, _)| *contender);
    contenders.filter_map(|contender| cost(rounds, contender, reference)).collect()
}

fn cost(
    rounds: &[Vec<(Contender, Slice)>],
    contender: Contender,
    reference: Contender,
) -> Option<Cost> {
    let slices = || rounds.iter().filter_map(|round| slice_of(round, contender));
    let total = |slice: &Slice| slice.micros(slice.cpu.total());
    let serving: Vec<f64> =
        slices().map(|slice| slice.micros(slice.cpu.of_threads("serve-"))).collect();
    let ratios = rounds.iter().filter_map(|round| {
        Some(total(slice_of(round, contender)?) / total(slice_of(round, reference)?))
    });
    let busy = slices().map(|slice| slice.cpu.total().as_secs_f64() / slice.took.as_secs_f64());
    let lagged = slices().flat_map(|slice| slice.lag.clone()).collect();
    Some(Cost {
        contender,
        core_busy: Spread::from_figures(busy.collect())?,
        latency_us: Times::from_histogram(&sum(slices().map(|slice| &slice.latency))?),
        connecting_us: Times::from_histogram(&sum(slices().map(|slice| &slice.connecting))?),
        lagged,
        micros: Spread::from_figures(slices().map(total).collect())?,
        serving_micros: Spread::from_figures(serving).filter(|spread| spread.highest > 0.0),
        ratio: Spread::from_figures(ratios.collect())?,
    })
}

fn sum<'a>(mut histograms: impl Iterator<Item = &'a Histogram<u64>>) -> Option<Histogram<u64>> {
    let mut sum = histograms.next()?.clone();
    for histogram in histograms {
        // All histograms have the same bounds, so adding cannot fail.
        let _ = sum.add(histogram);
    }
    Some(sum)
}

fn slice_of(round: &[(Contender, Slice)], wanted: Contender) -> Option<&Slice> {
    round.iter().find(|(contender, _)| *contender == wanted).map(|(_, slice)| slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(thread: &str, micros: u64) -> Slice {
        let mut latency = Histogram::new(3).unwrap();
        latency.record(micros * 1000).unwrap();
        Slice {
            cpu: CpuTime::of_thread(thread, Duration::from_micros(micros)),
            requests: 10,
            took: Duration::from_micros(micros * 2),
            connecting: Histogram::new(3).unwrap(),
            latency,
            lag: Vec::new(),
        }
    }

    #[test]
    fn servers_are_compared_within_a_round_so_that_a_slow_round_changes_nothing() {
        let round = |factor: u64| {
            vec![
                (Contender::Coupond, slice("serve-0", 80 * factor)),
                (Contender::Nginx, slice("nginx", 100 * factor)),
            ]
        };
        let costs = costs(&[round(1), round(3), round(2)], Contender::Nginx);
        let coupond = &costs[0];
        assert_eq!(coupond.ratio, Spread { median: 0.8, lowest: 0.8, highest: 0.8 });
        assert_eq!(coupond.micros, Spread { median: 16.0, lowest: 8.0, highest: 24.0 });
        assert_eq!(coupond.serving_micros, Some(coupond.micros));
        assert_eq!(coupond.core_busy, Spread { median: 0.5, lowest: 0.5, highest: 0.5 });
        assert_eq!((coupond.latency_us.count, coupond.latency_us.p50.round()), (3, 160.0));
        assert_eq!((costs[1].ratio.median, costs[1].serving_micros), (1.0, None));
    }
}
