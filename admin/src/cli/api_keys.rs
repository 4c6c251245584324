//! `coupon-admin api-key`: manages API keys on this machine, without a key. A running coupon-admin
//! applies changes from the next request on.

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};

use super::save;
use crate::catalog::Role;
use crate::config::Config;
use crate::edit::api_keys::{self as edit, ApiKeyEdit};
use crate::store::rows::Query;
use crate::store::{self, ReadTx, StoreError, api_keys};

#[derive(Debug, Subcommand)]
pub(super) enum ApiKeyCommand {
    /// Create a key, and print its secret once
    Create(CreateKeyArgs),
    /// List the keys, without their secrets
    List,
    /// Replace a key's secret, and print the new one once; the old one stops working immediately
    Rotate(KeyArgs),
    /// Revoke a key immediately; the last admin key cannot be revoked
    Revoke(KeyArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateKeyArgs {
    /// Role of the key
    #[arg(long, value_enum)]
    role: Role,
    /// Partner of a partner key, by network_affiliate_id
    #[arg(long, value_name = "ID")]
    affiliate: Option<u32>,
    /// Advertiser of an advertiser key, by network_advertiser_id
    #[arg(long, value_name = "ID")]
    advertiser: Option<u32>,
    /// Name of the key in lists
    #[arg(long, default_value = "made on the command line")]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// The key's network_api_key_id
    id: u32,
}

pub(super) fn run(config: &Config, command: ApiKeyCommand) -> anyhow::Result<()> {
    let mut connection = store::connect_existing(&config.data_dir, config.migration_copies)?;
    match command {
        ApiKeyCommand::Create(args) => {
            let wanted = ApiKeyEdit {
                name: args.name,
                role: args.role,
                network_affiliate_id: args.affiliate,
                network_advertiser_id: args.advertiser,
            };
            let (_, secret) = save(&mut connection, |tx| edit::create(tx, &wanted))?;
            println!("{}", secret.reveal());
        }
        ApiKeyCommand::List => println!("{}", table(&*connection.begin_read()?)?),
        ApiKeyCommand::Rotate(KeyArgs { id }) => {
            let (_, secret) = save(&mut connection, |tx| edit::rotate(tx, id))?;
            println!("{}", secret.reveal());
        }
        ApiKeyCommand::Revoke(KeyArgs { id }) => {
            save(&mut connection, |tx| edit::remove(tx, id))?;
            println!("revoked key {id}");
        }
    }
    Ok(())
}

fn table(connection: &ReadTx<'_>) -> Result<Table, StoreError> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["id", "role", "owner", "begins with", "name"]);
    for key in api_keys::list(connection, &Query::default())?.rows {
        let owner = key.affiliate_id.or(key.advertiser_id);
        let owner = owner.map(|id| id.to_string()).unwrap_or_default();
        let (id, role) = (key.id.to_string(), key.role.as_str().to_owned());
        table.add_row([id, role, owner, key.hint, key.name]);
    }
    Ok(table)
}
