//! What visits that leave no click write, where answers wait for commits.
//!
//! An unknown code leaves no click and a paused one does; the time of the answer must not tell them
//! apart. So a commit without clicks writes and syncs as many bytes as one click's block has, at the
//! end of a file that nobody reads.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// AlertKind a block of one click.
const BYTES: [u8; 256] = [0; 256];
/// The file begins anew at this length.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct MissWrites {
    path: PathBuf,
    file: Option<(File, u64)>,
}

impl MissWrites {
    /// Into a file that the first write makes.
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
