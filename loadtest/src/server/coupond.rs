//! coupond as shipped: click log on, one serving thread for the one core, all limits on except
//! `misses_per_minute`, because all misses come from one address here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::certificate::ServerCertificate;
use super::control_socket::ControlSocket;
use super::{LaunchSpec, Scratch, Server, TestBed, free_address, published};
use crate::codes::CodeList;

/// A temporary place for one coupond: its files on a disk, its rings in memory.
pub(crate) struct Site {
    pub(crate) folders: Folders,
    _kept: [Scratch; 2],
}

impl Site {
    /// `data` is the parent folder of the files; the system's temporary folder by default.
    pub(crate) fn new(data: Option<&Path>) -> anyhow::Result<Site> {
        let (disk, memory) = (Scratch::within(data)?, Scratch::in_memory()?);
        let folders = Folders { home: disk.path().to_owned(), run: memory.path().to_owned() };
        Ok(Site { folders, _kept: [disk, memory] })
    }

    /// Starts coupond with the published index of this place.
    pub(crate) fn start(
        &self,
        codes: &CodeList,
        programs: Option<&Path>,
        core: usize,
    ) -> anyhow::Result<Server> {
        let folder = &self.folders.home;
        let programs = super::programs(programs)?;
        let test_bed = TestBed { codes, folder, programs, core, certificate: None };
        launch(&test_bed, &self.folders)?.start(&test_bed, folder)
    }
}

/// The folders of a coupond.
pub(crate) struct Folders {
    /// Configuration, output, index and click log.
    pub(crate) home: PathBuf,
    /// Rings and control socket.
    pub(crate) run: PathBuf,
}

impl Folders {
    pub(crate) fn index(&self) -> PathBuf {
        self.home.join("index")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub(crate) fn control_socket(&self) -> ControlSocket {
        ControlSocket::at(self.run.join("coupond.sock"))
    }
}

/// Prepares coupond with all codes in one index.
pub(crate) fn prepare(test_bed: &TestBed<'_>, folder: &Path) -> anyhow::Result<LaunchSpec> {
    let folders = Folders { home: folder.to_owned(), run: folder.join("run") };
    published::publish(test_bed.codes, &folders.index()).context("the index")?;
    launch(test_bed, &folders)
}

/// Prepares coupond with the published index of its folder.
fn launch(test_bed: &TestBed<'_>, folders: &Folders) -> anyhow::Result<LaunchSpec> {
    let program = test_bed.programs.join("coupond");
    ensure!(
        program.is_file(),
        "there is no {}: build it (cargo build --release), or name its folder with --programs",
        program.display()
    );
    let (address, tls_address) = (free_address()?, test_bed.free_tls_address()?);
    let config = folders.home.join("coupond.toml");
    let (index, data, run) = (folders.index(), folders.data(), &folders.run);
    let listeners = listeners(address, tls_address, test_bed.certificate);
    let text = format!(
        "index_dir = {index:?}\ndata_dir = {data:?}\nruntime_dir = {run:?}\nthreads = 1\n\
         accept_any_host = true\ntrusted_proxies = [\"127.0.0.1/32\"]\n{listeners}\
         [limits]\nmisses_per_minute = 0\n[log]\nlevel = \"warn\"\n"
    );
    std::fs::write(&config, text)?;
    let command = [program, "--config".into(), config];
    let command = command.map(|part| part.to_string_lossy().into_owned()).to_vec();
    Ok(LaunchSpec { command, address, tls_address, backend: None })
}

/// Lines of the configuration; the tables follow all other keys.
fn listeners(
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    certificate: Option<&ServerCertificate>,
) -> String {
    let (Some(tls_address), Some(certificate)) = (tls_address, certificate) else {
        return format!("listen = \"{address}\"\n");
    };
    let certificates = certificate.folder();
    format!(
        "[[listeners]]\naddress = \"{address}\"\n\
         [[listeners]]\naddress = \"{tls_address}\"\ntls = true\n\
         [tls]\ncertificates_dir = {certificates:?}\n"
    )
}
