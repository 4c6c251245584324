//! `coupon-admin edges`: registers and revokes edges, and shows their state. A running coupon-admin
//! follows within a second.

mod list;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use crate::config::Config;
use crate::edges::bundle::Bundle;
use crate::edges::hub;
use crate::edges::registration::{self, HubAddress};
use crate::edges::rights;
use crate::private_file::NewFile;
use crate::store::edges;
use crate::store::{self, OpenTransaction, WriteTx};

#[derive(Debug, Subcommand)]
pub(super) enum EdgesCommand {
    /// Register an edge, and write the bundle that its agent needs
    ///
    /// The bundle is a secret: whoever has it speaks for this edge. Bring it to the machine of the edge
    /// on a way that nobody else reads, and remove it here. Each edge needs a bundle of its own.
    #[command(
        after_help = "Example:\n  coupon-admin edges add fra1 --out fra1.bundle --data ./data"
    )]
    Add(AddArgs),
    /// List the registered edges with the state of each, and problems with their mends
    ///
    /// Asks the running coupon-admin at metrics.listen. Without one, shows the stored facts alone. The
    /// states are joining, live, lagging, silent, conflict (works, and another agent is refused), refused
    /// and revoked. `behind` is for how long an edge has not served the published index, `backlog` the
    /// age above which all its clicks are counted, `sales` the postbacks that wait for a verdict.
    #[command(
        after_help = "Examples:\n  coupon-admin edges list --data ./data\n  coupon-admin edges list --all --json --config /etc/coupon/coupon-admin.toml"
    )]
    List(list::ListArgs),
    /// Make a new bundle for an edge; the former one is worthless from then on
    #[command(
        after_help = "Example:\n  coupon-admin edges replace fra1 --out fra1.bundle --data ./data"
    )]
    Replace(BundleArgs),
    /// Revoke an edge: it is neither asked nor heard any more, and cannot read later publications
    ///
    /// Clicks that it has not given yet are not counted. Its coupond goes on redirecting by the last
    /// index until it is stopped. Write the NATS server's users anew afterwards (edges nats-config).
    #[command(after_help = "Example:\n  coupon-admin edges revoke fra1 --data ./data")]
    Revoke(NameArgs),
    /// Print the users of the NATS server, with what each edge may do there
    #[command(
        after_help = "Example:\n  coupon-admin edges nats-config --data ./data > /etc/nats/coupon-users.conf\n  systemctl reload nats-server"
    )]
    NatsConfig,
    /// Take the edges over from another control plane, such as the lost one of a backup
    ///
    /// Stop the other one first: of two, the edges follow the one that took over last.
    #[command(after_help = "Example:\n  coupon-admin edges take-over --data ./data")]
    TakeOver,
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Node id, 0 to 1023; a free one if left out
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(0..=1023))]
    node: Option<u16>,
}

#[derive(Debug, Args)]
pub(super) struct BundleArgs {
    /// Name of the edge: letters, digits, hyphens, underscores and dots
    name: String,
    /// New file for the bundle; NAME.bundle if left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Name of the edge
    name: String,
}

pub(super) fn run(config: &Config, command: EdgesCommand) -> anyhow::Result<()> {
    let mut connection = store::connect_existing(&config.data_dir, config.migration_copies)?;
    match command {
        EdgesCommand::Add(AddArgs { bundle: args, node }) => {
            let (hub, out) = (hub_address(config)?, args.new_file()?);
            let tx = connection.begin_write()?;
            let bundle = registration::add(&tx, &args.name, node, hub)?;
            hand_over(tx, out, &bundle, &args)?;
        }
        EdgesCommand::Replace(args) => {
            let (hub, out) = (hub_address(config)?, args.new_file()?);
            let tx = connection.begin_write()?;
            let bundle = registration::replace(&tx, &args.name, hub)?;
            hand_over(tx, out, &bundle, &args)?;
        }
        EdgesCommand::Revoke(NameArgs { name }) => {
            let tx = connection.begin_write()?;
            let edge = registration::revoke(&tx, &name)?;
            tx.commit()?;
            println!("edge {name} (node {}) is revoked; now write the users of the", edge.node);
            println!("NATS server anew: coupon-admin edges nats-config");
        }
        EdgesCommand::List(args) => list::run(config, &connection, &args)?,
        EdgesCommand::NatsConfig => {
            let tx = connection.begin_read()?;
            let keys = edges::control_plane(&tx)?;
            let keys = keys.ok_or(registration::RegistrationError::NoControlPlane)?;
            let rows = registration::in_service(&tx)?;
            print!("{}", rights::configuration(config.network_id, &keys, &rows)?);
        }
        EdgesCommand::TakeOver => {
            let tx = connection.begin_write()?;
            registration::take_over(&tx)?;
            tx.commit()?;
            println!("a running coupon-admin takes the edges over within some seconds");
        }
    }
    Ok(())
}

fn hub_address(config: &Config) -> anyhow::Result<HubAddress> {
    if !config.hub.is_configured() {
        bail!(
            "coupon-admin does not know its NATS server: set servers in [hub] of its configuration, \
             such as servers = [\"nats://127.0.0.1:4222\"], and restart it"
        );
    }
    Ok(HubAddress {
        network_id: config.network_id,
        servers: config.hub.servers_of_edges().to_vec(),
        ca_pem: hub::read_ca(config.hub.ca_file.as_deref())?,
    })
}

impl BundleArgs {
    fn path(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.bundle", self.name)))
    }

    /// Begins the file before anything is saved: a bundle that cannot be written must not stay
    /// registered.
    fn new_file(&self) -> anyhow::Result<NewFile> {
        let path = self.path();
        if path.exists() {
            bail!("{} exists; choose another file with --out", path.display());
        }
        NewFile::beside(&path).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Writes the bundle, then saves the edge: a bundle without an edge is harmless.
fn hand_over(
    tx: OpenTransaction<'_, WriteTx<'_>>,
    out: NewFile,
    bundle: &Bundle,
    args: &BundleArgs,
) -> anyhow::Result<()> {
    let path = args.path();
    out.file().write_all(bundle.to_text().as_bytes())?;
    out.persist_new().with_context(|| format!("cannot write {}", path.display()))?;
    if let Err(error) = tx.commit() {
        let _ = std::fs::remove_file(&path);
        return Err(error.into());
    }
    let (name, node) = (&bundle.name, bundle.node);
    println!("edge {name} is node {node}; its bundle is {}\n", path.display());
    println!("On the machine of the edge:");
    println!("  in coupond.toml      node_id = {node}");
    println!("                       index_dir = \"/var/lib/coupon-edge/index\"");
    println!("  beside coupond       coupon-admin edge --bundle {}", path.display());
    println!("\nHere: write the users of the NATS server anew, and reload it:");
    println!("  coupon-admin edges nats-config");
    Ok(())
}
