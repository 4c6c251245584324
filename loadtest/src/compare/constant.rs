//! The two fixtures that answer one constant redirect: what is left when nothing is looked up.

use anyhow::ensure;

use crate::server::{Ground, Launch, free_address};

pub(super) fn prepare(ground: &Ground<'_>, name: &str) -> anyhow::Result<Launch> {
    let program = ground.programs.join(name);
    ensure!(
        program.is_file(),
        "there is no {}: build it with cargo build --release -p coupon-benches",
        program.display()
    );
    let address = free_address()?;
    let command = vec![program.to_string_lossy().into_owned(), address.to_string()];
    Ok(Launch { command, address })
}
