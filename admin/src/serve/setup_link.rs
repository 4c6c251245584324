//! The file with the link of the console's first user, for a start without a terminal.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::private_file::NewFile;

/// Name of the file in the data folder.
const FILE_NAME: &str = "setup.link";

/// Writes the link to a file that only its owner reads.
pub(crate) fn write(data_dir: &Path, link: &str) -> std::io::Result<PathBuf> {
    let path = data_dir.join(FILE_NAME);
    let new = NewFile::beside(&path)?;
    writeln!(new.file(), "{link}")?;
    new.replace()?;
    Ok(path)
}
