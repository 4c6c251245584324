//! The two fixtures with one constant redirect: the cost without any look-up.

use anyhow::ensure;

use crate::server::{LaunchSpec, TestBed, free_address};

pub(super) fn prepare(test_bed: &TestBed<'_>, name: &str) -> anyhow::Result<LaunchSpec> {
    let program = test_bed.programs.join(name);
    ensure!(
        program.is_file(),
        "there is no {}: build it with cargo build --release -p coupon-benches",
        program.display()
    );
    let address = free_address()?;
    let command = vec![program.to_string_lossy().into_owned(), address.to_string()];
    Ok(LaunchSpec { command, address })
}
