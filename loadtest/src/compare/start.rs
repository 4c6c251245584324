//! Starts the servers of a comparison.

use std::path::PathBuf;
use std::time::Duration;

use super::{constant, haproxy, nginx};
use crate::contender::Contender;
use crate::server::{Server, TestBed, coupond};

/// Number of starts of a server that answers within [`QUICK`].
const STARTS: usize = 5;
const QUICK: Duration = Duration::from_secs(3);

impl Contender {
    /// Whether unknown codes get another answer than known codes.
    pub(super) fn knows_misses(self) -> bool {
        !matches!(self, Contender::Hyper | Contender::Epoll)
    }

    pub(super) fn knows_tls(self) -> bool {
        self != Contender::Epoll
    }

    /// Starts the server and follows one code; `None` if its program is not installed. A server
    /// that starts quickly is started several times: the first start includes the cost of memory
    /// that the system has not handed out before.
    pub(super) fn start(self, test_bed: &TestBed<'_>) -> anyhow::Result<Option<Started>> {
        let folder = test_bed.folder.join(self.to_string());
        std::fs::create_dir(&folder)?;
        let launch = match self {
            Contender::Coupond => Some(coupond::prepare(test_bed, &folder)?),
            Contender::Nginx => nginx::prepare(test_bed, &folder, nginx::Log::Buffered)?,
            Contender::NginxNoLog => nginx::prepare(test_bed, &folder, nginx::Log::Off)?,
            Contender::Haproxy => haproxy::prepare(test_bed, &folder)?,
            Contender::NginxCoupond => nginx::prepare_in_front_of_coupond(test_bed, &folder)?,
            Contender::Hyper => Some(constant::prepare_hyper(test_bed)?),
            Contender::Epoll => Some(constant::prepare_epoll(test_bed)?),
        };
        let Some(launch) = launch else { return Ok(None) };
        let mut server = launch.start(test_bed, &folder)?;
        let mut starts = vec![server.started_in];
        while server.started_in < QUICK && starts.len() < STARTS {
            drop(server);
            server = launch.start(test_bed, &folder)?;
            starts.push(server.started_in);
        }
        Ok(Some(Started { server, starts }))
    }
}

/// A server that answers, with the durations of its starts.
pub(super) struct Started {
    pub(super) server: Server,
    pub(super) starts: Vec<Duration>,
}

/// Path of a system program, if installed.
pub(super) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}
