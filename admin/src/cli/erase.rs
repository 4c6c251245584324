//! `coupon-admin erase`: asks the running coupon-admin to erase, and waits; or, where none runs, does
//! it here.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use coupon_shared::transaction_id::TransactionId;
use rusqlite::{Connection, TransactionBehavior};

use crate::privacy::{self, UNREACHED_COPIES, parse_email};
use crate::serve::{self, FolderTaken};
use crate::store::erasure::{self, Erasure, Selector, Stage};
use crate::store::{self, StoreError, WriteTx};

const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "whose")]
struct SubjectArgs {
    /// Of one click: the click, and the postbacks and conversions that name it
    #[arg(long, value_name = "ID", group = "whose")]
    transaction_id: Option<TransactionId>,
    /// Of all that came from an address
    #[arg(long, value_name = "ADDRESS", group = "whose")]
    ip: Option<IpAddr>,
    /// Of all that was bought under an email address, with the clicks it came from
    #[arg(long, value_name = "ADDRESS", group = "whose", value_parser = email)]
    email: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Only count
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

pub(super) async fn run(dir: &Path, args: EraseArgs) -> anyhow::Result<()> {
    let selector = args.subject.selector();
    let selector = selector.ok_or_else(|| anyhow::anyhow!("say whose data is to be erased"))?;
    // Where there is no store, none is to be made.
    let mut connection = store::connect_existing(dir)?;
    let done = match serve::open_data(dir) {
        Ok((store, archive, _lock)) => {
            drop(connection);
            privacy::erase_offline(store, archive, selector, args.dry_run).await?
        }
        Err(error) if error.is::<FolderTaken>() => {
            let id = ask(&mut connection, &selector, args.dry_run)?;
            println!("the running coupon-admin does it; erasure {id}");
            Some(wait_for(&connection, id).await?)
        }
        Err(error) => return Err(error),
    };
    if let Some(done) = done {
        say(&done);
    }
    Ok(())
}

fn ask(connection: &mut Connection, selector: &Selector, dry_run: bool) -> Result<u32, StoreError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let id = erasure::request(&WriteTx::within(&tx), selector, dry_run)?;
    tx.commit()?;
    Ok(id)
}

/// Until it is done, or can only go on when clicks have come. Ends with the program; the erasure goes
/// on without it.
async fn wait_for(connection: &Connection, id: u32) -> Result<Erasure, StoreError> {
    loop {
        if let Some(found) = erasure::find(connection, id)?
            && (found.stage == Stage::Done || found.found.waiting > 0)
        {
            return Ok(found);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn say(done: &Erasure) {
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
