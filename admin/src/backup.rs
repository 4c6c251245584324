//! Backs the data folder up to one file, also while the admin runs, and restores a data folder from
//! it.
//!
//! # The file
//!
//! A tar archive, compressed by zstd: `admin.db`, a copy of the store; `archive/….log`, the click
//! archive; and at the end `manifest.json`, with length and BLAKE3 hash of each file. The store is
//! copied before the archive, so the archive contains at least all counted clicks; further clicks
//! are counted when the admin next starts.
//!
//! The file is as secret as the store: it contains the key that signs clicks and the advertisers'
//! signing keys. Only its owner may read the file. API keys are stored as hashes. Not included:
//! `admin.key`, which holds the first key in clear text; the published index, which is built anew;
//! and uploads.
//!
//! # After a restore
//!
//! The daemon may serve a later index than the store knows; publication overtakes it. Clicks
//! ingested after the backup are requested from the daemon again; clicks that the daemon no longer
//! has are counted as missing. New ids start at a distance, so an id given out after the backup is
//! never used twice.

mod error;
mod file_format;
mod last;
mod pack;
mod rotation;
mod unpack;

#[cfg(test)]
mod tests;

pub use error::BackupError;
pub use file_format::Progress;
pub use last::{LastBackup, last_backup, note_backup};
pub use pack::{backup, backup_into};
pub use rotation::{next_path, remove_surplus};
pub use unpack::{Restored, check_finished, restore};
