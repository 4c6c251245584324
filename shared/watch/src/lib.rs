//! How both programs are watched from outside: health, readiness, metrics, log, and the
//! build's identity.
//!
//! A program implements [`Watched`]. Its answers go out at a read-only listener with a thread of its
//! own ([`start`]), so neither a busy program nor a slow monitor delays the other.
//!
//! Deliberately absent: access control. The listener is on the loopback address unless the operator
//! says otherwise, and shows no code, partner, offer or visitor.

mod build_info;
mod exposition;
mod latency;
mod log_format;
mod logging;
mod metric_set;
mod process;
mod server;

pub use build_info::{BUILD_VERSION, build_metrics};
pub use exposition::{Exposition, expose};
pub use latency::{LatencyHistogram, LatencySnapshot};
pub use log_format::LogFormat;
pub use logging::{LogLevel, report_failure, start_log};
pub use metric_set::MetricSet;
pub use process::process_metrics;
pub use server::{Readiness, Watched, answer, start};
