//! The program's log, on standard error. Never a line per visit.
//!
//! Under systemd, standard error leads to the journal. The journal takes the time of a line itself,
//! and the priority from `<N>` at the line's beginning (`sd-daemon(3)`), so that `journalctl -p err`
//! finds errors.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::format::{JsonFields, Writer, format as line_format};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::log_format::LogFormat;

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
pub fn start_log(level: &str, format: LogFormat) -> Result<LogLevel, ParseError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(level)?);
    let lines = line_layer(format, leads_to_journal());
    // Fails only if a log was started before, which then stays in use.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(LogLevel(handle))
}

/// Writes the error that ends a program: one line of the log, or plain text before the log has
/// started and on a terminal.
pub fn report_failure(program: &str, error: &str) {
    if tracing::enabled!(Level::ERROR) && !stderr().is_terminal() {
        tracing::error!("{error}");
    } else if leads_to_journal() {
        eprintln!("<{}>{program}: {error}", priority(Level::ERROR));
    } else {
        eprintln!("{program}: {error}");
    }
}

fn line_layer<S>(log_format: LogFormat, is_journal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let text = line_format().with_target(false);
    let json = line_format().json().flatten_event(true);
    let lines = layer().with_writer(stderr).with_ansi(stderr().is_terminal());
    match (log_format, is_journal) {
        (LogFormat::Text, false) => lines.event_format(text).boxed(),
        (LogFormat::Text, true) => lines.event_format(Prioritised(text.without_time())).boxed(),
        (LogFormat::Json, false) => lines.event_format(json).fmt_fields(JsonFields::new()).boxed(),
        (LogFormat::Json, true) => {
            lines.event_format(Prioritised(json)).fmt_fields(JsonFields::new()).boxed()
        }
    }
}

/// Whether standard error is the stream that systemd named as the journal's.
fn leads_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let found =
        std::fs::metadata("/dev/stderr").map(|file| format!("{}:{}", file.dev(), file.ino()));
    found.is_ok_and(|found| found == stream)
}

/// Lines that begin with their priority.
struct Prioritised<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// The level as a priority of syslog.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
