//! The `coupond` of a demo: found, started, started again, stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

const START_DEADLINE: Duration = Duration::from_secs(30);
/// A little longer than its own drain takes at the most.
const STOP_DEADLINE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A daemon that ran this long did not die of its start.
const SETTLED: Duration = Duration::from_secs(10);

/// Where a demo's daemon runs and on what.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    pub(super) program: PathBuf,
    /// As asked for; the real one, once it has started.
    pub(super) listen: SocketAddr,
    pub(super) data: PathBuf,
    pub(super) index: PathBuf,
    pub(super) runtime: PathBuf,
}

/// The daemon's program in the folder of this one.
pub(super) fn program_beside_this() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()
        .context("cannot find out where this program lies")?
        .with_file_name("coupond");
    if !program.is_file() {
        bail!("{} is not there; build both programs: cargo build --release", program.display());
    }
    Ok(program)
}

impl Daemon {
    /// Starts it for the first time and learns its real address.
    pub(super) async fn start(&mut self) -> anyhow::Result<Child> {
        let address_file = self.runtime.join("coupond.addr");
        // One that was killed left its address behind.
        let _ = std::fs::remove_file(&address_file);
        let mut child = self.spawn()?;
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("coupond did not start ({status}); what it says stands above");
            }
            let written = std::fs::read_to_string(&address_file).unwrap_or_default();
            if let Ok(address) = written.trim().parse() {
                self.listen = address;
                return Ok(child);
            }
            if Instant::now() > deadline {
                bail!("coupond does not say where it listens");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        Command::new(&self.program)
            .arg("--exit-with-parent")
            .arg("--listen")
            .arg(self.listen.to_string())
            .arg("--data-dir")
            .arg(&self.data)
            .arg("--index-dir")
            .arg(&self.index)
            .arg("--runtime-dir")
            .arg(&self.runtime)
            .env("COUPOND_ACCEPT_ANY_HOST", "true")
            .env("COUPOND_LOG_LEVEL", "warn")
            .stdin(Stdio::null())
            // Ctrl-C is for us alone; we stop the daemon.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// Keeps it running until `stop`, then lets it drain.
    pub(super) async fn supervise(&self, mut child: Child, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            tokio::select! {
                () = stop.cancelled() => return drain(child).await,
                status = child.wait() => {
                    let status = status.map_or_else(|error| error.to_string(), |s| s.to_string());
                    tracing::warn!(%status, "coupond died; starting it again");
                }
            }
            pause = if began.elapsed() > SETTLED {
                FIRST_PAUSE
            } else {
                (pause * 2).min(LONGEST_PAUSE)
            };
            child = loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                match self.spawn() {
                    Ok(child) => break child,
                    Err(error) => tracing::error!("{error:#}"),
                }
            };
        }
    }
}

async fn drain(mut child: Child) {
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(id) = id
        && let Err(error) = kill_process(id, Signal::TERM)
    {
        tracing::warn!(%error, "cannot tell coupond to stop");
    }
    match tokio::time::timeout(STOP_DEADLINE, child.wait()).await {
        Ok(Ok(status)) if status.success() => {}
        ended => tracing::warn!(?ended, "coupond did not stop well; its next start recovers"),
    }
}
