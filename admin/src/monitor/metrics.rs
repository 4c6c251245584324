//! The metrics of coupon-admin.
//!
//! Deliberately absent: labels for codes, offers, partners and hosts. Their number is the
//! network's; reports count them.

use coupon_watch::{MetricSet, build_metrics};
use jiff::Timestamp;

use super::AdminMonitor;
use crate::api::SystemStatus;
use crate::conversions::postback_ingest::PostbackStatus;
use crate::edges::edge_state::{EdgeState, EdgeStatus};
use crate::edges::hub::{HubStatus, RegionStatus};
use crate::nodes::DaemonStatus;
use crate::publish::PublicationStatus;

impl AdminMonitor {
    pub(super) fn metric_set(&self, status: &SystemStatus) -> MetricSet {
        let mut metrics = MetricSet::default();
        build_metrics(&mut metrics, self.started.as_millisecond() as f64 / 1000.0);
        self.operation(&mut metrics, status);
        publication(&mut metrics, &status.publication);
        clicks(&mut metrics, status);
        sales(&mut metrics, &status.postbacks);
        daemons(&mut metrics, status);
        if let Some(hub) = &status.edges {
            edges(&mut metrics, hub);
        }
        upkeep(&mut metrics, status);
        let by_status = self.latencies.by_status();
        metrics.counters("api_answers", "Answers of API and console", "status", by_status);
        let by_route = self.latencies.by_route();
        metrics.latencies(
            "api_answer_seconds",
            "Time from a request's head to the head of its answer",
            "route",
            by_route,
        );
        metrics
    }

    fn operation(&self, metrics: &mut MetricSet, status: &SystemStatus) {
        let problems = self.problems(status).len() as u64;
        metrics.gauge("problems", "Problems; /health names each with its mend", problems);
        metrics.gauge(
            "config_last_reload_successful",
            "Whether the configuration could be read the last time",
            self.configuration.problem().is_none().into(),
        );
        metrics.gauge(
            "config_keys_needing_restart",
            "Changed keys that hold from the next start; /health names them",
            self.configuration.keys_needing_restart().len() as u64,
        );
        let is_stopping = self.stopping.is_cancelled();
        metrics.gauge("draining", "Whether the program is stopping", is_stopping.into());
        if let Some(free) = status.disk.free_bytes {
            metrics.gauge("disk_free_bytes", "Free space for the program", free);
        }
        metrics.gauge(
            "disk_reserve_bytes",
            "Space that bulk work leaves free",
            status.disk.reserve_bytes,
        );
    }
}

fn publication(metrics: &mut MetricSet, status: &PublicationStatus) {
    metrics.gauge("publication_generation", "The published generation", status.generation);
    metrics.gauge("publication_sequence", "Last change in the published index", status.sequence);
    metrics.gauge("publication_levels", "Levels of the published index", status.levels as u64);
    metrics.gauge("publication_entries", "Entries of all levels", status.entries);
    let took = status.took_ms / 1000.0;
    metrics.seconds("publication_took_seconds", "Duration of the last publication", took);
    metrics.gauge(
        "publication_failing",
        "Whether the last publication failed; it is tried again",
        status.last_error.is_some().into(),
    );
    metrics.gauge(
        "publication_left_out",
        "Stored objects missing from the published catalog",
        status.left_out.len() as u64,
    );
}

fn clicks(metrics: &mut MetricSet, status: &SystemStatus) {
    let intake = &status.intake;
    if let Some(lag) = intake.lag_ms {
        let help = "Time from the last click to its count";
        metrics.seconds("click_lag_seconds", help, lag as f64 / 1000.0);
    }
    metrics.counter("clicks", "Clicks taken in", intake.clicks);
    metrics.counter("clicks_missing", "Clicks that coupond no longer had", intake.missing);
    metrics.counter("click_commits", "Transactions that counted clicks", intake.commits);
    let help = "Appends to the click archive, each with one sync of the disk";
    metrics.counter("click_archive_appends", help, intake.archive_appends);
    metrics.gauge("click_archive_bytes", "Bytes of the click archive", intake.archive_bytes);
    if status.privacy.archive_max_bytes > 0 {
        let help = "Most bytes of the click archive";
        metrics.gauge("click_archive_bytes_limit", help, status.privacy.archive_max_bytes);
    }
    metrics.counter(
        "clicks_removed_for_room",
        "Clicks removed because the archive reached its bound",
        status.privacy.clicks_removed_for_room,
    );
}

fn sales(metrics: &mut MetricSet, status: &PostbackStatus) {
    if let Some(lag) = status.lag_ms {
        let help = "Time from the last postback's receipt to its decision";
        metrics.seconds("postback_lag_seconds", help, lag as f64 / 1000.0);
    }
    metrics.counter("postbacks", "Postbacks taken in, with repeats", status.postbacks);
    metrics.counter("postbacks_missing", "Postbacks that coupond no longer had", status.missing);
    metrics.gauge("postbacks_waiting", "Postbacks that wait for their click", status.waiting);
    metrics.gauge(
        "postbacks_unidentified_bytes",
        "Log of postbacks that identify nothing",
        status.unidentified_bytes,
    );
    metrics.gauge(
        "postbacks_unidentified_bytes_limit",
        "Most bytes of this log",
        status.unidentified_max_bytes,
    );
}

/// Name, help and value of a gauge of one daemon.
type DaemonGauge = (&'static str, &'static str, fn(&DaemonStatus, &SystemStatus) -> bool);

const DAEMON_GAUGES: [DaemonGauge; 3] = [
    ("publication_served", "Whether coupond serves the published index", |daemon, status| {
        daemon.served_generation == Some(status.publication.generation)
    }),
    ("click_intake_failing", "Whether clicks cannot be fetched", |daemon, status| {
        daemon.click_error.is_some() || status.intake.commit_error.is_some()
    }),
    ("postback_intake_failing", "Whether postbacks cannot be fetched", |daemon, _| {
        daemon.postback_error.is_some()
    }),
];

/// Name and moment of a daemon's last answer.
type DaemonAge = (&'static str, fn(&DaemonStatus) -> Option<i64>);

const DAEMON_AGES: [DaemonAge; 2] = [
    ("click_pull_age_seconds", |daemon| daemon.last_click_pull),
    ("postback_pull_age_seconds", |daemon| daemon.last_postback_pull),
];

fn daemons(metrics: &mut MetricSet, status: &SystemStatus) {
    let refused = status.daemons.iter().filter(|daemon| daemon.conflict.is_some()).count();
    metrics.gauge(
        "daemons_refused",
        "Daemons whose clicks and postbacks are refused; /health says why",
        refused as u64,
    );
    let blocks = status.daemons.iter().map(|daemon| daemon.refused_blocks).sum();
    let help = "Blocks of clicks that named another daemon's node or numbers";
    metrics.counter("click_blocks_refused", help, blocks);
    let postbacks = status.daemons.iter().map(|daemon| daemon.foreign_postbacks).sum();
    let help = "Postbacks that named another daemon's node";
    metrics.counter("postbacks_foreign", help, postbacks);
    match &status.daemons[..] {
        [only] if only.name.is_empty() => only_daemon(metrics, only, status),
        several => named_daemons(metrics, several, status),
    }
}

/// An only daemon has no label.
fn only_daemon(metrics: &mut MetricSet, daemon: &DaemonStatus, status: &SystemStatus) {
    for (name, help, is_so) in DAEMON_GAUGES {
        metrics.gauge(name, help, is_so(daemon, status).into());
    }
    for (name, at) in DAEMON_AGES {
        age(metrics, name, "Time since coupond last answered", at(daemon));
    }
}

/// Several daemons have their names as labels.
fn named_daemons(metrics: &mut MetricSet, daemons: &[DaemonStatus], status: &SystemStatus) {
    let named = || daemons.iter().map(|daemon| (daemon.name.clone(), daemon));
    for (name, help, is_so) in DAEMON_GAUGES {
        let values = named().map(|(node, daemon)| (node, is_so(daemon, status).into()));
        metrics.gauges(name, help, "node", values.collect());
    }
    let now = Timestamp::now().as_second();
    let age = |at: i64| now.saturating_sub(at).max(0) as f64;
    for (name, at) in DAEMON_AGES {
        let values = named().filter_map(|(node, daemon)| Some((node, age(at(daemon)?))));
        metrics.seconds_each(name, "Time since coupond last answered", "node", values.collect());
    }
}

/// Name, help and value of a time of one edge, in milliseconds.
type EdgeTime = (&'static str, &'static str, fn(&EdgeStatus) -> Option<i64>);

const EDGE_TIMES: [EdgeTime; 3] = [
    (
        "edge_generation_lag_seconds",
        "For how long an edge has not served the published index",
        |edge| edge.generation_lag_ms.and_then(|ms| ms.try_into().ok()),
    ),
    ("edge_click_backlog_seconds", "Clicks of an edge that are older are taken in", |edge| {
        edge.backlog_age_ms.and_then(|ms| ms.try_into().ok())
    }),
    ("edge_clock_skew_seconds", "Clock of an edge minus the clock of coupon-admin", |edge| {
        edge.clock_offset_ms
    }),
];

/// Copies of the index at leaf nodes.
fn regions(metrics: &mut MetricSet, regions: &[RegionStatus]) {
    let each = |value: fn(&RegionStatus) -> Option<u64>| {
        let values =
            regions.iter().filter_map(|region| Some((region.name.clone(), value(region)?)));
        values.collect::<Vec<_>>()
    };
    let up = each(|region| Some(region.problem.is_none().into()));
    let help = "Whether a region has a copy of the index; /health says why not";
    metrics.gauges("hub_region_up", help, "region", up);
    let help = "Parts of the index that the copy of a region lacks";
    let behind = each(|region| region.parts_behind);
    metrics.gauges("hub_region_parts_behind", help, "region", behind);
}

/// Couponds on other machines. An edge has metrics once it has joined.
fn edges(metrics: &mut MetricSet, hub: &HubStatus) {
    metrics.gauge("hub_connected", "Whether NATS is reached", hub.nats_error.is_none().into());
    let help = "Whether another control plane owns the edges";
    metrics.gauge("hub_foreign", help, hub.is_foreign.into());
    let help = "Heads at NATS that another program had replaced";
    metrics.counter("hub_cas_lost", help, hub.heads_overtaken);
    metrics.gauge("hub_object_bytes", "Bytes of the index at NATS", hub.object_bytes);
    let help = "Most bytes of the index at NATS";
    metrics.gauge("hub_object_bytes_limit", help, hub.object_max_bytes);
    let seconds = |end: Option<i64>| end.and_then(|end| u64::try_from(end).ok());
    let help = "Unix time at which the certificate of the NATS server ends, 0 for none";
    let end = seconds(hub.server_certificate_end).unwrap_or(0);
    metrics.gauge("hub_certificate_end_seconds", help, end);
    regions(metrics, &hub.regions);
    let joined: Vec<&EdgeStatus> =
        hub.edges.iter().filter(|edge| edge.state.is_up().is_some()).collect();
    let gauges = |value: fn(&EdgeStatus) -> Option<u64>| {
        let values = joined.iter().filter_map(|edge| Some((edge.name.clone(), value(edge)?)));
        values.collect::<Vec<_>>()
    };
    let up = gauges(|edge| edge.state.is_up().map(u64::from));
    metrics.gauges("edge_up", "Whether an edge is heard", "node", up);
    let refused =
        gauges(|edge| Some(matches!(edge.state, EdgeState::Refused | EdgeState::Conflict).into()));
    let help = "Whether an agent or a coupond of an edge is refused; /health says why";
    metrics.gauges("edge_refused", help, "node", refused);
    let waiting = gauges(|edge| edge.blocks_waiting);
    metrics.gauges("edge_click_backlog_blocks", "Blocks not taken in yet", "node", waiting);
    let unlogged = gauges(|edge| edge.clicks_unlogged);
    let help = "Clicks that the coupond of an edge could not keep";
    metrics.counters("edge_clicks_unlogged", help, "node", unlogged);
    let ends = joined
        .iter()
        .filter_map(|edge| Some((edge.name.clone(), seconds(edge.server_certificate_end)?)));
    let help = "The same, of the server that an edge reaches";
    metrics.gauges("edge_certificate_end_seconds", help, "node", ends.collect());
    for (name, help, time) in EDGE_TIMES {
        let values = joined
            .iter()
            .filter_map(|edge| Some((edge.name.clone(), time(edge)? as f64 / 1_000.0)));
        metrics.seconds_each(name, help, "node", values.collect());
    }
}

/// Partner postbacks, webhooks, removals, certificates, databases of places, backups.
fn upkeep(metrics: &mut MetricSet, status: &SystemStatus) {
    let pixels = &status.pixels;
    metrics.gauge("partner_postbacks_pending", "Partner postbacks to be sent", pixels.pending);
    metrics.gauge("partner_postbacks_dead", "Partner postbacks that were given up", pixels.dead);
    age(
        metrics,
        "partner_postbacks_oldest_seconds",
        "Time since the oldest of them was queued",
        pixels.oldest_pending,
    );
    let webhooks = &status.webhooks;
    metrics.gauge("webhook_deliveries_pending", "Events to be sent to webhooks", webhooks.pending);
    metrics.gauge(
        "webhook_deliveries_dead",
        "Deliveries to webhooks that were given up",
        webhooks.dead,
    );
    age(
        metrics,
        "webhook_deliveries_oldest_seconds",
        "Time since the oldest pending one was queued",
        webhooks.oldest_pending,
    );
    let unfinished = status.privacy.erasures_unfinished;
    metrics.gauge("erasures_unfinished", "Erasures that are not finished", unfinished);
    age(
        metrics,
        "removal_age_seconds",
        "Time since expired data was last looked for",
        status.privacy.last_pass,
    );
    let certificates = &status.certificates;
    metrics.gauge("certificates_wanted", "Domains with certificates", certificates.wanted as u64);
    metrics.gauge("certificates_issued", "Certificates at coupond", certificates.issued as u64);
    let problems = certificates.problems.len() as u64;
    metrics.gauge("certificates_problems", "Domains whose certificate fails", problems);
    let faulty = status.geo.iter().filter(|database| database.problem.is_some()).count();
    metrics.gauge("geo_database_problems", "Databases of places at fault", faulty as u64);
    let made_at = status.last_backup.as_ref().map(|backup| backup.made_at);
    age(metrics, "backup_age_seconds", "Time since the last backup", made_at);
}

/// A gauge of the time since a moment; none where there is no moment.
fn age(metrics: &mut MetricSet, name: &'static str, help: &'static str, unix_s: Option<i64>) {
    if let Some(at) = unix_s {
        let now = Timestamp::now().as_second();
        metrics.seconds(name, help, now.saturating_sub(at).max(0) as f64);
    }
}
