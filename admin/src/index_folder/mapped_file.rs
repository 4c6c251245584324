//! A file of the index in memory, as the system's own pages: a level of hundreds of megabytes is read
//! without a copy.
//!
//! The system ends a process that touches a mapped page which the disk does not give. So the file is
//! read before, which makes that an error like any other, and leaves the pages in memory.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

#[derive(Clone)]
pub(super) struct MappedFile(Arc<Mmap>);

impl MappedFile {
    pub(super) fn open(path: &Path) -> io::Result<MappedFile> {
        let mut file = File::open(path)?;
        io::copy(&mut file, &mut io::sink())?;
        // SAFETY: the bytes must not change while they are mapped. Files of the index never change
        // once they have their name: they are replaced by renaming, and removed, which leaves mapped
        // pages alone. This process alone writes to the folder.
        let pages = unsafe { Mmap::map(&file)? };
        Ok(MappedFile(Arc::new(pages)))
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
