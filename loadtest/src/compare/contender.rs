//! Who is compared, and how each is brought up.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::{constant, haproxy, nginx};
use crate::server::{Ground, Server, coupond};

/// A server that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// coupond, with click log and timeouts
    Coupond,
    /// nginx with a map of the codes and a buffered access log
    Nginx,
    /// nginx without an access log
    NginxNoLog,
    /// HAProxy with a map file, without a log
    Haproxy,
    /// hyper alone, answering one constant redirect
    Hyper,
    /// an epoll loop that answers one constant redirect without looking at the request
    Epoll,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// How often a server is started that is there within [`QUICK`].
const STARTS: usize = 5;
const QUICK: Duration = Duration::from_secs(3);

impl Contender {
    /// Whether it answers unknown codes otherwise than known ones.
    pub(super) fn knows_misses(self) -> bool {
        !matches!(self, Contender::Hyper | Contender::Epoll)
    }

    /// Starts it and follows one code; `None` where its program is not installed. One that starts
    /// quickly is started several times: the first pays for memory that the system has not given to
    /// anybody yet.
    pub(super) fn start(self, ground: &Ground<'_>) -> anyhow::Result<Option<Started>> {
        let folder = ground.folder.join(self.to_string());
        std::fs::create_dir(&folder)?;
        let launch = match self {
            Contender::Coupond => Some(coupond::prepare(ground, &folder)?),
            Contender::Nginx => nginx::prepare(ground, &folder, nginx::Log::Buffered)?,
            Contender::NginxNoLog => nginx::prepare(ground, &folder, nginx::Log::Off)?,
            Contender::Haproxy => haproxy::prepare(ground, &folder)?,
            Contender::Hyper => Some(constant::prepare(ground, "constant-redirect-hyper")?),
            Contender::Epoll => Some(constant::prepare(ground, "constant-redirect-epoll")?),
        };
        let Some(launch) = launch else { return Ok(None) };
        let mut server = launch.start(ground, &folder)?;
        let mut starts = vec![server.started_in];
        while server.started_in < QUICK && starts.len() < STARTS {
            drop(server);
            server = launch.start(ground, &folder)?;
            starts.push(server.started_in);
        }
        Ok(Some(Started { server, starts }))
    }
}

/// A server that answers, and how long each of its starts took until it did.
pub(super) struct Started {
    pub(super) server: Server,
    pub(super) starts: Vec<Duration>,
}

/// A program of the system, if it is installed.
pub(super) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}
