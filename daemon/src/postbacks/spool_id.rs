//! The spool's name, in a file beside the segments: moving the folder moves the name, too.
//!
//! The admin stores its decisions as a sequence of a named spool. Whenever sequences may have
//! changed their meaning, the spool gets a new name: then all its postbacks are delivered again,
//! and the admin recognises each by its id.

use std::io;
use std::path::Path;

use coupon_shared::postback::SpoolId;

use crate::durable_file;

const FILE: &str = "spool-id";

/// The spool's name; creates a new one if the file is missing or unreadable.
pub(super) fn read_or_create(folder: &Path) -> io::Result<SpoolId> {
    let text = durable_file::read(&folder.join(FILE))?;
    match text.as_deref().map(|text| text.trim().parse()) {
        Some(Ok(id)) => Ok(id),
        Some(Err(_)) => {
            tracing::warn!(folder = %folder.display(), "name of the spool unreadable; creating a new one");
            renew(folder)
        }
        None => renew(folder),
    }
}

/// Gives the spool a new random name, durable when this returns.
pub(super) fn renew(folder: &Path) -> io::Result<SpoolId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    std::fs::create_dir_all(folder)?;
    durable_file::replace(&folder.join(FILE), format!("{}\n", SpoolId(id)).as_bytes())?;
    Ok(SpoolId(id))
}
