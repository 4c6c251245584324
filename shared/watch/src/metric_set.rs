//! The metrics of one scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::latency::LatencySnapshot;

/// The values of one label, each with its figure.
type Labelled<T> = Vec<(String, T)>;

/// The metrics of one scrape, in the order of their addition.
#[derive(Debug, Default)]
pub struct MetricSet {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    figures: Figures,
}

#[derive(Debug)]
enum Figures {
    Gauge(u64),
    Seconds(f64),
    Gauges(&'static str, Labelled<u64>),
    SecondsEach(&'static str, Labelled<f64>),
    Counter(u64),
    CounterSeconds(f64),
    Counters(&'static str, Labelled<u64>),
    Latencies(&'static str, Labelled<LatencySnapshot>),
    /// A gauge that is always 1; the labels are the news.
    Info(Vec<(&'static str, String)>),
}

impl MetricSet {
    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(name, help, Figures::Gauge(value));
    }

    /// A gauge in seconds: an age, a lag, a moment.
    pub fn seconds(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(name, help, Figures::Seconds(value));
    }

    /// A gauge for each value of a label.
    pub fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: Labelled<u64>,
    ) {
        self.add(name, help, Figures::Gauges(label, values));
    }

    /// A gauge in seconds for each value of a label.
    pub fn seconds_each(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: Labelled<f64>,
    ) {
        self.add(name, help, Figures::SecondsEach(label, values));
    }

    /// A number that only grows.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(name, help, Figures::Counter(value));
    }

    /// Seconds that only grow.
    pub fn counter_seconds(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(name, help, Figures::CounterSeconds(value));
    }

    /// A counter for each value of a label.
    pub fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: Labelled<u64>,
    ) {
        self.add(name, help, Figures::Counters(label, values));
    }

    /// A histogram for each value of a label.
    pub fn latencies(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: Labelled<LatencySnapshot>,
    ) {
        self.add(name, help, Figures::Latencies(label, values));
    }

    /// A gauge that is always 1 and tells by its labels.
    pub fn info(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: Vec<(&'static str, String)>,
    ) {
        self.add(name, help, Figures::Info(labels));
    }

    fn add(&mut self, name: &'static str, help: &'static str, figures: Figures) {
        self.families.push(Family { name, help, figures });
    }
}

impl Collector for MetricSet {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Figures {
    fn kind(&self) -> MetricType {
        match self {
            Figures::Gauge(_) | Figures::Seconds(_) | Figures::Gauges(..) => MetricType::Gauge,
            Figures::SecondsEach(..) | Figures::Info(_) => MetricType::Gauge,
            Figures::Counter(_) | Figures::CounterSeconds(_) => MetricType::Counter,
            Figures::Counters(..) => MetricType::Counter,
            Figures::Latencies(..) => MetricType::Histogram,
        }
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metric = encoder.encode_descriptor(self.name, self.help, None, self.figures.kind())?;
        match &self.figures {
            Figures::Gauge(number) => gauge(metric, *number as i64),
            Figures::Seconds(seconds) => gauge(metric, *seconds),
            Figures::Gauges(label, numbers) => {
                each(metric, label, numbers, |metric, number| gauge(metric, *number as i64))
            }
            Figures::SecondsEach(label, seconds) => {
                each(metric, label, seconds, |metric, seconds| gauge(metric, *seconds))
            }
            Figures::Counter(number) => ConstCounter::new(*number).encode(metric),
            Figures::CounterSeconds(seconds) => ConstCounter::new(*seconds).encode(metric),
            Figures::Counters(label, numbers) => each(metric, label, numbers, |metric, number| {
                ConstCounter::new(*number).encode(metric)
            }),
            Figures::Latencies(label, latencies) => each(metric, label, latencies, histogram),
            Figures::Info(labels) => {
                let labels: Vec<(&str, &str)> =
                    labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let mut metric = metric;
                gauge(metric.encode_family(&labels.as_slice())?, 1)
            }
        }
    }
}

fn gauge<N: EncodeGaugeValue>(metric: MetricEncoder<'_>, value: N) -> fmt::Result {
    ConstGauge::new(value).encode(metric)
}

fn histogram(mut metric: MetricEncoder<'_>, latency: &LatencySnapshot) -> fmt::Result {
    let buckets = latency.buckets();
    metric.encode_histogram::<NoLabelSet>(latency.sum_s(), latency.count(), &buckets, None)
}

fn each<T>(
    mut metric: MetricEncoder<'_>,
    label: &'static str,
    figures: &Labelled<T>,
    encode: impl Fn(MetricEncoder<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    figures.iter().try_for_each(|(value, figure)| {
        let labels = [(label, value.as_str())];
        encode(metric.encode_family(&labels)?, figure)
    })
}
