//! `coupon-admin erase`: queues an erasure for the running coupon-admin and waits for the result.
//! Erases directly if coupon-admin is not running.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use coupon_shared::transaction_id::TransactionId;

use crate::config::Config;
use crate::data_folder::FolderTaken;
use crate::privacy::{self, UNREACHED_COPIES, parse_email};
use crate::serve;
use crate::store::erasure::{self, Erasure, Selector, Stage};
use crate::store::{self, DedicatedConnection, StoreError};

const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "subject")]
struct SubjectArgs {
    /// Erase one click, with the postbacks and conversions of its transaction id
    #[arg(long, value_name = "ID", group = "subject")]
    transaction_id: Option<TransactionId>,
    /// Erase all data from an IP address
    #[arg(long, value_name = "ADDRESS", group = "subject")]
    ip: Option<IpAddr>,
    /// Erase all purchases of an email address, with their clicks
    #[arg(long, value_name = "ADDRESS", group = "subject", value_parser = email)]
    email: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Only count the affected data
    #[arg(long)]
    dry_run: bool,
}

fn email(text: &str) -> Result<String, String> {
    parse_email(text).map_err(str::to_owned)
}

impl SubjectArgs {
    fn selector(self) -> Option<Selector> {
        let of_click = self.transaction_id.map(Selector::TransactionId);
        of_click.or(self.ip.map(Selector::Ip)).or(self.email.map(Selector::Email))
    }
}

pub(super) async fn run(config: &Config, args: EraseArgs) -> anyhow::Result<()> {
    let selector = args.subject.selector();
    let selector = selector.ok_or_else(|| {
        anyhow::anyhow!("name a transaction id, an IP address or an email address to erase")
    })?;
    // Fails without a store; opening the data folder would create one.
    let mut connection = store::connect_existing(&config.data_dir, config.migration_copies)?;
    let done = match serve::open_data(config) {
        Ok((store, archive, _lock)) => {
            drop(connection);
            privacy::erase_offline(store, archive, selector, args.dry_run).await?
        }
        Err(error) if error.is::<FolderTaken>() => {
            let id = queue_erasure(&mut connection, &selector, args.dry_run)?;
            println!("the running coupon-admin does it; erasure {id}");
            Some(wait_for(&connection, id).await?)
        }
        Err(error) => return Err(error),
    };
    if let Some(done) = done {
        print_result(&done);
    }
    Ok(())
}

fn queue_erasure(
    connection: &mut DedicatedConnection,
    selector: &Selector,
    dry_run: bool,
) -> Result<u32, StoreError> {
    let tx = connection.begin_write()?;
    let id = erasure::request(&tx, selector, dry_run)?;
    tx.commit()?;
    Ok(id)
}

/// Waits until the erasure is done, or waits for clicks. The erasure continues even if this
/// command is stopped.
async fn wait_for(connection: &DedicatedConnection, id: u32) -> Result<Erasure, StoreError> {
    loop {
        let tx = connection.begin_read()?;
        let found = erasure::find(&tx, id)?;
        drop(tx);
        if let Some(found) = found
            && (found.stage == Stage::Done || found.found.waiting > 0)
        {
            return Ok(found);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn print_result(done: &Erasure) {
    let did = if done.dry_run { "found" } else { "erased" };
    let count = |count: Option<u64>| count.unwrap_or(0);
    println!(
        "{did} what is personal of {} clicks, {} postbacks and {} conversions",
        count(done.found.clicks),
        count(done.found.postbacks),
        count(done.found.conversions)
    );
    if done.found.waiting > 0 {
        println!(
            "{} postbacks wait for their click; they are erased by coupon-admin when they are decided",
            done.found.waiting
        );
    }
    println!("Not reached:");
    UNREACHED_COPIES.iter().for_each(|elsewhere| println!("- {elsewhere}"));
}
