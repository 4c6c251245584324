//! The two fixtures with one constant redirect: the cost without any look-up. The fixture on hyper
//! also speaks TLS, by rustls.

use std::net::SocketAddr;

use anyhow::ensure;

use crate::server::{LaunchSpec, TestBed, free_address};

pub(super) fn prepare_hyper(test_bed: &TestBed<'_>) -> anyhow::Result<LaunchSpec> {
    let tls_address = test_bed.free_tls_address()?;
    let mut launch = prepare(test_bed, "constant-redirect-hyper", tls_address)?;
    if let (Some(address), Some(certificate)) = (tls_address, test_bed.certificate) {
        let paths = [certificate.chain(), certificate.key()];
        let paths = paths.map(|path| path.to_string_lossy().into_owned());
        launch.command.extend([address.to_string()].into_iter().chain(paths));
    }
    Ok(launch)
}

pub(super) fn prepare_epoll(test_bed: &TestBed<'_>) -> anyhow::Result<LaunchSpec> {
    prepare(test_bed, "constant-redirect-epoll", None)
}

fn prepare(
    test_bed: &TestBed<'_>,
    name: &str,
    tls_address: Option<SocketAddr>,
) -> anyhow::Result<LaunchSpec> {
    let program = test_bed.programs.join(name);
    ensure!(
        program.is_file(),
        "there is no {}: build it with cargo build --release -p coupon-benches",
        program.display()
    );
    let address = free_address()?;
    let command = vec![program.to_string_lossy().into_owned(), address.to_string()];
    Ok(LaunchSpec { command, address, tls_address, backend: None })
}
