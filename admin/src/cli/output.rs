//! Output of a command: a file, or the standard output for `-`. An existing file is replaced only
//! on demand.
//!
//! A file gets its name when it is complete, so an interrupted command leaves none. Only the owner
//! may read the file, because codes, notes and partners are confidential.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::private_file::{NewFile, folder_of};

/// The name of the standard output.
pub(super) const STANDARD: &str = "-";

pub(super) enum Output {
    Standard,
    /// A file without a name yet, its later name, and whether to replace an existing file.
    New(NewFile, PathBuf, bool),
    /// A device or pipe.
    Device(File, PathBuf),
}

impl Output {
    /// Call this before any work, so that a refusal comes early.
    pub(super) fn open(path: &Path, force: bool) -> anyhow::Result<Output> {
        if is_standard(path) {
            return Ok(Output::Standard);
        }
        let cannot = || format!("cannot write {}", path.display());
        match path.symlink_metadata() {
            Ok(_) if !force => {
                bail!("{} exists already; name another file, or add --force", path.display())
            }
            Ok(found) if !found.is_file() && !found.is_symlink() => {
                let file = OpenOptions::new().write(true).open(path).with_context(cannot)?;
                Ok(Output::Device(file, path.into()))
            }
            _ => Ok(Output::New(NewFile::beside(path).with_context(cannot)?, path.into(), force)),
        }
    }

    /// Whether the output is the standard output, which then must contain nothing else.
    pub(super) fn is_standard(&self) -> bool {
        matches!(self, Output::Standard)
    }

    /// Error text for a failed write.
    pub(super) fn failure(&self) -> String {
        match self {
            Output::Standard => "cannot write to the standard output".into(),
            Output::New(_, path, _) | Output::Device(_, path) => {
                format!("cannot write {}", path.display())
            }
        }
    }

    /// A folder for temporary files: that of a new file, which has room for them, else the system's.
    pub(super) fn folder(&self) -> PathBuf {
        match self {
            Output::New(_, path, _) => folder_of(path).to_owned(),
            Output::Standard | Output::Device(..) => std::env::temp_dir(),
        }
    }

    pub(super) fn writer(&self) -> Box<dyn Write + '_> {
        match self {
            Output::Standard => Box::new(io::stdout().lock()),
            Output::New(new, ..) => Box::new(new.file()),
            Output::Device(file, _) => Box::new(file),
        }
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let failure = self.failure();
        let finished = match self {
            Output::Standard => io::stdout().flush(),
            Output::New(new, _, true) => new.replace(),
            Output::New(new, _, false) => new.persist_new(),
            Output::Device(mut file, _) => file.flush(),
        };
        finished.context(failure)
    }
}

/// Whether the file name stands for the standard output.
pub(super) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD
}
