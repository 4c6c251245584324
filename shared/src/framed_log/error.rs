//! Why a framed log did not open, take frames or give them.

use std::io;
use std::path::{Path, PathBuf};

use super::format::FORMAT_VERSION;

/// Why a framed log did not open, take frames or give them.
#[derive(Debug, thiserror::Error)]
pub enum FramedLogError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// Another process appends to this log.
    #[error("{} is in use by another process: stop it, or give this one a folder of its own", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Bytes that were once synced have changed.
    #[error(
        "{} is damaged at byte {offset} ({what}): restore the file from a backup, or move it out of the folder and keep it; {}",
        path.display(),
        match resume_at { Some(next) => format!("intact frames go on at sequence {next}"), None => "nothing intact follows".to_owned() }
    )]
    Damaged {
        /// The damaged segment.
        path: PathBuf,
        /// Position in the file.
        offset: u64,
        /// The kind of damage.
        what: &'static str,
        /// The first sequence of the next segment: a caller may decide to continue there.
        resume_at: Option<u64>,
    },
    /// The segment was written by a newer program.
    #[error("{} has format version {version}, this program reads up to {FORMAT_VERSION}: run the newer program", path.display())]
    UnsupportedVersion {
        /// The segment.
        path: PathBuf,
        version: u32,
    },
    /// The requested frames are older than the oldest segment.
    #[error("sequence {wanted} has been removed, the log begins at {first}")]
    Removed {
        /// The requested sequence.
        wanted: u64,
        /// The oldest sequence.
        first: u64,
    },
    /// The segment takes appends, or no segment begins there.
    #[error("no closed segment of {} begins at sequence {first}; close the segment before rewriting it", folder.display())]
    NotClosed {
        /// The log.
        folder: PathBuf,
        /// The requested sequence.
        first: u64,
    },
    /// The payload is longer than the log takes.
    #[error("a payload of {bytes} bytes is longer than the {max} this log takes")]
    FrameTooLarge {
        /// Its length.
        bytes: usize,
        /// The longest accepted.
        max: u32,
    },
}

impl FramedLogError {
    pub(super) fn io(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> FramedLogError {
        let path = path.to_owned();
        move |source| FramedLogError::Io { action, path, source }
    }
}
