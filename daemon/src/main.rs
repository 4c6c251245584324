use std::process::ExitCode;

use clap::Parser;
use coupond::arguments::{Arguments, Command};
use coupond::config::Config;
use coupond::{logging, run};
use rustix::fs::Mode;
use rustix::process::umask;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_files_private();
    match coupond() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coupond: {error}");
            ExitCode::FAILURE
        }
    }
}

fn coupond() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let sources = arguments.sources();
    let config = Config::load(&sources)?;
    if arguments.command == Some(Command::CheckConfig) {
        print!("{config}");
        return check_databases(&config);
    }
    if arguments.exit_with_parent {
        // A drain as after SIGTERM: no click is lost.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let log_level = logging::start(&config.live.log_level, config.log_format)?;
    run::run(config, sources, log_level)?;
    Ok(())
}

/// Reads the databases of places as a start does; their problems keep no daemon from starting.
fn check_databases(config: &Config) -> anyhow::Result<()> {
    for line in coupon_geo::check_files(&config.geo.databases)? {
        println!("# {line}");
    }
    Ok(())
}

/// Hides keys and visitors' addresses from other users of the machine. A stricter mask, for example
/// from the service manager, stays.
fn keep_files_private() {
    let inherited = umask(Mode::RWXG | Mode::RWXO);
    umask(inherited | Mode::WGRP | Mode::RWXO);
}
