use std::process::ExitCode;

use clap::Parser;
use coupond::arguments::{Arguments, Command};
use coupond::config::{Config, ConfigError};
use coupond::run;
use rustix::fs::Mode;
use rustix::process::umask;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_files_private();
    match coupond() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            coupon_watch::report_failure("coupond", &error.to_string());
            if error.is::<ConfigError>() { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

/// `sysexits.h`: a service manager does not start the program again until somebody has mended the
/// configuration.
const EX_CONFIG: u8 = 78;

fn coupond() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let sources = arguments.sources();
    let config = Config::load(&sources)?;
    if let Some(Command::CheckConfig { quiet }) = arguments.command {
        return check(&config, quiet);
    }
    if arguments.exit_with_parent {
        // A drain as after SIGTERM: no click is lost.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let log_level = coupon_watch::start_log(&config.live.log_level, config.log_format)?;
    run::run(config, sources, log_level)?;
    Ok(())
}

/// Prints the configuration, and reads the databases of places as a start does; their problems keep
/// no daemon from starting.
fn check(config: &Config, quiet: bool) -> anyhow::Result<()> {
    let databases = coupon_geo::check_files(&config.geo.databases)?;
    if !quiet {
        print!("{config}");
        databases.iter().for_each(|line| println!("# {line}"));
    }
    Ok(())
}

/// Hides keys and visitors' addresses from other users of the machine. A stricter mask, for example
/// from the service manager, stays.
fn keep_files_private() {
    let inherited = umask(Mode::RWXG | Mode::RWXO);
    umask(inherited | Mode::WGRP | Mode::RWXO);
}
