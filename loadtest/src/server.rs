//! Servers that are started to be measured: on one core, with the codes they are asked for, watched,
//! and ended with the measurement, also when that is interrupted.

pub(crate) mod coupond;
pub(crate) mod interruption;
pub(crate) mod private_surface;
pub(crate) mod process;
pub(crate) mod published;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::codes::CodeList;
use process::Family;

/// What servers stand on.
pub(crate) struct Ground<'a> {
    pub(crate) codes: &'a CodeList,
    /// For their files.
    pub(crate) folder: &'a Path,
    /// Where coupond and the fixtures lie.
    pub(crate) programs: PathBuf,
    pub(crate) core: usize,
}

/// How a server is started, once its files are written.
pub(crate) struct Launch {
    pub(crate) command: Vec<String>,
    pub(crate) address: SocketAddr,
}

/// A server that answers.
pub(crate) struct Server {
    pub(crate) family: Family,
    pub(crate) address: SocketAddr,
    /// From the start to the first redirect.
    pub(crate) started_in: Duration,
}

impl Launch {
    /// Starts the server and follows one code; what it says goes to a file in `folder`.
    pub(crate) fn start(&self, ground: &Ground<'_>, folder: &Path) -> anyhow::Result<Server> {
        let address = self.address;
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let log = folder.join("said");
        let began = Instant::now();
        let mut family = Family::start(&command, ground.core, &log)?;
        family.wait_for(address, &log)?;
        follow(address, ground.codes.get(0))?;
        Ok(Server { family, address, started_in: began.elapsed() })
    }
}

/// Our programs lie beside this one unless told otherwise.
pub(crate) fn programs(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(programs) = named {
        return Ok(programs.to_owned());
    }
    let own = std::env::current_exe().context("this program's own path")?;
    Ok(own.parent().unwrap_or(Path::new(".")).to_owned())
}

/// A free port; servers are started one after the other.
pub(crate) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
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

/// A folder of this run, removed at its end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// In memory, as rings must be.
    pub(crate) fn in_memory() -> anyhow::Result<Scratch> {
        Scratch::create(Path::new("/dev/shm"), "run")
    }

    /// On a disk, normally: what must outlive a crash there is written there.
    pub(crate) fn within(parent: Option<&Path>) -> anyhow::Result<Scratch> {
        Scratch::create(parent.unwrap_or(&std::env::temp_dir()), "data")
    }

    fn create(parent: &Path, purpose: &str) -> anyhow::Result<Scratch> {
        let path = parent.join(format!("coupon-loadtest-{}-{purpose}", std::process::id()));
        interruption::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Scratch(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left until somebody looks harms nobody.
        let _ = interruption::remove(&self.0);
    }
}
