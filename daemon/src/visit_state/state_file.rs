//! The file of the admin's last message, so that a restart needs no admin.

use std::io;
use std::path::{Path, PathBuf};

use coupon_shared::visit_state::{MAX_BYTES, PublishedState};

use crate::durable_file;

const FILE: &str = "visit-state";

#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub(super) fn new(data_dir: &Path) -> StateFile {
        StateFile { path: data_dir.join(FILE) }
    }

    /// The last message; `None` if there was none. The error is a text for an alert.
    pub(super) fn read(&self) -> Result<Option<PublishedState>, String> {
        let read = std::fs::metadata(&self.path).and_then(|metadata| {
            if metadata.len() > MAX_BYTES as u64 {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too long"));
            }
            std::fs::read(&self.path)
        });
        match read {
            Ok(bytes) => PublishedState::decode(&bytes).map(Some).map_err(|error| {
                self.problem(&format!("{error}; caps count from the click log alone until coupon-admin sends a new one"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.problem(&error.to_string())),
        }
    }

    /// Replaces the message. The error is a text for an alert.
    pub(super) fn replace(&self, bytes: &[u8]) -> Result<(), String> {
        durable_file::replace(&self.path, bytes).map_err(|error| {
            self.problem(&format!("{error}; a restart would begin with an older state"))
        })
    }

    fn problem(&self, why: &str) -> String {
        format!("cannot use the stored visit state {}: {why}", self.path.display())
    }
}
