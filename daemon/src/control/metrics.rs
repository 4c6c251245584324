//! Metrics: the sums of all threads' counters at the time of the request.
//!
//! Deliberately absent: labels for codes, offers and partners. Visitors choose codes, so such
//! labels would grow without bound; the admin counts the clicks themselves.

use std::sync::atomic::{AtomicU64, Ordering};

use coupon_geo::GeoWatcher;
use coupon_serve::ProxyCounters;
use coupon_serve::tls::{CertificateWatcher, TlsCounters};
use coupon_shared::decision::Reason;
use coupon_watch::{LatencySnapshot, MetricSet, build_metrics};

use super::{ControlApi, state};
use crate::clicks::ClickLogStatus;
use crate::clock::unix_ms;
use crate::counters::{Count, Outcome, VisitCounters};
use crate::operation::OperationState;
use crate::postbacks::PostbackStatus;
use crate::thread_metrics::{ThreadMetrics, connection_total};
use crate::visit_state::VisitStateStatus;

impl ControlApi {
    pub(super) fn metric_set(&self) -> MetricSet {
        let served = self.loader.served();
        let status = self.loader.status();
        let (codes, bytes) = self.loader.size();
        let mut snapshot = Snapshot::default();
        build_metrics(&mut snapshot.0, self.operation.started_unix_s());
        snapshot.operation(&self.operation);
        let problems = self.problems().len() as u64;
        snapshot.0.gauge("problems", "Problems; /health names each with its mend", problems);
        snapshot.folders(self);
        snapshot.visits(&self.threads);
        snapshot.latencies(&self.threads);
        snapshot.threads(&self.threads);
        snapshot.connections(&self.threads);
        snapshot.connection_limits(self);
        snapshot.first_bytes(self.proxies.counters(), &self.handshakes);
        snapshot.certificates(self.watcher.as_ref());
        snapshot.geo(&self.geo);
        snapshot.0.gauge(
            "rules_without_data",
            "Rules that ask what no database of places here knows; /health names the facts",
            self.loader.rulesets_without_data(self.geo.current().parts()).0,
        );
        snapshot.0.gauge(
            "index_generation",
            "Generation of the index served, 0 for none",
            served.map_or(0, |served| served.generation),
        );
        snapshot.0.gauge(
            "index_sequence",
            "Last change of the store that the index holds",
            served.map_or(0, |served| served.sequence),
        );
        snapshot.0.gauge("index_codes", "Codes in the index's levels", codes);
        snapshot.0.gauge("index_bytes", "Bytes of the index's levels", bytes);
        snapshot.0.gauge(
            "index_current",
            "Whether the published index is the one served",
            u64::from(status.problem.is_none()),
        );
        snapshot.0.gauge("index_retired", "Indexes replaced but not yet freed", status.retired);
        snapshot.0.counter("index_loads", "Indexes brought into service", status.loads);
        snapshot.0.counter("index_load_failures", "Published indexes refused", status.failures);
        for (name, help, value) in self.clicks.gauges() {
            snapshot.0.gauge(name, help, value);
        }
        snapshot.click_log(&self.clicks.status());
        snapshot.postbacks(self.postbacks.status());
        snapshot.visit_state(&self.visit_state.status());
        snapshot.0
    }
}

/// The metrics of the daemon under construction.
#[derive(Debug, Default)]
struct Snapshot(MetricSet);

impl Snapshot {
    fn operation(&mut self, operation: &OperationState) {
        let configuration = operation.configuration();
        self.0.gauge(
            "config_last_reload_successful",
            "Whether the configuration could be read the last time",
            configuration.problem.is_none().into(),
        );
        self.0.seconds(
            "config_last_reload_seconds",
            "Unix time at which the configuration was read the last time",
            configuration.read_unix_ms as f64 / 1000.0,
        );
        self.0.gauge(
            "config_keys_needing_restart",
            "Changed keys that hold from the next start; /health names them",
            configuration.keys_needing_restart.len() as u64,
        );
        self.0.gauge("draining", "Whether the program is stopping", operation.is_draining().into());
    }

    /// Free and whole space of the file systems on which the program writes.
    fn folders(&mut self, api: &ControlApi) {
        let (mut free, mut whole) = (Vec::new(), Vec::new());
        for space in api.disk_spaces() {
            free.push((space.folder.to_owned(), space.free_bytes));
            whole.push((space.folder.to_owned(), space.size_bytes));
        }
        self.0.gauges("disk_free_bytes", "Free space for the program", "folder", free);
        self.0.gauges("disk_size_bytes", "Size of the file system", "folder", whole);
    }

    fn latencies(&mut self, threads: &[ThreadMetrics]) {
        let sum = |outcome: Outcome| {
            let mut sum = LatencySnapshot::default();
            threads.iter().for_each(|thread| sum.merge(&thread.visits.latency(outcome)));
            (outcome.as_str().to_owned(), sum)
        };
        self.0.latencies(
            "answer_seconds",
            "Time from a whole request of a visitor to its answer, without the network and without \
             the wait of clicks.durable",
            "outcome",
            Outcome::ALL.into_iter().map(sum).collect(),
        );
    }

    fn threads(&mut self, threads: &[ThreadMetrics]) {
        let ages = threads.iter().filter_map(|thread| thread.heartbeat.age_ms());
        self.0.gauge("serving_threads", "Threads that serve visitors", threads.len() as u64);
        self.0.seconds(
            "serving_thread_silence_seconds",
            "Time since the slowest serving thread came round; it does so each second",
            seconds(ages.max().unwrap_or(0)),
        );
    }

    fn connection_limits(&mut self, api: &ControlApi) {
        let (limits, threads) = (api.limits.borrow(), api.threads.len() as u64);
        self.0.gauge(
            "connections_limit",
            "Most connections that may be open, all threads together",
            limits.max_connections as u64 * threads,
        );
        self.0.gauge(
            "connection_bytes_limit",
            "Most memory that open connections may hold, all threads together",
            limits.max_connection_bytes * threads,
        );
    }

    fn click_log(&mut self, status: &ClickLogStatus) {
        self.0.gauge("click_wal_bytes_limit", "Most bytes of the click WAL", status.wal_max_bytes);
        if status.store_max_bytes > 0 {
            let help = "Most bytes of the click store";
            self.0.gauge("click_store_bytes_limit", help, status.store_max_bytes);
        }
        self.0.counter(
            "click_store_blocks_passed_over",
            "Blocks that the click store left out to keep within its bounds",
            status.store_blocks_passed_over,
        );
        self.0.counter(
            "click_store_removals_for_room",
            "Days that the click store removed to keep within its bounds",
            status.store_days_removed,
        );
        if let Some(age) = status.commit_age_ms {
            let help = "Time since clicks were last written to the WAL";
            self.0.seconds("click_wal_commit_age_seconds", help, seconds(age));
        }
        if let Some(age) = status.poll_age_ms {
            let help = "Time since coupon-admin last asked for clicks";
            self.0.seconds("click_feed_poll_age_seconds", help, seconds(age));
        }
    }

    fn visits(&mut self, threads: &[ThreadMetrics]) {
        let sum = |count: fn(&VisitCounters) -> &Count| {
            threads.iter().map(|thread| count(&thread.visits).get()).sum::<u64>()
        };
        let answers = threads.iter().flat_map(|thread| thread.visits.answers());
        let answers = summed(answers.map(|(status, count)| (status.to_string(), count)));
        self.0.counters("answers", "Answers to visitors", "status", answers);
        let reasons = threads.iter().flat_map(|thread| thread.visits.reasons());
        let reasons = summed(
            reasons.map(|(reason, count): (Reason, u64)| (reason.as_str().to_owned(), count)),
        );
        self.0.counters("clicks", "Visits of known codes", "reason", reasons);
        self.0.counter("clicks_logged", "Clicks in the click log", sum(|visits| &visits.logged));
        self.0.counter(
            "clicks_unlogged",
            "Clicks the full log had no room for",
            sum(|visits| &visits.unlogged),
        );
        self.0.counter(
            "clicks_answered_before_durable",
            "Answers that could not wait until their click was durable",
            sum(|visits| &visits.answered_before_durable),
        );
        self.0.counter("heads", "HEAD requests of known codes", sum(|visits| &visits.heads));
        self.0.counter(
            "unknown_codes",
            "Visits of codes that nobody has",
            sum(|visits| &visits.unknown_codes),
        );
        self.0.counter(
            "malformed_codes",
            "Visits whose code is none",
            sum(|visits| &visits.malformed_codes),
        );
        self.0.counter(
            "unknown_hosts",
            "Visits under a host that is no tracking domain",
            sum(|visits| &visits.unknown_hosts),
        );
    }

    fn connections(&mut self, threads: &[ThreadMetrics]) {
        let sum = |count| connection_total(threads, count);
        self.0.gauge("connections_open", "Connections of visitors open now", sum(|c| &c.open));
        self.0.gauge(
            "connection_bytes",
            "Estimated memory that the open connections of visitors hold",
            sum(|c| &c.bytes),
        );
        self.0.counter("connections", "Connections accepted", sum(|c| &c.accepted));
        self.0.counters(
            "requests_malformed",
            "Requests that were not HTTP or too large, by the status of the answer",
            "status",
            vec![
                ("400".to_owned(), sum(|c| &c.not_http)),
                ("414".to_owned(), sum(|c| &c.target_too_long)),
                ("431".to_owned(), sum(|c| &c.head_too_large)),
            ],
        );
        self.0.counter(
            "connections_timed_out",
            "Connections whose visitor was too slow",
            sum(|c| &c.timed_out),
        );
        self.0.counter(
            "connections_evicted",
            "Waiting connections closed in favour of new ones, at limits.max_connections",
            sum(|c| &c.evicted),
        );
        self.0.counter(
            "connections_evicted_for_memory",
            "Waiting connections closed in favour of others, at limits.max_connection_bytes",
            sum(|c| &c.evicted_for_memory),
        );
        self.0.counter("connections_broken", "Connections that broke off", sum(|c| &c.broken));
        self.0.counter(
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
        self.0.counters(
            "proxy_connections_refused",
            "Connections closed because no trusted proxy said whose they are",
            "reason",
            labelled(&[("untrusted", &proxies.untrusted), ("malformed", &proxies.malformed)]),
        );
        self.0.counter(
            "tls_connections",
            "Connections at listeners with TLS",
            tls.accepted.load(Ordering::Relaxed),
        );
        self.0.counters(
            "tls_handshakes",
            "Complete TLS handshakes",
            "kind",
            labelled(&[("full", &tls.full), ("resumed", &tls.resumed)]),
        );
        self.0.counters(
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
        self.0.gauge("tls_certificate_names", "Host names with a certificate", names.len() as u64);
        self.0.gauge(
            "tls_certificate_first_end_seconds",
            "Unix time at which the first certificate in service ends, 0 for none",
            first_end.and_then(|end| u64::try_from(end).ok()).unwrap_or(0),
        );
        self.0.gauge(
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
        let mut gauges = |name, help, values| self.0.gauges(name, help, "path", values);
        gauges("geo_database_age_seconds", "Time since the database of places was built", ages);
        gauges("geo_database_build_seconds", "Unix time at which the database was built", builds);
        gauges("geo_database_bytes", "Memory that the database takes", bytes);
        self.0.counters(
            "geo_look_ups_unreadable",
            "Look-ups that found a damaged record",
            "path",
            unreadable,
        );
        self.0.gauge(
            "geo_database_problems",
            "Databases of places that are not in service as they are on the disk; /health names them",
            watcher.problems_in(&status).len() as u64,
        );
    }

    fn postbacks(&mut self, status: PostbackStatus) {
        self.0.counter("postbacks_received", "Postbacks kept", status.received);
        let answered = status.answered.into_iter().map(|(name, count)| (name.to_owned(), count));
        let answered = answered.collect();
        self.0.counters("postbacks_answered", "Answers to postbacks kept", "verdict", answered);
        let refused = status.refused.into_iter().map(|(code, count)| (code.to_string(), count));
        let refused = refused.collect();
        self.0.counters("postbacks_refused", "Postbacks not kept", "status", refused);
        self.0.gauge("postbacks_waiting", "Requests waiting for a verdict", status.waiting);
        self.0.gauge(
            "postbacks_waiting_limit",
            "Most requests that may wait for a verdict",
            status.max_waiting,
        );
        self.0.gauge("postback_spool_bytes_limit", "Most bytes of the spool", status.max_bytes);
        if let Some(age) = status.poll_age_ms {
            let help = "Time since coupon-admin last asked for postbacks";
            self.0.seconds("postback_feed_poll_age_seconds", help, seconds(age));
        }
        self.0.gauge(
            "postbacks_acknowledged",
            "Postbacks in the spool that the admin has decided",
            status.acknowledged,
        );
        self.0.gauge(
            "postbacks_unacknowledged",
            "Postbacks in the spool that the admin has not decided",
            status.unacknowledged,
        );
        self.0.gauge("postback_spool_bytes", "Bytes of the spool", status.spool_bytes);
        self.0.gauge(
            "postback_spool_open",
            "Whether the spool is open",
            status.spool_is_open.into(),
        );
        self.0.gauge(
            "postback_disk_low",
            "Whether less is free on the spool's disk than its reserve",
            status.is_disk_low.into(),
        );
        self.0.gauge(
            "postback_spool_torn_bytes",
            "Bytes cut off a torn tail of the spool at the start",
            status.torn_bytes_cut,
        );
    }

    fn visit_state(&mut self, status: &VisitStateStatus) {
        if let Some(age) = state::age_seconds(status) {
            self.0.gauge(
                "state_age_seconds",
                "Time since the admin made the last visit state",
                age,
            );
        }
        self.0.gauge("caps", "Hard caps of the catalog in service", status.caps);
        self.0.gauge("caps_reached", "Hard caps that take no more visits", status.caps_reached);
        self.0.gauge(
            "cap_journal_lines",
            "Clicks against caps that the admin's counts may not include",
            status.journal_lines,
        );
        self.0.counter(
            "cap_journal_lines_folded",
            "Clicks against caps that a full journal keeps only as sums",
            status.journal_folded,
        );
        self.0.gauge(
            "converted_visitors",
            "Converted visitors in the visit state",
            status.converted,
        );
        self.0.gauge(
            "seen_visitors",
            "Visitors in the table of seen visitors",
            status.seen_visitors,
        );
        self.0.counter(
            "seen_visitors_evicted",
            "Visitors who made room for others in the table",
            status.seen_evictions,
        );
        let failed_open = [
            ("repeats", status.failed_open_repeats),
            ("converted", status.failed_open_converted),
            ("caps", status.failed_open_caps),
        ];
        self.0.counters(
            "visit_state_failed_open",
            "Questions about earlier visits that let visits pass because nothing was known",
            "question",
            failed_open.map(|(question, count)| (question.to_owned(), count)).into(),
        );
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

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}
