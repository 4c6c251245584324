//! `coupon-admin edge`: the agent beside a coupond on another machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Options, run_logged};
use crate::edges::agent::{self, AgentConfig};
use crate::edges::bundle::Bundle;
use crate::serve::stop_on_signal;
use coupon_config::ConfigSources;

#[derive(Debug, Args)]
pub(super) struct EdgeArgs {
    /// File that `coupon-admin edges add` made; overrides the configured one
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// coupond's control socket; overrides the configured one
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// coupond's index folder; overrides the configured one
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<EdgeCommand>,
}

#[derive(Debug, Subcommand)]
enum EdgeCommand {
    /// Check configuration and bundle, print the resulting settings, and exit
    CheckConfig,
}

pub(super) fn run(options: &Options, args: &EdgeArgs) -> anyhow::Result<()> {
    let config = AgentConfig::load(&sources(options, args))?;
    if matches!(args.command, Some(EdgeCommand::CheckConfig)) {
        let bundle = Bundle::read(&config.bundle)?;
        print!("{config}");
        println!("# edge {}, node {}, network {}", bundle.name, bundle.node, bundle.network_id);
        println!("# servers {}", bundle.servers.join(", "));
        return Ok(());
    }
    run_logged(&config.log, |_| async {
        let stop = stop_on_signal()?;
        agent::run(&config, stop).await
    })
}

fn sources(options: &Options, args: &EdgeArgs) -> ConfigSources {
    let argument = |key: &str, path: &Option<PathBuf>| {
        path.as_ref().map(|path| (key.to_owned(), path.display().to_string()))
    };
    let arguments = [
        argument("bundle", &args.bundle),
        argument("daemon_socket", &args.socket),
        argument("index_dir", &args.index),
    ];
    ConfigSources {
        file: options.config.clone(),
        env: coupon_config::environment(),
        arguments: arguments.into_iter().flatten().collect(),
    }
}
