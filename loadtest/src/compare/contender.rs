//! Who is compared, and how each is brought up.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use super::process::Family;
use super::{Server, constant, coupond, haproxy, nginx};
use crate::codes::CodeList;

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

/// What all contenders stand on.
pub(super) struct Ground<'a> {
    pub(super) codes: &'a CodeList,
    /// For their files.
    pub(super) folder: &'a Path,
    /// Where coupond and the fixtures lie.
    pub(super) programs: PathBuf,
    pub(super) core: usize,
}

/// How a contender is started, once its files are written.
pub(super) struct Launch {
    pub(super) command: Vec<String>,
    pub(super) address: SocketAddr,
}

impl Contender {
    /// Whether it answers unknown codes otherwise than known ones.
    pub(super) fn knows_misses(self) -> bool {
        !matches!(self, Contender::Hyper | Contender::Epoll)
    }

    /// Starts it and follows one code; `None` where its program is not installed.
    pub(super) fn start(self, ground: &Ground<'_>) -> anyhow::Result<Option<Server>> {
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
        let Some(Launch { command, address }) = launch else { return Ok(None) };
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let log = folder.join("said");
        let began = Instant::now();
        let mut family = Family::start(&command, ground.core, &log)?;
        family.wait_for(address, &log)?;
        follow(address, ground.codes.get(0))?;
        Ok(Some(Server { contender: self, family, address, started_in: began.elapsed() }))
    }
}

/// A free port; the servers of a comparison are started one after the other.
pub(super) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A program of the system, if it is installed.
pub(super) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Asks for a code until it redirects.
fn follow(address: SocketAddr, code: &[u8]) -> anyhow::Result<()> {
    let code = String::from_utf8_lossy(code);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ask(address, &code).with_context(|| format!("asking {address}"))?;
        if answer.starts_with("HTTP/1.1 302 ") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "/{code}/ does not redirect: {answer}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn ask(address: SocketAddr, code: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /{code}/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 512];
    let len = stream.read(&mut head)?;
    Ok(String::from_utf8_lossy(&head[..len]).into_owned())
}
