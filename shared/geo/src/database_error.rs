//! Reasons why a file is not put into service.

use std::io;
use std::path::PathBuf;

use maxminddb::MaxMindDbError;

use crate::database::MAX_DATABASE_BYTES;

/// A file that is not put into service.
#[derive(Debug, thiserror::Error)]
#[error("geo database {} {fault}", path.display())]
pub struct DatabaseError {
    pub path: PathBuf,
    pub fault: DatabaseFault,
}

/// Faults of a file, each with a way to mend it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseFault {
    #[error("cannot be read: {0}; check that the file exists and that this user may read it")]
    Read(#[from] io::Error),
    #[error("is a folder or a device; name the file itself, which mostly ends in .mmdb")]
    NotAFile,
    #[error(
        "has {bytes} bytes, the most is {MAX_DATABASE_BYTES}; choose a database with fewer fields"
    )]
    TooLarge { bytes: u64 },
    #[error(
        "needs {bytes} bytes of memory, which the machine does not have; choose a smaller database"
    )]
    NoMemory { bytes: u64 },
    #[error(
        "changed while it was read; write a new database beside the old file, then rename it to \
         the old name"
    )]
    Changing,
    #[error(
        "is cut off or not in MaxMind's format ({0}); download it again, and rename it into place \
         when it is complete"
    )]
    Format(MaxMindDbError),
    #[error("has a damaged search tree at node {node}; download it again")]
    SearchTree { node: u64 },
    #[error("has {unreadable} damaged records among {checked} ({first}); download it again")]
    Records { unreadable: u32, checked: u32, first: MaxMindDbError },
    #[error(
        "takes more than {seconds} s of processor time to check, so look-ups could delay visitors; \
         choose another database"
    )]
    TooSlow { seconds: u64 },
    #[error(
        "has no field of a known name ({fields}); choose a database of countries, cities, \
         networks, connection types or anonymous networks"
    )]
    NoKnownFields { fields: String },
}
