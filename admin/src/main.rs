use std::process::ExitCode;

use clap::Parser;
use coupon_admin::cli::{self, Cli};
use coupon_admin::config::ConfigError;
use rustix::fs::Mode;
use rustix::process::umask;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_files_private();
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            coupon_watch::report_failure("coupon-admin", &cli::sentence(&error));
            if error.is::<ConfigError>() { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

/// `sysexits.h`: a service manager does not start the program again until somebody has mended the
/// configuration.
const EX_CONFIG: u8 = 78;

/// Keeps keys and visitors' addresses from other users of the machine. A stricter mask, for example
/// of the service manager, stays.
fn keep_files_private() {
    let inherited = umask(Mode::RWXG | Mode::RWXO);
    umask(inherited | Mode::WGRP | Mode::RWXO);
}
