//! Health: whether all parts work, and if not, the active alerts.

use coupon_geo::GeoStatus;
use coupon_serve::tls::CertificateWatcher;
use serde_json::{Value, json};

use super::{ControlApi, DiskSpace, state};
use crate::clock::unix_ms;
use crate::thread_metrics::connection_total;

impl ControlApi {
    /// Faults that reduce the service: an older index, a click log that does not take clicks, a spool
    /// that does not take postbacks, a silent admin, a faulty database of places, rules without data, no
    /// state of visits, a configuration that cannot be read again.
    pub(super) fn problems(&self) -> Vec<String> {
        self.problems_with(&self.geo.status())
    }

    fn problems_with(&self, geo: &[GeoStatus]) -> Vec<String> {
        let mut problems = self.clicks.problems();
        problems.extend(self.postbacks.problems());
        problems.extend(self.loader.status().problem);
        problems.extend(self.watcher.iter().flat_map(CertificateWatcher::problems));
        problems.extend(self.geo.problems_in(geo));
        problems.extend(self.data_problem());
        problems.extend(self.visit_state.problems());
        problems.extend(self.monitor_problem.clone());
        problems.extend(self.operation.configuration().problem);
        problems
    }

    /// Facts that somebody should know although nothing is at fault.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.geo.age_warnings();
        let keys = self.operation.configuration().keys_needing_restart;
        let holds =
            |key: &String| format!("{key} has changed: the new value holds from the next start");
        warnings.extend(keys.iter().map(holds));
        warnings
    }

    /// Answers as long as the process lives. `degraded` means that redirects continue with reduced
    /// service, for the reasons in `problems`. Warnings leave the status `ok`.
    pub(super) fn health_json(&self) -> Value {
        let geo = self.geo.status();
        let problems = self.problems_with(&geo);
        let status = if problems.is_empty() { "ok" } else { "degraded" };
        let mut health = self.served_json();
        health["status"] = status.into();
        health["problems"] = problems.into();
        health["warnings"] = self.warnings().into();
        health["version"] = coupon_watch::BUILD_VERSION.into();
        health["disk"] = self.disk_spaces().map(disk_json).collect();
        health["geo"] = geo.iter().map(database_json).collect();
        let identity = self.clicks.identity();
        health["node_id"] = identity.node.into();
        health["store_id"] = identity.store.to_string().into();
        health["incarnation"] = identity.incarnation.into();
        let clicks = self.clicks.status();
        health["clicks"] = json!({
            "answered": clicks.logged + clicks.unlogged,
            "logged": clicks.logged,
            "unlogged": clicks.unlogged,
            "unlogged_in_earlier_runs": clicks.unlogged_before,
            "durable": clicks.durable,
            "damaged": clicks.damaged,
        });
        health["visit_state"] = state::health_json(&self.visit_state.status());
        health["connections"] = self.connections();
        let limited = self.threads.iter().map(|thread| thread.visits.limited()).sum::<u64>();
        let is_reached = self.settings.current().not_found_limit.log_throttle().is_recent();
        health["misses"] = json!({ "limited": limited, "limit_is_reached": is_reached });
        health["wal"] = json!({
            "open": clicks.wal_is_open,
            "bytes": clicks.wal_bytes,
            "bytes_limit": clicks.wal_max_bytes,
            "torn_bytes_cut": clicks.torn_bytes_cut,
            "blocks_not_at_the_admin": clicks.feed_lag_blocks,
        });
        health["sled"] = json!({
            "open": clicks.store_is_open,
            "blocks_behind": clicks.store_lag_blocks,
            "folders_set_aside": clicks.store_folders_set_aside,
            "bytes": clicks.store_bytes,
            "paused": clicks.store_is_paused,
            "days_removed_for_room": clicks.store_days_removed,
        });
        let postbacks = self.postbacks.status();
        health["postbacks"] = json!({
            "open": postbacks.spool_is_open,
            "bytes": postbacks.spool_bytes,
            "torn_bytes_cut": postbacks.torn_bytes_cut,
            "received": postbacks.received,
            "refused": postbacks.refused.iter().map(|(_, count)| count).sum::<u64>(),
            "waiting": postbacks.waiting,
            "acknowledged": postbacks.acknowledged,
            "not_at_the_admin": postbacks.unacknowledged,
        });
        health
    }

    /// Rules that ask what no database here knows. They refuse, or let pass, visitors whom they
    /// should not.
    fn data_problem(&self) -> Option<String> {
        let (rules, parts) = self.loader.rulesets_without_data(self.geo.current().parts());
        (rules > 0).then(|| {
            let parts = parts.names().collect::<Vec<_>>().join(", ");
            format!(
                "no database here knows what {rules} of the rules in service ask of visitors \
                 ({parts}): visitors count as unknown there; name a database that knows it in \
                 geo.databases, or change the rules"
            )
        })
    }

    fn connections(&self) -> Value {
        json!({
            "open": connection_total(&self.threads, |counts| &counts.open),
            "bytes": connection_total(&self.threads, |counts| &counts.bytes),
            "evicted": connection_total(&self.threads, |counts| &counts.evicted),
            "evicted_for_memory":
                connection_total(&self.threads, |counts| &counts.evicted_for_memory),
        })
    }
}

fn disk_json(space: DiskSpace) -> Value {
    json!({
        "folder": space.folder, "free_bytes": space.free_bytes, "size_bytes": space.size_bytes,
    })
}

fn database_json(status: &GeoStatus) -> Value {
    let database = status.database.as_ref();
    json!({
        "path": status.path.display().to_string(),
        "type": database.map(|database| database.kind.as_str()),
        "build": database.map(|database| database.build_unix_s),
        "age_days": database.map(|database| database.age_days(unix_ms() / 1000)),
        "bytes": database.map(|database| database.bytes),
        "parts": database.map(|database| database.parts.names().collect::<Vec<_>>()),
        "unreadable_look_ups": status.unreadable,
        "problem": status.problem,
    })
}
