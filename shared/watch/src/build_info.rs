//! The identity of a build: version and commit.

use crate::metric_set::MetricSet;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit of a release build; empty for other builds.
const COMMIT: &str = env!("COUPON_COMMIT");

/// Version and, of a release build, commit: for `--version`.
pub const BUILD_VERSION: &str = env!("COUPON_BUILD_VERSION");

/// `build_info` and `start_time_seconds`.
pub fn build_metrics(metrics: &mut MetricSet, started_unix_s: f64) {
    let labels = vec![("version", VERSION.to_owned()), ("commit", COMMIT.to_owned())];
    metrics.info("build_info", "The build that runs", labels);
    metrics.seconds("start_time_seconds", "Unix time at which the program started", started_unix_s);
}
