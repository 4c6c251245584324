//! `coupon-admin export`: the coupon codes as a file that can be imported again.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;

use rusqlite::TransactionBehavior;

use super::ExportArgs;
use crate::{export, store};

pub(super) fn run(dir: &Path, args: &ExportArgs) -> anyhow::Result<()> {
    let mut connection = store::connect_existing(dir)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let Some(path) = &args.file else {
        export::write(&tx, &[], std::io::stdout().lock())?;
        return Ok(());
    };
    let mut file = File::create(path)?;
    let codes = export::write(&tx, &[], &file)?;
    file.flush()?;
    file.sync_all()?;
    if std::io::stderr().is_terminal() {
        eprintln!("{codes} coupon codes written to {}", path.display());
    }
    Ok(())
}
