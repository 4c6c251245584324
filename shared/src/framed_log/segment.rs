//! The files of segments: their names, their list, their creation.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::FramedLogError;
use super::format::{HEADER_BYTES, Header, decode_header, encode_header};
use super::storage;

pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

/// The first sequences of all segments in the folder, ascending.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".log"));
        if let Some(first) = stem.filter(|stem| stem.len() == 20).and_then(|stem| stem.parse().ok())
        {
            firsts.push(first);
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Creates the segment's file durably. An existing file of that name is replaced by a new inode.
pub(super) fn create(folder: &Path, first: u64) -> Result<File, FramedLogError> {
    let path = path(folder, first);
    let new = path.with_extension("log.new");
    let file = storage::create(&new).map_err(FramedLogError::io("create", &new))?;
    storage::write_all_at(&file, &encode_header(first), 0)
        .map_err(FramedLogError::io("write", &new))?;
    storage::sync_data(&file).map_err(FramedLogError::io("sync", &new))?;
    storage::rename(&new, &path).map_err(FramedLogError::io("rename", &new))?;
    storage::sync_folder(folder).map_err(FramedLogError::io("sync", folder))?;
    Ok(file)
}

/// Opens a segment and compares header and name.
pub(super) fn open(
    folder: &Path,
    first: u64,
    following: Option<u64>,
    writable: bool,
) -> Result<File, FramedLogError> {
    let path = path(folder, first);
    let damaged = |what| FramedLogError::Damaged {
        path: path.clone(),
        offset: 0,
        what,
        resume_at: following,
    };
    let mut file = File::options()
        .read(true)
        .write(writable)
        .open(&path)
        .map_err(FramedLogError::io("open", &path))?;
    let mut header = [0; HEADER_BYTES];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged("the file ends within its header"));
        }
        Err(error) => return Err(FramedLogError::io("read", &path)(error)),
    }
    match decode_header(&header) {
        Header::Valid { first: written } if written == first => Ok(file),
        Header::Valid { .. } => Err(damaged("the name and the header's sequence differ")),
        Header::TooNew { version } => Err(FramedLogError::UnsupportedVersion { path, version }),
        Header::Invalid { what } => Err(damaged(what)),
    }
}
