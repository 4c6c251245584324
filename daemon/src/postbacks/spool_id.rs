//! The spool's name, in a file beside its segments, so that it goes where they go.
//!
//! The admin knows what it has decided as a sequence of a named spool. Whenever it is not certain
//! that sequences still mean what they meant, the name is made anew: then everything kept is
//! delivered again, and the admin knows each postback by its id.

use std::io;
use std::path::Path;

use coupon_shared::postback::SpoolId;

use crate::durable_file;

const FILE: &str = "spool-id";

/// The spool's name; a new one where it has none that can be read.
pub(super) fn read_or_create(folder: &Path) -> io::Result<SpoolId> {
    let text = durable_file::read(&folder.join(FILE))?;
    match text.as_deref().map(|text| text.trim().parse()) {
        Some(Ok(id)) => Ok(id),
        Some(Err(_)) => {
            tracing::warn!(folder = %folder.display(), "the spool's name is unreadable; it gets a new one");
            renew(folder)
        }
        None => renew(folder),
    }
}

/// Gives the spool a name that it never had, durable when this returns.
pub(super) fn renew(folder: &Path) -> io::Result<SpoolId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    std::fs::create_dir_all(folder)?;
    durable_file::replace(&folder.join(FILE), format!("{}\n", SpoolId(id)).as_bytes())?;
    Ok(SpoolId(id))
}
