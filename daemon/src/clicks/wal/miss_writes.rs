//! The writes of commits for misses, if answers wait for commits.
//!
//! An unknown code leaves no click and a paused code does; the answer times must not reveal the
//! difference. So a commit without clicks writes and syncs as many bytes as the block of one click,
//! to the end of a file that no program reads.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// About the length of a block with one click.
const BYTES: [u8; 256] = [0; 256];
/// Length at which the file is truncated.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct MissWrites {
    path: PathBuf,
    file: Option<(File, u64)>,
}

impl MissWrites {
    /// The first write creates the file.
    pub(super) fn new(path: PathBuf) -> MissWrites {
        MissWrites { path, file: None }
    }

    pub(super) fn append_synced(&mut self) -> io::Result<()> {
        let (mut file, bytes) = match self.file.take() {
            Some((file, bytes)) if bytes < MAX_FILE_BYTES => (file, bytes),
            _ => (File::create(&self.path)?, 0),
        };
        file.write_all(&BYTES)?;
        file.sync_data()?;
        self.file = Some((file, bytes + BYTES.len() as u64));
        Ok(())
    }
}
