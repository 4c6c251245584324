//! The program's log, on standard error. Never a line per visit.

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::LogFormat;

/// Changes the level of a running log.
#[derive(Debug, Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Replaces the level.
    ///
    /// # Errors
    /// If the text is neither a level nor a list of directives.
    pub fn set(&self, level: &str) -> Result<(), ParseError> {
        let filter = EnvFilter::try_new(level)?;
        if let Err(error) = self.0.reload(filter) {
            tracing::error!(%error, "log level not changed");
        }
        Ok(())
    }
}

/// Starts the log.
///
/// # Errors
/// If the text is neither a level nor a list of directives.
pub fn start(level: &str, format: LogFormat) -> Result<LogLevel, ParseError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(level)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines: Box<dyn Layer<_> + Send + Sync> = match format {
        LogFormat::Text => {
            lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Fails only if a log was started before, which then stays in use.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(LogLevel(handle))
}
