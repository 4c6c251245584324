//! The `coupond` process of the demo: found, started, restarted, stopped.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

const START_DEADLINE: Duration = Duration::from_secs(30);
/// A little longer than the longest drain of `coupond`.
const STOP_DEADLINE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After running this long, a daemon has started successfully.
const SETTLED: Duration = Duration::from_secs(10);

/// Program, addresses and folders of the daemon.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    pub(super) program: PathBuf,
    /// The requested address; after the start, the actual one.
    pub(super) listen: SocketAddr,
    pub(super) node: u16,
    pub(super) data: PathBuf,
    pub(super) index: PathBuf,
    pub(super) runtime: PathBuf,
    /// Databases of places.
    pub(super) geo: Vec<PathBuf>,
}

/// Path of `coupond` in the folder of this program.
pub(super) fn program_beside_this() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()
        .context("cannot find the path of this program")?
        .with_file_name("coupond");
    if !program.is_file() {
        bail!("{} is not there; build both programs: cargo build --release", program.display());
    }
    Ok(program)
}

impl Daemon {
    /// The paths with commas between them.
    fn geo_databases(&self) -> OsString {
        let paths: Vec<_> = self.geo.iter().map(|path| path.as_os_str()).collect();
        paths.join(OsStr::new(","))
    }

    /// Starts the daemon and reads its actual address.
    pub(super) async fn start(&mut self) -> anyhow::Result<Child> {
        let address_file = self.runtime.join("coupond.addr");
        // A killed daemon leaves its address file.
        let _ = std::fs::remove_file(&address_file);
        let mut child = self.spawn()?;
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("coupond did not start ({status}); see its messages above");
            }
            let written = std::fs::read_to_string(&address_file).unwrap_or_default();
            if let Ok(address) = written.trim().parse() {
                self.listen = address;
                return Ok(child);
            }
            if Instant::now() > deadline {
                bail!("coupond did not write its address within 30 s");
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
            .env("COUPOND_NODE_ID", self.node.to_string())
            .env("COUPOND_ACCEPT_ANY_HOST", "true")
            .env("COUPOND_GEO_DATABASES", self.geo_databases())
            // So that a request from this machine can stand for a visitor from elsewhere.
            .env("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8,::1")
            .env("COUPOND_LOG_LEVEL", "warn")
            .stdin(Stdio::null())
            // Ctrl-C must reach only this process, which then stops the daemon.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// Restarts the daemon when it dies. After `stop`, lets it drain.
    pub(super) async fn supervise(&self, mut child: Child, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            tokio::select! {
                () = stop.cancelled() => return drain(child).await,
                status = child.wait() => {
                    let status = status.map_or_else(|error| error.to_string(), |s| s.to_string());
                    tracing::warn!(%status, "coupond died; restarting");
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
        tracing::warn!(%error, "coupond not signalled to stop");
    }
    match tokio::time::timeout(STOP_DEADLINE, child.wait()).await {
        Ok(Ok(status)) if status.success() => {}
        ended => tracing::warn!(?ended, "coupond did not stop cleanly; its next start recovers"),
    }
}
