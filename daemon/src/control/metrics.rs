//! Metrics: the sums of all threads' counters at the time of the request.
//!
//! Deliberately absent: labels for codes, offers and partners. Visitors choose codes, so such
//! labels would grow without bound; the admin counts the clicks themselves.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use coupon_geo::GeoWatcher;
use coupon_serve::ProxyCounters;
use coupon_serve::tls::{CertificateWatcher, TlsCounters};
use coupon_shared::decision::Reason;
use hyper::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{ControlApi, state};
use crate::clock::unix_ms;
use crate::counters::{Count, VisitCounters};
use crate::http_answer::{HttpAnswer, with_type};
use crate::postbacks::PostbackStatus;
use crate::thread_metrics::{ThreadMetrics, connection_total};
use crate::visit_state::VisitStateStatus;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl ControlApi {
    pub(super) fn metrics(&self) -> HttpAnswer {
        let mut registry = Registry::with_prefix("coupond");
        registry.register_collector(Box::new(self.snapshot()));
        let mut body = String::new();
        match text::encode(&mut body, &registry) {
            Ok(()) => with_type(StatusCode::OK, OPEN_METRICS, body),
            Err(_) => with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", String::new()),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let served = self.loader.served();
        let status = self.loader.status();
        let (codes, bytes) = self.loader.size();
        let mut snapshot = Snapshot::default();
        snapshot.visits(&self.threads);
        snapshot.connections(&self.threads);
        snapshot.first_bytes(self.proxies.counters(), &self.handshakes);
        snapshot.certificates(self.watcher.as_ref());
        snapshot.geo(&self.geo);
        snapshot.gauge(
            "index_generation",
            "Generation of the index served, 0 for none",
            served.map_or(0, |served| served.generation),
        );
        snapshot.gauge(
            "index_sequence",
            "Last change of the store that the index holds",
            served.map_or(0, |served| served.sequence),
        );
        snapshot.gauge("index_codes", "Codes in the index's levels", codes);
        snapshot.gauge("index_bytes", "Bytes of the index's levels", bytes);
        snapshot.gauge(
            "index_current",
            "Whether the published index is the one served",
            u64::from(status.problem.is_none()),
        );
        snapshot.gauge("index_retired", "Indexes replaced but not yet freed", status.retired);
        snapshot.counter("index_loads", "Indexes brought into service", status.loads);
        snapshot.counter("index_load_failures", "Published indexes refused", status.failures);
        for (name, help, value) in self.clicks.gauges() {
            snapshot.gauge(name, help, value);
        }
        snapshot.postbacks(self.postbacks.status());
        snapshot.visit_state(&self.visit_state.status());
        snapshot
    }
}

#[derive(Debug)]
struct Metric {
    name: &'static str,
    help: &'static str,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Gauge(u64),
    /// A gauge for each value of a label.
    Gauges(&'static str, Vec<(String, u64)>),
    Counter(u64),
    /// A counter for each value of a label.
    Counters(&'static str, Vec<(String, u64)>),
}

#[derive(Debug, Default)]
struct Snapshot {
    metrics: Vec<Metric>,
}

impl Snapshot {
    fn visits(&mut self, threads: &[ThreadMetrics]) {
        let sum = |count: fn(&VisitCounters) -> &Count| {
            threads.iter().map(|thread| count(&thread.visits).get()).sum::<u64>()
        };
        let answers = threads.iter().flat_map(|thread| thread.visits.answers());
        let answers = summed(answers.map(|(status, count)| (status.to_string(), count)));
        self.labelled("answers", "Answers to visitors", "status", answers);
        let reasons = threads.iter().flat_map(|thread| thread.visits.reasons());
        let reasons = summed(
            reasons.map(|(reason, count): (Reason, u64)| (reason.as_str().to_owned(), count)),
        );
        self.labelled("clicks", "Visits of known codes", "reason", reasons);
        self.counter("clicks_logged", "Clicks in the click log", sum(|visits| &visits.logged));
        self.counter(
            "clicks_unlogged",
            "Clicks the full log had no room for",
            sum(|visits| &visits.unlogged),
        );
        self.counter(
            "clicks_answered_before_durable",
            "Answers that could not wait until their click was durable",
            sum(|visits| &visits.answered_before_durable),
        );
        self.counter("heads", "HEAD requests of known codes", sum(|visits| &visits.heads));
        self.counter(
            "unknown_codes",
            "Visits of codes that nobody has",
            sum(|visits| &visits.unknown_codes),
        );
        self.counter(
            "malformed_codes",
            "Visits whose code is none",
            sum(|visits| &visits.malformed_codes),
        );
        self.counter(
            "unknown_hosts",
            "Visits under a host that is no tracking domain",
            sum(|visits| &visits.unknown_hosts),
        );
    }

    fn connections(&mut self, threads: &[ThreadMetrics]) {
        let sum = |count| connection_total(threads, count);
        self.gauge("connections_open", "Connections of visitors open now", sum(|c| &c.open));
        self.gauge(
            "connection_bytes",
            "Estimated memory that the open connections of visitors hold",
            sum(|c| &c.bytes),
        );
        self.counter("connections", "Connections accepted", sum(|c| &c.accepted));
        self.counter(
            "parse_errors",
            "Requests that were not HTTP or too large",
            sum(|c| &c.parse_errors),
        );
        self.counter(
            "connections_timed_out",
            "Connections whose visitor was too slow",
            sum(|c| &c.timed_out),
        );
        self.counter(
            "connections_evicted",
            "Waiting connections closed in favour of new ones, at limits.max_connections",
            sum(|c| &c.evicted),
        );
        self.counter(
            "connections_evicted_for_memory",
            "Waiting connections closed in favour of others, at limits.max_connection_bytes",
            sum(|c| &c.evicted_for_memory),
        );
        self.counter("connections_broken", "Connections that broke off", sum(|c| &c.broken));
        self.counter(
            "accept_errors",
            "Times the system refused to accept",
            sum(|c| &c.accept_errors),
        );
    }

    /// The connections' parts before HTTP.
    fn first_bytes(&mut self, proxies: &ProxyCounters, tls: &TlsCounters) {
        let labelled = |counts: &[(&str, &AtomicU64)]| {
            let counts = counts.iter();
            counts
                .map(|(name, count)| ((*name).to_owned(), count.load(Ordering::Relaxed)))
                .collect()
        };
        self.labelled(
            "proxy_connections_refused",
            "Connections closed because no trusted proxy said whose they are",
            "reason",
            labelled(&[("untrusted", &proxies.untrusted), ("malformed", &proxies.malformed)]),
        );
        self.counter(
            "tls_connections",
            "Connections at listeners with TLS",
            tls.accepted.load(Ordering::Relaxed),
        );
        self.labelled(
            "tls_handshakes",
            "Complete TLS handshakes",
            "kind",
            labelled(&[("full", &tls.full), ("resumed", &tls.resumed)]),
        );
        self.labelled(
            "tls_connections_refused",
            "Connections closed before their TLS handshake was complete",
            "reason",
            labelled(&[
                ("failed", &tls.failed),
                ("limited", &tls.limited),
                ("unknown_name", &tls.unknown_name),
                ("plain_http", &tls.plain_http),
            ]),
        );
    }

    /// One figure for all certificates: host names are chosen by the network, and an alert needs
    /// the first end alone; `/health` names the host.
    fn certificates(&mut self, watcher: Option<&CertificateWatcher>) {
        let Some(watcher) = watcher else { return };
        let names = watcher.table().by_name();
        let first_end = names.values().map(|pair| pair.not_after()).min();
        self.gauge("tls_certificate_names", "Host names with a certificate", names.len() as u64);
        self.gauge(
            "tls_certificate_first_end_seconds",
            "Unix time at which the first certificate in service ends, 0 for none",
            first_end.and_then(|end| u64::try_from(end).ok()).unwrap_or(0),
        );
        self.gauge(
            "tls_certificate_problems",
            "Problems with certificates; /health names them",
            watcher.problems().len() as u64,
        );
    }

    /// The label is the configured path: at most four, and chosen by the operator.
    fn geo(&mut self, watcher: &GeoWatcher) {
        let (status, now) = (watcher.status(), unix_ms() / 1000);
        let in_service = status.iter().filter_map(|file| Some((file, file.database.as_ref()?)));
        let (mut ages, mut builds, mut bytes, mut unreadable) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (file, database) in in_service {
            let path = file.path.display().to_string();
            ages.push((path.clone(), database.age_s(now)));
            builds.push((path.clone(), database.build_unix_s));
            bytes.push((path.clone(), database.bytes));
            unreadable.push((path, file.unreadable));
        }
        let mut gauges = |name, help, values| {
            let value = Value::Gauges("path", values);
            self.metrics.push(Metric { name, help, value });
        };
        gauges("geo_database_age_seconds", "Time since the database of places was built", ages);
        gauges("geo_database_build_seconds", "Unix time at which the database was built", builds);
        gauges("geo_database_bytes", "Memory that the database takes", bytes);
        self.labelled(
            "geo_look_ups_unreadable",
            "Look-ups that found a damaged record",
            "path",
            unreadable,
        );
        self.gauge(
            "geo_database_problems",
            "Databases of places that are not in service as they are on the disk; /health names them",
            watcher.problems().len() as u64,
        );
    }

    fn postbacks(&mut self, status: PostbackStatus) {
        self.counter("postbacks_received", "Postbacks kept", status.received);
        let answered = status.answered.into_iter().map(|(name, count)| (name.to_owned(), count));
        let answered = answered.collect();
        self.labelled("postbacks_answered", "Answers to postbacks kept", "verdict", answered);
        let refused = status.refused.into_iter().map(|(code, count)| (code.to_string(), count));
        let refused = refused.collect();
        self.labelled("postbacks_refused", "Postbacks not kept", "status", refused);
        self.gauge("postbacks_waiting", "Requests waiting for a verdict", status.waiting);
        self.gauge(
            "postbacks_acknowledged",
            "Postbacks in the spool that the admin has decided",
            status.acknowledged,
        );
        self.gauge(
            "postbacks_unacknowledged",
            "Postbacks in the spool that the admin has not decided",
            status.unacknowledged,
        );
        self.gauge("postback_spool_bytes", "Bytes of the spool", status.spool_bytes);
        self.gauge("postback_spool_open", "Whether the spool is open", status.spool_is_open.into());
        self.gauge(
            "postback_disk_low",
            "Whether less is free on the spool's disk than its reserve",
            status.is_disk_low.into(),
        );
        self.gauge(
            "postback_spool_torn_bytes",
            "Bytes cut off a torn tail of the spool at the start",
            status.torn_bytes_cut,
        );
    }

    fn visit_state(&mut self, status: &VisitStateStatus) {
        if let Some(age) = state::age_seconds(status) {
            self.gauge("state_age_seconds", "Time since the admin made the last visit state", age);
        }
        self.gauge("caps", "Hard caps of the catalog in service", status.caps);
        self.gauge("caps_reached", "Hard caps that take no more visits", status.caps_reached);
        self.gauge(
            "cap_journal_lines",
            "Clicks against caps that the admin's counts may not include",
            status.journal_lines,
        );
        self.counter(
            "cap_journal_lines_folded",
            "Clicks against caps that a full journal keeps only as sums",
            status.journal_folded,
        );
        self.gauge("converted_visitors", "Converted visitors in the visit state", status.converted);
        self.gauge("seen_visitors", "Visitors in the table of seen visitors", status.seen_visitors);
        self.counter(
            "seen_visitors_evicted",
            "Visitors who made room for others in the table",
            status.seen_evictions,
        );
        let failed_open = [
            ("repeats", status.failed_open_repeats),
            ("converted", status.failed_open_converted),
            ("caps", status.failed_open_caps),
        ];
        self.labelled(
            "visit_state_failed_open",
            "Questions about earlier visits that let visits pass because nothing was known",
            "question",
            failed_open.map(|(question, count)| (question.to_owned(), count)).into(),
        );
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.metrics.push(Metric { name, help, value: Value::Counter(value) });
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.metrics.push(Metric { name, help, value: Value::Gauge(value) });
    }

    fn labelled(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: Vec<(String, u64)>,
    ) {
        self.metrics.push(Metric { name, help, value: Value::Counters(label, values) });
    }
}

/// Sums counts with the same label, in the order of first appearance.
fn summed(counts: impl Iterator<Item = (String, u64)>) -> Vec<(String, u64)> {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for (label, count) in counts {
        match sums.iter_mut().find(|(known, _)| *known == label) {
            Some((_, sum)) => *sum += count,
            None => sums.push((label, count)),
        }
    }
    sums
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.metrics.iter().try_for_each(|metric| metric.encode(&mut encoder))
    }
}

impl Metric {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let kind = match self.value {
            Value::Gauge(_) | Value::Gauges(..) => MetricType::Gauge,
            Value::Counter(_) | Value::Counters(..) => MetricType::Counter,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        match &self.value {
            Value::Gauge(number) => ConstGauge::new(*number as i64).encode(metric),
            Value::Gauges(label, numbers) => numbers.iter().try_for_each(|(value, number)| {
                let labels = [(*label, value.as_str())];
                ConstGauge::new(*number as i64).encode(metric.encode_family(&labels)?)
            }),
            Value::Counter(number) => ConstCounter::new(*number).encode(metric),
            Value::Counters(label, numbers) => numbers.iter().try_for_each(|(value, number)| {
                let labels = [(*label, value.as_str())];
                ConstCounter::new(*number).encode(metric.encode_family(&labels)?)
            }),
        }
    }
}
