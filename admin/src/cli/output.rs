//! Where a command writes its file: `-` is the standard output, and what is there already is replaced
//! only on demand.
//!
//! A file gets its name when it is complete, so one that was broken off is no file. Only its owner may
//! read it: codes, notes and partners are nobody else's.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::private_file::NewFile;

/// The name of the standard output.
const STANDARD: &str = "-";

/// Where a command writes.
pub(super) enum Output {
    /// The standard output.
    Standard,
    /// A file that has no name yet, and whether another one may have its name.
    New(NewFile, PathBuf, bool),
    /// What is no file: a device, a pipe.
    Device(File, PathBuf),
}

impl Output {
    /// Before any work is done, so that nobody waits for a refusal.
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

    /// Whether it is the standard output, which then holds nothing else.
    pub(super) fn is_standard(&self) -> bool {
        matches!(self, Output::Standard)
    }

    /// What is said when writing to it fails.
    pub(super) fn failure(&self) -> String {
        match self {
            Output::Standard => "cannot write to the standard output".into(),
            Output::New(_, path, _) | Output::Device(_, path) => {
                format!("cannot write {}", path.display())
            }
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

/// Whether a file's name stands for the standard output.
pub(super) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD
}
