//! coupond as it is shipped: click log on, one serving thread for the one core, and all limits on but
//! that of misses, which all come from one address here.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::private_surface::PrivateSurface;
use super::{Ground, Launch, Scratch, Server, free_address, published};
use crate::codes::CodeList;

/// A place for one coupond, gone with the measurement: its files on a disk, its rings in memory.
pub(crate) struct Site {
    pub(crate) folders: Folders,
    _kept: [Scratch; 2],
}

impl Site {
    /// `data` is where the files go; without it, among the temporary ones.
    pub(crate) fn new(data: Option<&Path>) -> anyhow::Result<Site> {
        let (disk, memory) = (Scratch::within(data)?, Scratch::in_memory()?);
        let folders = Folders { home: disk.path().to_owned(), run: memory.path().to_owned() };
        Ok(Site { folders, _kept: [disk, memory] })
    }

    /// Starts coupond here, with what is published in its index folder.
    pub(crate) fn start(
        &self,
        codes: &CodeList,
        programs: Option<&Path>,
        core: usize,
    ) -> anyhow::Result<Server> {
        let folder = &self.folders.home;
        let ground = Ground { codes, folder, programs: super::programs(programs)?, core };
        launch(&ground, &self.folders)?.start(&ground, folder)
    }
}

/// Where a coupond has its files.
pub(crate) struct Folders {
    /// For its configuration, what it says, the index and the click log.
    pub(crate) home: PathBuf,
    /// For rings and socket.
    pub(crate) run: PathBuf,
}

impl Folders {
    pub(crate) fn index(&self) -> PathBuf {
        self.home.join("index")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub(crate) fn private_surface(&self) -> PrivateSurface {
        PrivateSurface::at(self.run.join("coupond.sock"))
    }
}

/// With all codes in one index.
pub(crate) fn prepare(ground: &Ground<'_>, folder: &Path) -> anyhow::Result<Launch> {
    let folders = Folders { home: folder.to_owned(), run: folder.join("run") };
    published::publish(ground.codes, &folders.index()).context("the index")?;
    launch(ground, &folders)
}

/// With what is published in its index folder.
fn launch(ground: &Ground<'_>, folders: &Folders) -> anyhow::Result<Launch> {
    let program = ground.programs.join("coupond");
    ensure!(
        program.is_file(),
        "there is no {}: build it (cargo build --release), or name its folder with --programs",
        program.display()
    );
    let address = free_address()?;
    let config = folders.home.join("coupond.toml");
    let (index, data, run) = (folders.index(), folders.data(), &folders.run);
    let text = format!(
        "listen = \"{address}\"\nindex_dir = {index:?}\ndata_dir = {data:?}\nruntime_dir = {run:?}\n\
         threads = 1\naccept_any_host = true\n[limits]\nmisses_per_minute = 0\n[log]\nlevel = \"warn\"\n"
    );
    std::fs::write(&config, text)?;
    let command = [program, "--config".into(), config];
    let command = command.map(|part| part.to_string_lossy().into_owned()).to_vec();
    Ok(Launch { command, address })
}
