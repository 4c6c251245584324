//! The identity of a run (incarnation) and of a data folder (store id, former node ids).
//!
//! The incarnation is part of every stream's name and of every transaction id, so no incarnation
//! may occur twice. It is greater than the last used one, durable before the first click, and at
//! least the Unix time in seconds, so that it also grows after the loss of a data folder. A clock
//! that was set back does no harm while the data folder exists. A copied data folder can repeat a
//! number of the original; [`run_ids`](super::run_ids) tell their runs apart.

use std::io;
use std::path::{Path, PathBuf};

use coupon_shared::node_identity::MAX_FORMER_NODES;

use super::ring::StoreId;
use crate::durable_file;

/// Errors that leave a data folder without identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of the identity cannot be read or written.
    #[error("cannot read or write {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A file of the identity has unexpected contents.
    #[error(
        "{} contains {found:?} instead of {expected}: restore the file, or delete it if this machine's clock is right",
        path.display()
    )]
    Contents { path: PathBuf, expected: &'static str, found: String },
    /// Every number has been used.
    #[error("{} contains the last possible number: start with an empty data folder", path.display())]
    Exhausted { path: PathBuf },
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { path, source }
}

/// The number of this run, from `at_least` on where that is below 2^32; durable when this returns.
pub(super) fn next_incarnation(data_dir: &Path, at_least: u64) -> Result<u32, IdentityError> {
    let path = data_dir.join("incarnation");
    let stored = match durable_file::read(&path).map_err(io_error(&path))? {
        None => 0,
        Some(text) => match text.trim().parse::<u32>() {
            Ok(stored) => stored,
            Err(_) => {
                let expected = "a number below 4294967296";
                return Err(IdentityError::Contents { path, expected, found: text });
            }
        },
    };
    let Some(next) = stored.checked_add(1) else {
        return Err(IdentityError::Exhausted { path });
    };
    let incarnation = next.max(u32::try_from(at_least).unwrap_or(0));
    let contents = format!("{incarnation}\n");
    // Works on a full disk, too: a full disk must not keep the next run from starting.
    durable_file::replace_few_bytes(&path, contents.as_bytes()).map_err(io_error(&path))?;
    Ok(incarnation)
}

/// The data folder's id; creates an id for a new folder.
pub(super) fn store_id(data_dir: &Path) -> Result<StoreId, IdentityError> {
    let path = data_dir.join("store-id");
    let Some(text) = durable_file::read(&path).map_err(io_error(&path))? else {
        let mut id = StoreId::default();
        getrandom::fill(&mut id)
            .map_err(|error| io_error(&path)(io::Error::other(error.to_string())))?;
        let text = format!("{:032x}\n", u128::from_be_bytes(id));
        durable_file::replace(&path, text.as_bytes()).map_err(io_error(&path))?;
        return Ok(id);
    };
    match u128::from_str_radix(text.trim(), 16) {
        Ok(id) if text.trim().len() == 32 => Ok(id.to_be_bytes()),
        _ => {
            let expected = "32 hexadecimal digits";
            Err(IdentityError::Contents { path, expected, found: text })
        }
    }
}

/// The node ids under which the data folder ran before, oldest first; notes the present one for
/// later runs. Without the note, coupon-admin would refuse the folder's clicks after the node id
/// has changed.
pub(super) fn former_nodes(data_dir: &Path, node: u16) -> Result<Vec<u16>, IdentityError> {
    let path = data_dir.join("node-ids");
    let text = durable_file::read(&path).map_err(io_error(&path))?.unwrap_or_default();
    let known: Result<Vec<u16>, _> = text.split_ascii_whitespace().map(str::parse).collect();
    let Ok(mut known) = known else {
        let expected = "node ids from 0 to 1023, one a line";
        return Err(IdentityError::Contents { path, expected, found: text });
    };
    let is_noted = known.last() == Some(&node);
    known.retain(|former| *former != node);
    known.drain(..known.len().saturating_sub(MAX_FORMER_NODES));
    if !is_noted {
        let lines: Vec<String> = known.iter().chain([&node]).map(u16::to_string).collect();
        let contents = format!("{}\n", lines.join("\n"));
        if let Err(error) = durable_file::replace(&path, contents.as_bytes()) {
            // A full disk must not keep this run from starting; the next run notes its own.
            tracing::warn!(path = %path.display(), %error, "node id not noted");
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_remembers_its_former_node_ids() {
        let folder = tempfile::tempdir().unwrap();
        let former = |node| former_nodes(folder.path(), node).unwrap();
        assert!(former(0).is_empty() && former(0).is_empty());
        assert_eq!([former(7), former(7)], [vec![0], vec![0]]);
        assert_eq!([former(0), former(9)], [vec![7], vec![7, 0]]);
        for node in 100..140 {
            assert!(former(node).len() <= MAX_FORMER_NODES);
        }
        assert_eq!(former(1), (124..140).collect::<Vec<u16>>());
        std::fs::write(folder.path().join("node-ids"), "seven").unwrap();
        let refused = former_nodes(folder.path(), 7).unwrap_err();
        assert!(refused.to_string().contains("one a line"), "{refused}");
    }

    #[test]
    fn an_incarnation_grows_also_when_the_clock_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let next = |clock| next_incarnation(folder.path(), clock).unwrap();
        assert_eq!(next(1_763_000_000), 1_763_000_000);
        assert_eq!(next(1_763_000_000), 1_763_000_001);
        assert_eq!(next(5), 1_763_000_002);
        assert_eq!(next(u64::MAX), 1_763_000_003);
        assert_eq!(next(1_764_000_000), 1_764_000_000);
    }

    #[test]
    fn an_unreadable_incarnation_is_refused_not_guessed() {
        let folder = tempfile::tempdir().unwrap();
        for contents in ["", "x", "-1", "4294967296"] {
            std::fs::write(folder.path().join("incarnation"), contents).unwrap();
            let refused = next_incarnation(folder.path(), 7).unwrap_err();
            assert!(matches!(refused, IdentityError::Contents { .. }));
        }
        std::fs::write(folder.path().join("incarnation"), "4294967295").unwrap();
        let refused = next_incarnation(folder.path(), 7).unwrap_err();
        assert!(matches!(refused, IdentityError::Exhausted { .. }));
    }

    #[test]
    fn a_data_folder_keeps_its_id_and_no_other_has_it() {
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let id = store_id(one.path()).unwrap();
        assert_eq!(store_id(one.path()).unwrap(), id);
        assert_ne!(store_id(other.path()).unwrap(), id);
    }
}
