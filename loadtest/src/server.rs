//! Servers started for a measurement: on one core, with the codes of the run, observed, and ended
//! with the measurement even if it is interrupted.

pub(crate) mod certificate;
pub(crate) mod control_socket;
pub(crate) mod coupond;
pub(crate) mod interruption;
pub(crate) mod process;
pub(crate) mod published;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::codes::CodeList;
use certificate::ServerCertificate;
use process::{CpuTime, Family};

/// Common inputs of all servers of a measurement.
pub(crate) struct TestBed<'a> {
    pub(crate) codes: &'a CodeList,
    /// Folder for the servers' files.
    pub(crate) folder: &'a Path,
    /// Folder of coupond and the fixtures.
    pub(crate) programs: PathBuf,
    pub(crate) core: usize,
    /// Servers that can, also listen with TLS.
    pub(crate) certificate: Option<&'a ServerCertificate>,
}

impl TestBed<'_> {
    /// An address for TLS, if servers have a certificate.
    pub(crate) fn free_tls_address(&self) -> std::io::Result<Option<SocketAddr>> {
        self.certificate.map(|_| free_address()).transpose()
    }
}

/// How to start a server whose files are written.
pub(crate) struct LaunchSpec {
    pub(crate) command: Vec<String>,
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: Option<SocketAddr>,
    /// Server behind this one, started before it.
    pub(crate) backend: Option<Box<LaunchSpec>>,
}

/// A server that answers.
pub(crate) struct Server {
    pub(crate) family: Family,
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: Option<SocketAddr>,
    backend: Option<Box<Server>>,
    /// Time from the start to the first redirect.
    pub(crate) started_in: Duration,
}

impl LaunchSpec {
    /// Starts the server and follows one code; output of the server goes to a file in `folder`.
    pub(crate) fn start(&self, test_bed: &TestBed<'_>, folder: &Path) -> anyhow::Result<Server> {
        let LaunchSpec { address, tls_address, .. } = *self;
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let log = folder.join("said");
        let began = Instant::now();
        let backend = match &self.backend {
            Some(backend) => Some(Box::new(backend.start(test_bed, &folder.join("backend"))?)),
            None => None,
        };
        let mut family = Family::start(&command, test_bed.core, &log)?;
        family.wait_for(address, &log)?;
        follow(address, test_bed.codes.get(0))?;
        Ok(Server { family, address, tls_address, backend, started_in: began.elapsed() })
    }
}

impl Server {
    /// CPU time of all threads, those of a server behind this one included.
    pub(crate) fn cpu_time(&self) -> std::io::Result<CpuTime> {
        let mut time = self.family.cpu_time()?;
        if let Some(backend) = &self.backend {
            time.add(backend.cpu_time()?);
        }
        Ok(time)
    }

    /// Resident memory, with a server behind this one.
    pub(crate) fn resident_bytes(&self) -> std::io::Result<u64> {
        let behind = self.backend.as_ref().map_or(Ok(0), |backend| backend.resident_bytes())?;
        Ok(self.family.resident_bytes()? + behind)
    }
}

/// Folder of our programs: beside this program unless `named`.
pub(crate) fn programs(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(programs) = named {
        return Ok(programs.to_owned());
    }
    let own = std::env::current_exe().context("this program's own path")?;
    Ok(own.parent().unwrap_or(Path::new(".")).to_owned())
}

/// Finds a free port; servers are started one after the other.
pub(crate) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Visits a code until it redirects.
fn follow(address: SocketAddr, code: &[u8]) -> anyhow::Result<()> {
    let code = String::from_utf8_lossy(code);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = visit(address, &code).with_context(|| format!("asking {address}"))?;
        if answer.starts_with("HTTP/1.1 302 ") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "/{code}/ does not redirect: {answer}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn visit(address: SocketAddr, code: &str) -> std::io::Result<String> {
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
    /// Folder in memory (tmpfs), as rings need.
    pub(crate) fn in_memory() -> anyhow::Result<Scratch> {
        Scratch::create(Path::new("/dev/shm"), "run")
    }

    /// Folder on a disk, normally: crash tests write there.
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
        // A leftover folder is harmless.
        let _ = interruption::remove(&self.0);
    }
}
