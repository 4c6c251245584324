//! coupond as it is shipped: click log on, all limits on, one serving thread for the one core.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{Ground, Launch, free_address, published};

pub(crate) fn prepare(ground: &Ground<'_>, folder: &Path) -> anyhow::Result<Launch> {
    let program = ground.programs.join("coupond");
    ensure!(
        program.is_file(),
        "there is no {}: build it (cargo build --release), or name its folder with --programs",
        program.display()
    );
    let [index, data, run] = ["index", "data", "run"].map(|name| folder.join(name));
    published::publish(ground.codes, &index).context("the index")?;
    let address = free_address()?;
    let config = folder.join("coupond.toml");
    let text = format!(
        "listen = \"{address}\"\nindex_dir = {index:?}\ndata_dir = {data:?}\nruntime_dir = {run:?}\n\
         threads = 1\naccept_any_host = true\n[log]\nlevel = \"warn\"\n"
    );
    std::fs::write(&config, text)?;
    let command = [program, "--config".into(), config];
    let command = command.map(|part| part.to_string_lossy().into_owned()).to_vec();
    Ok(Launch { command, address })
}
