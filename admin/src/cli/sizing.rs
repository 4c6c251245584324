//! `coupon-admin sizing`: prints how much disk and memory a network of a size takes.

use clap::Args;
use indicatif::HumanBytes;

use crate::sizing::{self, NetworkSize, SizeEstimate};

#[derive(Debug, Args)]
pub(super) struct SizingArgs {
    /// Coupon codes
    #[arg(long, value_name = "NUMBER")]
    codes: u64,
    /// Clicks of a day
    #[arg(long, value_name = "NUMBER")]
    clicks_per_day: u64,
    /// Conversions of a day
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    conversions_per_day: u64,
    /// Days that single clicks are kept (privacy.click_retention_days), and of conversions to count
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    keep_days: u64,
    /// Print one JSON object, in bytes
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SizingArgs) -> anyhow::Result<()> {
    let estimate = sizing::estimate(NetworkSize {
        codes: args.codes,
        clicks_per_day: args.clicks_per_day,
        conversions_per_day: args.conversions_per_day,
        keep_days: args.keep_days,
    });
    if args.json {
        println!("{}", serde_json::to_string_pretty(&estimate)?);
    } else {
        print_lines(&estimate);
    }
    Ok(())
}

fn print_lines(estimate: &SizeEstimate) {
    let (daemon, admin) = (&estimate.coupond, &estimate.coupon_admin);
    let line = |what: &str, bytes: u64| println!("  {what:34} {:>12}", HumanBytes(bytes));
    println!("coupond");
    line("memory", daemon.memory_bytes);
    line("disk", estimate.daemon_disk_bytes());
    line("  WAL, a day without coupon-admin", daemon.wal_bytes_per_day);
    line("  click store", daemon.click_store_bytes);
    line("  postback spool", daemon.postback_spool_bytes);
    println!("coupon-admin");
    line("memory", admin.memory_bytes);
    line("disk, with room for upgrades", estimate.admin_disk_bytes());
    line("  database", admin.database_bytes);
    line("  click archive", admin.archive_bytes);
    line("  published index", admin.index_bytes);
    println!(
        "\nConversions and reports stay for ever; those of {} days are counted. Add the reserves of \
         both disks (disk_reserve_bytes) and the backups.",
        estimate.network.keep_days
    );
}
