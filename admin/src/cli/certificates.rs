//! `coupon-admin certificates`: lists the certificates of tracking domains.

use comfy_table::{Table, presets};
use jiff::Timestamp;

use crate::config::Config;
use crate::store::certificates::{self, HostCertificate};
use crate::store::{self, ReadTx, StoreError};

pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    let connection = store::connect_existing(&config.data_dir, config.migration_copies)?;
    println!("{}", table(&*connection.begin_read()?)?);
    Ok(())
}

fn table(connection: &ReadTx<'_>) -> Result<Table, StoreError> {
    let mut table = Table::new();
    let header = ["host", "status", "expires", "next attempt", "error"];
    table.load_style(presets::NOTHING).set_header(header);
    for host in certificates::wanted_hosts(connection)? {
        let found = certificates::find(connection, &host)?;
        let state = found.unwrap_or_else(|| HostCertificate::new(&host)).state();
        let status = state.status.as_str().to_owned();
        let (expires, next) = (time(state.expires_at), time(state.next_attempt));
        table.add_row([host, status, expires, next, state.error]);
    }
    Ok(table)
}

/// Empty for 0.
fn time(unix_seconds: i64) -> String {
    match Timestamp::from_second(unix_seconds) {
        Ok(at) if unix_seconds != 0 => at.to_string(),
        _ => String::new(),
    }
}
