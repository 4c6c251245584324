//! coupon-admin as monitors see it: health, readiness, metrics.

mod metrics;

use std::net::TcpListener;
use std::sync::Arc;

use coupon_watch::{MetricSet, Readiness, Watched};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::api::{AppState, RouteLatencies, SystemStatus};
use crate::reload::ConfigurationState;

/// coupon-admin as monitors see it.
pub(crate) struct AdminMonitor {
    pub(crate) state: AppState,
    pub(crate) latencies: RouteLatencies,
    pub(crate) started: Timestamp,
    pub(crate) configuration: ConfigurationState,
    /// Cancelled as soon as the program is told to stop.
    pub(crate) stopping: CancellationToken,
    /// The runtime of the store's readers: monitors are answered on a thread of their own.
    pub(crate) runtime: Handle,
}

impl AdminMonitor {
    async fn status(&self) -> Result<SystemStatus, String> {
        let state = self.state.clone();
        let status = self.runtime.spawn(async move { state.system_status().await });
        match status.await {
            Ok(status) => status.map_err(|error| error.to_string()),
            // At the end of the program.
            Err(error) => Err(error.to_string()),
        }
    }

    /// All faults: the system's, and the program's own.
    fn problems(&self, status: &SystemStatus) -> Vec<String> {
        let mut problems = status.problems();
        problems.extend(self.configuration.problem());
        problems
    }
}

impl Watched for AdminMonitor {
    async fn health(&self) -> Value {
        let version = coupon_watch::BUILD_VERSION;
        let status = match self.status().await {
            Ok(status) => status,
            Err(error) => {
                let problems = [format!("the store cannot be read: {error}")];
                return json!({ "status": "degraded", "problems": problems, "version": version });
            }
        };
        let problems = self.problems(&status);
        let mut warnings = status.warnings();
        warnings.extend(self.configuration.warnings());
        json!({
            "status": if problems.is_empty() { "ok" } else { "degraded" },
            "problems": problems,
            "warnings": warnings,
            "version": version,
            "started_at": self.started.as_second(),
            "system": status,
        })
    }

    async fn readiness(&self) -> Readiness {
        if self.stopping.is_cancelled() {
            return Readiness::NotReady(json!({ "error": "stopping" }));
        }
        match self.status().await {
            Ok(status) => Readiness::Ready(json!({ "generation": status.publication.generation })),
            Err(error) => Readiness::NotReady(json!({ "error": error })),
        }
    }

    async fn metrics(&self) -> Vec<(&'static str, MetricSet)> {
        let own = match self.status().await {
            Ok(status) => self.metric_set(&status),
            Err(_) => MetricSet::default(),
        };
        vec![("coupon_admin", own), ("process", coupon_watch::process_metrics())]
    }
}

/// Starts the listener for monitors, if one is configured.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn start(
    config: &crate::config::Config,
    monitor: AdminMonitor,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Some(address) = config.metrics.listen else { return Ok(()) };
    let listener = match coupon_serve::bind_tcp(address, 1) {
        Ok(mut listeners) => listeners.pop(),
        Err(error) => {
            // The API is worth more than its monitor.
            tracing::error!(%error, "no listener for monitors (metrics.listen)");
            return Ok(());
        }
    };
    let Some(listener) = listener else { return Ok(()) };
    start_on(listener, monitor, stop)
}

/// Starts the listener for monitors on a bound socket.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn start_on(
    listener: TcpListener,
    monitor: AdminMonitor,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "listening for monitors");
    coupon_watch::start(listener, Arc::new(monitor), stop)?;
    Ok(())
}
